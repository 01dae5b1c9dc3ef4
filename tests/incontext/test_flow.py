"""Noise, its levels, and the loss, each against an independent reference in float64."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from synclora.incontext.flow import SigmaSettings, add_noise, draw_sigma, edit_weight, flow_loss, shift


def drawn(kind, tokens, count=40_000, **settings):
    return draw_sigma(count, tokens, SigmaSettings(kind=kind, **settings), torch.Generator().manual_seed(7)).numpy()


def reference_cdf(kind, tokens):
    """P(σ ≤ s), from the definition of each distribution."""
    mu = 0.95 + (2.05 - 0.95) * (tokens - 1024) / (4096 - 1024)

    def shifted(s):
        return stats.norm.cdf(np.log(s / (1 - s)) - mu)

    if kind == "shifted":
        return shifted
    low, high = (1 / (1 + math.exp(-(mu + stats.norm.ppf(p)))) for p in (0.005, 0.999))

    def stretched(s):
        s = np.asarray(s, np.float64)
        inside = shifted(np.clip(low + s * (high - low), 1e-12, 1 - 1e-12))
        mirrored = shifted(np.clip(low + (2e-3 - s) * (high - low), 1e-12, 1 - 1e-12))  # what fell below .001 comes back above it
        share = np.where(s < 1e-3, 0.0, inside - np.where(s < 1, mirrored, 0.0))
        return 0.9 * np.where(s >= 1, 1.0, share) + 0.1 * np.clip((s - 1e-3) / (1 - 1e-3), 0, 1)

    return stretched


@pytest.mark.parametrize("tokens", [48, 1024, 2816, 4096])
@pytest.mark.parametrize("kind", ["shifted", "stretched"])
def test_the_distribution_of_noise_levels(kind, tokens):
    sigma = drawn(kind, tokens)
    assert sigma.min() >= 0
    assert sigma.max() <= 1
    cdf = reference_cdf(kind, tokens)
    for s in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        assert (sigma <= s).mean() == pytest.approx(float(cdf(s)), abs=4.5 * 0.5 / math.sqrt(len(sigma)))


def test_uniform_levels():
    assert stats.kstest(drawn("uniform", 2816), "uniform").pvalue > 1e-3


def test_the_shift_grows_with_the_target_tokens():
    assert shift(1024) == pytest.approx(0.95)
    assert shift(4096) == pytest.approx(2.05)
    assert shift(2816) == pytest.approx(0.95 + 1.1 * 1792 / 3072)


def test_another_kind_leaves_the_noise_of_a_seed_as_it_was():
    after = []
    for kind in ("shifted", "stretched", "uniform"):
        generator = torch.Generator().manual_seed(3)
        draw_sigma(2, 100, SigmaSettings(kind=kind), generator)
        after.append(torch.randn(3, generator=generator))
    assert torch.equal(after[0], after[1])
    assert torch.equal(after[1], after[2])


def samples(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    x0, noise, velocity = (torch.randn(3, 10, 4, generator=generator).to(dtype) for _ in range(3))
    clean = torch.zeros(3, 10, dtype=torch.bool)
    clean[0, :4] = True
    clean[1, :1] = True
    return x0, noise, velocity, clean, torch.tensor([0.1, 0.5, 0.9])


def test_noise_is_mixed_in_and_given_tokens_stay():
    x0, noise, _, clean, sigma = samples()
    mixed = add_noise(x0, noise, sigma, clean)
    for b in range(3):
        for n in range(10):
            level = 0.0 if clean[b, n] else float(sigma[b])
            torch.testing.assert_close(mixed[b, n], (1 - level) * x0[b, n] + level * noise[b, n])
    assert torch.equal(mixed[clean], x0[clean])


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-6)])
def test_the_loss_counts_noised_tokens_only(dtype, rtol):
    x0, noise, velocity, clean, _ = samples(dtype)
    loss = flow_loss(velocity, x0, noise, clean)
    assert loss.dtype == torch.float32
    v, a, e = (t.double().numpy() for t in (velocity, x0, noise))
    for b in range(3):
        noised = [n for n in range(10) if not clean[b, n]]
        wanted = np.mean([(v[b, n] - (e[b, n] - a[b, n])) ** 2 for n in noised])
        assert float(loss[b]) == pytest.approx(wanted, rel=rtol)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_share_of_the_loss_goes_by_how_far_the_halves_are_apart(share):
    x0, noise, velocity, clean, _ = samples()
    source = x0.clone()
    source[:, 3:5] += torch.randn(3, 2, x0.shape[-1], generator=torch.Generator().manual_seed(9))
    clean[:] = False
    clean[:, 0] = True
    source[:, 0] += 100  # a given token counts nowhere
    weight = edit_weight(x0, source, clean, share)
    loss = flow_loss(velocity, x0, noise, clean, weight)
    v, a, e, s = (t.double().numpy() for t in (velocity, x0, noise, source))
    for b in range(3):
        error = ((v[b] - (e[b] - a[b])) ** 2).mean(-1)[1:]
        apart = ((a[b] - s[b]) ** 2).mean(-1)[1:]
        wanted = (1 - share) * error.mean() + share * (error * apart).sum() / apart.sum()
        assert float(loss[b]) == pytest.approx(wanted, rel=1e-5)
    assert torch.equal(
        flow_loss(velocity, x0, noise, clean, edit_weight(x0, x0, clean, share)), flow_loss(velocity, x0, noise, clean)
    )


def test_what_the_model_says_of_given_tokens_does_not_matter():
    x0, noise, velocity, clean, _ = samples()
    velocity.requires_grad_()
    flow_loss(velocity, x0, noise, clean).sum().backward()
    assert (velocity.grad[clean] == 0).all()
    assert (velocity.grad[~clean] != 0).all()
