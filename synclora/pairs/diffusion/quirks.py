"""What single classes of diffusers 0.42 need beside their signature, each with its reason. Empty for all others."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

_FULL_PRECISION = {"WanImageToVideoPipeline": ("vae", "image_encoder")}
"""Parts that the model's own card loads in float32, whatever the rest is in: in bfloat16 Wan's decoder draws stripes."""
_ON_DEVICE = ("LTXImageToVideoPipeline",)
"""Draws noise with torch itself, which wants the generator where the noise goes. The others take the CPU's: the same noise on every card."""
_QWEN_EDITS = ("QwenImageEditPipeline", "QwenImageEditPlusPipeline")


def dtypes(pipeline: str, dtype: torch.dtype) -> torch.dtype | dict[str, torch.dtype]:
    """For `from_pretrained`."""
    full = dict.fromkeys(_FULL_PRECISION.get(pipeline, ()), torch.float32)
    return {"default": dtype, **full} if full else dtype


def generator(pipeline: str, seed: int, device: str) -> torch.Generator:
    """One order's randomness."""
    return torch.Generator(device if pipeline in _ON_DEVICE else "cpu").manual_seed(seed)


def prepare(pipe: Any) -> None:
    """Change a pipeline that was just loaded."""
    if type(pipe).__name__ in _QWEN_EDITS:
        pipe.text_encoder.register_forward_pre_hook(_mark_pictures, with_kwargs=True)


def arguments(pipe: Any, pictures: Sequence[Image.Image], given: dict[str, Any]) -> tuple[list[Image.Image], dict[str, Any]]:
    """What a call's pictures, and further arguments, have to be.

    Args:
        pipe: that is called.
        pictures: one per order.
        given: arguments of the settings.
    """
    name = type(pipe).__name__
    if name == "QwenImageEditPipeline":
        return [_megapixel(pipe, picture) for picture in pictures], {}
    if name == "LTX2ImageToVideoPipeline":
        return [_compressed(pipe, picture, given.get("image_crf")) for picture in pictures], {"image_crf": 0}
    return list(pictures), {}


def _mark_pictures(encoder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Tell Qwen2.5-VL which tokens are a picture's: transformers 5 no longer looks for itself, and would place them all on one line."""
    if kwargs.get("image_grid_thw") is not None and "mm_token_type_ids" not in kwargs:
        kwargs["mm_token_type_ids"] = (kwargs["input_ids"] == encoder.config.image_token_id).int()
    return args, kwargs


def _megapixel(pipe: Any, picture: Image.Image) -> Image.Image:
    """As the pipeline enlarges a single picture. It leaves those of a list to the encoder as they are, so an order would see its batch."""
    from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit import calculate_dimensions

    width, height, _ = calculate_dimensions(1024 * 1024, picture.width / picture.height)
    resized: Image.Image = pipe.image_processor.resize(picture, height, width)
    return resized


def _compressed(pipe: Any, picture: Image.Image, crf: int | None) -> Image.Image:
    """As the pipeline degrades a single picture to what the model was trained on; it refuses a list, unless that was done before."""
    import numpy as np
    from diffusers.pipelines.ltx2.utils import apply_image_conditioning_crf, resolve_default_image_crf

    crf = resolve_default_image_crf(pipe.text_encoder) if crf is None else crf
    return Image.fromarray(apply_image_conditioning_crf(np.asarray(picture), crf)) if crf else picture
