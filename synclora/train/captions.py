"""Embedded captions on disk: each is computed once, by the text encoder that training never loads.

OUT/captions/<id>.safetensors    embeds (l, d), mask (l,)

An id is made of the caption and of the backbone's name; with one constant caption there are two files: that one and the empty caption.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import torch

from synclora.backbone.base import Backbone, Caption, Device
from synclora.train.tensorfile import TensorFileError, read_tensors, write_tensors


class CaptionStore:
    """The folder of embedded captions of one backbone."""

    def __init__(self, folder: Path, backbone: str) -> None:
        self._folder, self._backbone = folder, backbone

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Those of the captions that have no file yet, each once, in order."""
        return [text for text in dict.fromkeys(texts) if self._read(text) is None]

    def embed(self, texts: Iterable[str], backbone: Backbone, device: Device, dtype: torch.dtype) -> None:
        """Embed captions that have no file yet.

        Raises:
            OSError: the disk is full; nothing half-written stays.
        """
        for text in self.missing(texts):
            self.put(text, backbone.caption(text, device, dtype))

    def put(self, text: str, caption: Caption) -> None:
        """Keep an embedded caption, b = 1.

        Raises:
            OSError: the disk is full; nothing half-written stays.
        """
        path = self._path(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, {"embeds": caption.embeds_bld[0], "mask": caption.mask_bl[0].float()}, {})

    def get(self, text: str) -> Caption:
        """An embedded caption, b = 1.

        Raises:
            KeyError: it was never embedded.
        """
        caption = self._read(text)
        if caption is None:
            raise KeyError(text)
        return caption

    def _read(self, text: str) -> Caption | None:
        try:
            tensors, _ = read_tensors(self._path(text))
            return Caption(tensors["embeds"][None], tensors["mask"][None].long())
        except (TensorFileError, KeyError):
            return None

    def _path(self, text: str) -> Path:
        key = json.dumps([text, self._backbone])
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
