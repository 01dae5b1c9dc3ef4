"""Who attends to whom: two calls of plain attention against one with a mask."""

import torch
from torch import Tensor

from synclora.incontext.attention import Span, attend_in_context

SHAPE = (2, 10, 3, 4)  # b, s, h, e; the first 4 of s are the source's


def _attend(q_bshe: Tensor, k_bshe: Tensor, v_bshe: Tensor) -> Tensor:
    weights = torch.einsum("bqhe,bkhe->bhqk", q_bshe, k_bshe) / q_bshe.shape[-1] ** 0.5
    return torch.einsum("bhqk,bkhe->bqhe", weights.softmax(-1), v_bshe)


def _dense(q_bshe: Tensor, k_bshe: Tensor, v_bshe: Tensor, sees_ss: Tensor) -> Tensor:
    """Softmax written out, over the pairs that `sees_ss` allows."""
    weights = torch.einsum("bqhe,bkhe->bhqk", q_bshe, k_bshe).div(q_bshe.shape[-1] ** 0.5).exp() * sees_ss
    return torch.einsum("bhqk,bkhe->bqhe", weights / weights.sum(-1, keepdim=True), v_bshe)


def _qkv() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(SHAPE, dtype=torch.float64, generator=generator) for _ in range(3)]


def test_causal_source_is_one_dense_masked_attention():
    sees_ss = torch.ones(10, 10, dtype=torch.float64)
    sees_ss[:4, 4:] = 0
    mixed = attend_in_context(*_qkv(), Span("causal-source", source_tokens=4), _attend)
    torch.testing.assert_close(mixed, _dense(*_qkv(), sees_ss), rtol=1e-13, atol=1e-13)


def test_shared_is_plain_attention():
    everything = torch.ones(10, 10, dtype=torch.float64)
    mixed = attend_in_context(*_qkv(), Span("shared", source_tokens=4), _attend)
    torch.testing.assert_close(mixed, _dense(*_qkv(), everything), rtol=1e-13, atol=1e-13)


def test_without_a_source_both_modes_are_plain_attention():
    calls = [attend_in_context(*_qkv(), Span(mode), _attend) for mode in ("shared", "causal-source")]
    assert torch.equal(*calls)


def test_gradients_of_the_two_calls_are_the_dense_one_s():
    sees_ss = torch.ones(10, 10, dtype=torch.float64)
    sees_ss[:4, 4:] = 0
    ours, theirs = ([x.requires_grad_() for x in _qkv()] for _ in range(2))
    weight = torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (attend_in_context(*ours, Span("causal-source", 4), _attend) * weight).sum().backward()
    (_dense(*theirs, sees_ss) * weight).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-12, atol=1e-12)
