"""One copy of the weights in host memory for all processes of a machine.

    find_backbone("Lightricks/LTX-Video-0.9.5", shared=True).stream(torch.float32, "cpu", "shared")

Diffusers keeps what safetensors maps: parameters then lie in the page cache, once, however many processes map the file. It does so only where
the file has the wanted dtype; else each process would convert a copy of its own. So the part is converted once per machine, under a lock, into
the user's cache folder, tensor by tensor, and loaded from there. A folder appears there whole or not at all; it may be removed at any time.
"""

import errno
import fcntl
import hashlib
import json
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

_LOG = logging.getLogger(__name__)
_NAMES = ("diffusion_pytorch_model.safetensors", "model.safetensors")
_FLOATS = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2},
}
_WORDS = {dtype: word for word, dtype in _FLOATS.items()}


def cache_folder() -> Path:
    """Where this project keeps what can be made again: `synclora` in XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synclora"


def shared_folder(part: Path, dtype: torch.dtype) -> Path:
    """The folder to load a part from, so that its weights are mapped and not copied.

    Args:
        part: a folder in diffusers' layout, such as `…/transformer`.
        dtype: that it will be loaded in.

    Returns:
        The part itself where its weights have that dtype, else its converted copy, made if need be. Where none can be made (no space, no right
        to write), a line is logged and it is the part itself: every process then holds its own weights.
    """
    files = _weights(part)
    headers = [_header(file) for file in files]
    if not files or not any(_FLOATS.get(entry["dtype"], dtype) != dtype for header in headers for entry in header.values()):
        return part
    folder = cache_folder() / "weights" / f"{part.name}-{_WORDS[dtype].lower()}-{_digest(part, files, headers)}"
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            if not folder.is_dir():
                _convert(part, files, dtype, folder)
        return folder
    except OSError as error:
        _LOG.warning(
            "weights in %s: every process holds its own, no shared copy could be made in %s (%s); "
            "make room there, or point XDG_CACHE_HOME to a folder that can be written",
            *(part, folder.parent, error.strerror or error),
        )
        return part


def _weights(part: Path) -> list[Path]:
    """The files that the loaders read: those of the index, else the whole one. None where they would not find them: let them say so."""
    for name in _NAMES:
        index = part / f"{name}.index.json"
        if index.is_file():
            named = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            files = [part / Path(name).name for name in named]
            return files if all(file.is_file() for file in files) else []
        if (part / name).is_file():
            return [part / name]
    return []


def _header(file: Path) -> dict[str, Any]:
    """A file's tensors by name, without their data."""
    with file.open("rb") as opened:
        header: dict[str, Any] = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
    header.pop("__metadata__", None)
    return header


def _digest(part: Path, files: list[Path], headers: list[dict[str, Any]]) -> str:
    """Changes with anything that the copy is made of. The tensors themselves stand by their file's size and time: they may be 40 GB."""
    digest = hashlib.sha256()
    for small in sorted(part.glob("*.json")):
        digest.update(f"{small.name}:".encode() + small.read_bytes())
    for file, header in zip(files, headers, strict=True):
        found = file.stat()
        digest.update(f"{file.name}:{found.st_size}:{found.st_mtime_ns}:{json.dumps(header)}".encode())
    return digest.hexdigest()[:16]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time makes this folder; the others wait. What a killed one left half-made goes."""
    lock = os.open(folder.with_name(f".{folder.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.parent.glob(f".{folder.name}.*.part"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(lock)


def _convert(part: Path, files: list[Path], dtype: torch.dtype, folder: Path) -> None:
    """Make the copy under a hidden name, then rename."""
    layouts = [_layout(_header(file), dtype) for file in files]
    need = sum(max(entry["data_offsets"][1] for entry in layout.values()) for layout in layouts)
    if (free := shutil.disk_usage(folder.parent).free) < need:
        raise OSError(errno.ENOSPC, f"{need >> 20} MB needed, {free >> 20} MB free")
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        for small in part.glob("*.json"):
            shutil.copyfile(small, scratch / small.name)
        for file, layout in zip(files, layouts, strict=True):
            _convert_file(file, layout, scratch / file.name)
        scratch.chmod(0o755)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _layout(header: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """The header of the copy: floats in the dtype, everything else as it is; wide ones first, so that each lies on a multiple of its size."""
    rows = []
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        count = math.prod(entry["shape"])
        is_float = entry["dtype"] in _FLOATS
        size = dtype.itemsize if is_float else (end - begin) // max(1, count)
        rows.append((size, size * count, name, {"dtype": _WORDS[dtype] if is_float else entry["dtype"], "shape": entry["shape"]}))
    layout, at = {}, 0
    for _, nbytes, name, entry in sorted(rows, key=lambda row: -row[0]):
        layout[name] = {**entry, "data_offsets": [at, at + nbytes]}
        at += nbytes
    return layout


def _convert_file(file: Path, layout: dict[str, Any], to: Path) -> None:
    """One file, one tensor in memory at a time: a whole one can be 40 GB."""
    head = json.dumps({"__metadata__": {"format": "pt"}, **layout}).encode()
    head += b" " * (-(len(head) + 8) % 64)  # so that the tensors lie on a cache line in the mapping
    with safe_open(file, "pt") as source, to.open("wb") as out:
        out.write(len(head).to_bytes(8, "little") + head)
        for name, entry in layout.items():
            tensor = source.get_tensor(name)
            tensor = tensor.to(_FLOATS.get(entry["dtype"], tensor.dtype))
            out.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        out.flush()
        os.fsync(out.fileno())
