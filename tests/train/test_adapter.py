import json
import re

import pytest
import torch
from diffusers import LTX2InContextPipeline, LTX2VideoTransformer3DModel, LTXConditionPipeline, LTXPipeline
from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_ltx2_lora_to_diffusers
from safetensors.torch import load_file, save_file

from synclora.edit.library import read_info
from synclora.train import adapter
from synclora.train.adapter import COMFYUI_FILE, DIFFUSERS_FILE, load_adapter, save_adapter
from synclora.train.lora import AdapterError, attach_lora, layers_of, lora_state
from synclora.train.tensorfile import read_tensors, write_tensors
from tests.train.adapters import KINDS, adapted, caption, metadata, stream, tiny, tokens, velocity

FILES = (DIFFUSERS_FILE, COMFYUI_FILE)
LAYER = "transformer_blocks.0.attn1.to_q"
A, B = f"{LAYER}.lora_A.weight", f"{LAYER}.lora_B.weight"
PIPELINES = {"ltx-video": LTXConditionPipeline, "ltx-2": LTX2InContextPipeline}


def weights(rank=4, side=6, layers=(LAYER,), seed=0):
    """An adapter without a model."""
    draw = torch.Generator().manual_seed(seed)
    shapes = {"A": (rank, side), "B": (side, rank)}
    return {f"{layer}.lora_{half}.weight": torch.randn(shapes[half], generator=draw) for layer in layers for half in "AB"}


def equal(one, other):
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def with_silent_audio(inputs, transformer):
    """The arguments of a whole LTX-2 transformer: real shapes for the audio that our own leaves out."""
    if "audio_hidden_states" not in inputs:
        return inputs
    like, mask = inputs["hidden_states"], inputs["encoder_attention_mask"]
    channels = transformer.config.audio_in_channels
    text = transformer.config.audio_cross_attention_dim
    return inputs | {
        "audio_hidden_states": like.new_zeros(1, 3, channels),
        "audio_encoder_hidden_states": like.new_zeros(1, mask.shape[1], text),
        "audio_encoder_attention_mask": mask,
        "audio_coords": torch.zeros(1, 1, 3, 2),
    }


def through_diffusers(kind, folder, file, ours, dtype=torch.float32):
    """The velocity of the pipeline's own transformer after its own `load_lora_weights`, on the tokens of `velocity`."""
    pipe = PIPELINES[kind].from_pretrained(tiny(kind).folder, dtype=dtype)
    pipe.load_lora_weights(folder, weight_name=file)
    inputs = ours.inputs(tokens(ours.channels, dtype), caption(kind).to("cpu", dtype))
    with torch.no_grad():
        return pipe.transformer(**with_silent_audio(inputs, pipe.transformer))[0]


@pytest.mark.parametrize("alpha", [8.0, 3.0])
@pytest.mark.parametrize("kind", KINDS)
def test_diffusers_loads_either_file_and_gives_our_output(kind, alpha, tmp_path):
    ours = stream(kind)
    plain = velocity(ours, kind)
    save_adapter(tmp_path, adapted(ours, alpha=alpha), metadata(kind=kind, alpha=alpha))
    expected = velocity(ours, kind)
    assert (expected - plain).abs().max() > 0.05
    assert torch.equal(through_diffusers(kind, tmp_path, DIFFUSERS_FILE, ours), expected)
    comfyui = through_diffusers(kind, tmp_path, COMFYUI_FILE, ours)
    assert torch.equal(comfyui, expected) if alpha == 8 else torch.allclose(comfyui, expected, atol=2e-6)  # B · 3/8 is rounded


@pytest.mark.parametrize("kind", KINDS)
def test_in_bf16_the_files_are_as_exact_as_bf16_is(kind, tmp_path):
    ours, dtype = stream(kind, torch.bfloat16), torch.bfloat16
    save_adapter(tmp_path, adapted(ours, alpha=4.0, dtype=dtype), metadata(kind=kind, alpha=4.0))
    assert {t.dtype for file in FILES for t in load_file(tmp_path / file).values()} == {dtype}
    trained = velocity(ours, kind, dtype)
    for name, parameter in ours.transformer.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(dtype)  # diffusers keeps adapters in the model's dtype, training in float32
    expected = velocity(ours, kind, dtype)
    for file in FILES:
        found = through_diffusers(kind, tmp_path, file, ours, dtype)
        assert torch.equal(found, expected)
        assert (found - trained).float().abs().max() <= 2**-5 * expected.float().abs().max()  # a few steps of bf16's 2⁻⁸


@pytest.mark.parametrize("file", FILES)
def test_whole_pipeline_gives_what_it_gives_with_our_transformer(file, tmp_path):
    ours = stream()
    save_adapter(tmp_path, adapted(ours, alpha=4.0), metadata(alpha=4.0))

    def latents(transformer=None, weights=None):
        given = {} if transformer is None else {"transformer": transformer}
        pipe = LTXPipeline.from_pretrained(tiny().folder, **given)
        pipe.set_progress_bar_config(disable=True)
        if weights:
            pipe.load_lora_weights(tmp_path, weight_name=weights)
        draw = torch.Generator().manual_seed(0)
        sizes = {"height": 64, "width": 64, "num_frames": 9, "num_inference_steps": 2, "output_type": "latent"}
        return pipe("3d1t", guidance_scale=1.0, generator=draw, **sizes).frames

    expected = latents(transformer=ours.transformer)
    assert torch.equal(latents(weights=file), expected)
    assert not torch.equal(latents(), expected)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_adapter_does_what_the_trained_one_did(kind, file, tmp_path):
    ours, other = stream(kind), stream(kind)
    save_adapter(tmp_path, adapted(ours, alpha=4.0), metadata(kind=kind, alpha=4.0))
    state, found = load_adapter(tmp_path / file)
    attach_lora(other, state, found.alpha)
    assert torch.equal(velocity(other, kind), velocity(ours, kind))


def test_round_trip(tmp_path):
    state, made = weights(), metadata(rank=4, alpha=2, revision="main", caption="a | b\n'é'", random_base=True)
    save_adapter(tmp_path, state, made)
    found, of_found = load_adapter(tmp_path)
    assert equal(found, state)
    assert of_found == made
    found, of_found = load_adapter(tmp_path / COMFYUI_FILE)
    assert equal(found, {name: t / 2 if ".lora_B." in name else t for name, t in state.items()})
    assert of_found == made.model_copy(update={"alpha": 4.0})
    assert sorted(path.name for path in tmp_path.iterdir()) == [COMFYUI_FILE, DIFFUSERS_FILE]
    save_adapter(tmp_path, state, metadata(rank=4, alpha=2, caption=None))
    assert load_adapter(tmp_path)[1].caption is None


@pytest.mark.parametrize("share", [0.58, None])
def test_what_clips_were_cut_to_is_kept_and_older_adapters_say_nothing_of_it(tmp_path, share):
    save_adapter(tmp_path, weights(), metadata(rank=4, face_share=share))
    for file in FILES:
        _, header = read_tensors(tmp_path / file)
        assert header.get("synclora.face_share") == (None if share is None else "0.58")  # without it, the bytes of old
        assert load_adapter(tmp_path / file)[1].face_share == share
    assert read_info(tmp_path, "mine").face_share == share


def test_equal_adapters_give_equal_bytes(tmp_path):
    state = weights(layers=(LAYER, LAYER.replace("0", "10"), LAYER.replace("0", "2")))
    for name, order in (("one", list(state)), ("other", sorted(state, reverse=True))):
        save_adapter(tmp_path / name, {key: state[key] for key in order}, metadata(rank=4))
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_header_says_what_one_must_know(tmp_path):
    save_adapter(tmp_path, weights(), metadata(rank=4, alpha=2))
    header = read_tensors(tmp_path / DIFFUSERS_FILE)[1]
    assert header["format"] == "pt"
    assert header["synclora.base_model"] == "Lightricks/LTX-Video-0.9.5"
    assert header["synclora.caption"] == "3d1t"
    assert header["synclora.attention_mode"] == "shared"
    assert (header["synclora.rank"], header["synclora.alpha"], header["synclora.random_base"]) == ("4", "2.0", "false")
    config = json.loads(header["lora_adapter_metadata"])
    assert (config["transformer.r"], config["transformer.lora_alpha"]) == (4, 2.0)


def test_layout_of_the_released_adapter(tmp_path):
    """diffusion_model. names of ComfyUI, no alpha, rank 256 on the 22B model's layers; written for one of its 48 blocks."""
    pattern = type(stream("ltx-2")).lora_targets
    with torch.device("meta"):
        model = LTX2VideoTransformer3DModel()
    layers = {name: module for name, module in model.named_modules() if re.fullmatch(pattern, name)}
    assert len(layers) == 48 * 10
    first = {name: module for name, module in layers.items() if name.startswith("transformer_blocks.0.")}
    state = {}
    for name, module in first.items():
        state[f"{name}.lora_A.weight"] = torch.zeros(256, module.in_features, dtype=torch.bfloat16)
        state[f"{name}.lora_B.weight"] = torch.zeros(module.out_features, 256, dtype=torch.bfloat16)
    save_adapter(tmp_path, state, metadata(kind="ltx-2", rank=256, alpha=256))
    shapes = {name: tuple(t.shape) for name, t in load_file(tmp_path / COMFYUI_FILE).items()}
    expected = {}
    for layer in (
        "attn1.to_q",
        "attn1.to_k",
        "attn1.to_v",
        "attn1.to_out.0",
        "attn2.to_q",
        "attn2.to_k",
        "attn2.to_v",
        "attn2.to_out.0",
    ):
        expected |= {f"{layer}.lora_A.weight": (256, 4096), f"{layer}.lora_B.weight": (4096, 256)}
    expected |= {"ff.net.0.proj.lora_A.weight": (256, 4096), "ff.net.0.proj.lora_B.weight": (16384, 256)}
    expected |= {"ff.net.2.lora_A.weight": (256, 16384), "ff.net.2.lora_B.weight": (4096, 256)}
    assert shapes == {f"diffusion_model.transformer_blocks.0.{name}": shape for name, shape in expected.items()}


def test_lightricks_names_are_those_that_diffusers_converts():
    for ours, theirs in adapter._LIGHTRICKS.items():
        converted = _convert_non_diffusers_ltx2_lora_to_diffusers(
            {f"diffusion_model.{theirs}.linear.lora_A.weight": torch.zeros(1)}
        )
        assert list(converted) == [f"transformer.{ours}.linear.lora_A.weight"]


@pytest.mark.parametrize(("kind", "name"), [("ltx-2", "patchify_proj"), ("ltx-video", "proj_in")])
def test_outer_modules_are_named_as_the_reader_of_the_kind_has_them(kind, name, tmp_path):
    state = weights(layers=("proj_in", LAYER))
    save_adapter(tmp_path, state, metadata(kind=kind, rank=4, alpha=4))
    assert f"diffusion_model.{name}.lora_A.weight" in load_file(tmp_path / COMFYUI_FILE)
    assert equal(PIPELINES[kind].lora_state_dict(tmp_path / COMFYUI_FILE), {f"transformer.{key}": t for key, t in state.items()})
    assert equal(load_adapter(tmp_path / COMFYUI_FILE)[0], state)


def foreign(name, state):
    """Files that others make of the same adapter: tensors and metadata."""
    comfyui = {f"diffusion_model.{key}": tensor for key, tensor in state.items()}
    config = json.dumps({"transformer.r": 4, "transformer.lora_alpha": 8})
    kohya = {key.replace("lora_A", "lora_down").replace("lora_B", "lora_up"): tensor for key, tensor in comfyui.items()}
    return {
        "released": (comfyui, None),
        "trainer": (comfyui, {"format": "pt", "note": "x"}),
        "alphas": (kohya | {f"diffusion_model.{LAYER}.alpha": torch.tensor(8.0)}, None),
        "diffusers": ({f"transformer.{key}": tensor for key, tensor in state.items()}, {"lora_adapter_metadata": config}),
    }[name]


@pytest.mark.parametrize(("name", "scale"), [("released", 1), ("trainer", 1), ("alphas", 2), ("diffusers", 2)])
def test_adapters_made_elsewhere_are_read(name, scale, tmp_path):
    state = weights()
    save_file(*foreign(name, state)[:1], tmp_path / "x.safetensors", metadata=foreign(name, state)[1])
    found, of_found = load_adapter(tmp_path / "x.safetensors")
    assert of_found is None
    assert equal(found, {key: tensor * scale if ".lora_B." in key else tensor for key, tensor in state.items()})


def test_what_diffusers_saves_is_read_with_its_scale(tmp_path):
    ours, other = stream(), stream()
    state = adapted(ours, alpha=4.0)
    config = ours.transformer.peft_config["default"].to_dict()
    config["target_modules"] = layers_of(state)
    LTXPipeline.save_lora_weights(tmp_path, transformer_lora_layers=state, transformer_lora_adapter_metadata=config)
    found, of_found = load_adapter(tmp_path)
    assert of_found is None
    attach_lora(other, found)
    assert torch.equal(velocity(other), velocity(ours))


def bad(name):
    """Tensors and metadata of files that must be refused."""
    state = {f"transformer.{key}": tensor for key, tensor in weights().items()}
    ours = {f"synclora.{key}": str(value) for key, value in metadata(rank=4).model_dump(exclude_none=True).items()}
    config = {"lora_adapter_metadata": json.dumps({"transformer.r": 4, "transformer.use_rslora": True})}
    nan = state[f"transformer.{B}"].clone()
    nan[2, 1] = torch.nan
    b, a = f"transformer.{B}", f"transformer.{A}"
    return {
        "no layers": ({}, ours),
        "another rank": (state, ours | {"synclora.rank": "8"}),
        "not finite": (state | {b: nan}, ours),
        "infinite": (state | {a: torch.full((4, 6), torch.inf)}, {}),
        "half": ({a: state[a]}, ours),
        "whole model": ({"transformer.proj_in.weight": torch.zeros(2, 2)}, {}),
        "other prefix": ({f"unet.{A}": state[a]}, {}),
        "twice": (state | {f"diffusion_model.{A}": state[a]}, {}),
        "not a matrix": (state | {b: torch.zeros(6, 4, 1, 1)}, {}),
        "two ranks": (state | {f"transformer.x.{k}": t for k, t in weights(2, layers=("y",)).items()}, {}),
        "rslora": (state, config),
        "odd config": (state, {"lora_adapter_metadata": "[1]"}),
        "broken config": (state, {"lora_adapter_metadata": "{"}),
        "newer": (state, ours | {"synclora.format": "2"}),
        "bad field": (state, ours | {"synclora.frames": "many"}),
        "no mode": (state, {key: value for key, value in ours.items() if key != "synclora.attention_mode"}),
        "odd mode": (state, ours | {"synclora.attention_mode": "windowed"}),
        "unknown field": (state, ours | {"synclora.colour": "red"}),
    }[name]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no layers", "no layers"),
        ("another rank", "the weights have rank 4, their metadata 8"),
        ("not finite", rf"{B} is not finite"),
        ("infinite", rf"{A} is not finite"),
        ("half", "has lora_A.weight only"),
        ("whole model", r"proj_in\.weight is no LoRA weight"),
        ("other prefix", rf"unet\.{A}: names must start with"),
        ("twice", "twice"),
        ("not a matrix", "B 6 x 4 x 1 x 1"),
        ("two ranks", r"ranks 4 \(.*\) and 2 \(x\.y\)"),
        ("rslora", "use_rslora, which is not supported"),
        ("odd config", "lora_adapter_metadata cannot be read"),
        ("broken config", "lora_adapter_metadata cannot be read"),
        ("newer", "metadata of format 2, this version reads 1"),
        ("bad field", "metadata frames = 'many'"),
        ("no mode", "metadata attention_mode: field required"),
        ("odd mode", "metadata attention_mode = 'windowed'"),
        ("unknown field", "metadata colour"),
    ],
)
def test_bad_adapters_are_refused_in_one_line(name, says, tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, *bad(name))
    with pytest.raises(AdapterError, match=says) as error:
        load_adapter(path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"adapter {path}: ")


def test_pickles_cut_and_missing_files_are_refused(tmp_path):
    torch.save(weights(), tmp_path / "x.bin")
    with pytest.raises(AdapterError, match="a pickle, which can run code"):
        load_adapter(tmp_path / "x.bin")
    save_adapter(tmp_path, weights(), metadata(rank=4))
    whole = (tmp_path / DIFFUSERS_FILE).read_bytes()
    for length in (0, 5, 100, len(whole) - 1):
        (tmp_path / DIFFUSERS_FILE).write_bytes(whole[:length])
        with pytest.raises(AdapterError, match=r"not safetensors|broken|ends within"):
            load_adapter(tmp_path)
    with pytest.raises(AdapterError, match="No such file"):
        load_adapter(tmp_path / "none")


def test_adapter_of_another_kind_or_mode_is_refused():
    made = metadata(kind="ltx-2", attention_mode="causal-source")
    made.check_fits("ltx-2", "causal-source")
    with pytest.raises(AdapterError, match=r"trained on ltx-2 .*not for ltx-video"):
        made.check_fits("ltx-video", "causal-source")
    with pytest.raises(AdapterError, match="trained with attention causal-source, cannot be used with shared"):
        made.check_fits("ltx-2", "shared")


def test_adapter_of_another_size_is_refused(tmp_path):
    save_adapter(tmp_path, weights(side=16), metadata(rank=4))
    with pytest.raises(AdapterError, match=rf"{A} is missing|4 x 16, expected 4 x 128"):
        attach_lora(stream(), load_adapter(tmp_path)[0])


def test_what_is_wrong_is_not_saved_and_what_was_there_stays(tmp_path):
    state = weights()
    save_adapter(tmp_path, state, metadata(rank=4))
    before = {file: (tmp_path / file).read_bytes() for file in FILES}
    for wrong, says in (
        (state | {B: torch.full((6, 4), torch.nan)}, "not finite"),
        (weights(rank=2), "rank 2, their metadata 4"),
    ):
        with pytest.raises(AdapterError, match=says):
            save_adapter(tmp_path, wrong, metadata(rank=4))
    assert before == {file: (tmp_path / file).read_bytes() for file in FILES}


def test_training_state_is_what_is_saved(tmp_path):
    ours = stream()
    state = adapted(ours)
    save_adapter(tmp_path, lora_state(ours.transformer), metadata())
    assert equal(load_adapter(tmp_path)[0], state)
