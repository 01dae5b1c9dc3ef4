"""What is asked of one edit. Imports no torch, so that the service's door can check a request."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from synclora.settings import Settings

NO_ADAPTER = "none"
"""The name that asks for the bare model: image-to-video from the edited frame, the source unseen."""

MAX_SEED = 2**63 - 1


class KeyFrame(Settings):
    """One more edited frame, besides the first."""

    frame: int = Field(ge=1)
    """Of the source, counted from 0."""
    picture: Path


class EditRequest(Settings):
    """One edit. What is None is left to the adapter or to the editor's settings."""

    source: Path
    first_frame: Path
    key_frames: tuple[KeyFrame, ...] = Field(default=(), max_length=16)
    prompt: str | None = Field(default=None, max_length=2000)
    """None: the adapter's own caption, else none at all."""
    adapter: str | None = Field(default=None, max_length=200)
    """Of the editor's library, or a path where one is allowed; `none` for the bare model, None for the editor's default: the backbone's own."""
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    steps: int | None = Field(default=None, ge=1, le=200)
    guidance_text: Annotated[float, Field(ge=0, le=30)] | None = None
    guidance_source: Annotated[float, Field(ge=0, le=30)] | None = None
    guidance_first_frame: Annotated[float, Field(ge=0, le=30)] | None = None
    size: str | None = Field(default=None, pattern=r"^[1-9]\d{1,3}x[1-9]\d{1,3}$")
    """WIDTHxHEIGHT of the video that comes back; None: the source's, or its edited part's."""
    min_sync: float | None = Field(default=None, ge=0, le=1)
    """With it, another seed is tried while the sync score is below; the best attempt comes back."""
    attempts: int = Field(default=1, ge=1, le=8)
    """At most so many seeds: seed, seed + 1, … One when there is no `min_sync`."""
