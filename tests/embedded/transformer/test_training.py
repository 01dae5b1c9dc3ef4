"""A run taken up again is the run; what it leaves is a whole backbone; broken inputs are one line."""

import json

import pytest
import torch

from synclora.backbone.base import Caption
from synclora.backbone.find import find_backbone
from synclora.embedded.transformer.__main__ import Run, main, prepare
from synclora.embedded.transformer.settings import TRANSFORMER_RECIPE, TransformerRunSettings, TransformerSettings
from synclora.embedded.transformer.training import caption_of
from synclora.embedded.transformer.watch import Watch
from synclora.errors import SyncLoraError
from synclora.incontext.layout import Given, to_tokens
from synclora.incontext.positions import Grid
from synclora.incontext.sampler import SamplerSettings, sample
from synclora.train.tensorfile import read_tensors
from tests.embedded.autoencoder.test_training import equal
from tests.embedded.conftest import TINY_TRANSFORMER

pytestmark = pytest.mark.usefixtures("one_thread")

WATCHED = TransformerRunSettings(log_steps=1, watched_clips=2, levels=(0.5,), sampled_clips=2, sampling_steps=2)


@pytest.fixture
def prepared(index, vae_folder, latents_cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(latents_cache))

    def call(out, settings=TINY_TRANSFORMER, count=4, resume=False):
        return prepare(index, vae_folder, settings, out, count, resume=resume, tell=lambda _line: None, block=4)

    return call


def run_of(index, prepared, out, steps, **more):
    trainer, codec, origins = prepared(out, **more)
    Run(trainer, Watch(index, trainer, codec, WATCHED), out, WATCHED, origins).train(minutes=1, steps=steps)
    return trainer


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_run_taken_up_again_is_the_run_bit_for_bit(index, prepared, tmp_path, kind):
    optimizer = TINY_TRANSFORMER.optimizer.model_copy(update={"kind": kind})
    settings = TINY_TRANSFORMER.model_copy(update={"optimizer": optimizer})
    whole, *_ = prepared(tmp_path / "whole", settings)
    for _ in range(4):
        whole.step()
    run_of(index, prepared, tmp_path, 2, settings=settings)
    again = run_of(index, prepared, tmp_path, 4, settings=settings, resume=True)
    equal(again.state(), whole.state())


def test_another_recipe_is_refused_and_more_clips_are_not(index, prepared, tmp_path):
    run_of(index, prepared, tmp_path, 1)
    with pytest.raises(SyncLoraError, match="add --resume"):
        prepared(tmp_path)
    with pytest.raises(SyncLoraError, match="another recipe"):
        prepared(tmp_path, TINY_TRANSFORMER.model_copy(update={"seed": 1}), resume=True)
    trainer, _, origins = prepared(tmp_path, count=6, resume=True)
    assert (trainer.steps, trainer.store.count, origins.count) == (1, 6, 6)


def test_the_loss_falls_on_one_clip(prepared, tmp_path):
    trainer, *_ = prepared(tmp_path, count=1)
    losses = [trainer.step()["loss"] for _ in range(60)]
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_what_a_run_leaves_is_a_backbone_that_samples(index, prepared, tmp_path):
    trainer = run_of(index, prepared, tmp_path, 2)
    backbone = find_backbone(str(tmp_path))
    codec, stream = backbone.codec(torch.float32, "cpu"), backbone.stream(torch.float32, "cpu", "shared")
    for name, mean in trainer.averaged().state_dict().items():
        torch.testing.assert_close(stream.transformer.state_dict()[name], mean, rtol=1e-3, atol=1e-6)

    tensors, _ = read_tensors(tmp_path / "caption.safetensors")
    caption = Caption(tensors["embeds"].float(), tensors["mask"])
    torch.testing.assert_close(caption.embeds_bld, caption_of(TINY_TRANSFORMER).embeds_bld)
    grid = Grid(5, 3, 3, 25.0, codec.stride_t, codec.stride_s)
    first = to_tokens(codec.encode(torch.rand(1, 3, 1, 48, 48)))
    made = sample(
        stream.sampling(caption, source=False), torch.zeros(1, 45, 12), Given.start(first, grid), grid, SamplerSettings(steps=2)
    )
    assert bool(made.isfinite().all())
    torch.testing.assert_close(made[:, :9], first)

    facts = json.loads((tmp_path / "model.json").read_text())
    assert facts["trained"] == {"width": 48, "height": 48, "frames": 17, "face_share": 0.58}
    assert facts["made_by"]["steps"] == 2
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == [0, 1, 2, 2]
    assert {"validation_0.5", "train_loss", "motion"} <= logged[-1].keys()
    assert (tmp_path / "contact.png").stat().st_size > 1000


def test_what_an_edit_sees_is_what_was_trained_on(index, prepared, tmp_path):
    """Latents of the store, normalised, are those of the folder's codec."""
    from synclora.embedded.clips.feed import Feed

    trainer, codec, _ = prepared(tmp_path)
    samples = trainer.normaliser.samples(trainer.store.batch([2]))
    clip = Feed(index, TINY_TRANSFORMER.feed()).batch(2)
    torch.testing.assert_close(samples.x0_bnc, to_tokens(codec.encode(clip.pixels_bcfyx)), rtol=2e-3, atol=2e-3)
    assert samples.grids[0] == Grid.of_video(17, 48, 48, clip.fps_b[0], codec.stride_t, codec.stride_s)


def test_the_recipe_beside_the_code_is_its_defaults():
    assert TransformerSettings.from_yaml(TRANSFORMER_RECIPE) == TransformerSettings()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "MANIFEST.json"),
        (["--clips", "0"], "--clips"),
        (["--recipe", "none.yaml"], "none.yaml"),
    ],
)
def test_broken_inputs_are_one_line(tmp_path, capsys, more, words):
    given = ["--portraits", str(tmp_path), "--vae", str(tmp_path / "vae"), "--out", str(tmp_path / "out"), "--minutes", "1"]
    try:
        status = main([*given, *more])
    except SystemExit as error:
        status = error.code
    assert status == 2
    error = capsys.readouterr().err
    assert words in error.splitlines()[-1]


def test_no_autoencoder_is_one_line(prepared, index, tmp_path):
    with pytest.raises(SyncLoraError, match="vae"):
        prepare(index, tmp_path / "vae", TINY_TRANSFORMER, tmp_path / "out", 4, resume=False)
