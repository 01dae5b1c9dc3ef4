"""A pipeline's folder to a pipeline in its place: quietly, from safetensors, whole, and with one line when it cannot be.

pipe = load("my-model", folder, "FluxPipeline", settings, "cuda")
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from synclora.backbone.load import quiet
from synclora.pairs.diffusion import quirks
from synclora.pairs.diffusion.call import pipeline_class
from synclora.pairs.diffusion.index import FolderFiles, Index, ModelError, read_index
from synclora.pairs.diffusion.settings import ModelSettings

_WHY_CHARS = 200  # of a library's message, which can hold every key of a model


def load(name: str, folder: Path, pipeline: str, settings: ModelSettings, device: str) -> Any:
    """Load a pipeline.

    Args:
        name: what the errors call it.
        folder: in diffusers' layout.
        pipeline: class of diffusers.
        settings: dtype, tiles, and where idle parts wait.
        device: of torch.

    Raises:
        ModelError: a part is broken, does not fit its configuration, lacks a weight, or does not fit the device.
    """
    opened_as: Any = pipeline_class(name, pipeline)
    index = read_index(name, FolderFiles(folder))  # again, on this machine: nothing else is ever opened
    dtype = quirks.dtypes(pipeline, getattr(torch, settings.dtype))
    with _in_one_line(f"model {name} cannot be loaded", "mend the folder or fetch it again"):
        readers = _readers(folder, index, opened_as, dtype)
        pipe = opened_as.from_pretrained(folder, dtype=dtype, use_safetensors=True, local_files_only=True, **readers)
        for part, model in pipe.components.items():
            if isinstance(model, torch.nn.Module):  # diffusers leaves a weight that it did not find without memory
                _check_whole(part, [weight for weight, value in model.named_parameters() if value.is_meta])
        pipe.set_progress_bar_config(disable=True)
        quirks.prepare(pipe)
    if settings.vae_tiling:
        if not hasattr(getattr(pipe, "vae", None), "enable_tiling"):
            raise ModelError(f"model {name}: {pipeline} cannot decode in tiles; remove `vae_tiling`")
        pipe.vae.enable_tiling()
    with _in_one_line(f"model {name} does not go to {device}", "set `offload`, a shorter dtype or another device"):
        _place(pipe, settings.offload, device)
    return pipe


def first_words(error: BaseException) -> str:
    """A library's message, without its line breaks and its end."""
    return " ".join(str(error).split()).rstrip(".")[:_WHY_CHARS] or type(error).__name__


def _readers(folder: Path, index: Index, pipeline: Any, dtype: torch.dtype | dict[str, torch.dtype]) -> dict[str, Any]:
    """The parts that transformers loads. It draws a weight that it does not find, and says so where it is told to be quiet."""
    import transformers

    taken, _ = pipeline._get_signature_keys(pipeline)
    readers = {}
    for part, (library, kind) in index.parts.items():
        if library == "transformers" and part in taken and any(file.startswith(f"{part}/") for file in index.weights):
            own = dtype.get(part, dtype["default"]) if isinstance(dtype, dict) else dtype
            how = {"dtype": own, "use_safetensors": True, "local_files_only": True, "output_loading_info": True}
            readers[part], report = getattr(transformers, kind).from_pretrained(folder / part, **how)
            # the head that would speak is never asked
            _check_whole(part, sorted(weight for weight in report["missing_keys"] if not weight.startswith("lm_head.")))
            readers[part].eval()
    return readers


def _check_whole(part: str, lacking: list[str]) -> None:
    if lacking:
        raise ValueError(f"{part} lacks {lacking[0]}" + (f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""))


def _place(pipe: Any, offload: str, device: str) -> None:
    if device == "cpu" or offload == "none":  # on the CPU, there is nowhere to offload to
        pipe.to(device)
    elif offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.enable_sequential_cpu_offload(device=device)


@contextmanager
def _in_one_line(what: str, remedy: str) -> Iterator[None]:
    try:
        with quiet():
            yield
    except Exception as error:  # the loaders raise whatever their own libraries do
        raise ModelError(f"{what} ({first_words(error)}); {remedy}") from error
