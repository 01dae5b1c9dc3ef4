"""How the embedded transformer is made; `recipe.yaml` beside this file says the same with comments."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from synclora.embedded.autoencoder.settings import AutoencoderSettings, LossSettings, OptimSettings
from synclora.embedded.clips.settings import AugmentSettings, ClipSettings, Share
from synclora.embedded.runs import RunSettings
from synclora.incontext.flow import SigmaSettings
from synclora.settings import Settings

TRANSFORMER_RECIPE = Path(__file__).with_name("recipe.yaml")
"""The recipe that the shipped weights were made with."""


class ScaleSettings(Settings):
    """How large each latent channel is made: the loss counts channels by their squares."""

    power: float = Field(default=0.5, ge=0, le=1)
    """Of a channel's importance to the picture. 0: all channels alike, so that a trace of grain weighs as much as where the head is.
    1: about the error of pixels."""
    statistics_clips: int = Field(default=512, ge=1)
    """From which the channels' mean and deviation are taken."""
    probed_clips: int = Field(default=8, ge=1)
    """Through whose decoding the importance is measured."""
    probes: int = Field(default=2, ge=1)
    """Per clip."""


class TransformerModelSettings(Settings):
    """The shape: `LTXVideoTransformer3DModel`."""

    heads: int = Field(default=8, ge=1)
    head_dim: int = Field(default=32, ge=8)
    layers: int = Field(default=8, ge=1)
    caption_tokens: int = Field(default=4, ge=1)
    caption_channels: int = Field(default=64, ge=1)
    """Of the one caption, whose embedding is drawn once: the model reads no text."""


class GivenSettings(Settings):
    """Which latent frames a sample is given clean."""

    first: tuple[Annotated[float, Field(ge=0)], ...] = Field(default=(0.7, 0.15, 0.15), min_length=1)
    """Shares of the samples that are given the first one, the first two, ... latent frames: more than one continues a window."""
    scattered: Share = 0.1
    """Share that is given, in place of these, the first and any others: to fill in between."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not sum(self.first) > 0:
            raise ValueError("first: all shares are 0; give at least one more")
        return self


class TransformerOptimSettings(Settings):
    """How weights move; see `optimizer.py`."""

    kind: Literal["muon", "adamw"] = "muon"
    """muon: of the matrices of the blocks; what else there is, is moved by AdamW in either case."""
    lr: float = Field(default=1e-3, gt=0)
    """Of both: Muon's step has the root mean square of AdamW's."""
    betas: tuple[Share, Share] = (0.9, 0.95)
    """Of AdamW."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Of matrices."""
    warmup: int = Field(default=200, ge=0)
    """Steps over which the rate rises."""
    settle: int = Field(default=6000, ge=1)
    """Steps by which it has fallen to 0.71 of itself, then on as one over the root of the steps: there is no end to be known beforehand."""
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    ema: float = Field(default=0.999, ge=0, lt=1)
    """Of the weights that are kept: about a mean over the last thousand steps."""
    batch: int = Field(default=8, ge=1)


class TransformerSettings(Settings):
    """The whole recipe."""

    clips: ClipSettings = ClipSettings()
    augment: AugmentSettings = AugmentSettings(close=0.0)
    eyes: float = Field(default=5.0, ge=1)
    mouth: float = Field(default=4.0, ge=1)
    """Weight of a pixel there, 1 elsewhere; a token has the mean of its pixels."""
    frames: int = Field(default=17, ge=5)
    real_share: Share = 0.5
    """Share of clips that are real; the others are puppets."""
    scale: ScaleSettings = ScaleSettings()
    model: TransformerModelSettings = TransformerModelSettings()
    given: GivenSettings = GivenSettings()
    sigma: SigmaSettings = SigmaSettings()
    optimizer: TransformerOptimSettings = TransformerOptimSettings()
    bf16: bool = True
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.augment.close:
            raise ValueError(f"augment.close {self.augment.close}: a transformer sees whole pictures; write 0")
        if self.frames % 4 != 1:
            raise ValueError(f"frames {self.frames}: write 4k + 1")
        if len(self.given.first) > self.frames // 4:
            raise ValueError(f"given.first: {len(self.given.first)} shares leave nothing of {self.frames} frames; give fewer")
        return self

    def feed(self) -> AutoencoderSettings:
        """What draws clips: `Feed(index, settings.feed()).batch(n)` is clip n."""
        return AutoencoderSettings(
            clips=self.clips,
            augment=self.augment,
            loss=LossSettings(eyes=self.eyes, mouth=self.mouth),
            optimizer=OptimSettings(batch=1),
            frames=self.frames,
            real_share=self.real_share,
            seed=self.seed,
        )


class TransformerRunSettings(RunSettings):
    """What a run leaves behind, and what it is watched by. Never changes what is computed."""

    watched_clips: int = Field(default=16, ge=1)
    """Of the validation side, and as many of the training side."""
    levels: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    """Noise at which their loss is taken."""
    sampled_clips: int = Field(default=3, ge=0)
    """On the contact sheet; every third is of the training side."""
    sampling_steps: int = Field(default=12, ge=1)
