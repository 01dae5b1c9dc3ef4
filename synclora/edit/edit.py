"""One edit as one call.

    from synclora.edit.edit import edit
    result = edit("source.mp4", "first.png", out="edited.mp4", adapter="out/train/adapter", seed=1)
    print(result.report.score, result.edit_strength)

Loads the model for this call; to make several edits, keep an `Editor`.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from synclora.backbone.folder import EMBEDDED
from synclora.edit.editor import Editor
from synclora.edit.library import AdapterLibrary
from synclora.edit.progress import OnProgress, ignore
from synclora.edit.request import EditRequest
from synclora.edit.result import EditResult
from synclora.edit.settings import EditSettings
from synclora.errors import MediaError, Reason

AnyPath = str | os.PathLike[str]


def edit(
    source: AnyPath,
    first_frame: AnyPath,
    *,
    out: AnyPath,
    prompt: str | None = None,
    adapter: AnyPath | None = None,
    seed: int = 0,
    steps: int | None = None,
    key_frames: Mapping[int, AnyPath] | None = None,
    size: str | None = None,
    min_sync: float | None = None,
    attempts: int = 1,
    guidance: Mapping[str, float] | None = None,
    backbone: str = EMBEDDED,
    revision: str | None = None,
    library: AnyPath | None = None,
    settings: EditSettings | None = None,
    device: str | None = None,
    on_progress: OnProgress = ignore,
) -> EditResult:
    """Edit one video and return what is known of the edit; the video is at `out`.

    Args:
        source: the video.
        first_frame: its first frame, edited.
        out: the MP4 to write.
        prompt: None for the adapter's own caption.
        adapter: a name of the library or of the backbone's own, a folder or file, or `none` for the bare model; None: the backbone's own.
        seed: the same one gives the same video.
        steps: of sampling; None for the settings'.
        key_frames: further edited frames, by their number in the source.
        size: WIDTHxHEIGHT of the video that comes back; None for the source's, or its edited part's.
        min_sync: another seed is tried while the sync score is below.
        attempts: at most so many seeds.
        guidance: by `text`, `source` and `first_frame`.
        backbone: hub id, folder in diffusers' layout, `embedded`, or a miniature: its weights are random, its edits prove plumbing only.
        revision: of the hub's.
        library: folder of adapters.
        settings: what is not said here.
        device: None for the GPU where there is one.
        on_progress: told of every step; what it raises ends the edit.

    Raises:
        MediaError: something that was given cannot be used.
        BackboneError: the model cannot be loaded.
        OSError: the video cannot be written.
    """
    request = request_of(
        source=source,
        first_frame=first_frame,
        key_frames=[{"frame": frame, "picture": picture} for frame, picture in (key_frames or {}).items()],
        prompt=prompt,
        adapter=None if adapter is None else os.fspath(adapter),
        seed=seed,
        steps=steps,
        size=size,
        min_sync=min_sync,
        attempts=attempts,
        **{f"guidance_{name}": scale for name, scale in (guidance or {}).items()},
    )
    shelf = None if library is None else AdapterLibrary(Path(library))
    with Editor(backbone, revision, library=shelf, settings=settings, device=device, paths=True) as editor:
        return editor.edit(request, Path(out), on_progress)


def request_of(**fields: object) -> EditRequest:
    """A request of plain values.

    Raises:
        MediaError: BAD_REQUEST, on one line.
    """
    try:
        return EditRequest.model_validate(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise MediaError(Reason.BAD_REQUEST, f"{field} = {problem['input']!r}: {problem['msg'].lower()}") from error
