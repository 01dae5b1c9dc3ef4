"""A pair's clip to latents: both halves, the same frames, the same part of the picture.

    encoder = Encoder(find_backbone("tiny:ltx-video"), EncodeSettings(buckets=("128x128x17",)), LatentStore(out / "latents"))
    row = encoder.encode(sample)

What is in the store already is not made again. One half's frames are held at a time, and of those one window.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from synclora.attempts import Attempts
from synclora.backbone.base import Backbone, Codec, Device
from synclora.errors import MediaError, Reason
from synclora.incontext.positions import Grid
from synclora.media.decode import Decoder
from synclora.media.probe import VideoInfo
from synclora.media.settings import MediaLimits
from synclora.motion.verdict import FPS_TOLERANCE
from synclora.train.clips import Bucket, EncodeSettings, read_clip
from synclora.train.curated import Sample, TrainSetError
from synclora.train.finder import Clip, Finder, dropped
from synclora.train.index import Effort, Encoded
from synclora.train.latents import Facts, LatentStore


class Encoder:
    """Encodes clips one by one; holds a decoder and an autoencoder. Nothing that a pair does to it goes beyond its own row.

    Args:
        backbone: whose autoencoder.
        settings: what latents are made of.
        store: where they go.
        device: on CUDA the autoencoder computes in bfloat16.
        limits: what a video may be.
        attempts: counts clips that end the process; None counts none.

    Raises:
        TrainSetError: a bucket does not fit the autoencoder.
    """

    def __init__(
        self,
        backbone: Backbone,
        settings: EncodeSettings,
        store: LatentStore,
        *,
        device: Device = "cpu",
        limits: MediaLimits | None = None,
        attempts: Attempts | None = None,
    ) -> None:
        self._finder = Finder(backbone, settings, store, device=device, limits=limits)
        self._device, self._attempts = device, attempts
        self._codec = backbone.codec(self._finder.computed, device)
        for bucket in settings.shapes:
            _check_fit(bucket, self._codec, backbone)
        self._decoder = Decoder(limits)

    def encode(self, sample: Sample, window: int = 0) -> Encoded:
        """One clip of a pair to the store, unless it is there.

        Args:
            sample: the pair.
            window: which of its clips, from 0, below `clips_of`.

        Raises:
            OSError: the store cannot be written (a full disk): the run must stop.
        """
        try:
            clip = self._finder.clip(sample, window)
            facts = self._finder.store.get(clip.id)
            if facts:
                return clip.row(facts)
            with _counted(self._attempts, f"{sample.pair_id}-{window}"):
                return clip.row(*self._made(clip))
        except MediaError as error:
            return dropped(sample, window, error)
        except OSError:
            raise
        except Exception as error:  # a surprise is the pair's failure too
            surprise = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return dropped(sample, window, MediaError(Reason.CRASHED, surprise))

    def close(self) -> None:
        """End the decoder."""
        self._decoder.close()

    def _made(self, clip: Clip) -> tuple[Facts, Effort]:
        """Encode both halves and keep them."""
        begun = time.time()
        source_cfyx, source, source_s = self._half("source", clip.sample.source, clip)
        edited_cfyx, edited, edited_s = self._half("edited", clip.sample.edited, clip)
        fps, bucket = _common_rate(source, edited), clip.bucket
        grid = Grid.of_video(bucket.frames, bucket.height, bucket.width, float(fps), self._codec.stride_t, self._codec.stride_s)
        facts = Facts(grid, fps, clip.made_of)
        self._finder.store.put(clip.id, source_cfyx, edited_cfyx, facts)
        worker = f"{os.uname().nodename} {os.getpid()}"
        return facts, Effort(worker, 2 * bucket.frames, begun, time.time(), source_s + edited_s)

    def _half(self, half: str, path: Path, clip: Clip) -> tuple[Tensor, VideoInfo, float]:
        """Latents (c, f, y, x) on the CPU, the video's facts, and the seconds within the autoencoder."""
        try:
            frames = self._decoder.frames(path, analysis=False)
            _check_same(frames.info, clip)
            pixels_thwc = torch.from_numpy(read_clip(frames, clip.frames, clip.crop, clip.bucket))
        except MediaError as error:
            raise MediaError(error.reason, f"{half} {path.name}: {error.detail}") from error
        begun = time.perf_counter()
        video_bcfyx = pixels_thwc.to(self._device).permute(3, 0, 1, 2)[None].float().div_(127.5).sub_(1)
        latents_cfyx = self._codec.encode(video_bcfyx)[0].to("cpu", self._finder.stored)
        codec_s = time.perf_counter() - begun
        if not latents_cfyx.isfinite().all():
            computed = clip.made_of["computed"]
            raise MediaError(Reason.NOT_FINITE, f"{half} {path.name}: its latents, computed in {computed}, are not all finite")
        return latents_cfyx, frames.info, codec_s


def _check_same(info: VideoInfo, clip: Clip) -> None:
    """The video is the one that the manifest tells of: the crop is made for its size, the window for its length."""
    sample = clip.sample
    if (info.width, info.height) != (sample.width, sample.height):
        raise MediaError(
            Reason.PICTURE_SIZE, f"{info.width}x{info.height}, the manifest says {sample.width}x{sample.height}; curate again"
        )
    if info.frames < clip.frames.stop:
        raise MediaError(Reason.LENGTH_MISMATCH, f"{info.frames} frames, the manifest says {sample.frames}; curate again")


def _common_rate(source: VideoInfo, edited: VideoInfo) -> Fraction:
    if abs(source.fps - edited.fps) > FPS_TOLERANCE * source.fps:
        raise MediaError(
            Reason.FPS_MISMATCH, f"source has {float(source.fps):.3f} frames per second, edited half {float(edited.fps):.3f}"
        )
    return source.fps


def _check_fit(bucket: Bucket, codec: Codec, backbone: Backbone) -> None:
    if not bucket.fits(codec.stride_s, codec.stride_t):
        raise TrainSetError(
            f"bucket {bucket}: for {backbone.name} sides must be multiples of {codec.stride_s} and frames {codec.stride_t}k + 1"
        )


@contextmanager
def _counted(attempts: Attempts | None, clip: str) -> Iterator[None]:
    if attempts is None:
        yield
        return
    try:
        attempts.begin(clip)
    except OSError:  # a full disk: the count is half-written
        attempts.end(clip)
        raise
    try:
        yield
    finally:
        attempts.end(clip)
