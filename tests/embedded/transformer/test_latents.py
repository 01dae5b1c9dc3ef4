"""A clip's latents are a function of its number; what is there is not made again; channels are as large as the picture needs them."""

import pytest
import torch

from synclora.embedded.autoencoder.model import write_folder
from synclora.embedded.clips.feed import Feed, fixed_batch
from synclora.embedded.gate import open_codec
from synclora.embedded.transformer.latents import build_latents, encode, plain_clips, token_weights
from synclora.embedded.transformer.scale import amplitudes, importance, scaled
from tests.embedded.conftest import TINY_TRANSFORMER

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def vae(vae_folder):
    return open_codec(vae_folder).vae


@pytest.fixture
def store(index, vae_folder, vae, latents_cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(latents_cache))
    return lambda count, settings=TINY_TRANSFORMER: build_latents(index, vae_folder, vae, settings, count, block=3)


def test_a_clip_depends_on_its_number_alone(index, vae, store):
    clip = Feed(index, TINY_TRANSFORMER.feed()).batch(4)
    assert clip.pixels_bcfyx.shape == (1, 3, 17, 48, 48)
    alone, stored = encode(vae, clip), store(5).batch([4, 0])
    assert stored.raw_bnc.shape == (2, 45, 12)
    torch.testing.assert_close(stored.raw_bnc[0], alone.raw_bnc[0].half().float(), rtol=0, atol=0)
    torch.testing.assert_close(stored.weight_bn[0], alone.weight_bn[0], rtol=1e-3, atol=1e-3)
    assert stored.fps[0] == clip.fps_b[0]
    assert not torch.equal(stored.raw_bnc[0], stored.raw_bnc[1])


def test_a_store_grows_and_mends(store):
    small = store(3)
    before = {file: file.stat().st_mtime_ns for file in small.folder.iterdir()}
    first = small.batch([0, 1, 2]).raw_bnc
    large = store(6)
    assert large.folder == small.folder
    assert before == {file: file.stat().st_mtime_ns for file in before}
    torch.testing.assert_close(large.batch([0, 1, 2]).raw_bnc, first, rtol=0, atol=0)
    (large.folder / "00001.json").unlink()  # killed before the block was whole
    fifth = large.batch([5]).raw_bnc
    torch.testing.assert_close(store(6).batch([5]).raw_bnc, fifth, rtol=0, atol=0)
    assert store(3, TINY_TRANSFORMER.model_copy(update={"seed": 1})).folder != small.folder


def test_tokens_weigh_what_their_pixels_do():
    weight = torch.ones(1, 1, 9, 32, 32)
    weight[:, :, 0, :16, 16:] = 5  # first picture, upper right
    weight[:, :, 1:5, 16:, :16] = 3  # second latent frame, lower left
    token = token_weights(weight, 4, 16)[0]
    assert float(token.mean()) == pytest.approx(1)
    assert (token / token[0]).tolist() == pytest.approx([1, 5, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1])


def test_plain_clips_are_of_one_side(index, vae):
    encoded, items = plain_clips(index, "validation", vae, TINY_TRANSFORMER, 3)
    assert {item.split for item in items} == {"validation"}
    assert not torch.equal(encoded.raw_bnc[0], encoded.raw_bnc[1])  # other stretches of the one clip


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_latents_get_mean_nought_and_the_wanted_deviations(index, vae, store, tmp_path, power):
    raw = store(6).batch(range(6)).raw_bnc
    clips = fixed_batch(index.of("train"), TINY_TRANSFORMER.feed())
    wanted = amplitudes(importance(vae, clips, raw.std((0, 1)), 1, seed=0), power)
    settings = TINY_TRANSFORMER.scale.model_copy(update={"power": power})
    write_folder(scaled(vae, raw, clips, settings, seed=0), tmp_path / "vae")
    codec = open_codec(tmp_path / "vae")
    latents = torch.cat([codec.encode(Feed(index, TINY_TRANSFORMER.feed()).batch(n).pixels_bcfyx) for n in range(6)])
    torch.testing.assert_close(latents.mean((0, 2, 3, 4)), torch.zeros(12), rtol=0, atol=0.02)
    torch.testing.assert_close(latents.std((0, 2, 3, 4)), wanted, rtol=0.02, atol=0)
    assert float(wanted.square().mean()) == pytest.approx(1)
    assert (float(wanted.std()) < 1e-6) == (power == 0)


def test_importance_is_what_a_disturbance_does_to_the_picture(index, vae):
    clips = fixed_batch(index.of("train"), TINY_TRANSFORMER.feed())
    with torch.no_grad():
        latents = vae.encode(clips.pixels_bcfyx).latent_dist.mode()
    std = 1e-2 * torch.linspace(0.5, 2, 12)
    found = importance(vae, clips, std, 8, seed=0)
    weight = clips.weight_b1fyx / clips.weight_b1fyx.mean()
    before = vae.decode(latents, return_dict=False)[0]
    for channel in (0, 7, 11):
        moved = latents.clone()
        random = torch.Generator().manual_seed(channel)
        moved[:, channel] += std[channel] * torch.randn(moved[:, channel].shape, generator=random)
        change = vae.decode(moved, return_dict=False)[0] - before
        assert float((weight * change.square()).mean()) == pytest.approx(float(found[channel]), rel=0.3)
