"""An editor: one per process, holds the model, and makes one edit at a time.

    with Editor("tiny:ltx-video", library=AdapterLibrary(Path("adapters"))) as editor:
        result = editor.edit(EditRequest(source="source.mp4", first_frame="first.png", adapter="may-lora"), Path("edited.mp4"))

An edit goes through `preparing` (probe, fit the first frame), then for each window of each attempt `encoding`, `sampling` and `decoding`,
then `measuring`, and at last `storing`. What an `OnProgress` raises ends it there: while sampling after each step, else a few frames on.
"""

import errno
import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from synclora.backbone.adapters import LoadedAdapter
from synclora.backbone.base import Caption
from synclora.edit.attempt import Attempt
from synclora.edit.engine import Engine
from synclora.edit.judge import Judge, Judged
from synclora.edit.library import AdapterInfo, AdapterLibrary, read_info, usual_adapter
from synclora.edit.plan import Plan, Strides, make_plan
from synclora.edit.progress import OnProgress, ignore
from synclora.edit.request import NO_ADAPTER, EditRequest
from synclora.edit.result import Attempt as Tried
from synclora.edit.result import EditResult
from synclora.edit.settings import EditSettings
from synclora.edit.teller import Teller
from synclora.errors import MediaError, Reason, is_out_of_memory
from synclora.media.decode import Decoder
from synclora.media.settings import MediaLimits
from synclora.media.track import Sound
from synclora.motion.landmarks import Landmarker
from synclora.motion.settings import LandmarkSettings, VerdictSettings


@dataclass(frozen=True)
class _Attempted:
    seed: int
    path: Path
    judged: Judged


class Editor:
    """Holds an engine, a landmarker and a decoder. Not thread-safe.

    Args:
        backbone: hub id, folder in diffusers' layout, `embedded` or `tiny:…`.
        revision: of the hub's.
        library: adapters by name, besides those that come with the backbone.
        settings: what a request does not say.
        media: what a source may be.
        captions: embeds a caption; None: the backbone's own text encoder.
        device: None for the GPU where there is one.
        default_adapter: of a request that names none; None: the backbone's own, else none.
        paths: a request may name an adapter by its path: on one's own machine, never for strangers.
        adapters_kept: so many stay in memory, the last used ones.
        landmarker: of the caller, who closes it; None: an own one, made when it is needed.

    Raises:
        BackboneError: the model cannot be loaded.
    """

    def __init__(
        self,
        backbone: str,
        revision: str | None = None,
        *,
        library: AdapterLibrary | None = None,
        settings: EditSettings | None = None,
        media: MediaLimits | None = None,
        captions: Callable[[str], Caption] | None = None,
        device: str | None = None,
        default_adapter: str | None = None,
        paths: bool = False,
        adapters_kept: int = 4,
        landmarker: Landmarker | None = None,
    ) -> None:
        self.settings = settings or EditSettings()
        self._engine = Engine(backbone, revision, device, captions)
        shipped = self._engine.backbone.adapters
        folders = (*(library.folders if library else ()), *([shipped] if shipped else ()))
        self._library, self._paths = AdapterLibrary(*folders) if folders else None, paths
        self._default = usual_adapter(shipped) if default_adapter is None else default_adapter
        self._decoder = Decoder(media)
        self._landmarker, self._lent = landmarker, landmarker is not None
        self._loaded: OrderedDict[str, tuple[AdapterInfo, LoadedAdapter]] = OrderedDict()
        self._kept = adapters_kept

    def adapters(self) -> list[AdapterInfo]:
        """Of the library and the backbone, those that can be used."""
        return self._library.all() if self._library else []

    def load_adapter(self, name: str) -> LoadedAdapter:
        """An adapter's weights, ready for this base; kept for the next edit.

        Raises:
            MediaError: UNKNOWN_ADAPTER or BAD_ADAPTER.
        """
        info = self._info(name)
        if info is None:
            raise MediaError(Reason.UNKNOWN_ADAPTER, f"adapter {name!r}: the bare model has no weights to load")
        return self._ready(info)

    def forget_adapter(self, name: str) -> None:
        """Free its memory."""
        _info, loaded = self._loaded.pop(name, (None, None))
        if loaded is not None and self._engine.adapter is loaded:
            self._engine.use(None)

    def edit(self, request: EditRequest, out: Path, on_progress: OnProgress = ignore) -> EditResult:
        """Make one edit.

        Args:
            request: what is asked.
            out: the video, an MP4, in a folder that is there; it appears whole or not at all.
            on_progress: told of every step; what it raises ends the edit.

        Raises:
            MediaError: the source, the first frame, the adapter or the request cannot be used, or memory does not suffice.
            OSError: the disk is full, or the folder cannot be written.
        """
        folder, teller = out.absolute().parent, Teller(on_progress)
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        with _memory_errors(), tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=folder) as scratch:
            teller.stage("preparing")
            info = self._info(request.adapter) if request.adapter else self._of_library(self._default)
            self._engine.use(None if info is None else self._ready(info))
            strides = Strides(self._engine.stride_s, self._engine.stride_t)
            plan = make_plan(request, info, self.settings, strides, self._decoder, self._engine.backbone.trained)
            teller.plan(len(plan.windows), plan.steps)
            best, tried = self._best(request, plan, Path(scratch), teller)
            teller.stage("storing")
            best.path.replace(out)
            return self._result(plan, best, tried, teller)

    def close(self) -> None:
        """End the decoder and free the landmarker; another edit would start new ones."""
        self._decoder.close()
        if self._landmarker is not None and not self._lent:
            self._landmarker.close()
            self._landmarker = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _info(self, name: str) -> AdapterInfo | None:
        if name != NO_ADAPTER and self._paths and ("/" in name or Path(name).exists()):
            path = Path(name)
            return read_info(path, path.parent.name if path.name == "adapter" else path.name.removesuffix(".safetensors"))
        return self._of_library(name)

    def _of_library(self, name: str) -> AdapterInfo | None:
        if name == NO_ADAPTER:
            return None
        if self._library is None:
            raise MediaError(Reason.UNKNOWN_ADAPTER, f"adapter {name!r}: this editor has none; choose {NO_ADAPTER}")
        return self._library.info(name)

    def _ready(self, info: AdapterInfo) -> LoadedAdapter:
        if info.name in self._loaded and self._loaded[info.name][0] != info:
            self.forget_adapter(info.name)  # its file was replaced
        if info.name not in self._loaded:
            self._loaded[info.name] = info, self._engine.load(info)
        self._loaded.move_to_end(info.name)
        while len(self._loaded) > self._kept:
            self.forget_adapter(next(iter(self._loaded)))
        return self._loaded[info.name][1]

    def _best(self, request: EditRequest, plan: Plan, scratch: Path, teller: Teller) -> tuple[_Attempted, list[Tried]]:
        """The attempt with the highest score, the first of equals, and all that were made."""
        self._landmarker = self._landmarker or Landmarker(LandmarkSettings())
        sound = self._decoder.sound(plan.source) if plan.info.has_audio else Sound()
        judge = Judge(plan, self._landmarker, self._decoder, VerdictSettings(max_misalignment=self.settings.max_misalignment))
        best: _Attempted | None = None
        tried: list[Tried] = []
        for number in range(request.attempts if request.min_sync is not None else 1):
            seed, path = request.seed + number, scratch / f"{number}.mp4"
            teller.attempt(number + 1)
            seams = Attempt(plan, seed, self._engine, teller).write(path, sound, self._decoder)
            teller.stage("measuring")
            now = _Attempted(seed, path, judge.of(path, seams, teller))
            tried.append(Tried(seed=seed, score=now.judged.report.score))
            if best is None or _rank(now) > _rank(best):
                best = now
            if _good_enough(now, request.min_sync):
                break
        assert best is not None
        return best, tried

    def _result(self, plan: Plan, best: _Attempted, tried: list[Tried], teller: Teller) -> EditResult:
        judged = best.judged
        return EditResult(
            frames=plan.info.frames,
            fps=str(plan.info.fps),
            width=plan.size.width,
            height=plan.size.height,
            seconds=plan.info.seconds,
            has_audio=judged.has_audio,
            adapter=plan.adapter,
            backbone=self._engine.backbone.name,
            prompt=plan.prompt,
            seed=best.seed,
            steps=plan.steps,
            random_base=self._engine.backbone.random,
            report=judged.report,
            edit_strength=judged.edit_strength,
            first_frame_distance=judged.first_frame_distance,
            fit=plan.fit,
            seams=tuple(judged.seams),
            attempts=tuple(tried),
            working_size=str(plan.work),
            took_seconds=teller.took(),
        )


def _rank(attempt: _Attempted) -> float:
    score = attempt.judged.report.score
    return -2.0 if score is None else score  # correlations end at -1


def _good_enough(attempt: _Attempted, min_sync: float | None) -> bool:
    """Another seed would not help: the score suffices, or the source cannot be scored whatever is made of it."""
    score = attempt.judged.report.score
    return min_sync is None or not attempt.judged.scorable or (score is not None and score >= min_sync)


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Memory that does not suffice, in the one vocabulary."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        text = " ".join(str(error).split())
        detail = f"the edit needs more memory than there is ({text.split('. ')[0][:200]}); a smaller max_pixels or window_frames would do"
        raise MediaError(Reason.OUT_OF_MEMORY, detail) from error
