"""Safetensors files: the same content gives the same bytes, and a strange file is refused before it is parsed.

    write_tensors(path, {"a": tensor}, {"made": "of"})
    tensors, metadata = read_tensors(path)

Written here because the library puts metadata in an order that changes from process to process.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from synclora.errors import SyncLoraError

HEADER_BYTES = 8 << 20
"""The largest header that is read. That of the released LoRA's layout, two matrices for each of 480 layers, takes 0.2 MB."""

_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}


class TensorFileError(SyncLoraError):
    """A file that cannot be read: names it, says why, and what would do."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write under a temporary name, flush to the disk, rename.

    Args:
        path: its folder is there.
        tensors: float32, float16 or bfloat16.
        metadata: for the header.

    Raises:
        OSError: the disk is full; a file that was there stays.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # wide ones first, so that each is aligned
    entries: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name in names:
        tensor, start = tensors[name], end
        end += tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": _CODES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with scratch.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for name in names:
                file.write(tensors[name].detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors on the CPU, and the header's metadata.

    Raises:
        TensorFileError: missing, not safetensors, not whole, too large a header, or of other dtypes.
    """
    _check_start(path)
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            for name in names:
                if (code := file.get_slice(name).get_dtype()) not in _DTYPES:
                    raise TensorFileError(f"{path}: {name} is {code}; only {', '.join(_DTYPES)} can be read")
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise TensorFileError(f"{path}: broken ({' '.join(str(error).split())}); fetch or make it again") from error


def _check_start(path: Path) -> None:
    """A safetensors file starts with its header's length, 8 bytes, little-endian, and the header's opening brace."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise TensorFileError(f"{path}: {error.strerror}; give an existing .safetensors file") from error
    if start[8:] != b"{":
        if start[:2] == b"PK" or (start[:1] == b"\x80" and start[1:2] <= b"\x05"):
            raise TensorFileError(f"{path}: a pickle, which can run code; convert it to safetensors")
        raise TensorFileError(f"{path}: not safetensors; give a .safetensors file")
    length = int.from_bytes(start[:8], "little")
    if length > HEADER_BYTES:
        raise TensorFileError(f"{path}: a header of {length} bytes, more than {HEADER_BYTES}; not a file of this kind")
    if length > size - 8:
        raise TensorFileError(f"{path}: ends within its header, at {size} bytes; fetch or make it again")
