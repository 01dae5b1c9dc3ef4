"""Source and edit in step, and the curves with them: what is on the screen is read off the pictures."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.local import http, until
from tests.serve.page.browser import Chromium, Page
from tests.serve.page.clips import BITS, FPS, FRAMES, GAP, SIDE, STRIPE, PartEditor, read, write_wide_clip
from tests.serve.page.conftest import Open, Service, opening, result

SPOTS = [[bit * STRIPE + STRIPE // 2, SIDE // 4] for bit in range(BITS)] + [[SIDE // 2, 3 * SIDE // 4]]
PIXELS = f"""(id) => {{
  const context = document.querySelector(id).getContext('2d', {{willReadFrequently: true}});
  return {json.dumps(SPOTS)}.map(([x, y]) => [...context.getImageData(x, y, 1, 1).data]);
}}"""
HEADS = "[...document.querySelectorAll('.playhead')]"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, clip: Path, frame: Path) -> Iterator[str]:
    """Of the page that shows a finished edit."""
    with Service(tmp_path_factory.mktemp("service")) as service:
        service.work()
        files = {"source": clip.open("rb"), "first_frame": frame.open("rb")}
        id = http.post(f"{service.url}/v1/edits", data={"consent": "true"}, files=files).json()["id"]
        until(lambda: http.get(f"{service.url}/v1/edits/{id}").json()["state"] == "succeeded")
        yield f"{service.url}/#{id}"


@pytest.fixture(scope="module")
def watched(chromium: Chromium, address: str) -> Iterator[Page]:
    with opening(chromium) as open_page:
        page = open_page(address)
        page.forgive("willReadFrequently")  # it is the tests that read
        result(page)
        yield page


@pytest.fixture
def page(watched: Page) -> Page:
    """The page of all tests here, at rest at its first frame and with its settings as it began."""
    watched.eval("document.activeElement.blur()")
    if watched.eval("document.querySelector('#play').classList.contains('playing')"):
        watched.click("#play")
    if watched.eval("document.querySelector('#loop').getAttribute('aria-pressed') === 'false'"):
        watched.click("#loop")
    set_speed(watched, "1")
    scrub(watched, 0)
    at(watched, 0)
    return watched


def shown(page: Page) -> list[tuple[int, bool]]:
    """What the two pictures say: the source's frame, the edit's."""
    return [read(page.eval(f"({PIXELS})('#{side}-canvas')")) for side in "ab"]


def at(page: Page, frame: int) -> None:
    page.wait(f"document.querySelector('#screen').dataset.frame === '{frame}'")


def check(page: Page, frame: int) -> None:
    """Pictures, clocks, scrubber and playheads all stand at this frame."""
    at(page, frame)
    assert shown(page) == [(frame, False), (frame, True)]
    clocks = page.eval("['a', 'b'].map((side) => document.querySelector(`#${side}-video`).currentTime)")
    assert [int(clock * FPS) for clock in clocks] == [frame, frame]
    assert page.eval("document.querySelector('#scrub').value") == str(frame)
    assert page.eval(f"{HEADS}.map((head) => head.dataset.frame)") == [str(frame)] * 3
    places = page.eval(f"{HEADS}.map((head) => Number(head.getAttribute('x1')))")
    assert places == pytest.approx([1000 * frame / (FRAMES - 1)] * 3)


def scrub(page: Page, frame: int) -> None:
    page.eval(
        f"document.querySelector('#scrub').value = {frame}; document.querySelector('#scrub').dispatchEvent(new Event('input'))"
    )


def set_speed(page: Page, speed: str) -> None:
    page.eval(
        f"document.querySelector('#speed').value = '{speed}'; document.querySelector('#speed').dispatchEvent(new Event('change'))"
    )


def test_scrubber_brings_both_to_the_frame(page: Page) -> None:
    for number in (0, 1, 17, FRAMES - 1, 2):
        scrub(page, number)
        check(page, number)


def test_scrubbing_fast_ends_where_it_ends(page: Page) -> None:
    page.eval(f"""const slider = document.querySelector('#scrub');
    for (let k = 0; k < {FRAMES}; k += 3) {{ slider.value = k; slider.dispatchEvent(new Event('input')); }}""")
    check(page, FRAMES - 1)


def test_step_buttons_and_arrow_keys(page: Page) -> None:
    for _ in range(3):
        page.click("#forth")
    check(page, 3)
    page.click("#back")
    check(page, 2)
    page.eval("document.activeElement.blur()")
    page.press("ArrowRight", shift=True)
    check(page, 12)
    page.press("ArrowLeft")
    check(page, 11)


def test_a_press_on_a_curve_goes_there(page: Page) -> None:
    for share, number in ((0.5, 20), (0.0, 0), (1.0, FRAMES - 1)):
        page.click("[data-cue=speech] .plot", x=min(max(share, 0.002), 0.998))
        check(page, number)


def test_playing_shows_the_same_frame_of_both(page: Page) -> None:
    page.eval(f"""window.seen = []; window.read = {PIXELS}; (function look() {{
      seen.push([read('#a-canvas'), read('#b-canvas'), Number(document.querySelector('#screen').dataset.frame)]);
      requestAnimationFrame(look);
    }})(); 0""")
    set_speed(page, "0.5")
    page.click("#play")
    page.wait("Number(document.querySelector('#screen').dataset.frame) > 6")
    page.eval("document.querySelector('#a-video').currentTime += 0.1")  # one decoder runs ahead, as on a busy machine
    page.wait("Number(document.querySelector('#screen').dataset.frame) > 32")
    pairs = [(read(a), read(b), frame) for a, b, frame in page.eval("seen")]
    assert [pair for pair in pairs if pair[0] != (pair[2], False) or pair[1] != (pair[2], True)] == []
    assert len({frame for _, _, frame in pairs}) > 20  # it ran, and did not jump
    page.click("#play")
    page.wait("!document.querySelector('#play').classList.contains('playing') && document.querySelector('#b-video').paused")
    resting = int(page.eval("document.querySelector('#screen').dataset.frame"))
    page.eval("new Promise((done) => setTimeout(done, 200))")
    check(page, resting)


def test_loop_begins_again_and_without_it_the_end_stays(page: Page) -> None:
    scrub(page, FRAMES - 6)
    at(page, FRAMES - 6)
    page.click("#play")
    page.wait("(frame => frame > 0 && frame < 20)(Number(document.querySelector('#screen').dataset.frame))")
    page.click("#loop")
    page.wait("!document.querySelector('#play').classList.contains('playing')")
    check(page, FRAMES - 1)


def test_curves_have_gaps_and_say_why_there_is_no_evidence(page: Page) -> None:
    strokes = "[...document.querySelectorAll('[data-cue={}] .curve.{}')].length"
    assert [page.eval(strokes.format("speech", half)) for half in ("source", "edited")] == [1, 1]
    assert [page.eval(strokes.format("gaze", half)) for half in ("source", "edited")] == [2, 2]
    x, width = page.eval(
        "['x', 'width'].map((name) => Number(document.querySelector('[data-cue=gaze] .unseen').getAttribute(name)))"
    )
    unit = 1000 / (FRAMES - 1)
    assert (x, width) == pytest.approx(((GAP.start - 0.5) * unit, len(GAP) * unit))
    assert page.text("[data-cue=gaze] .note") == "No evidence: it moves less than its measuring noise."
    assert page.text("[data-cue=blink] .note") == "No evidence: this cue was not measured."
    assert page.text("[data-cue=speech] .chips") == "mouth r 0.93"


def test_parts_of_a_cue_can_be_chosen(page: Page) -> None:
    page.click("[data-cue=pose] .chip:nth-child(2)")
    assert page.text("[data-cue=pose] .signal") == "left elbow, angle"
    assert page.text("[data-cue=pose] .note") == "No evidence: it is out of sight for too long."
    assert page.eval("document.querySelector('[data-cue=pose] .chip:nth-child(2)').getAttribute('aria-pressed')") == "true"
    page.click("[data-cue=pose] .chip:nth-child(1)")
    assert page.text("[data-cue=pose] .signal") == "head, turn"


def test_of_the_source_the_edited_part_is_shown(open_page: Open, tmp_path: Path, frame: Path) -> None:
    with Service(tmp_path) as service:
        service.work(editor=PartEditor)
        source = write_wide_clip(tmp_path / "wide.mp4")
        files = {"source": source.open("rb"), "first_frame": frame.open("rb")}
        id = http.post(f"{service.url}/v1/edits", data={"consent": "true"}, files=files).json()["id"]
        until(lambda: http.get(f"{service.url}/v1/edits/{id}").json()["state"] == "succeeded")
        assert http.get(f"{service.url}/v1/edits/{id}").json()["result"]["crop"] == {
            "left": 40,
            "top": 20,
            "width": 128,
            "height": 128,
        }
        page = open_page(f"{service.url}/#{id}")
        page.forgive("willReadFrequently")
        result(page)
        for number in (0, 21):
            scrub(page, number)
            check(page, number)
        page.click("#play")
        page.wait("Number(document.querySelector('#screen').dataset.frame) > 24")
        page.click("#play")
        page.wait("document.querySelector('#b-video').paused")
        page.eval("new Promise((done) => setTimeout(done, 200))")
        check(page, int(page.eval("document.querySelector('#screen').dataset.frame")))


def test_source_that_the_browser_cannot_play(open_page: Open, address: str) -> None:
    page = open_page(address.partition("#")[0] + "page/use.html")
    page.forgive("willReadFrequently")
    page.call("Fetch.enable", patterns=[{"urlPattern": "*/source"}])
    page.call("Page.navigate", url=address)
    page.wait("document.querySelector('#result').checkVisibility()")
    for event in page.awaited("Fetch.requestPaused"):
        page.call("Fetch.fulfillRequest", requestId=event["requestId"], responseCode=200, body="bm8gdmlkZW8=")
    result(page)
    assert page.text("#a-cannot") == "This browser cannot play this file."
    page.press("ArrowRight")
    at(page, 1)
    assert read(page.eval(f"({PIXELS})('#b-canvas')")) == (1, True)
