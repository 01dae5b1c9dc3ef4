"""LTX-Video: our stream against diffusers' own transformer and positions."""

import pytest
import torch
from diffusers import LTXConditionPipeline, LTXVideoTransformer3DModel

from synclora.backbone.ltx_video import TIMESTEPS
from synclora.incontext.positions import Grid


def test_shared_mode_is_diffusers_own_forward(ltx_video, tokens_of):
    stock = LTXVideoTransformer3DModel.from_pretrained(ltx_video.folder, subfolder="transformer").eval()
    stream, caption, tokens = ltx_video.stream(torch.float32, "cpu", "shared"), ltx_video.caption("3d1t").expand(2), tokens_of()
    with torch.no_grad():
        expected = stock(
            hidden_states=tokens.x_bsc,
            encoder_hidden_states=caption.embeds_bld,
            timestep=tokens.sigma_bs * TIMESTEPS,
            encoder_attention_mask=caption.mask_bl,
            video_coords=tokens.bounds_basz[..., 0],
        ).sample
        velocity = stream.velocity(tokens, caption)
    assert torch.equal(velocity, expected)


@pytest.mark.parametrize("fps", [14.7, 16.0, 25.0])
def test_positions_are_the_sampler_s(ltx_video, tokens_of, fps):
    grid = Grid.of_video(frames=17, height=128, width=96, fps=fps)
    ids = LTXConditionPipeline._prepare_video_ids(1, grid.frames, grid.height, grid.width)
    expected = LTXConditionPipeline._scale_video_ids(ids, scale_factor=32, scale_factor_t=8, frame_index=0).float()
    expected[:, 0] = expected[:, 0] * (1.0 / fps)  # as the sampler's loop does
    torch.testing.assert_close(grid.bounds_anz()[None, ..., 0], expected, rtol=2e-7, atol=0)


def test_a_key_frame_lies_where_the_sampler_puts_it():
    grid = Grid.of_video(frames=17, height=128, width=96, fps=14.7)
    ids = LTXConditionPipeline._prepare_video_ids(1, 1, grid.height, grid.width)
    expected = LTXConditionPipeline._scale_video_ids(ids, scale_factor=32, scale_factor_t=8, frame_index=11).float()
    expected[:, 0] = expected[:, 0] * (1.0 / 14.7)
    torch.testing.assert_close(grid.picture_bounds_anz(11)[None, ..., 0], expected, rtol=2e-7, atol=0)


def test_source_and_target_lie_on_the_same_positions(ltx_video, tokens_of):
    stream, tokens = ltx_video.stream(torch.float32, "cpu", "shared"), tokens_of()
    starts_bas = stream.inputs(tokens, ltx_video.caption("3d1t"))["video_coords"]
    assert torch.equal(starts_bas[..., : tokens.source_tokens], starts_bas[..., tokens.source_tokens :])
