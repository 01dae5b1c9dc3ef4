"""A part of a backbone's folder to memory: quietly, whole, from safetensors, and with one line when it cannot be.

All of the room loads through here, so that a truncated file, a foreign shape or a full card reads the same everywhere.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from synclora.backbone.base import Backbone, BackboneError, Caption, Device
from synclora.backbone.folder import CAPTION_FILE
from synclora.backbone.shared import shared_folder

_LOGS = ("diffusers.utils.logging", "transformers.utils.logging")
_SHARED = ("transformer", "vae")  # what a process holds as long as it lives
_WHY_CHARS = 200  # of a loader's first sentence, which can hold every key of a model


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' bars and warnings from the user; their errors still come through. Leaves their settings as they were.

    Of those libraries that are imported by then: importing them takes seconds, and not every caller needs both.
    """
    # Saving a model imports DeepSpeed, which reports on the machine and sets its own log level as it starts: only a filter survives
    deepspeed = logging.getLogger("DeepSpeed")
    logs = [sys.modules[name] for name in _LOGS if name in sys.modules]
    libraries = [(log, log.is_progress_bar_enabled(), log.get_verbosity()) for log in logs]
    deepspeed.addFilter(_errors_only)
    for log, _, _ in libraries:
        log.disable_progress_bar()
        log.set_verbosity_error()
    try:
        yield
    finally:
        deepspeed.removeFilter(_errors_only)
        for log, bars, verbosity in libraries:
            log.set_verbosity(verbosity)
            if bars:
                log.enable_progress_bar()


def _errors_only(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def check_part(name: str, folder: Path, part: str) -> None:
    """See that a model lies there in safetensors, without opening it.

    Raises:
        BackboneError: it does not.
    """
    if not (folder / part / "config.json").is_file():
        raise BackboneError(f"backbone {name}: no {part}/config.json; give a whole folder in diffusers' layout")
    if not any((folder / part).glob("*.safetensors")):
        raise BackboneError(f"backbone {name}: {part} holds no .safetensors; convert it, other formats can run code")


def load_part(
    backbone: Backbone,
    part: str,
    model_class: Any,
    dtype: torch.dtype,
    device: Device,
    prepare: Callable[[Any], object] | None = None,
) -> Any:
    """A model of the folder, in inference mode.

    Args:
        backbone: whose.
        part: the folder's name.
        model_class: of diffusers or transformers.
        dtype: of its weights.
        device: where it goes.
        prepare: changes it before it goes there.

    Raises:
        BackboneError: the part is missing, broken, does not fit its configuration, or does not fit the device.
    """
    folder = backbone.folder / part
    check_part(backbone.name, backbone.folder, part)
    with _in_one_line(f"backbone {backbone.name}: {part} cannot be loaded", "mend the folder or fetch it again"):
        _check_files(folder)
        # transformers says nothing more than that a shape differs, unless it is told to go on; diffusers names it by itself
        lenient = {"ignore_mismatched_sizes": True} if model_class.__module__.startswith("transformers.") else {}
        model, report = model_class.from_pretrained(
            shared_folder(folder, dtype) if backbone.shared and part in _SHARED else folder,
            **{"dtype": dtype, "use_safetensors": True, "output_loading_info": True, **lenient},
        )
        _check_whole(report)
    if prepare is not None:
        prepare(model)
    with _in_one_line(f"backbone {backbone.name}: {part} does not go to {device}", "choose another device or a shorter dtype"):
        return model.eval().to(device)


def load_tokenizer(backbone: Backbone) -> Any:
    """The folder's tokenizer.

    Raises:
        BackboneError: it is missing or broken.
    """
    from transformers import AutoTokenizer

    folder = backbone.folder / "tokenizer"
    if not any(file.name == "tokenizer.json" or file.suffix == ".model" for file in folder.glob("*")):
        # without its words, Gemma's tokenizer would load all the same, and read every caption as unknown
        raise BackboneError(f"backbone {backbone.name}: no tokenizer/tokenizer.json; give a whole folder in diffusers' layout")
    with _in_one_line(f"backbone {backbone.name}: tokenizer cannot be loaded", "mend the folder or fetch it again"):
        return AutoTokenizer.from_pretrained(folder)


def load_caption(backbone: Backbone, dtype: torch.dtype) -> Caption:
    """The one caption of a backbone without a text encoder, on the CPU.

    Raises:
        BackboneError: it is missing, broken, or no caption.
    """
    with _in_one_line(f"backbone {backbone.name}: {CAPTION_FILE} cannot be loaded", "mend the folder or make it again"):
        with safe_open(backbone.folder / CAPTION_FILE, "pt") as file:
            embeds_bld, mask_bl = file.get_tensor("embeds").to(dtype), file.get_tensor("mask").long()
        if embeds_bld.dim() != 3 or len(embeds_bld) != 1 or mask_bl.shape != embeds_bld.shape[:2]:
            raise ValueError(f"embeds {list(embeds_bld.shape)} and mask {list(mask_bl.shape)} are not (1, l, d) and (1, l)")
        if not embeds_bld.isfinite().all() or not mask_bl.any():
            raise ValueError("its embedding is not finite, or its mask leaves nothing of it")
        return Caption(embeds_bld, mask_bl)


def _check_files(folder: Path) -> None:
    """A file that was cut off while it was fetched: its header tells, in fewer words than the loaders."""
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, "pt"):
                pass
        except SafetensorError as error:
            raise ValueError(f"{file.name} is broken: {error}") from error


def _check_whole(report: dict[str, Any]) -> None:
    """A weight that the file lacks or gives in another shape would be random: refuse it."""
    for what, keys in (("lacks", report["missing_keys"]), ("has another shape for", report.get("mismatched_keys", ()))):
        if keys:
            first = sorted(key if isinstance(key, str) else key[0] for key in keys)[0]
            raise ValueError(f"the file {what} {first}{f' and {len(keys) - 1} more' if len(keys) > 1 else ''}")


@contextmanager
def _in_one_line(what: str, remedy: str) -> Iterator[None]:
    try:
        with quiet():
            yield
    except Exception as error:  # the loaders raise whatever their own libraries do
        why = " ".join(str(error).split()).split(". ")[0].rstrip(".")[:_WHY_CHARS] or type(error).__name__
        raise BackboneError(f"{what} ({why}); {remedy}") from error
