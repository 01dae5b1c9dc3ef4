"""Pairs made by hand: measurements with synthetic signals, judged by the real rule, written as a real manifest."""

import math
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synclora.errors import Reason
from synclora.motion.measure import STAMP, Measurement
from synclora.motion.settings import VerdictSettings
from synclora.motion.signals import NOISE_FLOOR, SIGNALS, Signal
from synclora.motion.verdict import Judgement, Verdict, judge
from synclora.pairs.base import Pair, View
from synclora.pairs.manifest import manifest_row, write_rows

FRAMES, FPS = 75, 25.0
RULE = VerdictSettings()
NOWHERE = ("/none/s.mp4", "/none/e.mp4")
FACE = np.array([[x, y] for x, y in zip(np.linspace(0.4, 0.6, 11), np.linspace(0.3, 0.6, 11), strict=True)], np.float32)
HOSTILE = "\"><script>alert(1)</script><img src=https://example.org/x onerror='alert(2)'>{{ 7*7 }}"


class Tags(HTMLParser):
    """Collects tags, attributes and whether open tags are closed."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def assert_alone(page: str) -> None:
    """The page needs nothing but itself, and asks for nothing else."""
    addresses = [
        value for _tag, attrs in Tags(page).found for name, value in attrs.items() if name in ("src", "href", "action", "srcset")
    ]
    assert all(value.startswith(("data:", "#")) for value in addresses)
    assert "url(" not in page
    assert "@import" not in page
    outside = set(re.findall(r"https?://[^\s\"'<>)]+", page))
    assert outside <= {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in page


def in_chromium(page: Path) -> str:
    """The page's elements after its scripts have run without a word of complaint."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={page.parent / 'profile'}",
        "--enable-logging=stderr",
        "--v=0",
    ]
    run = subprocess.run([chromium, *flags, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    assert "CONSOLE" not in run.stderr
    return run.stdout


def wave(seed: int, frames: int = FRAMES) -> np.ndarray:
    """A smooth, lively signal: four sines of random phase."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / FPS
    rates, phases = rng.uniform(0.4, 1.6, 4), rng.uniform(0, 2 * np.pi, 4)
    return np.sin(2 * np.pi * rates[:, None] * t + phases[:, None]).sum(0)


def like(signal: np.ndarray, r: float) -> np.ndarray:
    """As lively as the signal, and correlated with it by exactly r."""
    other = wave(900, len(signal))
    signal, other = signal - signal.mean(), other - other.mean()
    other -= signal * (signal @ other) / (signal @ signal)
    return r * signal + math.sqrt(1 - r**2) * other * signal.std() / other.std()


def measured(script: int = 0, *, tint: int = 90, frames: int = FRAMES, **changes: np.ndarray | None) -> Measurement:
    """A half. All halves of one script move alike; a changed signal gets these values instead, None hides it."""
    signals = {}
    for i, name in enumerate(SIGNALS):
        noise, values, seen = NOISE_FLOOR[name], wave(100 * script + i, frames) * NOISE_FLOOR[name] * 12, np.ones(frames, bool)
        if name in changes:
            given = changes[name]
            seen = np.zeros(frames, bool) if given is None else seen
            values = np.zeros(frames) if given is None else given * noise * 12
        signals[name] = Signal(values.astype(np.float32), noise, seen)
    stamps = np.full((3, STAMP, STAMP, 3), tint, np.uint8)
    return Measurement(frames, FPS, 128, 96, signals, 1.0, 0.0, FACE, stamps)


def row(
    name: str, source: Measurement, edited: Measurement, videos: tuple[str, str] = ("/none/s.mp4", "/none/e.mp4"), **pair: Any
) -> dict:
    """A manifest row, judged by the real rule."""
    made = Pair(name, View(videos[0]), View(videos[1]), **pair)
    return manifest_row(f"id-{name}", made, judge(source, edited, RULE), (source, edited), RULE.fingerprint())


def unread(name: str, reason: Reason, detail: str) -> dict:
    """A quarantined row."""
    judgement = Judgement.unmeasured(Verdict.QUARANTINED, reason, detail)
    return manifest_row(f"id-{name}", Pair(name, View("/none/a.mp4"), View("/none/b.mp4")), judgement, None, RULE.fingerprint())


@pytest.fixture(scope="session")
def rows() -> list[dict]:
    """Every kind of row: kept, each way to fail, quarantined."""
    source = measured()
    late = measured(tint=120)
    shifted = {name: Signal(np.roll(signal.values, 6), signal.noise, signal.seen) for name, signal in late.signals.items()}
    near, nearer, nearest, rough = (like(wave(0), r) for r in (0.97, 0.9, 0.8, 0.6))
    return [
        row("twin", source, measured(tint=130), caption="red hair"),
        row("near", source, measured(tint=130, speech=near)),
        row("nearer", source, measured(tint=130, speech=nearer)),
        row("nearest", source, measured(tint=130, speech=nearest)),
        row("dubbed", source, measured(tint=130, speech=wave(7))),
        row("rough", source, measured(tint=130, speech=rough)),
        row("staring", source, measured(tint=130, gaze=wave(8))),
        row("armless", source, measured(tint=130, left_elbow=None, right_elbow=None)),
        row("copy", source, source),
        row("late", source, Measurement(**{**vars(late), "signals": shifted})),
        unread("torn", Reason.BROKEN_MEDIA, "a.mp4: decoding stopped at frame 12 of 80"),
        unread("lost", Reason.MISSING, "b.mp4: no such file"),
    ]


@pytest.fixture(scope="session")
def manifest(rows: list[dict], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows, on disk."""
    path = tmp_path_factory.mktemp("curated") / "manifest.parquet"
    write_rows(path, rows)
    return path


@pytest.fixture
def made(tmp_path: Path) -> Callable[[list[dict]], Path]:
    """Write a manifest of these rows."""

    def write(rows: list[dict]) -> Path:
        write_rows(tmp_path / "manifest.parquet", rows)
        return tmp_path / "manifest.parquet"

    return write
