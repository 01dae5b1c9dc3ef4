"""LTX-2: our stream against diffusers' own in-context pipeline and transformer."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import LTX2InContextPipeline, LTX2VideoTransformer3DModel
from diffusers.models.transformers.transformer_ltx2 import LTX2PerturbedAttnProcessor
from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2ConditionPipeline, LTX2VideoCondition
from diffusers.pipelines.ltx2.pipeline_ltx2_ic_lora import LTX2ReferenceCondition
from PIL import Image
from torch import Tensor

from synclora.backbone.base import Caption
from synclora.backbone.load import quiet
from synclora.backbone.ltx2 import TIMESTEPS, LTX2Stream
from synclora.backbone.ltx2_silence import silence
from synclora.incontext.layout import first_frame, lay_out, to_tokens
from synclora.incontext.positions import Grid

CLIP = Grid.of_video(frames=17, height=96, width=128, fps=14.7)
ROUNDING = 5e-6  # of float32, at velocities of deviation 0.6: the same sums over tokens in another order; 5e-7 measured

SIZE = {"num_layers": 3, "in_channels": 16, "out_channels": 16, "num_attention_heads": 4, "attention_head_dim": 16}
AUDIO = {"audio_in_channels": 4, "audio_out_channels": 4, "audio_num_attention_heads": 4, "audio_attention_head_dim": 8}
TEXT = {"caption_channels": 64, "cross_attention_dim": 64, "audio_cross_attention_dim": 32}
GATES = {"gated_attn": True, "audio_gated_attn": True, "cross_attn_mod": True, "audio_cross_attn_mod": True}
RELEASES = {
    "2.0": {"rope_type": "interleaved"},
    "2.3": {**GATES, "rope_type": "split", "perturbed_attn": True, "use_prompt_embeddings": False},
    "2.5": {**GATES, "rope_type": "split", "use_prompt_embeddings": False, "use_prompt_adaln_single": False, "ff_bias": False},
}


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> LTX2VideoTransformer3DModel:
    torch.manual_seed(0)
    return LTX2VideoTransformer3DModel(**SIZE, **AUDIO, **TEXT, **RELEASES[request.param]).eval()


@pytest.fixture(scope="module")
def caption() -> Caption:
    """Two captions of ten tokens, of which seven and ten count."""
    mask_bl = (torch.arange(10) < torch.tensor([[7], [10]])).long()
    return Caption(torch.randn(2, 10, 64, generator=torch.Generator().manual_seed(9)), mask_bl)


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """A video of soft random colours."""
    small = np.random.default_rng(0).integers(0, 256, (CLIP.video_frames, 6, 8, 3), dtype=np.uint8)
    return [Image.fromarray(picture).resize((128, 96), Image.Resampling.BICUBIC) for picture in small]


@pytest.fixture(scope="module")
def pipeline_calls(ltx2, pictures) -> list[tuple[dict[str, Any], Tensor]]:
    """What the pipeline gives its transformer in the calls that isolate the modalities, and the video velocity it gets back."""
    with quiet():
        pipeline = LTX2InContextPipeline.from_pretrained(ltx2.folder)
    pipeline.set_progress_bar_config(disable=True)
    calls = []

    def record(_module: Any, _positional: Any, arguments: dict[str, Any], output: Any) -> None:
        if arguments["isolate_modalities"]:
            calls.append((arguments, output[0]))

    pipeline.transformer.register_forward_hook(record, with_kwargs=True)
    pipeline(
        prompt="3d1t",
        reference_conditions=[LTX2ReferenceCondition(frames=pictures)],
        conditions=[LTX2VideoCondition(frames=pictures[3], index=0, strength=1.0, crf=0)],
        **{"height": 96, "width": 128, "num_frames": CLIP.video_frames, "frame_rate": CLIP.fps, "num_inference_steps": 2},
        **{"guidance_scale": 1.0, "audio_guidance_scale": 1.0, "stg_scale": 0.0, "audio_stg_scale": 0.0, "modality_scale": 3.0},
        generator=torch.Generator().manual_seed(5),
        output_type="latent",
    )
    return calls


def _source_first(target_first: Tensor, dim: int) -> Tensor:
    return torch.cat([target_first.narrow(dim, CLIP.tokens, CLIP.tokens), target_first.narrow(dim, 0, CLIP.tokens)], dim)


def test_the_in_context_pipeline_and_shared_mode_give_the_same_velocity(ltx2, pipeline_calls):
    stream, caption = ltx2.stream(torch.float32, "cpu", "shared"), ltx2.caption("3d1t")
    clean_bn = first_frame(torch.ones(1, dtype=torch.bool), CLIP)
    assert len(pipeline_calls) == 2
    for theirs, velocity_bsc in pipeline_calls:
        source_bsc = _source_first(theirs["hidden_states"], 1)
        tokens = lay_out(*source_bsc.split(CLIP.tokens, 1), theirs["sigma"] / TIMESTEPS, clean_bn, CLIP)
        assert torch.equal(tokens.x_bsc, source_bsc)
        assert torch.equal(tokens.bounds_basz, _source_first(theirs["video_coords"], 2))
        # σ went through a division and a multiplication: one step of float32
        torch.testing.assert_close(tokens.sigma_bs * TIMESTEPS, _source_first(theirs["timestep"], 1), rtol=2e-7, atol=0)
        with torch.no_grad():
            ours_bsc = stream.velocity(tokens, caption)
        torch.testing.assert_close(ours_bsc, _source_first(velocity_bsc, 1), rtol=0, atol=ROUNDING)


def test_a_key_frame_lies_where_the_pipeline_puts_it():
    sizes = {"transformer_spatial_patch_size": 1, "transformer_temporal_patch_size": 1}
    ratios = {"vae_spatial_compression_ratio": 32, "vae_temporal_compression_ratio": 8}
    place = {"keyframe_latent_num_frames": 1, "keyframe_latent_height": CLIP.height, "keyframe_latent_width": CLIP.width}
    expected = LTX2ConditionPipeline._prepare_keyframe_coords(
        SimpleNamespace(**sizes, **ratios), **place, pixel_frame_idx=11, num_pixel_frames=1, fps=CLIP.fps, device="cpu"
    )
    assert torch.equal(CLIP.picture_bounds_anz(11)[None], expected)


def test_source_tokens_are_the_pipeline_s(ltx2, pictures, pipeline_calls):
    video_fyxc = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).float() / 127.5 - 1
    codec = ltx2.codec(torch.float32, "cpu")
    source_bnc = to_tokens(codec.encode(video_fyxc.permute(3, 0, 1, 2)[None]))
    for theirs, _ in pipeline_calls:
        torch.testing.assert_close(source_bnc, theirs["hidden_states"][:, CLIP.tokens :], rtol=0, atol=ROUNDING)


def test_silence_changes_no_bit_of_the_video(release, caption, tokens_of):
    tokens, generator = tokens_of(), torch.Generator().manual_seed(3)
    ours = {
        "hidden_states": tokens.x_bsc,
        "encoder_hidden_states": caption.embeds_bld,
        "encoder_attention_mask": caption.mask_bl,
        "timestep": tokens.sigma_bs * TIMESTEPS,
        "sigma": tokens.sigma_b * TIMESTEPS,
        "video_coords": tokens.bounds_basz,
    }
    loud = {
        "audio_hidden_states": torch.randn(2, 5, 4, generator=generator),
        "audio_encoder_hidden_states": torch.randn(
            2, 10, 64 if release.config.use_prompt_embeddings else 32, generator=generator
        ),
        "audio_timestep": torch.rand(2, generator=generator) * TIMESTEPS,
        "audio_num_frames": 5,
    }
    with torch.no_grad():
        expected, _ = release(**ours, **loud, isolate_modalities=True, use_cross_timestep=True, return_dict=False)
        velocity = LTX2Stream(release, "shared").velocity(tokens, caption)
    assert torch.equal(velocity, expected)


def test_no_weight_of_the_audio_is_left(release):
    before = sum(weight.numel() for weight in release.parameters())
    silence(release)
    silence(release)
    names = [name for name, _ in release.named_parameters()]
    assert not [name for name in names if "audio" in name or "a2v" in name or "av_" in name]
    assert sum(weight.numel() for weight in release.parameters()) < 0.75 * before
    assert {"transformer_blocks.0.attn2.to_k.weight", "transformer_blocks.2.ff.net.2.weight", "time_embed.linear.weight"} <= {
        *names
    }


def test_source_tokens_see_the_caption_at_level_0_and_target_tokens_at_their_own(ltx2, tokens_of):
    """Each half of the caption's attention is the stock processor's over the caption modulated by that level alone."""
    stream, tokens = ltx2.stream(torch.float32, "cpu", "causal-source"), tokens_of()
    caption = ltx2.caption("a person speaks to the camera").expand(2)
    block, seen = stream.transformer.transformer_blocks[2], {}

    def keep(_module: Any, positional: Any, arguments: dict[str, Any], output: Tensor) -> None:
        seen.update(arguments, query=positional[0], output=output)

    block.attn2.register_forward_hook(keep, with_kwargs=True)
    with torch.no_grad():
        stream.velocity(tokens, caption)
        for part, sigma_b in (
            (slice(0, tokens.source_tokens), torch.zeros(2)),
            (slice(tokens.source_tokens, None), tokens.sigma_b),
        ):
            level, _ = stream.transformer.prompt_adaln(sigma_b * TIMESTEPS, batch_size=2, hidden_dtype=torch.float32)
            shift_b1d, scale_b1d = block.get_mod_params(block.prompt_scale_shift_table, level.view(2, 1, -1), 2)
            text_bld = caption.embeds_bld * (1 + scale_b1d) + shift_b1d
            expected = LTX2PerturbedAttnProcessor()(
                block.attn2, seen["query"][:, part], text_bld, torch.zeros(2, 1, text_bld.shape[1])
            )
            torch.testing.assert_close(seen["output"][:, part], expected, rtol=0, atol=ROUNDING)


def test_causal_source_is_the_stock_model_with_a_mask(release, caption, tokens_of):
    """Where the caption is at one level for all, diffusers' own mask over tokens says the same: without prompt modulation, or at σ = 0."""
    modulated = release.prompt_modulation and release.config.use_prompt_adaln_single
    tokens = tokens_of(sigma=0.0 if modulated else 0.7)
    cut = tokens.source_tokens
    mask_ss = torch.ones(2 * cut, 2 * cut)
    mask_ss[:cut, cut:] = 0
    silence(release)
    with torch.no_grad():
        arguments = LTX2Stream(release, "shared").inputs(tokens, caption)
        for block in release.transformer_blocks:
            block.attn1.set_processor(LTX2PerturbedAttnProcessor())
        expected = release(**arguments, video_self_attention_mask=mask_ss.expand(2, -1, -1))[0]
        velocity = LTX2Stream(release, "causal-source").velocity(tokens, caption)
    torch.testing.assert_close(velocity, expected, rtol=0, atol=ROUNDING)
