"""The header of a safetensors file, without torch and without its weights: a strange file is refused before anything is made of it.

shapes, metadata = read_header(path, "may-lora")
"""

import json
import math
from pathlib import Path
from typing import Any

from synclora.errors import MediaError, Reason

HEADER_BYTES = 8 << 20
"""As in `synclora.train.tensorfile`, which reads the weights."""
MAX_TENSORS = 20_000  # LTX-2's transformer has about 5,000 linear layers; each gives two
_BYTES = {"F32": 4, "F16": 2, "BF16": 2}


def read_header(path: Path, name: str) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Shapes by tensor name, and the metadata.

    Args:
        path: the file.
        name: of the adapter, for the error.

    Raises:
        MediaError: BAD_ADAPTER: not safetensors, not whole, too large a header, other dtypes, or a header that lies about the file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if len(start) < 8 or not 2 <= length <= min(HEADER_BYTES, size - 8):
                raise _bad(name, "not safetensors, or cut off within its header; give a .safetensors file")
            entries = json.loads(file.read(length).decode("utf-8"))
    except OSError as error:
        raise _bad(name, f"{error.strerror}; give an existing .safetensors file") from error
    except (ValueError, RecursionError) as error:
        raise _bad(name, "its header is no JSON; give a .safetensors file") from error
    if not isinstance(entries, dict) or len(entries) > MAX_TENSORS:
        raise _bad(name, f"its header is no list of {MAX_TENSORS} tensors at most")
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _bad(name, "its metadata are no strings")
    return _shapes(entries, size - 8 - length, name), metadata


def _shapes(entries: dict[str, Any], data_bytes: int, name: str) -> dict[str, tuple[int, ...]]:
    shapes, spans = {}, []
    for key, entry in entries.items():
        try:
            code, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        except (TypeError, KeyError, ValueError) as error:
            raise _bad(name, f"{key[:100]} has no dtype, shape and place") from error
        if code not in _BYTES:
            raise _bad(name, f"{key[:100]} is {str(code)[:20]}; only {', '.join(_BYTES)} can be read")
        if not all(type(one) is int and one >= 0 for one in (*shape, begin, end)):
            raise _bad(name, f"{key[:100]} has a shape or place that is no whole number")
        if end - begin != math.prod(shape) * _BYTES[code]:
            raise _bad(name, f"{key[:100]} of shape {list(shape)[:4]} cannot take {end - begin} bytes")
        shapes[key] = shape
        spans.append((begin, end))
    place = 0
    for begin, end in sorted(spans):
        if begin != place:
            raise _bad(name, "its tensors overlap or leave gaps")
        place = end
    if place != data_bytes:
        raise _bad(name, f"holds {data_bytes} bytes of weights, its header tells of {place}; fetch or make it again")
    return shapes


def _bad(name: str, why: str) -> MediaError:
    return MediaError(Reason.BAD_ADAPTER, f"adapter {name}: {why}")
