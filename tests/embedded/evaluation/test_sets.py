"""What is measured was never trained on: other performances, other people."""

import json
from dataclasses import replace

import numpy as np
import pytest

from synclora.embedded.clips.origin import puppets_of
from synclora.embedded.clips.settings import ClipSettings
from synclora.embedded.edits.still import drawn_on
from synclora.embedded.evaluation.sets import FIRST_SEED, Clip, check_side, make_clips
from synclora.errors import MediaError, SyncLoraError
from synclora.media.decode import Decoder
from synclora.media.images import read_picture
from synclora.pairs.puppet.defects import ALTERNATIVES, ALTERNATIVES_APART
from synclora.pairs.puppet.settings import PuppetSettings
from synclora.pairs.puppet.source import PuppetPairs


def test_no_training_seed_reaches_the_measured_ones(tmp_path):
    """The largest that any draw of training can be, and what a spoilt half performs instead."""
    largest = 2**31 - 1 + ALTERNATIVES_APART * ALTERNATIVES
    assert min(FIRST_SEED.values()) > largest
    pairs = PuppetPairs(PuppetSettings(pairs=40, seconds=1.0, bad_share=0)).rows()
    faces = [{"file": f"faces/{number}.jpg", "identity": "anna"} for number in range(20)]
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"clips": [], "pairs": [], "faces": faces}))
    cached = puppets_of(tmp_path, ClipSettings(), tmp_path / "faces")
    seeds = [json.loads(pair.truth)["seed"] for pair in pairs] + [source.origin.seed for source in cached]
    assert max(seeds) < 2**31
    assert FIRST_SEED["unseen"] - FIRST_SEED["seen"] > 10_000


def test_a_person_of_another_side_is_refused():
    clip = Clip("unseen", "x", "x", "flux_woman_0035", "", None, None, None)
    check_side(clip)
    check_side(replace(clip, set="seen", identity="nasa_astronaut"))
    for name, identity in (("unseen", "nasa_astronaut"), ("seen", "flux_woman_0035"), ("real", "man_selfie_glasses")):
        with pytest.raises(SyncLoraError, match=f"{identity} is of the"):
            check_side(replace(clip, set=name, identity=identity))


def test_real_clips_are_held_out_ones_with_an_edited_first_frame(small_portraits, tmp_path):
    clips = list(make_clips(small_portraits, tmp_path, 2, ["real"]))
    assert {clip.identity for clip in clips} == {"man_green_screen"}
    assert len({clip.name for clip in clips}) == 2
    assert {clip.unit for clip in clips} == {"man_green_screen"}  # two edits of one performance
    with Decoder() as decoder:
        frames = decoder.frames(clips[0].source, analysis=False)
        first, info = next(frames), frames.info
    assert info.frames == 73  # of 78, 8k + 1
    for clip in clips:
        edited = read_picture(clip.first)
        assert edited.shape == first.shape
        assert 0.01 < float(np.sqrt(((edited / 255.0 - first / 255.0) ** 2).mean())) < 0.5
    before = [clip.first.stat().st_mtime_ns for clip in clips]
    again = list(make_clips(small_portraits, tmp_path, 2, ["real"]))
    assert again == clips
    assert [clip.first.stat().st_mtime_ns for clip in again] == before


def test_an_edit_changes_head_and_shoulders_alone(portraits):
    with Decoder() as decoder:
        picture = next(decoder.frames(portraits / "clips" / "c01_woman_coat.mp4", analysis=False))
    edited, words = drawn_on(picture, "background", 3)
    changed = np.abs(edited.astype(int) - picture).max(-1) > 0
    assert words.startswith("place the person in front of")
    assert changed[:270, 120:380].mean() > 0.25
    assert not changed[400:].any()  # her hands
    with pytest.raises(MediaError, match="no face found"):
        drawn_on(np.full((128, 128, 3), 90, np.uint8), "hair", 0)
