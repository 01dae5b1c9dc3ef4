"""What an edit saves by remembering the source, and what an adapter's swap costs.

Steps of both sides in turn, on one thread. The transformers are 256 channels wide: at the 2 x 2816 tokens of 512x512, 81 frames attention has a
larger share of the work than in the released models, at 2 x 320 tokens the share that it has in the 2B model.
"""

import time
from statistics import median

import pytest
import torch

from synclora.backbone.base import Caption, Stream
from synclora.backbone.find import find_backbone
from synclora.incontext.layout import Tokens, first_frame, lay_out
from synclora.incontext.memory import SourceMemory
from synclora.incontext.positions import Grid
from synclora.train.lora import LoraSettings, add_lora, lora_state, ready_lora
from tests.benchmarks.midsize import caption_width, grown

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800), pytest.mark.usefixtures("one_thread")]

GRIDS = {"5632 tokens": (Grid.of_video(81, 512, 512, 25.0), 4), "640 tokens": (Grid.of_video(33, 256, 256, 25.0), 20)}
KINDS = ("ltx-video", "ltx-2")


@pytest.fixture(scope="module", params=KINDS)
def stream(request, tmp_path_factory) -> Stream:
    folder = grown(request.param, tmp_path_factory.mktemp("base") / "model", layers=8, heads=4)
    return find_backbone(str(folder)).stream(torch.float32, "cpu", "causal-source")


def tokens_of(grid: Grid, channels: int) -> Tokens:
    source, target = torch.randn(2, 1, grid.tokens, channels)
    return lay_out(source, target, torch.tensor([0.6]), first_frame(torch.tensor([True]), grid), grid)


@pytest.mark.parametrize("size", GRIDS)
@torch.no_grad()
def test_a_step_with_the_source_remembered(stream, size, figure):
    (grid, rounds), kind = GRIDS[size], type(stream).__name__
    tokens = tokens_of(grid, stream.channels)
    caption = Caption(torch.randn(1, 64, caption_width(stream.transformer.config)), torch.ones(1, 64))
    memory, took = SourceMemory(), {"whole": [], "remembered": []}
    stream.velocity(tokens, caption, memory=memory)
    for _ in range(rounds):
        for side, one in (("whole", None), ("remembered", memory)):
            began = time.process_time()
            stream.velocity(tokens, caption, memory=one)
            took[side].append(time.process_time() - began)
    whole, remembered = (median(took[side]) for side in took)
    shares = sorted(b / a for a, b in zip(*took.values(), strict=True))
    figure(
        f"{kind}, {size}: step {whole:.2f} s, source remembered {remembered:.2f} s, "
        f"{remembered / whole:.2f} of it ({shares[0]:.2f} to {shares[-1]:.2f})"
    )
    assert remembered < 0.8 * whole


def test_a_swap(tmp_path, figure):
    """Between two adapters of rank 128 on every layer of the lineage."""
    folder = grown("ltx-video", tmp_path / "model", layers=28, heads=4)
    states = []
    for seed in (1, 2):
        trained = find_backbone(str(folder)).stream(torch.float32, "cpu", "shared")
        add_lora(trained, LoraSettings(rank=128), seed)
        states.append(lora_state(trained.transformer))
    stream = find_backbone(str(folder)).stream(torch.float32, "cpu", "shared")
    both, took = [ready_lora(stream, state) for state in states], []
    for number in range(50):
        began = time.perf_counter()
        stream.use(both[number % 2])
        took.append(1000 * (time.perf_counter() - began))
    layers = len(both[0].layers)
    figure(f"swap of two adapters of {layers} layers: {median(took):.1f} ms ({min(took):.1f} to {max(took):.1f})")
    assert median(took) < 20
