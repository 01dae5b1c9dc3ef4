"""The autoencoders: latents, their normalisation, and time's direction."""

import pytest
import torch

from synclora.backbone.base import Backbone, Codec


@pytest.fixture(scope="module")
def codec(backbone: Backbone) -> Codec:
    return backbone.codec(torch.float32, "cpu")


@pytest.fixture(scope="module")
def video() -> torch.Tensor:
    """Two clips of 17 frames, 96x128, of soft random colours."""
    small = torch.rand(2, 3, 17, 6, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.nn.functional.interpolate(small, (17, 96, 128), mode="trilinear")


def test_strides_and_shapes(codec, video):
    latents = codec.encode(video)
    assert (codec.stride_t, codec.stride_s, codec.channels) == (8, 32, 16)
    assert latents.shape == (2, 16, 3, 3, 4)
    decoded = codec.decode(latents)
    assert decoded.shape == video.shape
    assert decoded.abs().max() <= 1


def test_equal_pixels_give_equal_latents(codec, video):
    assert torch.equal(codec.encode(video), codec.encode(video.clone()))
    assert torch.equal(codec.decode(codec.encode(video)), codec.decode(codec.encode(video)))


def test_the_first_latent_frame_is_its_picture_s_alone(codec, video):
    alone = codec.encode(video[:, :, :1])
    assert alone.shape == (2, 16, 1, 3, 4)
    torch.testing.assert_close(codec.encode(video)[:, :, :1], alone, rtol=0, atol=1e-5)


def test_a_latent_frame_does_not_see_the_future(codec, video):
    changed = video.clone()
    changed[:, :, 9:] = -changed[:, :, 9:]
    before, after = codec.encode(video), codec.encode(changed)
    torch.testing.assert_close(before[:, :, :2], after[:, :, :2], rtol=0, atol=1e-5)
    assert not torch.allclose(before[:, :, 2], after[:, :, 2], atol=1e-2)


def test_latents_have_mean_0_and_deviation_1(codec, video):
    latents = codec.encode(video)
    assert latents.mean().abs() < 0.3
    assert 0.7 < latents.std() < 1.4


def test_decoding_undoes_the_normalisation(codec, video):
    raw = codec.vae.encode(video).latent_dist.mode()
    torch.testing.assert_close(codec.decode(codec.encode(video)), codec.vae.decode(raw).sample.clamp(-1, 1), rtol=0, atol=1e-4)


def test_bfloat16_in_float32_out_of_nothing(backbone, video):
    codec = backbone.codec(torch.bfloat16, "cpu")
    latents = codec.encode(video)
    assert latents.dtype == torch.bfloat16
    assert codec.decode(latents).dtype == torch.bfloat16
