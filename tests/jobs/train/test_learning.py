"""It learns: on one real pair the loss falls by five times and more, and the adapter's edit of that pair is closer to the target.

The backbone's weights are random: this says that the method's plumbing carries a signal from the pair to the weights and back into an edit,
not what a trained backbone would make of it.
"""

import pytest
import torch

from synclora.backbone.find import find_backbone
from synclora.incontext.flow import SigmaSettings
from synclora.incontext.sampler import SamplerSettings, sample
from synclora.train.adapter import load_adapter
from synclora.train.captions import CaptionStore
from synclora.train.index import read_index
from synclora.train.latents import LatentStore
from synclora.train.lora import attach_lora
from synclora.train.recipe import ContextSettings
from synclora.train.step import draw, step_loss
from synclora.train.trainset import TrainSet
from tests.jobs.train.conftest import train_here
from tests.train.sets import finish, real_pair

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RECIPE = """
steps: 120
batch: 4
encode: {buckets: [128x128x17]}
optimizer: {lr: 0.003}
checkpoints: {every: 120}
validation: {every: 0, pairs: 0}
context: {mode: MODE}
parallel: {workers: 1, strategy: ddp, micro_batch: 4, cpus_per_worker: 1}
"""


@pytest.mark.parametrize("mode", ["shared", "causal-source"])
def test_one_pair_is_learnt(mode, portraits, ray_address, tmp_path):
    pair = finish(
        tmp_path / "set", [real_pair(tmp_path / "set", portraits, "mic_woman", "blonde_SyncLoRA", (512, 512), 81, 25.0)]
    )
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    recipe.write_text(RECIPE.replace("MODE", mode))
    done = train_here("--set", pair, "--out", out, "--recipe", recipe, address=ray_address)
    assert (done.status, done.stderr) == (0, "")

    (row,) = read_index(out / "latents" / "index.parquet")
    captions = CaptionStore(out / "captions", "tiny:ltx-video")
    clips = TrainSet([row], LatentStore(out / "latents"), captions, {row.pair_id: "3d1t"}, "cpu", torch.float32)
    batch = clips.batch([0] * 32)
    draws = draw(99, 0, range(32), batch, ContextSettings(), SigmaSettings())  # noise that training never drew
    one = clips.batch([0])
    first = one.grid.frame_tokens

    def looked_at(stream):
        with torch.no_grad():
            loss = float(step_loss(stream, batch, draws).mean())
            edit = sample(
                lambda tokens: stream.velocity(tokens, one.caption),
                one.source_bnc,
                one.edited_bnc[:, :first],
                one.grid,
                SamplerSettings(steps=20, seed=5),
            )
        return loss, float((edit - one.edited_bnc)[:, first:].abs().mean())

    backbone = find_backbone("tiny:ltx-video")
    bare = backbone.stream(torch.float32, "cpu", mode)
    loss_before, distance_before = looked_at(bare)
    adapted = backbone.stream(torch.float32, "cpu", mode)
    state, metadata = load_adapter(out / "adapter")
    attach_lora(adapted, state, metadata.alpha)
    loss_after, distance_after = looked_at(adapted)
    of_source = float((one.source_bnc - one.edited_bnc)[:, first:].abs().mean())
    assert loss_after < loss_before / 5, (loss_before, loss_after)
    # Mean absolute difference of normalised latents, the given first frame left out
    assert distance_after < 0.5 * distance_before, (distance_before, distance_after)
    assert distance_after < of_source, (of_source, distance_after)  # closer than a copy of the source
