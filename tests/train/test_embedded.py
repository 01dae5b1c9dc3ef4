"""An adapter on a backbone of the embedded one's layout: its own strides and caption in training, and its digest in what is left."""

import torch

from synclora.backbone.find import find_backbone
from synclora.backbone.folder import weights_digest
from synclora.edit.library import read_info
from synclora.embedded.shipping.checks import check_adapter, check_models
from synclora.train.adapter import load_adapter
from synclora.train.captions import CaptionStore
from synclora.train.clips import EncodeSettings
from synclora.train.closing import facts_of, write_adapter
from synclora.train.curated import read_set
from synclora.train.encoder import Encoder
from synclora.train.index import write_index
from synclora.train.latents import LatentStore
from synclora.train.loop import Job
from tests.embedded.small import write_small
from tests.train.conftest import recipe_of, run
from tests.train.sets import add_pair, finish


def test_from_a_set_to_an_adapter_that_can_be_shipped(tmp_path):
    folder, out = write_small(tmp_path / "small", face_share=None), tmp_path / "out"  # its clips show nobody
    samples = read_set(finish(tmp_path / "set", [add_pair(tmp_path / "set", name, frames=17) for name in "ab"]))
    store, backbone = LatentStore(out / "latents"), find_backbone(str(folder))
    encoder = Encoder(backbone, EncodeSettings(buckets=("128x128x17",)), store)
    rows = [encoder.encode(sample) for sample in samples]
    encoder.close()
    write_index(store.index, rows)
    assert {(row.grid.frames, row.grid.height, row.grid.width) for row in rows} == {(5, 8, 8)}
    captions = CaptionStore(out / "captions", str(folder))
    captions.embed(["3d1t", ""], backbone, "cpu", torch.float32)
    assert torch.equal(captions.get("3d1t").embeds_bld, captions.get("").embeds_bld)
    recipe = recipe_of(backbone=str(folder), steps=2, encode={"buckets": ["128x128x17"]}, validation={"pairs": 0})
    job = Job(out, recipe, {sample.pair_id: sample for sample in samples})
    run(job)
    write_adapter(job, facts_of(job, 1))
    metadata = load_adapter(out / "adapter")[1]
    assert (metadata.base_digest, metadata.random_base) == (weights_digest(folder), False)
    assert read_info(out / "adapter", "mine").frames == 17
    assert check_adapter("sync-lora", out / "adapter", check_models(folder)).metadata.base_model == "embedded"
