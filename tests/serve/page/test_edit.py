"""An edit from the clip to the result, and the ways in which there is none, as a person meets them."""

import io
import json
import re
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from serve.jobs import State
from synclora.media.decode import Decoder
from tests.media.conftest import encode
from tests.serve.page.bridge import Bridge
from tests.serve.page.browser import Page, until
from tests.serve.page.clips import FRAMES, picture
from tests.serve.page.conftest import SAMPLES, Open, Service, fill, result

HEAVY = 8_000_000
LISTEN = """window.said = [];
const line = document.querySelector('#now');
new MutationObserver(() => said.push(line.textContent)).observe(line, {childList: true, subtree: true});"""
KEYS_SENT = """window.sent = [];
const set = XMLHttpRequest.prototype.setRequestHeader;
XMLHttpRequest.prototype.setRequestHeader = function (name, value) {
  if (name === 'Idempotency-Key') sent.push(value);
  set.call(this, name, value);
}; 0"""


def jobs(service: Service) -> list[State]:
    return [job.state for job in service.table.list("", 10)]


def test_upload_steps_and_result(service: Service, open_page: Open, clip: Path, frame: Path, tmp_path: Path) -> None:
    service.work("stub:steps=6,pause_s=0.15")
    heavy = tmp_path / "heavy.mp4"  # a box of nothing behind the clip: long enough on its way to be watched
    heavy.write_bytes(clip.read_bytes() + struct.pack(">I4s", HEAVY, b"free") + bytes(HEAVY - 8))
    page = open_page(service.url)
    fill(page, heavy, frame)
    page.eval(LISTEN)
    page.call("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=16e6)
    page.click("#start")
    result(page)
    said = page.eval("said")
    sent = [int(share) for text in said for share in re.findall(r"Sending the files, (\d+) %", text)]
    assert sent == sorted(sent)
    assert any(0 < share < 100 for share in sent), said
    steps = [int(step) for text in said for step in re.findall(r"Sampling, step (\d) of 6", text)]
    assert steps == sorted(steps)
    assert len(set(steps)) >= 3, said
    assert "In step with its source" in page.text("#verdict")
    assert page.text("#score").startswith("sync 0.90")
    assert page.text("#random") == "Random weights: this proves the plumbing, not a picture."
    download = page.eval(
        "fetch(document.querySelector('#download').href).then((answer) => answer.arrayBuffer()).then((data) => data.byteLength)"
    )
    (job,) = service.table.list("", 10)
    assert download == service.files.size(job.id, str(job.video))
    assert job.request["consent"]["at"] is not None
    assert page.eval("location.hash") == f"#{job.id}"
    assert page.eval("document.querySelectorAll('#edits li').length") == 1


def test_first_frame_is_frame_0_in_full_size(service: Service, open_page: Open, clip: Path, tmp_path: Path) -> None:
    page = open_page(service.url)
    page.visible("#new")
    page.downloads(tmp_path)
    page.files("#source", clip)
    page.wait("!document.querySelector('#take').disabled")
    page.eval("document.querySelector('#source-video').currentTime = 1.0")  # where the shown video is does not matter
    page.click("#take")
    saved = until(lambda: list(tmp_path.glob("*.png")), "the saved frame", 10)[0]
    assert saved.name == "clip-first-frame.png"
    found = np.asarray(Image.open(io.BytesIO(saved.read_bytes())).convert("RGB")).astype(int)
    with av.open(str(clip)) as container:
        decoded = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert found.shape == decoded.shape
    assert np.abs(found - picture(0)).mean() < 6  # 4:2:0 and a colour matrix lie between
    assert np.abs(found - picture(1)).mean() > 9  # one stripe more


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_first_frame_of_a_turned_clip_is_upright(service: Service, open_page: Open, tmp_path: Path, rotation: int) -> None:
    """As the service's own decoder turns it: the edited frame has to fit."""
    height, width = 96, 160
    drawn = np.zeros((height, width, 3), np.uint8)
    drawn[: height // 2, : width // 2] = (230, 60, 60)
    drawn[: height // 2, width // 2 :] = (60, 200, 60)
    turned = encode(tmp_path / "turned.mp4", [drawn] * 12, rotation=rotation)
    page = open_page(service.url)
    page.visible("#new")
    page.downloads(tmp_path)
    page.files("#source", turned)
    page.wait("!document.querySelector('#take').disabled")
    page.click("#take")
    saved = until(lambda: list(tmp_path.glob("*.png")), "the saved frame", 10)[0]
    found = np.asarray(Image.open(io.BytesIO(saved.read_bytes())).convert("RGB")).astype(int)
    with Decoder() as decoder:
        upright = next(iter(decoder.frames(turned, analysis=False))).astype(int)
    assert found.shape == upright.shape
    assert np.abs(found - upright).mean() < 6


def test_cancel_while_it_samples(service: Service, open_page: Open, clip: Path, frame: Path) -> None:
    service.work_slowly()
    page = open_page(service.url)
    fill(page, clip, frame)
    page.click("#start")
    page.wait(SAMPLES)
    page.click("#cancel")
    page.visible("#problem")
    assert page.text("#problem h2") == "The edit was cancelled."
    assert jobs(service) == [State.CANCELLED]
    assert page.eval("document.querySelector('#start').checkVisibility() && document.querySelector('#source').files.length") == 1


def test_queue_position_then_the_edit(service: Service, open_page: Open, clip: Path, frame: Path) -> None:
    pages = []
    for words in ("Waiting, next in line", "Waiting, 1 edit before this one"):
        page = open_page(service.url)
        fill(page, clip, frame)
        page.click("#start")
        page.wait(f"document.querySelector('#now').textContent === {json.dumps(words)}")
        pages.append(page)
    service.work()
    for page in pages:
        result(page)


def test_broken_video(service: Service, open_page: Open, frame: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no video" * 500)
    page = open_page(service.url)
    page.visible("#new")
    page.files("#source", broken)
    page.visible("#problem")
    assert page.text("#problem h2") == "This browser cannot play the video."
    page.files("#frame", frame)
    page.wait("document.querySelector('#frame-facts').textContent.includes('×')")
    page.click("#consent")
    page.click("#start")
    page.wait("document.querySelector('#problem h2').textContent.startsWith('The file is no video container')")
    assert page.text("#problem .remedy") == "Save the clip as MP4, MOV or WebM and choose that."
    assert page.text("#problem .detail").startswith("unknown_container: ")
    assert jobs(service) == []


DROP = """(async () => {
  const bytes = await fetch('page/page.css').then((answer) => answer.blob());
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], 'dropped.mp4', {type: 'video/mp4'}));
  const place = document.querySelector('#source-drop');
  place.dispatchEvent(new DragEvent('dragover', {dataTransfer: carried, bubbles: true, cancelable: true}));
  const over = place.classList.contains('over');
  place.dispatchEvent(new DragEvent('drop', {dataTransfer: carried, bubbles: true, cancelable: true}));
  return [over, place.classList.contains('over'), document.querySelector('#source').files[0].name];
})()"""


def test_a_dropped_file_is_a_chosen_one(service: Service, open_page: Open) -> None:
    page = open_page(service.url)
    page.visible("#new")
    assert page.eval(DROP) == [True, False, "dropped.mp4"]
    assert page.text("#source-facts").startswith("dropped.mp4, ")


def test_edit_that_fails(service: Service, open_page: Open, clip: Path, frame: Path) -> None:
    service.work()
    page = open_page(service.url)
    fill(page, clip, frame)
    page.click(".more summary")
    page.click("#prompt")
    page.type("stub raise=MediaError")
    page.click("#start")
    page.visible("#problem")
    assert page.text("#problem h2") == "The first frames do not lie on each other: face or hands stand elsewhere."
    assert page.text("#problem .remedy").startswith("Edit the frame that was taken out of this clip")
    assert page.text("#problem .detail") == "misaligned: the faces are 0.9 face widths apart, 0.35 may be"
    assert page.eval("document.activeElement.id") == "problem"


def focused(page: Page) -> str:
    return str(page.eval("document.activeElement.id || document.activeElement.tagName"))


def tab_to(page: Page, wanted: str) -> list[str]:
    """Tab until it has the focus; what had it on the way. Whatever has the focus shows it."""
    way = []
    for _ in range(40):
        page.press("Tab")
        way.append(focused(page))
        ring = page.eval(
            "(e => getComputedStyle(e.matches('.drop input') ? e.parentElement : e).outlineStyle)(document.activeElement)"
        )
        assert ring == "solid", way
        if way[-1] == wanted:
            return way
    raise AssertionError(f"{wanted} not reached: {way}")


def test_keyboard_alone(service: Service, open_page: Open, clip: Path, frame: Path) -> None:
    service.work()
    page = open_page(service.url)
    page.visible("#new")
    assert tab_to(page, "start")[-6:] == ["source", "frame", "adapter", "SUMMARY", "consent", "A", "start"][-6:]
    page.press("Enter")
    assert focused(page) == "source"  # to what is missing
    page.files("#source", clip)
    page.wait("!document.querySelector('#take').disabled")
    assert tab_to(page, "frame") == ["take", "frame"]
    page.files("#frame", frame)
    page.wait("document.querySelector('#frame-facts').textContent.includes('×')")
    tab_to(page, "consent")
    page.press(" ")
    tab_to(page, "start")
    page.press("Enter")
    result(page)
    assert focused(page) == "verdict"
    page.press("ArrowRight")
    page.wait("document.querySelector('#screen').dataset.frame === '1'")
    page.press("ArrowRight", shift=True)
    page.wait("document.querySelector('#screen').dataset.frame === '11'")
    page.press("End")
    page.wait(f"document.querySelector('#screen').dataset.frame === '{FRAMES - 1}'")
    page.press("Home")
    page.wait("document.querySelector('#screen').dataset.frame === '0'")
    page.press(" ")
    page.wait("document.querySelector('#play').classList.contains('playing')")
    page.press(" ")
    page.wait("!document.querySelector('#play').classList.contains('playing')")
    tab_to(page, "download")


def test_reload_goes_on_with_the_edit(service: Service, open_page: Open, clip: Path, frame: Path) -> None:
    service.work_slowly()
    page = open_page(service.url)
    fill(page, clip, frame)
    page.click("#start")
    page.wait(SAMPLES)
    page.call("Page.reload")
    page.wait(SAMPLES)
    page.wait(
        "document.querySelector('#work-source').checkVisibility() && document.querySelector('#work-frame').checkVisibility()"
    )
    service.hurry()
    result(page)
    assert page.eval("document.querySelector('#a-canvas').width") == 128  # the source, from the service


def test_broken_connection_is_said_and_mended(service: Service, open_page: Open, clip: Path, frame: Path) -> None:
    service.work_slowly()
    with Bridge(service.port) as bridge:
        page = open_page(bridge.url)
        fill(page, clip, frame)
        page.click("#start")
        page.wait(SAMPLES)
        bridge.up = False
        page.wait("document.querySelector('#lost').textContent.includes('The edit goes on')")
        bridge.up = True
        page.wait(
            "document.querySelector('#lost').textContent === '' && document.querySelector('#now').textContent.includes('step ')"
        )
        service.hurry()
        result(page)
        assert jobs(service) == [State.SUCCEEDED]
        page.forgive("net::ERR")


def test_repetition_after_a_broken_upload_makes_one_edit(service: Service, open_page: Open, clip: Path, frame: Path) -> None:
    page = open_page(service.url)
    fill(page, clip, frame)
    page.eval(KEYS_SENT)
    off = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.call("Network.emulateNetworkConditions", offline=True, **off)
    page.click("#start")
    page.visible("#problem")
    assert page.text("#problem h2") == "The service does not answer."
    page.call("Network.emulateNetworkConditions", offline=False, **off)
    page.click("#start")
    page.wait("document.querySelector('#now').textContent.startsWith('Waiting')")
    first, second = page.eval("sent")
    assert first == second
    page.forgive("net::ERR")


@pytest.mark.parametrize("service", [{"max_queued": 1}], indirect=True)
def test_full_queue_says_when_to_come_again(service: Service, open_page: Open, clip: Path, frame: Path) -> None:
    for ends in (
        "document.querySelector('#now').textContent.startsWith('Waiting')",
        "document.querySelector('#problem').checkVisibility()",
    ):
        page = open_page(service.url)
        fill(page, clip, frame)
        page.click("#start")
        page.wait(ends)
    assert page.text("#problem h2") == "As many edits are waiting as the service takes."
    assert re.search(r"Not before \d+ seconds\.$", page.text("#problem .remedy"))
    assert page.eval("document.querySelector('#source').files.length") == 1


def test_service_with_keys(guarded: tuple[Service, str], open_page: Open, clip: Path, frame: Path) -> None:
    service, secret = guarded
    service.work()
    page = open_page(service.url)
    page.visible("#door")
    assert focused(page) == "key"
    assert not page.eval("document.querySelector('#problem').checkVisibility()")  # nothing is wrong yet
    page.type("slk_wrong")
    page.press("Enter")
    page.visible("#problem")
    assert page.text("#problem h2") == "The service does not know this key."
    page.type(secret)
    page.press("Enter")
    page.wait("!document.querySelector('#door').checkVisibility() && document.querySelector('#adapter').length")
    fill(page, clip, frame)
    page.click("#start")
    result(page)
    assert page.eval("document.querySelector('#b-video').src").startswith("blob:")
    assert page.eval("Object.values(sessionStorage)") == [secret]
    assert page.eval("[localStorage.length, document.cookie, location.href.includes('slk_')]") == [0, "", False]
    page.call("Page.reload")  # the key is kept for this tab; the source now comes from the service, with the key
    result(page)
    assert page.eval("document.querySelector('#a-canvas').width") == 128


def test_earlier_edit_is_opened_and_deleted(service: Service, open_page: Open, clip: Path, frame: Path) -> None:
    service.work()
    page = open_page(service.url)
    fill(page, clip, frame)
    page.click("#start")
    result(page)
    page.click("#again")
    page.visible("#new")
    page.click("#edits a")
    result(page)
    page.click("#remove")
    assert page.text("#remove") == "Delete video, clip and frame?"
    page.click("#remove")
    page.visible("#problem")
    assert "was deleted" in page.text("#problem h2")
    assert jobs(service) == []
    assert service.stored() == []


@pytest.mark.parametrize("id", ["nosuchedit", "01j00000000000000000000000"])
def test_address_of_no_edit(service: Service, open_page: Open, id: str) -> None:
    page = open_page(f"{service.url}/#{id}")
    page.visible("#problem")
    assert page.text("#problem h2") == "There is no such edit, or it belongs to another key."
    assert page.eval("document.querySelector('#new').checkVisibility()")
