"""What training carries from step to step, the autoencoder's as the transformer's: weights, their moments, and the moving average that is kept.

moving = Moving(weights, descent)
moving.follow(most=0.999)            # after each step
state = moving.state()               # whole; `restore` goes on to the same trace
"""

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from synclora.train.strategy import OptimizerState

_EMA = "ema."
"""Before the names of averaged weights, in a checkpoint."""


class Descends(Protocol):
    """What moves the weights."""

    steps: int
    mean: dict[str, Tensor]
    square: dict[str, Tensor]


class Rate(Protocol):
    """Of the optimizer's settings, those that the learning rate follows from."""

    @property
    def lr(self) -> float:
        """The highest."""

    @property
    def warmup(self) -> int:
        """Steps over which it rises."""

    @property
    def settle(self) -> int:
        """Steps by which it has fallen to 0.71 of itself."""


class Moving:
    """Weights under way.

    Attributes:
        average: of the weights, by name.
    """

    def __init__(self, weights: Mapping[str, nn.Parameter], descent: Descends) -> None:
        self._weights, self._descent = weights, descent
        self.begin()

    def begin(self) -> None:
        """The average is the weights as they are."""
        self.average = {name: weight.detach().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def follow(self, most: float) -> None:
        """Let the average follow by one step: of itself it keeps `most`, less in the first steps."""
        steps = self._descent.steps
        decay = min(most, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(list(self.average.values()), list(self._weights.values()), 1 - decay)

    def state(self) -> OptimizerState:
        """All of it."""
        weights = {name: weight.detach() for name, weight in self._weights.items()}
        averages = {_EMA + name: mean for name, mean in self.average.items()}
        return OptimizerState(self._descent.steps, {**weights, **averages}, self._descent.mean, self._descent.square)

    @torch.no_grad()
    def restore(self, state: OptimizerState) -> None:
        """Go on from there."""
        self._descent.steps = state.steps
        for name, weight in self._weights.items():
            weight.copy_(state.weights[name])
            self.average[name].copy_(state.weights[_EMA + name])
        for own, kept in ((self._descent.mean, state.mean), (self._descent.square, state.square)):
            for name, moment in own.items():  # copied, so that each lies in memory as it did: sums are another in another order
                moment.copy_(kept[name])


def rate_at(step: int, settings: Rate) -> float:
    """The learning rate of a step, counted from 0."""
    return settings.lr * min(1.0, (step + 1) / max(1, settings.warmup)) / math.sqrt(1 + step / settings.settle)
