"""How the embedded autoencoder is made; `recipe.yaml` beside this file says the same with comments. Imports no torch."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from synclora.embedded.clips.settings import AugmentSettings, ClipSettings, Share
from synclora.settings import Settings

RECIPE = Path(__file__).with_name("recipe.yaml")
"""The recipe that the shipped weights were made with."""


class ModelSettings(Settings):
    """The shape of the autoencoder: `AutoencoderKLLTXVideo` with strides 4x16x16, so 17 frames of 128x128 are 5x8x8 = 320 tokens."""

    latent_channels: int = Field(default=128, ge=4)
    """As LTX-Video's. By blockwise PCA blinks of an unseen clip keep r .91 with 64 numbers per token, .95 with 96, .97 with 192; tokens are what
    a transformer's time goes by, not channels."""
    fine: int = Field(default=64, ge=16)
    """Channels at a quarter of the picture's side: two thirds of all the work."""
    coarse: int = Field(default=128, ge=16)
    """Encoder channels at a sixteenth; at least as many as latents, else they cap what these can say."""
    wide: int = Field(default=128, ge=16, multiple_of=2)
    """Decoder channels at a sixteenth."""
    layers: tuple[int, int, int, int] = (1, 0, 0, 1)
    """Residual blocks of the encoder at a quarter, an eighth, a sixteenth, and at its end."""
    decoder_layers: tuple[int, int, int] = (1, 1, 1)
    """Of the decoder at a quarter, an eighth, a sixteenth."""

    @model_validator(mode="after")
    def _passes_all(self) -> Self:
        if self.wide % self.fine:
            raise ValueError(f"wide {self.wide} is no multiple of fine {self.fine}")
        if self.coarse < self.latent_channels:
            raise ValueError(f"coarse {self.coarse} would cap {self.latent_channels} latent channels; make it as many")
        return self


class LossSettings(Settings):
    """What is asked of a reconstruction; pixels are in -1 to 1."""

    eyes: float = Field(default=5.0, ge=1)
    mouth: float = Field(default=4.0, ge=1)
    """Weight of a pixel there; 1 elsewhere. Eyes and lips are 4 % of a picture and all of three cues."""
    gradient: float = Field(default=0.5, ge=0)
    """Of the difference between neighbouring pixels: edges of lids and lips."""
    motion: float = Field(default=0.5, ge=0)
    """Of the difference between neighbouring frames."""
    latent_noise: float = Field(default=0.05, ge=0)
    """Deviation of the noise on latents: what a transformer may get wrong unpunished. A sampled KL drifted, a fixed noise did not."""
    latent_energy: float = Field(default=0.001, ge=0)
    """Keeps latents from growing until that noise is nothing."""


class OptimSettings(Settings):
    """How weights move; see `optimizer.py`."""

    kind: Literal["muon", "adamw"] = "muon"
    """muon: of convolutions; what is no convolution is moved by AdamW in either case."""
    centred: bool = True
    """A step leaves alone what a convolution makes of its mean input."""
    lr: float = Field(default=1.5e-4, gt=0)
    """From one start, forty small steps on the same clips: Muon at 1.5e-4 took unseen ones from 25.9 to 26.9 dB, AdamW at 4e-5 to 26.4. Their
    losses rose at 4e-4 and at 1e-4; Muon's did at 1.5e-4 too where it was not centred."""
    warmup: int = Field(default=100, ge=0)
    """Steps over which the rate rises."""
    settle: int = Field(default=3000, ge=1)
    """Steps by which it has fallen to 0.71 of itself, then on as one over the root of the steps: there is no end to be known beforehand."""
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.999, ge=0, lt=1)
    """Of the weights that are kept: about a mean over the last thousand steps."""
    batch: int = Field(default=4, ge=1)


class AutoencoderSettings(Settings):
    """The whole recipe."""

    clips: ClipSettings = ClipSettings()
    augment: AugmentSettings = AugmentSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    optimizer: OptimSettings = OptimSettings()
    frames: int = Field(default=17, ge=5)
    """Of a clip: 4k + 1 for these strides; 8k + 1 is what the rest of the project writes."""
    real_share: Share = 0.5
    """Share of clips that are real; the others are puppets."""
    pca_start: bool = True
    """Begin from a principal component analysis written into the weights; else from the class's own random weights."""
    bf16: bool = True
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.frames % 4 != 1:
            raise ValueError(f"frames {self.frames}: write 4k + 1")
        if self.pca_start and not 48 <= self.model.fine < self.model.coarse:
            raise ValueError("pca_start needs model.fine of 48 or more, the numbers of a patch, and more model.coarse")
        return self
