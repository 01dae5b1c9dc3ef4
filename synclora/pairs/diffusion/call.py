"""Which of a pipeline's own arguments carry which setting. Read from the signature of the class, before anything is loaded.

    call = Call(Stage.EDIT, settings, pipeline_class("my-model", "FluxKontextPipeline"))
    pipe(**call.arguments(prompts, pictures, generators))

A setting that the class cannot take, or would take without a word and without an effect, is refused by its name.
"""

import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from synclora.backbone.load import quiet
from synclora.pairs.diffusion.index import ModelError
from synclora.pairs.diffusion.settings import ModelSettings, Stage, VideoSettings

BATCHES: dict[str, frozenset[Stage]] = {
    "FluxPipeline": frozenset({Stage.PORTRAIT}),
    "FluxKontextPipeline": frozenset({Stage.PORTRAIT, Stage.EDIT}),
    "Flux2Pipeline": frozenset({Stage.PORTRAIT}),
    "Flux2KleinPipeline": frozenset({Stage.PORTRAIT}),
    "QwenImagePipeline": frozenset({Stage.PORTRAIT}),
    "QwenImageEditPipeline": frozenset({Stage.EDIT}),
    "LTX2ImageToVideoPipeline": frozenset({Stage.VIDEO}),
}
"""Where different orders share a call. Everywhere else they run one by one: FLUX.2 takes several pictures as references of one edit, Qwen's
EditPlus refuses more than one prompt, Wan repeats all pictures for each of them, LTX-Video's decoder takes a single generator."""

_WOULD_DO = {
    Stage.PORTRAIT: "FluxPipeline, Flux2Pipeline or QwenImagePipeline",
    Stage.EDIT: "FluxKontextPipeline, Flux2Pipeline, QwenImageEditPipeline or QwenImageEditPlusPipeline",
    Stage.VIDEO: "WanImageToVideoPipeline, LTX2ImageToVideoPipeline or LTXImageToVideoPipeline",
}
_WANTS_PICTURE = re.compile(r"Edit|Img2Img|ImageToImage|ImageToVideo|Inpaint|Control|Upscale|Redux|Fill")
_WANTS_MORE = re.compile(r"Inpaint|Control|Upscale|Fill")
_NAMES = {
    **{"width": "width", "height": "height", "num_inference_steps": "steps", "guidance_scale": "guidance"},
    **{"negative_prompt": "negative_prompt", "num_frames": "frames", "frame_rate": "fps", "fps": "fps"},
}
"""The pipelines' arguments that have a setting of their own."""
_OURS = (
    *("prompt", "image", "generator", "output_type", "return_dict", "latents", "max_area", "_auto_resize"),
    *("num_images_per_prompt", "num_videos_per_prompt", "callback", "callback_on_step_end"),
)


def pipeline_class(model: str, name: str) -> type:
    """A class of diffusers' by its name.

    Raises:
        ModelError: there is no such pipeline, or it needs what is not installed.
    """
    import diffusers
    import transformers  # noqa: F401  for `quiet`, which keeps imported libraries quiet only

    if name not in dir(diffusers):
        names = [known for known in dir(diffusers) if known.endswith("Pipeline")]
        close = get_close_matches(name, names, n=3, cutoff=0.5)
        meant = f"; did you mean {' or '.join(close)}?" if close else "; correct `pipeline`"
        raise ModelError(f"model {model}: diffusers {diffusers.__version__} has no pipeline {name}{meant}")
    try:
        with quiet():
            found = getattr(diffusers, name)
    except (ImportError, RuntimeError) as error:
        raise ModelError(f"model {model}: {name} needs what is not installed ({' '.join(str(error).split())[:200]})") from error
    if not (isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline)) or found is diffusers.DiffusionPipeline:
        raise ModelError(f"model {model}: {name} is no pipeline that can be called; correct `pipeline`")
    if not getattr(
        sys.modules[found.__module__], "is_ftfy_available", lambda: True
    )():  # it cleans prompts, and fails at the first one
        raise ModelError(f"model {model}: {name} needs ftfy; pip install ftfy")
    return found


@dataclass(frozen=True)
class Call:
    """How a stage calls a class.

    Attributes:
        stage: what is made.
        settings: of the model.
        pipeline: its class.
    """

    stage: Stage
    settings: ModelSettings
    pipeline: type

    @property
    def batches(self) -> bool:
        """Whether different orders share a call, and none of them notices."""
        return self.stage in BATCHES.get(self.pipeline.__name__, ())

    @property
    def takes(self) -> Mapping[str, inspect.Parameter]:
        """The class's own arguments."""
        own = dict(inspect.signature(self.pipeline.__call__).parameters)
        return {name: one for name, one in own.items() if name != "self" and one.kind is not one.VAR_KEYWORD}

    def arguments(self, prompts: Sequence[str], pictures: Sequence[Any], generators: Sequence[Any]) -> dict[str, Any]:
        """For one call.

        Args:
            prompts: one per order; a single one where the class does not batch.
            pictures: as many, or none for a portrait; as PIL pictures.
            generators: as many.
        """
        given = self._of_settings() | {"prompt": list(prompts), "generator": list(generators)}
        if self.settings.negative_prompt:
            given["negative_prompt"] = [self.settings.negative_prompt] * len(prompts)
        if pictures:
            given["image"] = list(pictures)
        if not self.batches:
            several = ("prompt", "generator", "negative_prompt", "image")
            given |= {name: given[name][0] for name in several if name in given}
        return given

    def check(self, model: str, transformer: Mapping[str, Any]) -> None:
        """See that the class does what the stage asks, and takes all settings.

        Args:
            model: what the errors call it.
            transformer: its configuration, as far as there is one.

        Raises:
            ModelError: it does not.
        """
        self._check_stage(model)
        takes, name = self.takes, self.pipeline.__name__
        wanted = {"guidance": self.settings.guidance is not None, "negative_prompt": bool(self.settings.negative_prompt)}
        for argument, setting in (("guidance_scale", "guidance"), ("negative_prompt", "negative_prompt")):
            if wanted[setting] and argument not in takes:
                raise ModelError(f"model {model}: {name} takes no {argument}; remove `{setting}`")
        for argument in self.settings.arguments:
            if argument in _NAMES:
                raise ModelError(f"model {model}: arguments.{argument} is the setting `{_NAMES[argument]}`; set it there")
            if argument in _OURS:
                raise ModelError(f"model {model}: arguments.{argument} is given by this project; remove it")
            if argument not in takes:
                close = get_close_matches(argument, takes, n=1)
                meant = f"; did you mean {close[0]}?" if close else "; remove it"
                raise ModelError(f"model {model}: {name} takes no argument {argument}{meant}")
        self._check_effect(model, transformer)

    def _of_settings(self) -> dict[str, Any]:
        """What all orders have in common."""
        settings, takes = self.settings, self.takes
        given: dict[str, Any] = {"num_inference_steps": settings.steps, "output_type": "np", "return_dict": False}
        given |= {"width": settings.width, "height": settings.height}
        if settings.guidance is not None:
            given["guidance_scale"] = settings.guidance
        if isinstance(settings, VideoSettings):
            given |= {"num_frames": settings.frames, "frame_rate": settings.fps, "fps": settings.fps}
        # Kontext would go to a megapixel, and to the nearest of its favourite shapes
        given |= {"max_area": settings.width * settings.height, "_auto_resize": False}
        return {name: value for name, value in given.items() if name in takes} | settings.arguments

    def _check_stage(self, model: str) -> None:
        takes, name = self.takes, self.pipeline.__name__
        sized = set() if self.stage is Stage.EDIT else {"width", "height"}  # without them, an edit has its picture's size
        needs = {"prompt", "num_inference_steps", "generator", "output_type", "return_dict"} | sized
        needs |= {Stage.PORTRAIT: set(), Stage.EDIT: {"image"}, Stage.VIDEO: {"image", "num_frames"}}[self.stage]
        why = ""
        if lacking := sorted(needs - set(takes)):
            why = f"takes no {' and no '.join(lacking)}"
        elif self.stage is not Stage.VIDEO and "num_frames" in takes:
            why = "makes videos"
        elif (_WANTS_PICTURE if self.stage is Stage.PORTRAIT else _WANTS_MORE).search(name):
            why = "starts from a picture" if self.stage is Stage.PORTRAIT else "asks for more than a picture and words"
        elif asked := sorted(n for n, one in takes.items() if one.default is one.empty and n not in self._given()):
            why = f"asks for {' and '.join(asked)} too"
        if why:
            raise ModelError(f"model {model}: {name} {why}, so it cannot make the {self.stage}; {_WOULD_DO[self.stage]} would do")

    def _given(self) -> set[str]:
        pictures = set() if self.stage is Stage.PORTRAIT else {"image"}
        return {"prompt", "generator"} | pictures | set(self._of_settings())

    def _check_effect(self, model: str, transformer: Mapping[str, Any]) -> None:
        """Two kinds of guidance go by like names: FLUX.1 and Qwen have both, and pass over the one that they were not trained for."""
        if (true := self.takes.get("true_cfg_scale")) is None:
            return
        name, scale = self.pipeline.__name__, self.settings.arguments.get("true_cfg_scale", true.default)
        if self.settings.guidance is not None and transformer.get("guidance_embeds") is False:
            raise ModelError(
                f"model {model}: guidance {self.settings.guidance:g} has no effect, the model is not distilled for it; "
                f"set arguments.true_cfg_scale and `negative_prompt` instead"
            )
        if self.settings.negative_prompt and not (isinstance(scale, int | float) and scale > 1):
            raise ModelError(
                f"model {model}: negative_prompt has no effect in {name} with true_cfg_scale {scale}; "
                "set arguments.true_cfg_scale above 1, or remove `negative_prompt`"
            )
        if not self.settings.negative_prompt and "true_cfg_scale" in self.settings.arguments and scale != 1:
            raise ModelError(
                f'model {model}: arguments.true_cfg_scale has no effect in {name} without `negative_prompt`; a single space, " ", will do'
            )
