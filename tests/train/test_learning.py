"""It learns: on one real pair the loss falls by five times and more, and the adapter's edit of that pair is closer to the target.

The backbone's weights are random: this says that the method's plumbing carries a signal from the pair to the weights and back into an edit,
not what a trained backbone would make of it.
"""

import pytest
import torch

from synclora.backbone.find import find_backbone
from synclora.incontext.flow import SigmaSettings
from synclora.incontext.sampler import Given, SamplerSettings, sample
from synclora.train.adapter import load_adapter
from synclora.train.captions import CaptionStore
from synclora.train.closing import write_adapter
from synclora.train.curated import read_set
from synclora.train.encoder import Encoder
from synclora.train.index import read_index, write_index
from synclora.train.latents import LatentStore
from synclora.train.loop import Job, train
from synclora.train.lora import attach_lora
from synclora.train.recipe import ContextSettings, TrainRecipe
from synclora.train.step import draw, step_loss
from synclora.train.strategy import Worker
from synclora.train.trainset import TrainSet
from tests.train.sets import finish, real_pair

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STEPS = 120


def trained_on_one_pair(out, pair, mode):
    """The job's own loop in this process, without Ray: one real pair, 17 frames of 128 x 128."""
    recipe = TrainRecipe.from_values(
        {
            "steps": STEPS,
            "encode": {"buckets": ["128x128x17"]},
            "optimizer": {"lr": 0.003},
            "checkpoints": {"every": STEPS},
            "validation": {"every": 0, "pairs": 0},
            "context": {"mode": mode},
            "parallel": {"strategy": "ddp", "micro_batch": 4},
        },
        "test",
    )
    samples, backbone, store = read_set(pair), find_backbone(recipe.backbone), LatentStore(out / "latents")
    encoder = Encoder(backbone, recipe.encode, store)
    write_index(store.index, [encoder.encode(sample) for sample in samples])
    encoder.close()
    CaptionStore(out / "captions", recipe.text_encoder).embed(["3d1t", ""], backbone, "cpu", torch.float32)
    job = Job(out, recipe, {sample.pair_id: sample for sample in samples})
    train(job, Worker(), lambda _metrics, _folder: None)
    write_adapter(job, {})


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("mode", ["shared", "causal-source"])
def test_one_pair_is_learnt(mode, portraits, tmp_path):
    pair = finish(
        tmp_path / "set", [real_pair(tmp_path / "set", portraits, "mic_woman", "blonde_SyncLoRA", (512, 512), 81, 25.0)]
    )
    out = tmp_path / "out"
    trained_on_one_pair(out, pair, mode)

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
                stream.sampling(one.caption),
                one.source_bnc,
                Given.start(one.edited_bnc[:, :first], one.grid),
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
