"""Pairs to latents: both halves of the same frames and cut, the same bytes every time, and a failure is its pair's alone."""

import shutil
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from synclora.attempts import Attempts
from synclora.backbone.find import find_backbone
from synclora.errors import Reason
from synclora.incontext.positions import Grid
from synclora.media.decode import Decoder
from synclora.train.clips import EncodeSettings, clips_of
from synclora.train.curated import TrainSetError, read_set
from synclora.train.encoder import Encoder
from synclora.train.latents import LatentStore
from tests.train.sets import add_pair, finish, real_pair

SETTINGS = EncodeSettings(buckets=("128x128x17",))


@pytest.fixture(scope="module")
def backbone():
    return find_backbone("tiny:ltx-video")


@pytest.fixture(scope="module")
def codec(backbone):
    return backbone.codec(torch.float32, "cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A set that is read only."""
    folder = tmp_path_factory.mktemp("set")
    far_right = np.array([[1.2, 0.4], [1.4, 0.6]], np.float32)  # of a picture 1.5 heights wide
    rows = [
        add_pair(folder, "a", size=(192, 128), face=far_right, marker=(150, 60), fps=Fraction(30000, 1001)),
        add_pair(folder, "b", frames=60),
        add_pair(folder, "c", frames=16),
    ]
    return {sample.pair_id: sample for sample in read_set(finish(folder, rows))}


@pytest.fixture
def copied(made, tmp_path):
    """The same, to be spoilt."""
    shutil.copytree(made["a"].source.parents[2], tmp_path / "set")
    return {sample.pair_id: sample for sample in read_set(tmp_path / "set")}


@pytest.fixture
def store(tmp_path):
    return LatentStore(tmp_path / "out" / "latents")


def files(store):
    return {path.relative_to(store.folder): path.read_bytes() for path in store.folder.rglob("*") if path.is_file()}


def latents_of(codec, path, window, columns, rows=slice(None)):
    """What is expected, from the frames themselves: cut by plain slicing, no scaling."""
    with Decoder() as decoder:
        frames = list(decoder.frames(path, analysis=False))
    video_tyxc = np.stack([frames[k][rows, columns] for k in window]).astype(np.float32) / 127.5 - 1
    return codec.encode(torch.from_numpy(video_tyxc).permute(3, 0, 1, 2)[None])[0]


def test_both_halves_are_of_the_same_frames_and_cut(backbone, codec, made, store):
    row = Encoder(backbone, SETTINGS, store).encode(made["a"])
    assert (row.outcome, row.reason, row.bucket, row.first_frame) == ("encoded", None, "128x128x17", 0)
    assert row.fps == Fraction(30000, 1001)
    assert row.grid == Grid(3, 4, 4, 30000 / 1001)
    assert (row.effort.frames, row.effort.ended > row.effort.begun > 0) == (34, True)
    latents = store.load(row.id)
    assert latents.source_cfyx.shape == latents.edited_cfyx.shape == (16, 3, 4, 4)
    assert latents.facts.grid == row.grid
    for half, found in (("source", latents.source_cfyx), ("edited", latents.edited_cfyx)):
        expected = latents_of(codec, getattr(made["a"], half), range(17), slice(64, 192))  # the face is far right
        assert torch.allclose(found, expected, atol=1e-5), half
    assert not torch.allclose(latents.source_cfyx, latents.edited_cfyx, atol=1e-2)


def test_both_halves_are_cut_to_the_same_part_around_the_face(backbone, codec, made, store):
    """A face of 26 pixels in the middle of the right edge, in 64."""
    settings = EncodeSettings(buckets=("64x64x17",), face_share=0.41)
    row = Encoder(backbone, settings, store).encode(made["a"])
    latents = store.load(row.id)
    assert latents.facts.made_of["face_share"] == "0.41"
    for half, found in (("source", latents.source_cfyx), ("edited", latents.edited_cfyx)):
        expected = latents_of(codec, getattr(made["a"], half), range(17), slice(128, 192), slice(32, 96))
        assert torch.allclose(found, expected, atol=1e-5), half


def test_windows_of_a_long_pair(backbone, codec, made, store):
    settings = SETTINGS.model_copy(update={"windows_per_pair": 5})
    encoder = Encoder(backbone, settings, store)
    rows = [encoder.encode(made["b"], window) for window in range(clips_of(made["b"], settings))]
    assert [(row.window, row.first_frame, row.outcome) for row in rows] == [(k, 17 * k, "encoded") for k in range(3)]
    assert len({row.id for row in rows}) == 3
    expected = latents_of(codec, made["b"].edited, range(34, 51), slice(0, 128))
    assert torch.allclose(store.load(rows[2].id).edited_cfyx, expected, atol=1e-5)
    assert Encoder(backbone, SETTINGS, store).encode(made["b"]).id == rows[0].id  # a later change of mind costs nothing


def test_a_second_run_finds_everything_and_a_new_pair_alone_is_encoded(backbone, made, store):
    first = Encoder(backbone, SETTINGS, store)
    first.encode(made["a"])
    before = files(store)
    rows = [Encoder(backbone, SETTINGS, store).encode(made[name]) for name in ("a", "b")]
    assert [row.outcome for row in rows] == ["found", "encoded"]
    assert rows[0].effort is None
    assert before.items() <= files(store).items()
    assert len(files(store)) == 2


def test_the_same_bytes_again(backbone, made, tmp_path):
    stores = [LatentStore(tmp_path / name) for name in ("one", "two")]
    for store, order in zip(stores, ("ab", "ba"), strict=True):
        encoder = Encoder(backbone, SETTINGS, store)
        for name in order:
            encoder.encode(made[name])
    assert files(stores[0]) == files(stores[1])


def test_latents_that_were_cut_off_are_made_again(backbone, made, store):
    encoder = Encoder(backbone, SETTINGS, store)
    row = encoder.encode(made["a"])
    whole = store.path(row.id).read_bytes()
    store.path(row.id).write_bytes(whole[: len(whole) // 2])
    again = encoder.encode(made["a"])
    assert again == row
    assert again.outcome == "encoded"
    assert store.path(row.id).read_bytes() == whole


def test_precision_is_a_setting(backbone, made, store):
    kept = {}
    for dtype in ("float32", "bfloat16"):
        row = Encoder(backbone, SETTINGS.model_copy(update={"dtype": dtype}), store).encode(made["a"])
        kept[dtype] = store.load(row.id).source_cfyx
        assert str(kept[dtype].dtype) == f"torch.{dtype}"
    assert torch.equal(kept["float32"].bfloat16(), kept["bfloat16"])


def spoil(sample, how):
    half = sample.edited
    if how == "missing":
        half.unlink()
    elif how == "empty":
        half.write_bytes(b"")
    elif how == "cut off":
        half.write_bytes(half.read_bytes()[:1500])
    elif how == "no video":
        half.write_text("a playlist")
    else:
        folder = half.parents[2] / "other"
        given = {"smaller": {"size": (96, 64)}, "shorter": {"frames": 12, "size": (192, 128)}, "slower": {"size": (192, 128)}}
        add_pair(folder, "a", fps=25 if how == "slower" else Fraction(30000, 1001), **given[how])
        shutil.copy(folder / "kept" / "edited" / "a.mp4", half)
    return sample


DROPPED = {
    "missing": (Reason.MISSING, "edited a.mp4: no such file"),
    "empty": (Reason.EMPTY_FILE, "edited a.mp4: 0 bytes"),
    "cut off": (Reason.BROKEN_MEDIA, "edited a.mp4: "),
    "no video": (Reason.UNKNOWN_CONTAINER, "edited a.mp4: "),
    "smaller": (Reason.PICTURE_SIZE, "edited a.mp4: 96x64, the manifest says 192x128"),
    "shorter": (Reason.LENGTH_MISMATCH, "edited a.mp4: 12 frames, the manifest says 25"),
    "slower": (Reason.FPS_MISMATCH, "source has 29.970 frames per second, edited half 25.000"),
}


@pytest.mark.parametrize("how", DROPPED)
def test_a_half_that_fails_drops_the_pair_and_nothing_else(backbone, copied, store, how):
    encoder = Encoder(backbone, SETTINGS, store)
    reason, detail = DROPPED[how]
    row = encoder.encode(spoil(copied["a"], how))
    assert (row.outcome, row.reason, row.id, row.grid) == ("dropped", reason, "", None)
    assert row.detail.startswith(detail)
    assert "\n" not in row.detail
    assert not files(store)
    assert encoder.encode(copied["b"]).outcome == "encoded"


def test_too_short_for_every_bucket(backbone, made, store):
    row = Encoder(backbone, SETTINGS, store).encode(made["c"])
    assert (row.outcome, row.reason) == ("dropped", Reason.TOO_SHORT)
    assert row.detail == "16 frames, the shortest bucket has 17; add the bucket 128x128x9 to train on it"


def test_latents_that_are_not_finite_are_not_kept(backbone, made, store):
    encoder = Encoder(backbone, SETTINGS, store)
    with torch.no_grad():
        next(encoder._codec.vae.encoder.parameters()).fill_(float("inf"))
    row = encoder.encode(made["a"])
    assert (row.outcome, row.reason) == ("dropped", Reason.NOT_FINITE)
    assert row.detail == "source a.mp4: its latents, computed in float32, are not all finite"
    assert not files(store)


def test_a_surprise_is_the_pairs_failure(backbone, made, store):
    encoder = Encoder(backbone, SETTINGS, store)
    row = encoder.encode(replace(made["a"], face=((float("nan"), 0.5), (float("nan"), 0.6))))
    assert (row.outcome, row.reason) == ("dropped", Reason.CRASHED)
    assert row.detail.startswith("ValueError: ")
    assert encoder.encode(made["a"]).outcome == "encoded"


def test_a_clip_that_ends_its_worker_is_not_tried_for_ever(backbone, made, store, tmp_path):
    attempts = Attempts(tmp_path / "attempts", "run", 2)
    for _ in range(2):
        attempts.begin("a-0")
    encoder = Encoder(backbone, SETTINGS, store, attempts=attempts)
    row = encoder.encode(made["a"])
    assert (row.reason, row.detail) == (Reason.CRASHED, "ended its worker 2 times")
    assert encoder.encode(made["b"]).outcome == "encoded"
    assert [path.name for path in (tmp_path / "attempts").iterdir()] == ["a-0"]


def test_a_store_that_cannot_be_written_stops_the_run(backbone, made, tmp_path):
    (tmp_path / "latents").write_text("a file in its place")
    with pytest.raises(OSError, match="Not a directory"):
        Encoder(backbone, SETTINGS, LatentStore(tmp_path / "latents")).encode(made["a"])


def test_a_bucket_is_checked_by_the_autoencoder_that_is_used(backbone, store):
    settings = EncodeSettings(buckets=("128x128x17", "96x128x17"))

    class Coarse(type(backbone)):
        def codec(self, dtype, device):
            codec = super().codec(dtype, device)
            codec.stride_s = 64
            return codec

    with pytest.raises(TrainSetError, match="bucket 96x128x17: for coarse sides must be multiples of 64 and frames 8k \\+ 1"):
        Encoder(Coarse("coarse", backbone.folder), settings, store)


def test_a_real_pair(backbone, portraits, store, tmp_path):
    """The published pair with an odd rate: its fraction arrives whole, and the halves' latents differ by the edit only."""
    rows = [real_pair(tmp_path / "set", portraits, "synth_paired", "edited", (480, 480), 81, 1887 / 128)]
    (sample,) = read_set(finish(tmp_path / "set", rows))
    row = Encoder(backbone, SETTINGS, store).encode(sample)
    assert (row.outcome, row.fps) == ("encoded", Fraction(1887, 128))
    latents = store.load(row.id)
    assert latents.facts.made_of["fps"] == "1887/128"
    both = torch.stack([latents.source_cfyx.flatten(), latents.edited_cfyx.flatten()])
    assert 0.3 < torch.corrcoef(both)[0, 1] < 0.999
