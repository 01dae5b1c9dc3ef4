"""Pictures and videos of FLUX.1's and Wan 2.2's shapes on a card: random weights, the recipe's default sizes and steps, bf16.

pytest -m benchmark -s tests/benchmarks/test_gpu_pairs.py                         # one card of 80 GB, about ten minutes
SYNCLORA_BENCH_TINY=1 pytest -m benchmark -s tests/benchmarks/test_gpu_pairs.py   # miniatures on the CPU: does the script work?

Of a video two and four steps are run, and the rest is computed from the two: 40 steps are the same step 40 times.
SYNCLORA_BENCH_FULL=1 runs them all.
"""

import gc
import os
import time

import numpy as np
import pytest
import torch

from synclora.pairs.diffusion.find import look_up
from synclora.pairs.diffusion.model import Order, open_model
from synclora.pairs.diffusion.settings import GenerateSettings, ModelSettings, Stage, VideoSettings
from tests.benchmarks import generating
from tests.pairs.diffusion.models import FLUX, KONTEXT, WAN

IS_TINY = bool(os.environ.get("SYNCLORA_BENCH_TINY"))
IS_FULL = bool(os.environ.get("SYNCLORA_BENCH_FULL"))
REASON = "no CUDA card; SYNCLORA_BENCH_TINY=1 runs miniatures on the CPU"
DEVICE = "cpu" if IS_TINY else "cuda"
SETTINGS = GenerateSettings()

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not (IS_TINY or torch.cuda.is_available()), reason=REASON),
]


def asked(stage: Stage, settings: ModelSettings, count: int) -> list[Order]:
    picture = None if stage is Stage.PORTRAIT else np.full((settings.height, settings.width, 3), 127, np.uint8)
    return [Order(f"a person in a room, number {number}", number, picture) for number in range(count)]


def timed(model, orders: list[Order]) -> tuple[float, float]:
    """Seconds of a call, and the card's peak in GB."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    made = model.make(orders)
    spent = time.perf_counter() - begin  # what was made lies in host memory: the card is done
    assert len(made) == len(orders)
    return spent, torch.cuda.max_memory_allocated() / 1e9 if DEVICE == "cuda" else 0.0


def settings_of(stage: Stage) -> ModelSettings:
    if IS_TINY:
        return {Stage.PORTRAIT: FLUX, Stage.EDIT: KONTEXT, Stage.VIDEO: WAN}[stage]
    return SETTINGS.stage(stage)


def model_of(stage: Stage, parts, settings: ModelSettings):
    if IS_TINY:
        return open_model(stage, settings, look_up(stage, settings), "cpu")
    make = {Stage.PORTRAIT: generating.flux, Stage.EDIT: generating.kontext, Stage.VIDEO: generating.wan}[stage]
    return make(parts, settings, DEVICE)


@pytest.fixture
def empty_card():
    yield
    gc.collect()
    if DEVICE == "cuda":
        torch.cuda.empty_cache()


def card() -> str:
    return torch.cuda.get_device_name(0) if DEVICE == "cuda" else "CPU"


def test_pictures(figure, empty_card):
    parts = None if IS_TINY else generating.flux_parts(torch.device(DEVICE))
    for stage in (Stage.PORTRAIT, Stage.EDIT):
        settings = settings_of(stage)
        model = model_of(stage, parts, settings)
        model.warm_up()
        for count in (1, 2, 4):
            seconds, peak = timed(model, asked(stage, settings, count))
            figure(
                f"{model.name} on {card()}, {settings.width}x{settings.height}, {settings.steps} steps, batch {count}: "
                f"{seconds / count:.2f} s a picture, peak {peak:.1f} GB"
            )
            assert seconds > 0


def test_videos(figure, empty_card):
    parts = None if IS_TINY else generating.wan_parts(torch.device(DEVICE))
    settings = settings_of(Stage.VIDEO)
    assert isinstance(settings, VideoSettings)

    def run(steps: int) -> tuple[float, float]:
        short = settings.model_copy(update={"steps": steps})
        return timed(model_of(Stage.VIDEO, parts, short), asked(Stage.VIDEO, short, 1))

    model = model_of(Stage.VIDEO, parts, settings)
    model.warm_up()
    (two_s, _), (four_s, peak) = run(2), run(4)
    step_s = (four_s - two_s) / 2
    figure(
        f"{model.name} on {card()}, {settings.width}x{settings.height}, {settings.frames} frames: {step_s:.2f} s a step, "
        f"{two_s - 2 * step_s:.1f} s around them, so {two_s + (settings.steps - 2) * step_s:.0f} s a video of {settings.steps} steps, "
        f"peak {peak:.1f} GB"
    )
    if IS_FULL:
        seconds, peak = run(settings.steps)
        figure(f"… all {settings.steps} steps run: {seconds:.0f} s, peak {peak:.1f} GB")
    assert two_s > 0
