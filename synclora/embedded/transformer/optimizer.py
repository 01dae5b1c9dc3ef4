"""How the transformer's weights move: AdamW, or for the blocks' matrices Muon. Many matrices are of one shape and go through it together.

descent = TransformerDescent(weights, TransformerOptimSettings())
descent.step(rate=1e-3)
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from synclora.embedded.autoencoder.optimizer import RMS, orthogonal
from synclora.embedded.transformer.settings import TransformerOptimSettings

_MOMENTUM = 0.95


class TransformerDescent:
    """The moments of every weight, and the step.

    Attributes:
        mean: first moment by name; Muon's lie in one tensor per shape.
        square: second moment, of the weights that AdamW moves.
        steps: taken.
    """

    def __init__(self, weights: Mapping[str, nn.Parameter], settings: TransformerOptimSettings) -> None:
        self._weights, self._settings = weights, settings
        self.steps = 0
        by_muon = {name for name, weight in weights.items() if settings.kind == "muon" and _in_a_block(name, weight)}
        self.mean = {name: torch.zeros_like(weight) for name, weight in weights.items() if name not in by_muon}
        self.square = {name: torch.zeros_like(mean) for name, mean in self.mean.items()}
        self._decayed, self._others = ([n for n in self.mean if (weights[n].dim() == 2) == matrix] for matrix in (True, False))
        self._alike: list[tuple[list[str], Tensor]] = []
        for shape in sorted({tuple(weights[name].shape) for name in by_muon}):
            names = [name for name in weights if name in by_muon and tuple(weights[name].shape) == shape]
            means = torch.zeros(len(names), *shape)
            self._alike.append((names, means))
            self.mean |= dict(zip(names, means, strict=True))

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move every weight by its gradient; where there is none, by none.

        Args:
            rate: of learning.
        """
        self.steps += 1
        self._adam(self._decayed, rate, self._settings.weight_decay)
        self._adam(self._others, rate, 0.0)
        for names, means in self._alike:
            self._muon(names, means, rate)

    def _adam(self, names: list[str], rate: float, decay: float) -> None:
        weights: list[Tensor] = [self._weights[name] for name in names]
        adamw(
            weights,
            [weight.grad if weight.grad is not None else torch.zeros_like(weight) for weight in weights],
            [self.mean[name] for name in names],
            [self.square[name] for name in names],
            [],
            [torch.tensor(float(self.steps - 1)) for _ in names],
            fused=True,
            amsgrad=False,
            beta1=self._settings.betas[0],
            beta2=self._settings.betas[1],
            lr=rate,
            weight_decay=decay,
            eps=1e-8,
            maximize=False,
        )

    def _muon(self, names: list[str], means: Tensor, rate: float) -> None:
        weights: list[Tensor] = [self._weights[name] for name in names]
        gradients = torch.stack([weight.grad if weight.grad is not None else torch.zeros_like(weight) for weight in weights])
        means.lerp_(gradients, 1 - _MOMENTUM)
        # half the time in bfloat16, and the iteration forgives its rounding
        moves = orthogonal(gradients.lerp_(means, _MOMENTUM).bfloat16()).float()
        torch._foreach_mul_(weights, 1 - rate * self._settings.weight_decay)
        torch._foreach_sub_(weights, list(moves), alpha=rate * RMS * max(moves.shape[1:]) ** 0.5)


def _in_a_block(name: str, weight: Tensor) -> bool:
    return name.startswith("transformer_blocks.") and name.endswith(".weight") and weight.dim() == 2
