"""From noise to the edited video: Euler steps along the velocity, on the token layout of training.

    model = stream.sampling(caption)                                              # synclora.backbone
    edited_bnc = sample(model, source_bnc, Given.start(first_bnc, grid), grid, SamplerSettings(seed=1))

The source stays clean at every step, and so do the given first frame and further pictures: nothing is noised that training keeps clean.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from synclora.incontext.flow import shift
from synclora.incontext.layout import Given as Given
from synclora.incontext.layout import Key as Key
from synclora.incontext.layout import Tokens, lay_out
from synclora.incontext.positions import Grid
from synclora.settings import Settings

Velocity = Callable[[Tokens], Tensor]
"""One transformer call: (b, s, c) velocity of every token."""
OnStep = Callable[[int, int], None]
"""Steps done, of how many."""

# DISTILLED_SIGMA_VALUES of diffusers' pipelines/ltx2/utils.py, which has them from the constants of Lightricks' ltx-pipelines
DISTILLED = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0)


@dataclass(frozen=True)
class Model:
    """What is sampled from.

    Attributes:
        velocity: with the caption.
        without_text: with the empty caption; only guidance on text needs it.
    """

    velocity: Velocity
    without_text: Velocity | None = None


class Guidance(Settings):
    """How far beyond the model's own velocity each condition is followed. 1 is off and costs no call, any other value one more call a step."""

    text: float = Field(default=1.0, ge=0)
    source: float = Field(default=1.0, ge=0)
    """Only for models that were trained to see no source at times."""
    first_frame: float = Field(default=1.0, ge=0)
    """Of everything that is given: first frame or overlap, and the further pictures."""


class SamplerSettings(Settings):
    """How an edit is sampled."""

    steps: int = Field(default=30, ge=1, le=1000)
    """Transformer calls per edit, without guidance."""
    last_sigma: float = Field(default=0.1, ge=0, lt=1)
    """Level of the last step, from which one stride leads to the end; LTX models are sampled with 0.1."""
    seed: int = 0
    schedule: Literal["shifted", "distilled"] = "shifted"
    """distilled: the eight levels of Lightricks' distilled models, whatever `steps` and `last_sigma` say."""
    guidance: Guidance = Guidance()

    def levels(self, tokens: int) -> Sequence[float]:
        """The noise levels from 1 to 0 for so many target tokens, one more than there are steps."""
        return DISTILLED if self.schedule == "distilled" else schedule(self.steps, tokens, self.last_sigma)


def schedule(steps: int, tokens: int, last_sigma: float) -> list[float]:
    """steps + 1 levels from 1 to 0, closer together near 1 the more target tokens there are, the last but one at `last_sigma`.

    The rule of diffusers' dynamic shifting, σ = e^μ / (e^μ + 1/t − 1), with the μ that training draws by, stretched to end at `last_sigma`.
    """
    scale = math.exp(shift(tokens))
    sigmas = [scale / (scale + 1 / t - 1) for t in (1 - i * (1 - 1 / steps) / max(1, steps - 1) for i in range(steps))]
    if steps > 1:
        stretch = (1 - last_sigma) / (1 - sigmas[-1])
        sigmas = [1 - (1 - sigma) * stretch for sigma in sigmas]
    return [*sigmas, 0.0]


@torch.no_grad()
def sample(
    model: Model,
    source_bnc: Tensor,
    given: Given | None,
    grid: Grid,
    settings: SamplerSettings,
    *,
    keys: Sequence[Key] = (),
    on_step: OnStep | None = None,
) -> Tensor:
    """The edited clip's latents.

    With guidance, v = full + Σ (g − 1) · (full − without), the sum over text, source and first frame, each left out of one call: the empty
    caption; no source tokens; nothing given, and no keys. In the last, the tokens that are given elsewhere start from noise, and follow the
    velocity of just these calls.

    Args:
        model: the velocities.
        source_bnc: (b, n, c) latents of the source.
        given: target tokens that are known; None lets the model invent them all.
        grid: the cells of either stream.
        settings: steps, guidance and seed; the same seed gives the same noise on any device.
        keys: further edited pictures.
        on_step: called after each step. What it raises comes through.

    Returns:
        (b, n, c), float32, the given tokens as they were given.

    Raises:
        ValueError: shapes that do not fit the grid or each other, or guidance on text by a model that has no velocity without it.
    """
    scales = settings.guidance
    if scales.text != 1 and model.without_text is None:
        raise ValueError(f"guidance.text = {scales.text}: the model has no velocity without the caption; leave it at 1")
    device, noise = source_bnc.device, torch.Generator().manual_seed(settings.seed)
    x_bnc = torch.randn(source_bnc.shape, generator=noise).to(device)
    state = _State(model, scales, source_bnc, given, grid, tuple(keys), x_bnc)
    levels = settings.levels(grid.tokens)
    for done, (now, after) in enumerate(pairwise(levels), start=1):
        state.step(now, after)
        if on_step is not None:
            on_step(done, len(levels) - 1)
    return state.x_bnc


class _State:
    """The target under way: `x_bnc` as the model sees it, and `free_bnc` as it is where nothing is given."""

    def __init__(
        self,
        model: Model,
        scales: Guidance,
        source_bnc: Tensor,
        given: Given | None,
        grid: Grid,
        keys: tuple[Key, ...],
        noise_bnc: Tensor,
    ) -> None:
        self.model, self.scales, self.source_bnc, self.grid, self.keys = model, scales, source_bnc, grid, keys
        self.none_bn = torch.zeros(noise_bnc.shape[:2], dtype=torch.bool, device=noise_bnc.device)
        self.clean_bn = self.none_bn if given is None else given.clean_bn.to(noise_bnc.device)
        self.x_bnc = self.free_bnc = noise_bnc
        if given is not None:
            self.x_bnc = torch.where(self.clean_bn[..., None], given.x_bnc.to(noise_bnc), noise_bnc)
        self.nothing_given = given is None and not keys

    def step(self, now: float, after: float) -> None:
        """Go from one level to the next."""
        sigma_b = torch.full(self.source_bnc.shape[:1], now, device=self.source_bnc.device)
        full_bnc = velocity_bnc = self._velocity(sigma_b, self.source_bnc)
        scales = self.scales
        if scales.text != 1:
            without_bnc = self._velocity(sigma_b, self.source_bnc, self.model.without_text)
            velocity_bnc = velocity_bnc + (scales.text - 1) * (full_bnc - without_bnc)
        if scales.source != 1:
            velocity_bnc = velocity_bnc + (scales.source - 1) * (full_bnc - self._velocity(sigma_b, None))
        if scales.first_frame != 1 and not self.nothing_given:
            without_bnc = self._velocity_of_nothing_given(sigma_b)
            velocity_bnc = velocity_bnc + (scales.first_frame - 1) * (full_bnc - without_bnc)
            self.free_bnc = self.free_bnc + without_bnc * (after - now)
        clean_bn1, before_bnc = self.clean_bn[..., None], self.x_bnc
        self.x_bnc = torch.where(clean_bn1, before_bnc, before_bnc + velocity_bnc * (after - now))

    def _velocity(self, sigma_b: Tensor, source_bnc: Tensor | None, velocity: Velocity | None = None) -> Tensor:
        x_bnc = self.x_bnc.to(self.source_bnc.dtype)
        tokens = lay_out(source_bnc, x_bnc, sigma_b, self.clean_bn, self.grid, self.keys)
        return tokens.target((velocity or self.model.velocity)(tokens)).float()

    def _velocity_of_nothing_given(self, sigma_b: Tensor) -> Tensor:
        x_bnc = torch.where(self.clean_bn[..., None], self.free_bnc, self.x_bnc).to(self.source_bnc.dtype)
        tokens = lay_out(self.source_bnc, x_bnc, sigma_b, self.none_bn, self.grid)
        return tokens.target(self.model.velocity(tokens)).float()
