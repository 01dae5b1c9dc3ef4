"""A run taken up again is the run; a start from principal components; a folder that others load."""

import pytest
import torch

from synclora.backbone.kinds import LTXVideo
from synclora.embedded.autoencoder.__main__ import Run, main, prepare
from synclora.embedded.autoencoder.loss import quality
from synclora.embedded.autoencoder.settings import RECIPE, AutoencoderSettings, OptimSettings
from synclora.embedded.autoencoder.training import Trainer
from synclora.embedded.clips.feed import Feed, fixed_batch
from synclora.embedded.moving import rate_at
from synclora.embedded.runs import RunSettings
from synclora.errors import SyncLoraError
from synclora.train import checkpoint
from tests.embedded.conftest import TINY

pytestmark = pytest.mark.usefixtures("one_thread")


def equal(one, other):
    assert one.steps == other.steps
    for part in ("weights", "mean", "square"):
        first, second = getattr(one, part), getattr(other, part)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first), part


def test_a_run_taken_up_again_is_the_run_bit_for_bit(index, tmp_path):
    whole = prepare(index, TINY, tmp_path / "none", resume=False)
    for _ in range(4):
        whole.step()
    for steps, resume in ((2, False), (4, True)):
        trainer = prepare(index, TINY, tmp_path, resume=resume)
        assert trainer.steps == (2 if resume else 0)
        while trainer.steps < steps:
            trainer.step()
        checkpoint.save(tmp_path / "checkpoints", trainer.state(), TINY.model_dump(mode="json"))
    equal(trainer.state(), whole.state())


def test_a_run_of_another_recipe_is_refused(index, tmp_path):
    trainer = prepare(index, TINY, tmp_path, resume=False)
    trainer.step()
    checkpoint.save(tmp_path / "checkpoints", trainer.state(), TINY.model_dump(mode="json"))
    with pytest.raises(SyncLoraError, match="add --resume"):
        prepare(index, TINY, tmp_path, resume=False)
    with pytest.raises(SyncLoraError, match="another recipe"):
        prepare(index, TINY.model_copy(update={"seed": 1}), tmp_path, resume=True)
    with pytest.raises(SyncLoraError, match="holds no checkpoint"):
        prepare(index, TINY, tmp_path / "new", resume=True)


def test_principal_components_start_it_better_than_chance(index):
    clips = fixed_batch(index.of("train"), TINY)
    started, random = (Trainer(TINY, Feed(index, TINY)) for _ in range(2))
    started.begin(clips.pixels_bcfyx)
    assert quality(started.vae, clips)["psnr"] > quality(random.vae, clips)["psnr"] + 6


def test_the_loss_falls(index):
    close = TINY.augment.model_copy(update={"close": 1.0})
    optimizer = TINY.optimizer.model_copy(update={"batch": 1, "lr": 1e-3})
    settings = TINY.model_copy(update={"pca_start": False, "augment": close, "optimizer": optimizer})
    trainer = Trainer(settings, Feed(index, settings))
    losses = [trainer.step()["loss"] for _ in range(20)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_its_folder_loads_as_a_backbone_s_autoencoder(index, tmp_path):
    from diffusers import AutoencoderKLLTXVideo

    trainer = prepare(index, TINY, tmp_path, resume=False)
    Run(trainer, index, tmp_path, RunSettings(log_steps=1)).train(minutes=1, steps=2)
    codec = LTXVideo("embedded", tmp_path, random=False).codec(torch.float32, "cpu")
    assert (codec.stride_t, codec.stride_s, codec.channels) == (4, 16, 12)
    pixels = fixed_batch(index.of("train"), TINY).pixels_bcfyx
    latents = codec.encode(pixels)
    assert latents.shape == (1, 12, 5, 3, 3)
    assert float(latents.std()) == pytest.approx(1, abs=0.1)
    assert codec.decode(latents).shape == pixels.shape
    theirs = AutoencoderKLLTXVideo.from_pretrained(tmp_path / "vae", torch_dtype=torch.float32)
    back = theirs.decode(theirs.encode(pixels).latent_dist.mode()).sample.clamp(-1, 1)
    torch.testing.assert_close(back, codec.decode(latents), rtol=0, atol=1e-4)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 4


def test_the_rate_rises_and_then_falls_with_the_root():
    settings = OptimSettings(lr=1.0, warmup=10, settle=100)
    rates = [rate_at(step, settings) for step in (0, 9, 300, 9900)]
    assert rates == pytest.approx([0.1, 0.958, 0.5, 0.1], rel=1e-3)


def test_the_recipe_beside_the_code_is_its_defaults():
    assert AutoencoderSettings.from_yaml(RECIPE) == AutoencoderSettings()


def test_a_folder_without_a_manifest_is_one_line(tmp_path, capsys):
    assert main(["--portraits", str(tmp_path), "--out", str(tmp_path / "out"), "--minutes", "1"]) == 2
    assert "MANIFEST.json" in capsys.readouterr().err
