"""The page on a phone and in the dark, and what its files may not contain."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.serve.page.browser import Page
from tests.serve.page.conftest import SAMPLES, Open, Service, fill, result

PAGE = Path(__file__).resolve().parents[3] / "serve" / "page"
BOX = "({left, top, width}) => [left, top, width]"
WIDE = "[document.documentElement.scrollWidth, innerWidth]"
SMALL = """[...document.querySelectorAll('button, select, input:not([type=checkbox], [type=file]), a.main')]
  .filter((e) => e.checkVisibility() && !e.matches('.chip')).map((e) => [e.id, e.getBoundingClientRect()])
  .filter(([id, box]) => Math.min(box.width, box.height) < 32).map(([id]) => id)"""


def check(page: Page) -> None:
    scroll, inner = page.eval(WIDE)
    assert scroll == inner == 360
    assert page.eval(SMALL) == []


def test_phone_has_no_sideways_scroll(service: Service, open_page: Open, clip: Path, frame: Path) -> None:
    service.work_slowly()
    page = open_page(service.url, width=360, height=740, phone=True)
    page.visible("#new")
    check(page)
    fill(page, clip, frame)
    page.click(".more summary")
    check(page)
    page.click("#start")
    page.wait(SAMPLES)
    check(page)
    service.hurry()
    result(page)
    check(page)
    a, b = page.eval(f"['a', 'b'].map((side) => ({BOX})(document.querySelector(`#${{side}}-canvas`).getBoundingClientRect()))")
    assert a[1] == b[1]  # side by side here, too
    assert a[0] + a[2] <= b[0]
    page.click(".made summary")
    check(page)


def luminance(colour: str) -> float:
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", colour)[:3])
    return sum(
        weight * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
        for weight, c in zip((0.2126, 0.7152, 0.0722), (red, green, blue), strict=True)
    )


@pytest.mark.parametrize("dark", [False, True])
def test_light_and_dark_can_be_read(service: Service, open_page: Open, dark: bool) -> None:
    page = open_page(service.url, dark=dark)
    page.visible("#new")
    ground = luminance(page.eval("getComputedStyle(document.body).backgroundColor"))
    assert (ground < 0.1) == dark
    for selector in ("body", "#missing", "h1 a", ".drop span", "#new h2 i"):
        ink = luminance(page.eval(f"getComputedStyle(document.querySelector({selector!r})).color"))
        high, low = max(ink, ground), min(ink, ground)
        assert (high + 0.05) / (low + 0.05) >= 4.5, selector


def test_responsible_use_is_one_click_away(service: Service, open_page: Open) -> None:
    page = open_page(service.url, width=360, height=740, phone=True)
    page.visible("#new")
    page.click(".consent a")
    page.wait("location.pathname === '/page/use.html' && document.readyState === 'complete'")
    assert page.text(".sum") == "Responsible use"
    check(page)
    page.click("footer a")
    page.wait("location.pathname === '/'")


class Inline(HTMLParser):
    """Whatever a strict policy would block, and every address."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = dict(attributes)
        self.found += [f"{tag} {name}" for name in names if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)
        self.addresses += [str(names[name]) for name in ("src", "href") if name in names]


@pytest.mark.parametrize("file", sorted(PAGE.glob("*.html")), ids=lambda path: path.name)
def test_html_is_fit_for_a_strict_policy(file: Path) -> None:
    reader = Inline()
    reader.feed(file.read_text())
    assert reader.found == []
    files = [address for address in reader.addresses if address.endswith((".css", ".js", ".html"))]
    root = PAGE if file.name != "index.html" else PAGE.parent
    assert files
    assert [address for address in files if not (root / address).is_file()] == []


@pytest.mark.parametrize("file", sorted(PAGE.glob("*.*")), ids=lambda path: path.name)
def test_files_name_no_other_machine(file: Path) -> None:
    found = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"']*", file.read_text())
    assert [address for address in found if not address.startswith("http://www.w3.org/2000/svg")] == []


@pytest.mark.parametrize("file", sorted(PAGE.glob("*.html")), ids=lambda path: path.name)
def test_labels_and_descriptions_point_at_something(file: Path) -> None:
    text = file.read_text()
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    wanted = {
        word for names in re.findall(r'\b(?:for|aria-labelledby|aria-describedby)="([^"]+)"', text) for word in names.split()
    }
    assert wanted <= set(ids)


def test_scripts_ask_for_elements_that_are_there() -> None:
    ids = set(re.findall(r'\bid="([^"]+)"', (PAGE / "index.html").read_text()))
    asked = {name for file in PAGE.glob("*.js") for name in re.findall(r'\bat\("([\w-]+)"\)', file.read_text())}
    assert asked - ids == set()
