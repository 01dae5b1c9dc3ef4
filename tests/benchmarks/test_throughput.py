"""Frames per second of the whole job over the ceiling, measured side by side: ceiling, job, ceiling again, on the same videos."""

import csv
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synclora.media.decode import Decoder
from synclora.media.encode import write_video
from tests.benchmarks.twins import EDITS

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[2]
CORES = sorted(os.sched_getaffinity(0))


def ceiling(folder: Path, videos: list[Path], plan: str) -> float:
    """Frames per second of all cores together, on every second video: the frames of all would not fit in memory."""
    start = folder / f"start-{plan}-{time.monotonic_ns()}"
    chosen = videos[::2]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.ceiling", str(core), str(start), plan, *map(str, chosen[i :: len(CORES)])],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for i, core in enumerate(CORES)
    ]
    while not all(Path(f"{start}.{core}").exists() for core in CORES):
        time.sleep(0.05)
    start.touch()
    return sum(int(n) / float(s) for n, s in (p.communicate()[0].split() for p in processes))


def test_job_over_ceiling(portraits, tmp_path, figure):
    videos = sorted((portraits / "clips").glob("*.mp4"))
    pairs = []
    with Decoder() as decoder, Decoder() as sound:
        for clip in videos:
            for edit in ("recolour", "overlay"):
                frames = decoder.frames(clip)
                twin = tmp_path / f"{clip.stem}-{edit}.mp4"
                write_video(twin, EDITS[edit](list(frames)), frames.info.fps, decoder=sound)
                pairs.append((clip, twin))
    for source in sorted((portraits / "pairs").glob("*/source.mp4")):
        pairs += [(source, edited) for edited in sorted(set(source.parent.glob("*.mp4")) - {source})]
    table = tmp_path / "pairs.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["reference_video", "video", "caption"])
        writer.writerows([source, edited, "3d1t"] for source, edited in pairs)
    everything = sorted({video for pair in pairs for video in pair})

    before = ceiling(tmp_path, everything, "ours")
    job = subprocess.run(
        [sys.executable, "jobs/curate.py", "--input", str(table), "--out", str(tmp_path / "out")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    after = ceiling(tmp_path, everything, "ours")
    plain = ceiling(tmp_path, everything, "plain")
    frames, rate = map(int, re.search(r"(\d+) frames, (\d+) per second", job.stdout).groups())
    own = re.search(r"ceiling +(.*)", job.stdout)
    best = (before + after) / 2
    figure(f"job: {frames} frames at {rate}/s; it says of itself: {own.group(1).strip() if own else '-'}")
    figure(f"ceiling of our plan: {before:.1f} before, {after:.1f} after; job over ceiling {rate / best:.2f}")
    figure(f"ceiling of the plain plan (face mesh and pose on every frame): {plain:.1f}; job over it {rate / plain:.2f}")
    assert frames >= 3000
    assert rate / plain >= 0.90
