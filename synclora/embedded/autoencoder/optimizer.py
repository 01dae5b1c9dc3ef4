"""How weights move: AdamW, or for convolutions Muon, whose step is the nearest orthogonal matrix to the averaged gradient.

    descent = Descent(weights, OptimSettings())
    descent.step(rate=1e-3)

Signals of this autoencoder ride on offsets (`start.py`), so every convolution reads channels that are almost constant, and gradients of all
weights that read them agree: a step makes the whole picture lighter, the next one darker, and the gradient grows tenfold. So `centred` takes out
of a gradient and of a step what they would do to the mean of the layer's own input; the biases, which move it too, do so gently.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from synclora.embedded.autoencoder.settings import OptimSettings

_NEWTON_SCHULZ = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)
"""Coefficients of the quintic iteration whose fixed points are singular values near 1 (You Jiacheng's, in the public Muon trainers)."""

RMS = 0.2
"""Root mean square of Muon's step over the rate: AdamW's, by which rates are comparable (Liu et al., arXiv 2502.16982)."""


class Descent:
    """The moments of every weight, and the step.

    Attributes:
        mean: first moment by name.
        square: second moment, of the weights that AdamW moves.
        steps: taken.
    """

    def __init__(self, weights: Mapping[str, nn.Parameter], settings: OptimSettings) -> None:
        self._weights, self._settings = weights, settings
        self.steps = 0
        self.mean = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        self.square = {name: torch.zeros_like(weight) for name, weight in weights.items() if not self._by_muon(weight)}

    @torch.no_grad()
    def step(self, rate: float, inputs: Mapping[str, Tensor]) -> None:
        """Move every weight by its gradient.

        Args:
            rate: of learning.
            inputs: (c) mean of what a convolution read in this step, by its weight's name.
        """
        self.steps += 1
        for name, weight in self._weights.items():
            if weight.grad is None:
                continue
            mean_c = inputs.get(name) if self._settings.centred else None
            gradient = weight.grad if mean_c is None else without(weight.grad, mean_c)
            move: Tensor = self._muon(name, gradient) if self._by_muon(weight) else self._adam(name, gradient)
            move = move if mean_c is None else without(move, mean_c)
            weight.mul_(1 - rate * self._settings.weight_decay).sub_(move, alpha=rate)

    def _by_muon(self, weight: Tensor) -> bool:
        return self._settings.kind == "muon" and weight.dim() == 5

    def _adam(self, name: str, gradient: Tensor) -> Tensor:
        first, second = 0.9, 0.98
        mean, square = self.mean[name].lerp_(gradient, 1 - first), self.square[name].lerp_(gradient.square(), 1 - second)
        step: Tensor = (mean / (1 - first**self.steps)) / ((square / (1 - second**self.steps)).sqrt() + 1e-8)
        return step

    def _muon(self, name: str, gradient: Tensor) -> Tensor:
        momentum = 0.95
        mean = self.mean[name].lerp_(gradient, 1 - momentum)
        flat = orthogonal(gradient.lerp(mean, momentum).flatten(1))
        step: Tensor = flat.view_as(gradient) * (RMS * max(flat.shape) ** 0.5)
        return step


def without(move: Tensor, mean_c: Tensor) -> Tensor:
    """A convolution's weights (o, c, t, y, x) less what makes something of an input that is `mean_c` everywhere."""
    taps = move[0, 0].numel()
    made_o = move.sum((2, 3, 4)) @ mean_c
    rest: Tensor = move - (made_o[:, None] * mean_c / (taps * mean_c.square().sum() + 1e-12))[..., None, None, None]
    return rest


def orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest matrix with orthogonal rows, or columns if it is tall; of (..., r, c), each by itself."""
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) * 1.01 + 1e-12)
    for a, b, c in _NEWTON_SCHULZ:
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    found: Tensor = x.mT if tall else x
    return found
