"""What every backbone promises: captions, modes, adapters."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import LTX2InContextPipeline, LTXConditionPipeline
from diffusers.pipelines.ltx2 import LTX2TextConnectors
from peft import LoraConfig
from torch import Tensor

from synclora.backbone.base import Backbone, Caption, Stream
from synclora.backbone.find import find_backbone
from synclora.backbone.load import quiet
from synclora.incontext.attention import MODES

CAPTION = "  the same person with a beard, a hat "


def test_a_caption_is_what_diffusers_pipeline_encodes_ltx_video(ltx_video):
    with quiet():
        pipeline = LTXConditionPipeline.from_pretrained(ltx_video.folder)
    with torch.no_grad():
        embeds_bld, mask_bl, _, _ = pipeline.encode_prompt(CAPTION, do_classifier_free_guidance=False)
    caption = ltx_video.caption(CAPTION)
    assert torch.equal(caption.embeds_bld, embeds_bld)
    assert torch.equal(caption.mask_bl.bool(), mask_bl)
    assert 1 < caption.mask_bl.sum() < caption.mask_bl.numel() == ltx_video.caption_tokens


def test_a_caption_is_what_diffusers_pipeline_encodes_ltx2(ltx2):
    with quiet():
        pipeline = LTX2InContextPipeline.from_pretrained(ltx2.folder)
    with torch.no_grad():
        layers, read_bl, _, _ = pipeline.encode_prompt(CAPTION, do_classifier_free_guidance=False)
        embeds_bld, _, mask_bl = pipeline.connectors(layers, read_bl, padding_side=pipeline.tokenizer_padding_side)
    caption = ltx2.caption(CAPTION)
    assert torch.equal(caption.embeds_bld, embeds_bld)
    assert torch.equal(caption.mask_bl, mask_bl)
    assert caption.mask_bl.shape == (1, ltx2.caption_tokens)
    assert not torch.equal(ltx2.caption("3d1t").embeds_bld, embeds_bld)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_caption_of_2_0_which_counts_its_words_from_one_side(ltx2, tmp_path, side):
    """LTX-2.0 normalises over the words alone, and must know on which side they are. Gemma pads on the left whatever the folder says."""
    folder = Path(shutil.copytree(ltx2.folder, tmp_path / "model"))
    torch.manual_seed(0)
    video, audio = (
        {f"{of}_connector_num_attention_heads": 4, f"{of}_connector_attention_head_dim": 16} for of in ("video", "audio")
    )
    connectors = LTX2TextConnectors(caption_channels=64, text_proj_in_factor=3, **video, **audio)
    connectors.save_pretrained(folder / "connectors")
    settings = folder / "tokenizer" / "tokenizer_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "padding_side": side}))
    with quiet():
        pipeline = LTX2InContextPipeline.from_pretrained(folder)
    with torch.no_grad():
        layers, read_bl, _, _ = pipeline.encode_prompt(CAPTION, do_classifier_free_guidance=False)
        embeds_bld, _, mask_bl = pipeline.connectors(layers, read_bl, padding_side=pipeline.tokenizer_padding_side)
    caption = find_backbone(str(folder)).caption(CAPTION)
    assert pipeline.tokenizer_padding_side == side
    assert torch.equal(caption.embeds_bld, embeds_bld)
    assert torch.equal(caption.mask_bl, mask_bl)


def _late_source(stream: Stream, tokens: Any, caption: Caption) -> Tensor:
    """Hidden states of the source after the last block."""
    kept = []
    block = stream.transformer.transformer_blocks[-1]
    handle = block.register_forward_hook(lambda _module, _arguments, output: kept.append(output))
    with torch.no_grad():
        stream.velocity(tokens, caption)
    handle.remove()
    hidden_bsd = kept[0][0] if isinstance(kept[0], tuple) else kept[0]
    return hidden_bsd[:, : tokens.source_tokens]


@pytest.mark.parametrize("mode", MODES)
def test_only_in_causal_source_the_source_never_depends_on_target_or_level(backbone, tokens_of, mode):
    stream, caption = backbone.stream(torch.float32, "cpu", mode), backbone.caption("3d1t").expand(2)
    once = _late_source(stream, tokens_of(target_seed=1, sigma=0.7), caption)
    for tokens in (tokens_of(target_seed=2, sigma=0.7), tokens_of(target_seed=1, sigma=0.2), tokens_of(target_seed=3, sigma=1.0)):
        assert torch.equal(_late_source(stream, tokens, caption), once) == (mode == "causal-source")


@pytest.mark.parametrize("mode", MODES)
def test_target_depends_on_source_level_and_caption(backbone, tokens_of, mode):
    stream, caption = backbone.stream(torch.float32, "cpu", mode), backbone.caption("3d1t").expand(2)
    tokens = tokens_of()

    def target(tokens: Any, caption: Caption = caption) -> Tensor:
        with torch.no_grad():
            return stream.velocity(tokens, caption)[:, tokens.source_tokens :]

    velocity = target(tokens)
    assert velocity.shape == (2, tokens.source_tokens, stream.channels)
    assert torch.equal(target(tokens_of()), velocity)
    for other in (tokens_of(source=False), tokens_of(sigma=0.6), tokens_of(target_seed=2)):
        assert not torch.allclose(target(other), velocity, atol=1e-4)
    assert not torch.equal(target(tokens, backbone.caption("a hat").expand(2)), velocity)


@pytest.mark.parametrize("mode", MODES)
def test_adapters_train_the_video_s_layers_with_and_without_checkpointing(backbone, tokens_of, mode):
    stream = backbone.stream(torch.float32, "cpu", mode)
    caption, tokens = backbone.caption("3d1t").expand(2), tokens_of()
    torch.manual_seed(0)
    stream.transformer.add_adapter(LoraConfig(r=2, target_modules=stream.lora_targets, init_lora_weights=False))
    trained = {name: weight for name, weight in stream.transformer.named_parameters() if weight.requires_grad}
    assert len(trained) == 4 * 10 * 2  # blocks; to_q, to_k, to_v, to_out of two attentions and two of the feed-forward; A and B
    assert not [name for name in trained if "lora" not in name or "audio" in name]

    def gradients() -> list[Tensor]:
        stream.velocity(tokens, caption).square().mean().backward()
        taken = [weight.grad for weight in trained.values()]
        stream.transformer.zero_grad()
        return taken

    plain = gradients()
    stream.transformer.enable_gradient_checkpointing()
    again = gradients()
    assert all(grad is not None and grad.abs().sum() > 0 for grad in plain)
    for one, other in zip(plain, again, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-9)


def test_bfloat16_gives_nearly_the_same(backbone: Backbone, tokens_of):
    tokens, caption = tokens_of(), backbone.caption("3d1t").expand(2)
    velocities = []
    for dtype in (torch.float32, torch.bfloat16):
        stream = backbone.stream(dtype, "cpu", "causal-source")
        cast = type(tokens)(tokens.x_bsc.to(dtype), tokens.sigma_bs, tokens.sigma_b, tokens.bounds_basz, tokens.source_tokens)
        with torch.no_grad():
            velocities.append(stream.velocity(cast, caption.to("cpu", dtype)))
    assert velocities[1].dtype == torch.bfloat16
    assert (velocities[0] - velocities[1].float()).norm() < 0.03 * velocities[0].norm()


def test_captions_of_samples_stack(backbone):
    one, two = backbone.caption("3d1t"), backbone.caption("a hat")
    both = Caption.stack([one, two])
    assert torch.equal(both.embeds_bld[1:], two.embeds_bld)
    assert torch.equal(both.mask_bl[:1], one.mask_bl)


def test_a_reader_embeds_any_number_of_captions(backbone):
    read = backbone.reader()
    for text in (CAPTION, ""):
        held, once = read(text), backbone.caption(text)
        assert torch.equal(held.embeds_bld, once.embeds_bld)
        assert torch.equal(held.mask_bl, once.mask_bl)
    assert not torch.equal(read("").embeds_bld, read(CAPTION).embeds_bld)
