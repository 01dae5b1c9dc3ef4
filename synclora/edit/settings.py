"""How edits are made, where a request does not say. Imports no torch."""

from typing import Literal, Self

from pydantic import Field, model_validator

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
    crop: Literal["auto", "none"] = "auto"
    """auto: where the adapter, else the backbone, was trained on parts around the face, edit that part alone; the edit is that part. Released
    models know whole pictures and cut nothing. none: never cut."""
    window_frames: int = Field(default=81, ge=17)
    """Frames of one call of the model, 8k + 1; longer clips are edited in windows."""
    overlap_frames: int = Field(default=17, ge=1)
    """Frames, 8k + 1, of the window before that the next one continues from; no more than the adapter was given in training."""
    crf: int = Field(default=16, ge=0, le=51)
    """x264's constant quality of the edited video: 16 is visually lossless, 23 x264's own default."""
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"] = "fast"
    """x264's effort."""
    align_beyond: float = Field(default=0.1, ge=0)
    """Face widths between the faces of both first frames from which the edited one is aligned, if that helps. Of 31 real edits the farthest
    was .033 off."""
    max_misalignment: float = Field(default=0.35, ge=0)
    """Face widths that are still one performance; curation's rule. Beyond them a frame that cannot be aligned is refused."""
    max_residual: float = Field(default=0.1, ge=0)
    """Face widths that may remain after aligning: what no turn, scale and shift takes away is another pose of the head. Real edits had .02 at
    most, strangers who look ahead .05 in the middle and .10 in the 95th percentile."""
    align: bool = True
    """False: refuse a misaligned frame instead."""
    cache_source: bool = True
    """causal-source adapters: compute the source's keys and values once per window."""

    @model_validator(mode="after")
    def _latent_frames(self) -> Self:
        if self.window_frames % 8 != 1 or self.overlap_frames % 8 != 1 or self.overlap_frames >= self.window_frames:
            raise ValueError(
                f"windows of {self.window_frames} frames that overlap by {self.overlap_frames}: write 8k + 1, the overlap smaller"
            )
        return self
