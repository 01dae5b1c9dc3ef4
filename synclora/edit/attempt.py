"""One attempt: the source streamed through the windows of the model into a video, for one seed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from synclora.edit.engine import Engine
from synclora.edit.geometry import resized
from synclora.edit.plan import Plan
from synclora.edit.result import Seam
from synclora.edit.teller import Teller
from synclora.edit.windows import Stitcher, Window
from synclora.media.decode import Decoder, Picture
from synclora.media.encode import write_video
from synclora.media.track import Sound


class Attempt:
    """Makes the video of one seed.

    Args:
        plan: the edit.
        seed: of this attempt.
        engine: with the plan's adapter in use.
        teller: is told.
    """

    def __init__(self, plan: Plan, seed: int, engine: Engine, teller: Teller) -> None:
        self._plan, self._seed, self._engine, self._teller = plan, seed, engine, teller

    def write(self, path: Path, sound: Sound, decoder: Decoder) -> list[Seam]:
        """Write the video and measure its seams.

        Raises:
            MediaError: the source breaks further on, or the edit is not finite.
            OSError: the disk is full.
        """
        plan, stitcher = self._plan, Stitcher(self._plan.windows)
        source = (resized(plan.seen(picture), plan.work) for picture in decoder.frames(plan.source, analysis=False))
        pictures = (resized(picture, plan.size) for picture in stitcher.frames(source, self._window))
        write_video(
            path,
            self._teller.ticking(pictures),
            plan.info.fps,
            crf=plan.settings.crf,
            preset=plan.settings.preset,
            sound=sound,
            rotation=plan.info.rotation,
            pixel_aspect=plan.info.pixel_aspect,
        )
        return stitcher.seams()

    def _window(self, window: Window, source: Sequence[Picture], overlap: Sequence[Picture]) -> list[Picture]:
        plan, engine, teller = self._plan, self._engine, self._teller
        teller.stage("encoding", window.index)
        grid = engine.grid(window.frames, plan.work.height, plan.work.width, float(plan.info.fps))
        source_bnc = engine.encode(source)
        given_bnc = engine.encode(overlap or [plan.pictures[0]])
        keys = list(self._keys_in(window))
        model = engine.model(plan.prompt, guided=plan.sampler.guidance.text != 1, remember=plan.settings.cache_source)
        teller.stage("sampling", window.index)
        settings = plan.seeded(self._seed, window.index)
        edited_bnc = engine.sample(model, source_bnc, given_bnc, grid, settings, keys, lambda _done, _steps: teller.step())
        teller.stage("decoding", window.index)
        return engine.decode(edited_bnc, grid)

    def _keys_in(self, window: Window) -> Iterator[tuple[int, Tensor]]:
        """Key frames that the window has to make; those in its overlap were heeded by the window before."""
        for frame, picture in sorted(self._plan.pictures.items()):
            place = frame - window.start
            if max(1, window.overlap) <= place < window.real:
                yield place, self._engine.encode([picture])
