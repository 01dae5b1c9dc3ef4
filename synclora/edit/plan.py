"""A request made definite: sizes, windows, fitted pictures, prompt and sampler, all checked before the model does anything."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from synclora.backbone.folder import Trained
from synclora.edit.fit import fit_part, largest_face
from synclora.edit.geometry import SAME_SHAPE, Size, output_size, resized, working_size
from synclora.edit.library import AdapterInfo
from synclora.edit.request import MAX_SEED, NO_ADAPTER, EditRequest
from synclora.edit.result import Fit
from synclora.edit.settings import EditSettings
from synclora.edit.windows import Window, plan_windows
from synclora.errors import MediaError, Reason
from synclora.incontext.sampler import Guidance, SamplerSettings
from synclora.media.decode import Decoder, Picture
from synclora.media.images import read_picture
from synclora.media.probe import VideoInfo
from synclora.media.settings import MediaLimits
from synclora.train.clips import Crop, face_crop

_WINDOW_SEEDS = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: far apart for every seed and window


@dataclass(frozen=True)
class Plan:
    """One edit, ready to be made.

    Attributes:
        source: the video.
        info: its facts.
        work: size that the model works at.
        size: of the video that comes back.
        crop: the part of the source that is edited; None: all of it.
        windows: of the clip.
        prompt: the caption.
        adapter: its name.
        sampler: without the seed.
        pictures: the fitted first frame and further ones by their number in the source, at the working size.
        fit: what was done to the first frame.
        settings: the editor's.
    """

    source: Path
    info: VideoInfo
    work: Size
    size: Size
    crop: Crop | None
    windows: tuple[Window, ...]
    prompt: str
    adapter: str
    sampler: SamplerSettings
    pictures: dict[int, Picture]
    fit: Fit
    settings: EditSettings

    @property
    def steps(self) -> int:
        """Sampling steps of one window."""
        return len(self.sampler.levels(1)) - 1

    def seen(self, picture: Picture) -> Picture:
        """What of a source's picture is edited."""
        return picture if self.crop is None else self.crop.of(picture)

    def seeded(self, seed: int, window: int) -> SamplerSettings:
        """The sampler for one window: each draws its own noise."""
        return self.sampler.model_copy(update={"seed": (seed + window * _WINDOW_SEEDS) % (MAX_SEED + 1)})


@dataclass(frozen=True)
class Strides:
    """Of the autoencoder: pixels and frames to a latent cell."""

    space: int
    time: int


def make_plan(
    request: EditRequest,
    adapter: AdapterInfo | None,
    settings: EditSettings,
    strides: Strides,
    decoder: Decoder,
    trained: Trained | None = None,
) -> Plan:
    """Read source and pictures, and decide.

    Args:
        request: what is asked.
        adapter: None for the bare model. It works on no larger a picture and no longer a clip than it was trained on.
        settings: what the request does not say.
        strides: of the backbone.
        decoder: reads the source.
        trained: what the backbone has seen, if it is a small one: it bounds all edits, also the bare model's.

    Raises:
        MediaError: something of it cannot be used.
    """
    pictures = {0: request.first_frame, **{key.frame: key.picture for key in request.key_frames}}
    if len(pictures) <= len(request.key_frames):
        raise MediaError(Reason.BAD_REQUEST, "two key frames are for the same frame of the source; give one of each")
    with _of_the_source():
        frames = decoder.frames(request.source, analysis=False)
    info = frames.info
    if max(pictures) >= info.frames:
        raise MediaError(Reason.BAD_REQUEST, f"key frame {max(pictures)}: the source has {info.frames} frames, numbered from 0")
    with _of_the_source():
        first = next(frames)
    crop = _crop(first, adapter, trained, settings, decoder.limits)
    shown = Size(info.width, info.height) if crop is None else Size(crop.width, crop.height)
    size = _output(shown, request.size, decoder.limits)
    max_pixels, window_frames, overlap = _bounds(adapter, trained, settings, strides.time)
    work = working_size(*shown, max_pixels=max_pixels, stride=strides.space, enlarge=crop is not None)
    fitted = dict(_fitted(chain([first], frames), pictures, crop, work, settings))
    prompt = request.prompt if request.prompt is not None else (adapter.caption if adapter else None)
    return Plan(
        source=request.source,
        info=info,
        work=work,
        size=size,
        crop=crop,
        windows=tuple(plan_windows(info.frames, window_frames, overlap, strides.time)),
        prompt=prompt or "",
        adapter=adapter.name if adapter else NO_ADAPTER,
        sampler=_sampler(request, settings),
        pictures={frame: picture for frame, (picture, _fit) in fitted.items()},
        fit=fitted[0][1],
        settings=settings,
    )


def _bounds(adapter: AdapterInfo | None, trained: Trained | None, settings: EditSettings, stride_t: int) -> tuple[int, int, int]:
    """Pixels, frames and overlap of a window: the settings', and no more than adapter and backbone were trained on."""
    pixels, frames = settings.max_pixels, settings.window_frames
    for seen in (adapter, trained):
        if seen is not None and seen.width and seen.height and seen.frames:
            longest = (seen.frames - 1) // stride_t * stride_t + 1
            pixels, frames = min(pixels, seen.width * seen.height), max(stride_t + 1, min(frames, longest))
    overlaps = [settings.overlap_frames, (frames - 1) // 2 // stride_t * stride_t + 1]
    if adapter is not None and adapter.given_frames:
        overlaps.append((adapter.given_frames - 1) * stride_t + 1)
    return pixels, frames, min(overlaps)


def _crop(
    first: Picture, adapter: AdapterInfo | None, trained: Trained | None, settings: EditSettings, limits: MediaLimits
) -> Crop | None:
    """The part around the first frame's face that the adapter knows, else the backbone, in the shape of its clips."""
    known = next((one for one in (adapter, trained) if one is not None and one.face_share), None)
    if known is None or not known.face_share or settings.crop == "none":
        return None
    face = largest_face(first)
    if face is None:
        detail = f"source: its first frame shows no face, and the model knows a face in {known.face_share:.0%} of the width alone"
        raise MediaError(Reason.NO_FACE, f"{detail}; begin the video where the face is seen, or choose crop: none")
    shape = (known.width, known.height) if known.width and known.height else (1, 1)
    crop = face_crop([(float(x), float(y)) for x, y in face], (first.shape[1], first.shape[0]), known.face_share, shape)
    if min(crop.width, crop.height) < limits.min_side:  # as a video by itself it would be refused
        detail = f"source: the part around its face is {crop.width}x{crop.height}, min_side is {limits.min_side}; film it nearer"
        raise MediaError(Reason.PICTURE_SIZE, detail)
    return crop


def _fitted(
    frames: Iterator[Picture], pictures: Mapping[int, Path], crop: Crop | None, work: Size, settings: EditSettings
) -> Iterator[tuple[int, tuple[Picture, Fit]]]:
    """The edited pictures at the working size, each fitted onto the source's picture that it stands for; one of them is held at a time."""
    for number in range(max(pictures) + 1):
        with _of_the_source():
            original = next(frames)
        if number in pictures:
            picture, fit = fit_part(_picture(pictures[number], number), original, crop, settings, _what(number))
            yield number, (resized(picture, work), fit)


@contextmanager
def _of_the_source() -> Iterator[None]:
    try:
        yield
    except MediaError as error:
        raise MediaError(error.reason, f"source: {error.detail}") from error


def _picture(path: Path, frame: int) -> Picture:
    try:
        return read_picture(path)
    except MediaError as error:
        raise MediaError(error.reason, f"{_what(frame)}: {error.detail}") from error


def _what(frame: int) -> str:
    return f"key frame {frame}" if frame else "first frame"


def _output(shown: Size, asked: str | None, limits: MediaLimits) -> Size:
    size = output_size(*shown, asked)
    if min(size) < min(limits.min_side, shown.width // 2 * 2, shown.height // 2 * 2) or max(size) > limits.max_side:
        raise MediaError(Reason.BAD_REQUEST, f"size {size}: sides must be {limits.min_side} to {limits.max_side} pixels")
    if abs(size.width / size.height * shown.height / shown.width - 1) > SAME_SHAPE:
        fitting = output_size(size.width, round(size.width * shown.height / shown.width), None)
        detail = f"size {size}: of another shape than what is edited, {shown}; ask for {fitting}, say"
        raise MediaError(Reason.BAD_REQUEST, detail)
    return size


def _sampler(request: EditRequest, settings: EditSettings) -> SamplerSettings:
    scales = {}
    for name in ("text", "source", "first_frame"):
        asked = getattr(request, f"guidance_{name}")
        scales[name] = getattr(settings, f"guidance_{name}") if asked is None else asked
    steps = settings.steps if request.steps is None else request.steps
    return SamplerSettings(steps=steps, schedule=settings.schedule, guidance=Guidance(**scales))
