"""How edits are made, where a request does not say. Imports no torch."""

from typing import Literal

from pydantic import Field

from synclora.settings import Settings


class EditSettings(Settings):
    """One editor's ways."""

    steps: int = Field(default=30, ge=1, le=200)
    schedule: Literal["shifted", "distilled"] = "shifted"
    """distilled: the eight levels of Lightricks' distilled models, whatever `steps` says."""
    guidance_text: float = Field(default=1.0, ge=0, le=30)
    guidance_source: float = Field(default=1.0, ge=0, le=30)
    guidance_first_frame: float = Field(default=1.0, ge=0, le=30)
    """1 is off and costs nothing; another value costs one more transformer call a step."""
    max_pixels: int = Field(default=512 * 512, ge=64 * 64)
    """Area that the model works at; a larger picture is scaled down for it and the edit up again. 512 x 512 is what adapters are trained on."""
    window_frames: int = Field(default=81, ge=17)
    """Frames of one call of the model, 8k + 1; longer clips are edited in windows."""
    overlap_frames: int = Field(default=17, ge=1)
    """Frames, 8k + 1, of the window before that the next one continues from."""
    max_misalignment: float = Field(default=0.35, ge=0)
    """Face widths between the faces of both first frames that are still one performance; curation's rule. Beyond it the frame is aligned."""
    align: bool = True
    """False: refuse a misaligned frame instead."""
    cache_source: bool = True
    """causal-source adapters: compute the source's keys and values once per window."""
