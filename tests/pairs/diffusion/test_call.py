"""Arguments by signature, of every class that the project names; nothing is loaded."""

import pytest

from synclora.pairs.diffusion.call import BATCHES, Call, pipeline_class
from synclora.pairs.diffusion.find import ModelError
from synclora.pairs.diffusion.settings import ModelSettings, Stage, VideoSettings

PICTURE = ModelSettings(model="m", steps=7, width=768, height=512)
VIDEO = VideoSettings(model="m", steps=7, width=832, height=480, frames=81, fps=16)
FITS = {
    Stage.PORTRAIT: ["FluxPipeline", "Flux2Pipeline", "Flux2KleinPipeline", "QwenImagePipeline", "StableDiffusionXLPipeline"],
    Stage.EDIT: [
        *("FluxKontextPipeline", "Flux2Pipeline", "Flux2KleinPipeline", "QwenImageEditPipeline", "QwenImageEditPlusPipeline"),
        "StableDiffusionInstructPix2PixPipeline",
    ],
    Stage.VIDEO: ["WanImageToVideoPipeline", "LTX2ImageToVideoPipeline", "LTXImageToVideoPipeline"],
}


def call(stage, name, settings=None):
    return Call(stage, settings or (VIDEO if stage is Stage.VIDEO else PICTURE), pipeline_class("m", name))


@pytest.mark.parametrize(("stage", "name"), [(stage, name) for stage, names in FITS.items() for name in names])
def test_classes_that_would_do(stage, name):
    one = call(stage, name)
    one.check("m", {})
    given = one.arguments(["a"], [] if stage is Stage.PORTRAIT else ["picture"], ["generator"])
    assert set(given) <= set(one.takes)
    assert (given["output_type"], given["return_dict"], given["num_inference_steps"]) == ("np", False, 7)
    if "height" in one.takes:
        assert (given["width"], given["height"]) == (one.settings.width, one.settings.height)
    assert "guidance_scale" not in given
    assert "negative_prompt" not in given
    assert given["prompt"] == (["a"] if one.batches else "a")
    assert given.get("num_frames") == (81 if stage is Stage.VIDEO else None)


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        (Stage.PORTRAIT, "WanImageToVideoPipeline"),
        (Stage.PORTRAIT, "FluxImg2ImgPipeline"),
        (Stage.PORTRAIT, "QwenImageEditPlusPipeline"),
        (Stage.PORTRAIT, "WanPipeline"),
        (Stage.EDIT, "QwenImagePipeline"),
        (Stage.EDIT, "FluxInpaintPipeline"),
        (Stage.EDIT, "FluxControlPipeline"),
        (Stage.EDIT, "LTX2ImageToVideoPipeline"),
        (Stage.VIDEO, "WanPipeline"),
        (Stage.VIDEO, "LTX2Pipeline"),
        (Stage.VIDEO, "StableVideoDiffusionPipeline"),
        (Stage.VIDEO, "WanVACEPipeline"),
    ],
)
def test_classes_that_would_not(stage, name):
    with pytest.raises(ModelError, match=rf"^model m: {name} .*, so it cannot make the {stage}; \w+, .* would do$"):
        call(stage, name).check("m", {})


def test_kontext_does_not_resize_by_itself():
    given = call(Stage.EDIT, "FluxKontextPipeline").arguments(["a", "b"], ["p", "q"], [1, 2])
    assert (given["max_area"], given["_auto_resize"]) == (768 * 512, False)
    assert (given["prompt"], given["image"], given["generator"]) == (["a", "b"], ["p", "q"], [1, 2])


def test_frames_per_second_where_the_class_has_them():
    assert call(Stage.VIDEO, "LTX2ImageToVideoPipeline").arguments(["a"], ["p"], [1])["frame_rate"] == 16
    assert "frame_rate" not in call(Stage.VIDEO, "WanImageToVideoPipeline").arguments(["a"], ["p"], [1])


def test_guidance_negative_prompt_and_further_arguments():
    settings = PICTURE.model_copy(update={"guidance": 3.0, "negative_prompt": "ugly", "arguments": {"true_cfg_scale": 2.0}})
    one = call(Stage.PORTRAIT, "FluxPipeline", settings)
    one.check("m", {"guidance_embeds": True})
    given = one.arguments(["a", "b"], [], [1, 2])
    assert (given["guidance_scale"], given["true_cfg_scale"]) == (3.0, 2.0)
    assert given["negative_prompt"] == ["ugly", "ugly"]
    wan = call(Stage.VIDEO, "WanImageToVideoPipeline", VIDEO.model_copy(update={"negative_prompt": "still"}))
    assert wan.arguments(["a"], ["p"], [1])["negative_prompt"] == "still"


def test_every_class_that_batches_is_there():
    assert {name for name in BATCHES if pipeline_class("m", name)} == set(BATCHES)
