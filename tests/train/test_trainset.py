"""What is trained on and what is held out, and what a batch is made of."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from safetensors.torch import load_file

from synclora.backbone.find import find_backbone
from synclora.errors import Reason
from synclora.incontext.positions import Grid
from synclora.train.captions import CaptionStore
from synclora.train.curated import TrainSetError
from synclora.train.index import Encoded
from synclora.train.latents import LatentStore
from synclora.train.trainset import TrainSet, split
from tests.train.conftest import BACKBONE, one_line

GRID = Grid.of_video(17, 64, 64, 25.0)


def row(pair_id, window=0):
    return Encoded(
        pair_id, f"pair {pair_id}", window, "found", f"{pair_id}-{window}", None, "", "64x64x17", 0, Fraction(25), GRID
    )


def lost(pair_id, reason=Reason.MISSING):
    return Encoded(pair_id, f"pair {pair_id}", 0, "dropped", reason=reason, detail="source x.mp4: no such file")


def pairs_of(rows):
    return {row.pair_id for row in rows}


PAIRS = [f"{k:016x}" for k in range(40)]


@pytest.mark.parametrize("count", [0, 1, 3, 39])
def test_held_out_pairs_are_never_trained_on(count):
    rows = [row(pair, window) for pair in PAIRS for window in range(3)]
    trained, held_out = split(rows, count)
    assert len(pairs_of(held_out)) == len(held_out) == count
    assert pairs_of(trained) | pairs_of(held_out) == set(PAIRS)
    assert not pairs_of(trained) & pairs_of(held_out)
    assert {row.window for row in held_out} <= {0}  # one look at a pair is enough
    assert trained == [row for row in rows if row.pair_id not in pairs_of(held_out)]  # all its clips, in order


def test_which_depends_on_the_pairs_alone():
    rows = [row(pair, window) for pair in PAIRS for window in range(2)]
    expected = pairs_of(split(rows, 3)[1])
    for seed in range(5):
        random.Random(seed).shuffle(rows)
        assert pairs_of(split([replace(row, id="other", name="other") for row in rows], 3)[1]) == expected
    assert pairs_of(split(rows, 2)[1]) < expected < pairs_of(split(rows, 4)[1])
    assert expected != set(PAIRS[:3])  # not the first of the list, which may all be of one source


def test_a_larger_set_holds_out_the_same_or_new_ones_in_their_place():
    for size in range(4, 40):
        before, after = (pairs_of(split([row(pair) for pair in PAIRS[:n]], 3)[1]) for n in (size, size + 1))
        assert after - before <= {PAIRS[size]}


def test_dropped_clips_are_neither():
    trained, held_out = split([row("a"), lost("b"), row("c"), lost("d")], 1)
    assert pairs_of(trained) | pairs_of(held_out) == {"a", "c"}


def test_one_pair_and_one_to_hold_out():
    with pytest.raises(
        TrainSetError, match=r"^1 usable pair and validation\.pairs = 1: nothing is left to train on; curate more"
    ) as error:
        split([row("a", 0), row("a", 1), lost("b")], 1)
    one_line(error.value)
    with pytest.raises(TrainSetError, match=r"^2 usable pairs and validation\.pairs = 5: "):
        split([row("a"), row("b")], 5)


def test_one_pair_and_none_to_hold_out():
    assert split([row("a", 0), row("a", 1)], 0) == ([row("a", 0), row("a", 1)], [])


def test_nothing_is_usable():
    with pytest.raises(TrainSetError) as error:
        split([lost("a"), lost("b")], 0)
    assert one_line(error.value) == "none of 2 clips can be trained on (first pair a: missing, source x.mp4: no such file)"
    with pytest.raises(TrainSetError, match=r"none of 0 clips can be trained on \(first the set is empty\)"):
        split([], 0)


def clips_of(prepared, texts, dtype=torch.float32, latents=None):
    captions = CaptionStore(prepared.out / "captions", BACKBONE)
    return TrainSet(prepared.rows, latents or LatentStore(prepared.out / "latents"), captions, texts, "cpu", dtype)


OWN = {name: f"edit {name}" for name in "abcd"}


def test_a_batch_is_what_lies_on_the_disk(prepared):
    clips = clips_of(prepared, OWN)
    batch = clips.batch([1, 0, 1])
    assert batch.grid == prepared.rows[0].grid == Grid.of_video(17, 64, 64, 25.0)
    assert batch.source_bnc.shape == batch.edited_bnc.shape == (3, 12, 16)
    for place, number in enumerate((1, 0, 1)):
        one = prepared.rows[number].id
        stored = load_file(prepared.out / "latents" / one[:2] / f"{one}.safetensors")
        for half, found in (("source", batch.source_bnc), ("edited", batch.edited_bnc)):
            for f in range(3):
                for y in range(2):
                    for x in range(2):
                        assert torch.equal(found[place, (f * 2 + y) * 2 + x], stored[half][:, f, y, x])
    assert not torch.equal(batch.source_bnc[0], batch.source_bnc[1])
    assert not torch.equal(batch.source_bnc[0], batch.edited_bnc[0])


def test_each_clip_has_its_pairs_caption(prepared):
    backbone = find_backbone(BACKBONE)
    batch = clips_of(prepared, OWN).batch([1, 0])
    for place, text in enumerate(("edit b", "edit a")):
        assert torch.equal(batch.caption.embeds_bld[place], backbone.caption(text).embeds_bld[0])
        assert torch.equal(batch.caption.mask_bl[place], backbone.caption(text).mask_bl[0])
    assert torch.equal(batch.empty.embeds_bld, backbone.caption("").embeds_bld)


def test_clips_of_another_rate_are_of_another_shape(prepared):
    shapes = clips_of(prepared, OWN).shapes
    assert [shapes.index(shape) for shape in shapes] == [0, 0, 2, 2]


def test_a_batch_is_in_the_transformers_precision(prepared):
    batch = clips_of(prepared, OWN, torch.bfloat16).batch([0])
    tensors = (batch.source_bnc, batch.edited_bnc, batch.caption.embeds_bld, batch.empty.embeds_bld)
    assert {tensor.dtype for tensor in tensors} == {torch.bfloat16}


def test_latents_that_are_gone_or_damaged(prepared, new_job):
    store = LatentStore(new_job().out / "latents")
    clips = clips_of(prepared, OWN, latents=store)
    path = store.path(prepared.rows[2].id)
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(TrainSetError, match="encode the set again") as error:
        clips.batch([2])
    assert str(path) in one_line(error.value)
    path.unlink()
    with pytest.raises(TrainSetError, match="no such file; encode the set again"):
        clips.batch([3, 2])
    clips.batch([3])
