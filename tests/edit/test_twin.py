"""The edit is the source's twin: frames, rate, duration, rotation, size, and its sound sample for sample."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from synclora.edit.request import EditRequest
from synclora.media.decode import Decoder
from tests.media.odd import ODD, Odd, heard, make

pytestmark = pytest.mark.timeout(120)


def check_twin(source: Path, out: Path) -> None:
    with Decoder() as decoder:
        a, b = decoder.probe(source), decoder.probe(out)
    assert (b.frames, b.fps, b.seconds, b.rotation, b.has_audio) == (a.frames, a.fps, a.seconds, a.rotation, a.has_audio)
    assert b.pixel_aspect == a.pixel_aspect
    assert (b.width, b.height) == (a.width // 2 * 2, a.height // 2 * 2)
    ours, theirs = heard(out), heard(source)
    if theirs is None:
        assert ours is None
        return
    assert ours.samples_cn.shape == theirs.samples_cn.shape
    assert np.abs(ours.samples_cn - theirs.samples_cn).max() <= 2.0**-24
    assert abs(ours.start - theirs.start) <= Fraction(1, 1000)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_of_an_odd_container(tmp_path, blind, first_of, odd: Odd):
    source, out = make(odd, tmp_path), tmp_path / "out.mp4"
    result = blind.edit(EditRequest(source=source, first_frame=first_of(source)), out)
    check_twin(source, out)
    assert result.has_audio == bool(odd.sound)
    assert result.random_base
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([odd.name, "first.png", "out.mp4"])


CLIPS = [f"c{number:02}" for number in range(1, 15)]


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
def test_of_a_real_clip(tmp_path, blind, portraits, first_of, name):
    source = next((portraits / "clips").glob(f"{name}_*.mp4"))
    known = next(c for c in json.loads((portraits / "MANIFEST.json").read_text())["clips"] if c["file"] == f"clips/{source.name}")
    out = tmp_path / "out.mp4"
    result = blind.edit(EditRequest(source=source, first_frame=first_of(source)), out)
    check_twin(source, out)
    assert (result.frames, result.width, result.height) == (known["frames"], known["width"], known["height"])
    assert result.fps == known["fps_fraction"]
    assert len(result.seams) >= 2


def test_at_another_size(tmp_path, blind, first_of):
    source, out = make(Odd("a.mp4", size=(192, 128)), tmp_path), tmp_path / "out.mp4"
    result = blind.edit(EditRequest(source=source, first_frame=first_of(source), size="96x64"), out)
    assert (result.width, result.height) == (96, 64)
    with Decoder() as decoder:
        info = decoder.probe(out)
    assert (info.width, info.height, info.frames) == (96, 64, 40)
