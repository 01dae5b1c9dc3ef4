from itertools import pairwise

import numpy as np
import pytest
import torch

from synclora.backbone.find import find_backbone
from synclora.edit.windows import Stitcher, plan_windows
from synclora.media.decode import Decoder


@pytest.mark.parametrize("frames", [1, 9, 17, 80, 81, 82, 145, 146, 200, 1000])
def test_windows_cover_every_frame_once_beyond_the_overlap(frames):
    windows = plan_windows(frames, 81, 17, 8)
    assert windows[0].start == 0
    assert windows[-1].stop == frames
    for window in windows:
        assert (window.frames - 1) % 8 == 0
        assert window.frames >= max(9, window.real)
        assert window.frames - window.real < 8 or frames == 1
        assert window.frames <= 81
    for before, after in pairwise(windows):
        assert (after.overlap, before.stop - after.start, before.real) == (17, 17, 81)
        assert after.real > 17
    assert len(windows) == (1 if frames <= 81 else 1 + -(-(frames - 81) // 64))


@pytest.mark.parametrize(("window", "overlap"), [(80, 17), (81, 16), (17, 17), (17, 25)])
def test_other_windows_are_refused(window, overlap):
    with pytest.raises(ValueError, match="8k"):
        plan_windows(100, window, overlap, 8)


def moving(count):
    ground = np.tile(np.linspace(0, 200, 96).astype(np.uint8)[None, :, None], (64, 1, 3))
    return [np.roll(ground, 2 * k, axis=1) for k in range(count)]


def test_the_same_pictures_go_through_unchanged():
    pictures, seen = moving(60), []

    def make(window, source, overlap):
        seen.append((window.index, len(source), len(overlap)))
        return list(source)

    stitcher = Stitcher(plan_windows(60, 25, 9, 8))
    out = list(stitcher.frames(iter(pictures), make))
    assert len(out) == 60
    assert all(np.array_equal(a, b) for a, b in zip(out, pictures, strict=True))
    assert seen == [(0, 25, 0), (1, 25, 9), (2, 25, 9), (3, 17, 9)]
    assert [(seam.frame, seam.picture) for seam in stitcher.seams()] == [(25, 1.0), (41, 1.0), (57, 1.0)]


def test_what_was_made_of_the_overlap_is_given_on():
    made = []

    def make(window, source, overlap):
        if overlap:
            assert all(np.array_equal(a, b) for a, b in zip(overlap, made[-1][-9:], strict=True))
        made.append([np.full_like(picture, 40 * window.index) for picture in source])
        return made[-1]

    list(Stitcher(plan_windows(41, 25, 9, 8)).frames(moving(41), make))
    assert len(made) == 2


def test_a_jump_between_windows_is_faded_and_an_abrupt_one_is_seen():
    def brighter(window, source, overlap):
        return [np.clip(picture.astype(np.int16) + 20 * window.index, 0, 255).astype(np.uint8) for picture in source]

    def abrupt(window, source, overlap):
        new = brighter(window, source, overlap)
        return [*overlap, *new[len(overlap) :]]

    seams = []
    for make in (brighter, abrupt):
        stitcher = Stitcher(plan_windows(41, 25, 9, 8))
        list(stitcher.frames(moving(41), make))
        seams.append(stitcher.seams()[0].picture)
    assert seams[0] < 1.6
    assert seams[1] > 2


def test_a_long_clip_is_a_stream():
    """At no time are more pictures held than one window and what was made of it."""
    alive, most = [0], [0]

    class Counted(np.ndarray):
        def __del__(self):
            alive[0] -= 1

    def pictures():
        for k in range(400):
            alive[0] += 1
            most[0] = max(most[0], alive[0])
            picture = np.zeros((8, 8, 3), np.uint8).view(Counted)
            picture[:] = k % 200
            yield picture

    plain = lambda window, source, overlap: [np.array(picture) for picture in source]  # noqa: E731
    assert sum(1 for _ in Stitcher(plan_windows(400, 25, 9, 8)).frames(pictures(), plain)) == 400
    assert most[0] < 60


@pytest.mark.parametrize("kind", ["ltx-video", "ltx-2"])
def test_the_overlaps_latents_do_not_depend_on_what_follows(kind, one_thread):
    """Why the overlap is encoded anew: exact for an autoencoder that is causal in time."""
    codec = find_backbone(f"tiny:{kind}").codec(torch.float32, "cpu")
    video = torch.rand(1, 3, 25, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole, overlap = codec.encode(video), codec.encode(video[:, :, :9])
    assert overlap.shape[2] == 2
    assert torch.allclose(whole[:, :, :2], overlap, atol=1e-4)


def test_a_real_clip_of_more_than_two_windows_shows_no_seam(portraits):
    """Each window with a look of its own, a slightly other brightness, which a model's windows have too."""
    look = {0: 0, 1: 5, 2: -4}

    def faded(window, source, overlap):
        return [np.clip(picture.astype(np.int16) + look[window.index], 0, 255).astype(np.uint8) for picture in source]

    def abrupt(window, source, overlap):
        return [*overlap, *faded(window, source, overlap)[len(overlap) :]]

    seams = {}
    with Decoder() as decoder:
        for make in (faded, abrupt):
            frames = decoder.frames(portraits / "clips" / "c06_man_green_screen.mp4")
            stitcher = Stitcher(plan_windows(frames.info.frames, 41, 17, 8))
            list(stitcher.frames(frames, make))
            seams[make] = [seam.picture for seam in stitcher.seams()]
    assert len(seams[faded]) == 2
    assert max(seams[faded]) < 1.5 < 2 < min(seams[abrupt]), seams
