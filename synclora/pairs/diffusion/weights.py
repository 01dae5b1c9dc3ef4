"""Safetensors files by their headers: how much is in them, and a fingerprint that needs no reading of 40 GB."""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

from synclora.pairs.diffusion.index import ModelError

_SAMPLES = 16
_SAMPLE_BYTES = 4096
_MOST_HEADER = 100 << 20  # safetensors' own limit


def count_in_files(name: str, folder: Path, weights: Sequence[str]) -> int:
    """Numbers in the weights.

    Raises:
        ModelError: a file is no safetensors file, or was cut off.
    """
    return sum(_count(name, folder / file) for file in weights)


def fingerprint(folder: Path, small: Sequence[str], weights: Sequence[str]) -> str:
    """Twelve hex digits of what a folder holds, wherever it lies: configurations whole, weights by their size, header and samples."""
    digest = hashlib.sha256()
    for file in small:
        content = (folder / file).read_bytes()
        digest.update(f"{file}:{len(content)}:".encode() + content)
    for file in weights:
        size = (folder / file).stat().st_size
        digest.update(f"{file}:{size}:".encode())
        with (folder / file).open("rb") as opened:
            head = int.from_bytes(opened.read(8), "little")
            digest.update(opened.read(min(head, _MOST_HEADER)))
            for at in range(_SAMPLES):  # evenly, the last one at the end
                opened.seek(max(0, size - _SAMPLE_BYTES) * at // (_SAMPLES - 1))
                digest.update(opened.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:12]


def _count(name: str, file: Path) -> int:
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        try:
            header = json.loads(opened.read(length) if length <= min(size, _MOST_HEADER) else b"")
            tensors = [entry for key, entry in header.items() if key != "__metadata__"]
            end = max((entry["data_offsets"][1] for entry in tensors), default=0)
            count: int = sum(math.prod(entry["shape"]) for entry in tensors)
        except (ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
            raise ModelError(f"model {name}: {file.name} is no safetensors file; fetch it again") from error
    if 8 + length + end != size:
        raise ModelError(f"model {name}: {file.name} has {size} bytes, its header says {8 + length + end}; fetch it again")
    return count
