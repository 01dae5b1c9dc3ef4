"""The videos that are measured: edits by the editor as users get them, and what they are held beside.

    with Maker("embedded", {"sync-lora": Path("adapters/sync-lora")}) as maker:
        maker.write(clip, Condition("sync-lora"), seed=1, out=Path("edit.mp4"))

reference    the source, cut as the editor cuts it, at its own pixels: all others are measured beside it
NAME         the edit with an adapter
bare         the edit without one, by the same editor, which then does not show the model the source: image-to-video from the edited first frame
frozen       the edited first frame, standing still
source       the reference made as small as the model works, and large again: what any edit of that size can reach
codec        through the autoencoder and back, by the editor's windows: the true edited half where there is one, else the source
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import numpy as np
import torch

from synclora.backbone.base import Codec
from synclora.backbone.find import find_backbone
from synclora.edit.editor import Editor
from synclora.edit.geometry import resized
from synclora.edit.library import AdapterInfo, read_info
from synclora.edit.plan import Plan, Strides, make_plan
from synclora.edit.request import NO_ADAPTER, EditRequest
from synclora.edit.settings import EditSettings
from synclora.edit.windows import Stitcher, Window
from synclora.embedded.evaluation.sets import Clip
from synclora.media.decode import Decoder, Picture
from synclora.media.encode import write_video
from synclora.motion.landmarks import BODY_POINTS, FACE_POINTS, Landmarker, Landmarks

BARE, FROZEN, SOURCE, CODEC = "bare", "frozen", "source", "codec"
STILL = (FROZEN, SOURCE, CODEC)
"""Conditions in which nothing is sampled: one seed is all."""


@dataclass(frozen=True)
class Condition:
    """How a video is made.

    Attributes:
        name: of an adapter, or one of the words above.
    """

    name: str

    @property
    def sampled(self) -> bool:
        """Whether seeds differ."""
        return self.name not in STILL


class Maker:
    """Holds the editor and the codec.

    Args:
        backbone: as the editor takes it.
        adapters: folders by the name they are reported under.
        steps: of sampling; None for the editor's default.
        settings: the editor's.
    """

    def __init__(
        self, backbone: str, adapters: Mapping[str, Path], steps: int | None = None, settings: EditSettings | None = None
    ) -> None:
        self._settings, self._adapters, self._steps = settings or EditSettings(), dict(adapters), steps
        self._backbone = find_backbone(backbone)
        self._codec: Codec = self._backbone.codec(torch.float32, "cpu")
        self._open = ExitStack()
        # the editor's own judgement is not asked for: all is measured once more, by the rules of score.py
        self._editor = self._open.enter_context(
            Editor(
                backbone,
                settings=self._settings,
                default_adapter=NO_ADAPTER,
                paths=True,
                landmarker=cast("Landmarker", _Unseeing()),
            )
        )
        self._decoder = self._open.enter_context(Decoder())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def plan(self, clip: Clip) -> Plan:
        """How the editor would go about the clip: its cut, sizes and windows, and the first frame fitted."""
        strides = Strides(self._codec.stride_s, self._codec.stride_t)
        return make_plan(
            self._request(clip, BARE, 0), self._info(), self._settings, strides, self._decoder, self._backbone.trained
        )

    def reference(self, plan: Plan, out: Path) -> None:
        """The source as it is compared: cut, at its own pixels."""
        write_video(out, (resized(plan.seen(picture), plan.size) for picture in self._frames(plan.source)), plan.info.fps)

    def write(self, clip: Clip, plan: Plan, condition: Condition, seed: int, out: Path) -> None:
        """One video.

        Raises:
            MediaError: the clip cannot be edited.
        """
        if condition.sampled:
            self._editor.edit(self._request(clip, condition.name, seed), out)
        else:
            write_video(out, self._pictures(clip, plan, condition.name), plan.info.fps)

    def _pictures(self, clip: Clip, plan: Plan, name: str) -> Iterator[Picture]:
        if name == FROZEN:
            return repeat(resized(plan.pictures[0], plan.size), plan.info.frames)
        video = clip.edited if name == CODEC and clip.edited else plan.source
        small: Iterator[Picture] = (resized(plan.seen(picture), plan.work) for picture in self._frames(video))
        if name == CODEC:
            small = Stitcher(plan.windows).frames(small, self._coded)
        return (resized(picture, plan.size) for picture in small)

    def _coded(self, _window: Window, source: Sequence[Picture], _overlap: Sequence[Picture]) -> list[Picture]:
        """A window through the autoencoder and back."""
        pixels_thwc = torch.from_numpy(np.stack(source))
        with torch.no_grad():
            back = self._codec.decode(self._codec.encode(pixels_thwc.permute(3, 0, 1, 2)[None].float().div_(127.5).sub_(1)))
        levels = ((back[0].float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return list(np.ascontiguousarray(levels.permute(1, 2, 3, 0).numpy()))

    def _frames(self, video: Path) -> Iterator[Picture]:
        return iter(self._decoder.frames(video, analysis=False))

    def _request(self, clip: Clip, name: str, seed: int) -> EditRequest:
        return EditRequest(
            source=clip.source,
            first_frame=clip.first,
            adapter=str(self._adapters[name].absolute()) if name in self._adapters else NO_ADAPTER,
            seed=seed,
            steps=self._steps,
            prompt=None if name in self._adapters else self._prompt(),
        )

    def _info(self) -> AdapterInfo | None:
        """Of the first adapter, whose bounds and cut hold for all: they are compared on the same pictures."""
        return next((read_info(path.absolute(), name) for name, path in self._adapters.items()), None)

    def _prompt(self) -> str | None:
        """The bare model is asked with the adapter's caption: only the adapter differs."""
        info = self._info()
        return info.caption if info else None


class _Unseeing:
    """Stands where the editor expects a landmarker, and sees nobody."""

    def track(self, frames: Iterator[Picture], fps: float, expected: int = 0) -> Landmarks:
        """Take the frames, find nothing."""
        shapes = [frame.shape for frame in frames]
        face = np.full((len(shapes), FACE_POINTS, 2), np.nan, np.float32)
        body = np.full((2, len(shapes), BODY_POINTS, 3), np.nan, np.float32)
        return Landmarks(face, face, body, np.full(len(shapes), -1, np.int8), 0.0, shapes[0][1], shapes[0][0])
