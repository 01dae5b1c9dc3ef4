"""A browser for the session, a service per test; every page is held to account for what it asked for and what it complained of."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serve.keys import KeyRing, new_key, write_keys
from tests.serve.local import Local
from tests.serve.page.browser import Chromium, Page, find_chromium
from tests.serve.page.clips import TwinEditor, write_clip, write_frame

Open = Callable[..., Page]

SAMPLES = "document.querySelector('#now').textContent.includes('step ')"
"""Whether the page says so; not at which step, which is over before a busy machine has shown it."""


class Service(Local):
    """With an editor whose edits can be told from each other, frame by frame."""

    def work(self, words: str = "stub:steps=4,pause_s=0.02", editor: type[TwinEditor] = TwinEditor) -> None:
        self._threads.append(threading.Thread(target=self._work, args=(editor(words),), daemon=True))
        self._threads[-1].start()

    def work_slowly(self, editor: type[TwinEditor] = TwinEditor) -> None:
        """Longer than any test looks at it, until `hurry`."""
        self.work(f"stub:steps=90,pause_s=0.1,hurry={self.scratch}.hurry", editor)

    def hurry(self) -> None:
        """Let the slow work come to its end."""
        Path(f"{self.scratch}.hurry").touch()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if find_chromium() is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path, **getattr(request, "param", {})) as one:
        yield one


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[Service, str]]:
    """A service with keys, and a key."""
    secret, key = new_key("anna")
    write_keys(tmp_path / "keys.yaml", (key,))
    with Service(tmp_path, KeyRing(tmp_path / "keys.yaml")) as one:
        yield one, secret


@contextlib.contextmanager
def opening(chromium: Chromium) -> Iterator[Open]:
    """Opens an address in a page of its own. At the end no page has asked another machine for anything, and none has complained."""
    pages: list[tuple[Page, str]] = []

    def go(url: str, **look: object) -> Page:
        page = chromium.page(**look)  # type: ignore[arg-type]
        pages.append((page, url))
        page.go(url)
        return page

    yield go
    for page, url in pages:
        origin = "/".join(url.split("/")[:3])
        assert [asked for asked in page.requested() if not asked.startswith((origin + "/", f"blob:{origin}/", "data:"))] == []
        assert page.complaints() == []
        page.close()


@pytest.fixture
def open_page(chromium: Chromium) -> Iterator[Open]:
    with opening(chromium) as go:
        yield go


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="session")
def frame(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frame(tmp_path_factory.mktemp("frame") / "frame.png")


def fill(page: Page, clip: Path, frame: Path) -> None:
    """Choose both files and say yes."""
    page.visible("#new")
    page.files("#source", clip)
    page.files("#frame", frame)
    page.wait("document.querySelector('#frame-facts').textContent.includes('×') && !document.querySelector('#take').disabled")
    page.click("#consent")


def result(page: Page) -> None:
    """Wait until the result is shown, at its first frame."""
    page.wait("document.querySelector('#screen').dataset.frame === '0'", 30)
