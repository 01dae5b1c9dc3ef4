"""A step of one size in every direction, that makes nothing of a layer's mean input."""

import pytest
import torch
from torch import nn

from synclora.embedded.autoencoder.optimizer import Descent, orthogonal, without
from synclora.embedded.autoencoder.settings import OptimSettings


@pytest.mark.parametrize("shape", [(12, 90), (90, 12)])
def test_steps_are_nearly_orthogonal(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * torch.logspace(0, 2, shape[1])
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.min() > 0.6
    assert values.max() < 1.3


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_centred_step_leaves_the_mean_input_s_output(kind):
    random = torch.Generator().manual_seed(0)
    conv = nn.Conv3d(6, 4, 3)
    mean = torch.rand(6, generator=random) + 0.5
    flat = mean.view(1, 6, 1, 1, 1).expand(1, 6, 3, 3, 3)
    other = torch.randn(1, 6, 3, 3, 3, generator=random)
    before = conv(flat).detach(), conv(other).detach()
    descent = Descent({"weight": conv.weight}, OptimSettings(kind=kind))
    for _ in range(3):
        conv.weight.grad = torch.randn(conv.weight.shape, generator=random) + 1
        descent.step(0.1, {"weight": mean})
    torch.testing.assert_close(conv(flat), before[0], rtol=0, atol=1e-4)
    assert (conv(other) - before[1]).abs().max() > 0.1


def test_what_is_taken_out_is_taken_out_once():
    random = torch.Generator().manual_seed(1)
    move, mean = torch.randn(4, 6, 3, 3, 3, generator=random), torch.randn(6, generator=random)
    once = without(move, mean)
    torch.testing.assert_close(without(once, mean), once)
