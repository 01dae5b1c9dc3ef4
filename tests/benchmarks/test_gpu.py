"""Training steps of LTX-Video's 2B and 13B shapes on a card: random weights, 512x512, 81 frames, rank 128, bf16.

pytest -m benchmark -s tests/benchmarks/test_gpu.py                             # one card of 80 GB, some minutes
SYNCLORA_BENCH_TINY=1 pytest -m benchmark -s tests/benchmarks/test_gpu.py       # a miniature on the CPU: does the script work?
"""

import gc
import os

import pytest
import torch

from tests.benchmarks.card import SHAPES, TINY, Bench, Measured, matmul_rate

IS_TINY = bool(os.environ.get("SYNCLORA_BENCH_TINY"))
REASON = "no CUDA card; SYNCLORA_BENCH_TINY=1 runs a miniature on the CPU"

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not (IS_TINY or torch.cuda.is_available()), reason=REASON),
]

HEAD = f"{'':34} {'step s':>7} {'over bare':>9} {'tokens/s':>9} {'TFLOP/s':>8} {'of matmul':>9} {'with recompute':>14} {'peak GB':>8}"


@pytest.fixture(scope="module")
def device():
    return torch.device("cpu" if IS_TINY else "cuda")


@pytest.fixture(scope="module")
def rate(device):
    """The card's own."""
    return matmul_rate(device, 256 if IS_TINY else 8192)


@pytest.mark.parametrize("name", TINY if IS_TINY else SHAPES)
def test_steps(name, device, rate, figure):
    shape = (TINY | SHAPES)[name]
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    bench = Bench(shape, device)
    frozen, adapter = (
        sum(w.numel() for w in bench.transformer.parameters() if w.requires_grad == trains) for trains in (False, True)
    )
    figure(
        f"{name} on {card} ({rate / 1e12:.1f} TFLOP/s in a bf16 product): {frozen / 1e9:.2f} billion frozen weights, "
        f"{adapter / 1e6:.0f} million of the adapter, {2 * shape.grid.tokens} tokens"
    )
    figure(HEAD)
    found = {}
    for mode in ("shared", "causal-source"):
        counted = bench.counted(mode)
        for checkpointing in (True, False):
            found[mode, checkpointing] = measured = bench.measure(mode, checkpointing=checkpointing, rounds=6)
            label = f"{mode}, checkpointing {'on' if checkpointing else 'off'}"
            again = counted.forward if checkpointing else 0
            figure(line(label, measured, counted.step, again, 2 * shape.grid.tokens, rate))
    del bench
    gc.collect()
    torch.cuda.empty_cache()
    assert found["shared", True]
    assert found["causal-source", True]
    if not IS_TINY:
        assert found["causal-source", True].step_s < found["shared", True].step_s
        assert found["shared", True].step_s <= 1.10 * found["shared", True].bare_s


def line(label: str, measured: Measured | None, useful: int, again: int, tokens: int, rate: float) -> str:
    """A row of the table. What checkpointing computes again is counted in the last but one column only."""
    if measured is None:
        return f"{label:34} does not fit"
    flops = useful / measured.step_s
    return (
        f"{label:34} {measured.step_s:7.3f} {measured.step_s / measured.bare_s:9.3f} {tokens / measured.step_s:9.0f} "
        f"{flops / 1e12:8.2f} {flops / rate:9.1%} {(flops + again / measured.step_s) / rate:14.1%} {measured.peak_gb:8.1f}"
    )
