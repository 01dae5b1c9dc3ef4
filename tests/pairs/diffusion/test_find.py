"""What a name is found to be, and everything that is refused before a weight is read: in one line, with the model, the fault and the remedy."""

import json
import shutil
from pathlib import Path

import pytest

from synclora.pairs.diffusion.find import ModelError, fetch, look_up
from synclora.pairs.diffusion.settings import ModelSettings, Stage
from tests.pairs.diffusion.models import CASES, FLUX, KONTEXT, LTX2, QWEN, WAN, copied, rewrite

VAE = "diffusion_pytorch_model.safetensors"


def refused(stage: Stage, settings: ModelSettings, **changes) -> str:
    with pytest.raises(ModelError) as caught:
        look_up(stage, settings.model_copy(update=changes))
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("model ")
    return text


@pytest.mark.parametrize("name", CASES)
def test_miniatures_are_found_for_their_stages(name):
    stage, settings = CASES[name]
    found = look_up(stage, settings)
    assert found.random
    assert found.folder == fetch(found)
    assert found.bytes > 4 * found.parameters > 200_000
    assert look_up(stage, settings) == found


@pytest.fixture
def flux(tmp_path) -> Path:
    return copied("flux", tmp_path / "a" / "flux")


def test_identity_is_of_the_content(flux, tmp_path):
    def identity(folder: Path) -> str:
        return look_up(Stage.PORTRAIT, FLUX.model_copy(update={"model": str(folder)})).identity

    shutil.copytree(flux, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "README.md").write_text("a word")
    first = identity(flux)
    assert identity(tmp_path / "elsewhere") == first
    weights = tmp_path / "elsewhere" / "transformer" / VAE
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    assert identity(tmp_path / "elsewhere") != first
    rewrite(flux / "scheduler" / "scheduler_config.json", shift=2.0)
    assert identity(flux) != first


def test_a_folder_saved_by_another_class_of_its_family(tmp_path):
    folder = copied("ltx-2-i2v", tmp_path / "ltx-2")
    rewrite(folder / "model_index.json", _class_name="LTX2Pipeline")
    said = refused(Stage.VIDEO, LTX2, model=str(folder))
    assert "LTX2Pipeline takes no image, so it cannot make the video; " in said
    assert "LTX2ImageToVideoPipeline" in said
    found = look_up(Stage.VIDEO, LTX2.model_copy(update={"model": str(folder), "pipeline": "LTX2ImageToVideoPipeline"}))
    assert found.pipeline == "LTX2ImageToVideoPipeline"


@pytest.mark.parametrize(
    ("stage", "settings", "words"),
    [
        (Stage.PORTRAIT, QWEN, "QwenImageEditPipeline starts from a picture, so it cannot make the portrait; FluxPipeline"),
        (Stage.EDIT, FLUX, "FluxPipeline takes no image, so it cannot make the edit; FluxKontextPipeline"),
        (Stage.EDIT, WAN, "WanImageToVideoPipeline makes videos, so it cannot make the edit"),
        (Stage.VIDEO, KONTEXT, "FluxKontextPipeline takes no num_frames, so it cannot make the video; WanImageToVideoPipeline"),
    ],
)
def test_a_class_of_another_kind(stage, settings, words):
    assert words in refused(stage, settings)


@pytest.mark.parametrize(
    ("settings", "changes", "words"),
    [
        (FLUX, {"model": "tiny:sdxl"}, "tiny:sdxl: no such miniature; choose tiny:flux or "),
        (FLUX, {"model": "/no/such/folder"}, "/no/such/folder: no such folder, or a hub id (owner/name), or tiny:flux"),
        (FLUX, {"revision": "main"}, "revision main is of a hub's model"),
        (FLUX, {"pipeline": "FluxPipelin"}, "has no pipeline FluxPipelin; did you mean FluxPipeline"),
        (FLUX, {"pipeline": "AutoencoderKL"}, "AutoencoderKL is no pipeline"),
        (FLUX, {"pipeline": "DiffusionPipeline"}, "DiffusionPipeline is no pipeline"),
        (
            FLUX,
            {"pipeline": "QwenImagePipeline"},
            "QwenImagePipeline runs QwenImageTransformer2DModel, this model has FluxTransformer2DModel",
        ),
        (FLUX, {"arguments": {"num_steps": 3}}, "FluxPipeline takes no argument num_steps; "),
        (FLUX, {"arguments": {"max_sequence_lenght": 3}}, "did you mean max_sequence_length?"),
        (FLUX, {"arguments": {"num_inference_steps": 3}}, "arguments.num_inference_steps is the setting `steps`"),
        (FLUX, {"arguments": {"output_type": "pil"}}, "arguments.output_type is given by this project"),
        (FLUX, {"negative_prompt": "ugly"}, "negative_prompt has no effect in FluxPipeline with true_cfg_scale 1.0"),
        (QWEN, {"guidance": 4.0}, "guidance 4 has no effect"),
        (QWEN, {"negative_prompt": ""}, "true_cfg_scale has no effect in QwenImageEditPipeline without `negative_prompt`"),
        (CASES["flux2"][1], {"negative_prompt": "ugly"}, "Flux2Pipeline takes no negative_prompt; remove `negative_prompt`"),
        (WAN, {"frames": 16}, "frames 16: it makes 4k+1, such as 13 or 17"),
        (LTX2, {"frames": 13}, "frames 13: it makes 8k+1, such as 9 or 17"),
        (LTX2, {"height": 80}, "height 80: it makes multiples of 32"),
        (
            WAN,
            {"pipeline": "WanImageToVideoPipeline", "arguments": {"frame_rate": 8}},
            "arguments.frame_rate is the setting `fps`",
        ),
    ],
)
def test_a_setting_that_cannot_be_taken(settings, changes, words):
    stage = next(stage for stage, known in CASES.values() if known is settings)
    assert words in refused(stage, settings, **changes)


def test_parts_that_another_class_would_need(flux):
    said = refused(Stage.VIDEO, WAN, model=str(flux), pipeline="LTX2ImageToVideoPipeline")
    assert (
        "LTX2ImageToVideoPipeline needs audio_vae and connectors and vocoder, which this model, saved as FluxPipeline, does not have"
        in said
    )


def part(name, value):
    return lambda folder: rewrite(folder / "model_index.json", **{name: value})


def shards(**mapped):
    def spoil(folder: Path) -> None:
        (folder / "vae" / f"{VAE}.index.json").write_text(json.dumps({"weight_map": mapped}))

    return spoil


def renamed(name):
    return lambda folder: (folder / "vae" / VAE).rename(folder / "vae" / name)


def cut(folder: Path) -> None:
    content = (folder / "vae" / VAE).read_bytes()
    (folder / "vae" / VAE).unlink()
    (folder / "vae" / VAE).write_bytes(content[:-100])


SPOILT = {
    "no index": (lambda folder: (folder / "model_index.json").unlink(), "no model_index.json"),
    "no json": (lambda folder: rewrite_text(folder / "model_index.json", "{"), "model_index.json cannot be read"),
    "no settings": (lambda folder: rewrite_text(folder / "model_index.json", "[1]"), "model_index.json holds no settings"),
    "own pipeline": (part("_class_name", ["pipeline", "MyPipeline"]), "code that comes with a model is never run"),
    "own part": (part("vae", ["my_vae", "MyVAE"]), "vae is my_vae.MyVAE; only parts of diffusers and transformers"),
    "any library": (part("vae", ["subprocess", "Popen"]), "vae is subprocess.Popen; only parts"),
    "inside diffusers": (
        part("vae", ["pipeline_utils", "DiffusionPipeline"]),
        "vae is pipeline_utils.DiffusionPipeline; only parts",
    ),
    "class of tomorrow": (part("vae", ["diffusers", "AutoencoderKLFlux9"]), "vae is AutoencoderKLFlux9, which diffusers 0."),
    "path for a part": (part("../other", ["diffusers", "AutoencoderKL"]), "a part of model_index.json is called '../other'"),
    "missing part": (lambda folder: shutil.rmtree(folder / "vae"), "vae, which model_index.json names, is not there"),
    "missing weights": (lambda folder: (folder / "vae" / VAE).unlink(), "vae has no weights"),
    "pickle": (
        renamed("diffusion_pytorch_model.bin"),
        "vae has its weights in diffusion_pytorch_model.bin only; convert them to safetensors",
    ),
    "checkpoint": (renamed("vae.ckpt"), "vae has its weights in vae.ckpt only"),
    "variant": (renamed("diffusion_pytorch_model.fp16.safetensors"), "vae has diffusion_pytorch_model.fp16.safetensors, but no"),
    "cut off": (cut, f"{VAE} has "),
    "no safetensors": (lambda folder: rewrite_text(folder / "vae" / VAE, "hello"), f"{VAE} is no safetensors file"),
    "path for a shard": (shards(a="../../../etc/x.safetensors"), "names '../../../etc/x.safetensors'; a plain .safetensors file"),
    "shard in a pickle": (shards(a="weights.bin"), "names 'weights.bin'"),
    "missing shard": (shards(a="a-1.safetensors"), "vae/a-1.safetensors, which"),
    "no shards": (shards(), "names no file"),
}


def rewrite_text(file: Path, text: str) -> None:
    file.unlink()
    file.write_text(text)


@pytest.mark.parametrize("what", SPOILT)
def test_a_folder_that_is_not_whole_or_not_safe(what, flux):
    spoil, words = SPOILT[what]
    spoil(flux)
    said = refused(Stage.PORTRAIT, FLUX, model=str(flux))
    assert said.startswith(f"model {flux}: ")
    assert words in said


def test_a_folder_that_only_another_node_has(flux):
    found = look_up(Stage.PORTRAIT, FLUX.model_copy(update={"model": str(flux)}))
    shutil.rmtree(flux)
    with pytest.raises(ModelError, match=r"no such folder on .*; keep it on storage that all nodes see"):
        fetch(found)


def test_processors_that_need_torchvision(tmp_path):
    from transformers.utils import is_torchvision_available

    if is_torchvision_available():
        pytest.skip("it is there")
    folder = copied("qwen-image-edit", tmp_path / "qwen")
    rewrite(folder / "model_index.json", processor=["transformers", "Qwen2VLProcessor"])
    assert "processor is Qwen2VLProcessor, which needs torchvision; " in refused(Stage.EDIT, QWEN, model=str(folder))
