"""The text encoder as a Serve deployment of its own: editors never load it.

An editor looks for a caption in its memory, then in the files of its machine, then asks here; what was embedded once is a file for good
(`DATA/captions`, see `synclora/train/captions.py`). The process starts with the first caption that nobody knows and goes when it is idle: an
adapter with one constant caption needs it once.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from ray.serve.handle import DeploymentHandle

from serve.settings import ServiceSettings

if TYPE_CHECKING:
    import numpy as np

    from synclora.backbone.base import Caption
    from synclora.train.captions import CaptionStore

ASK_TIMEOUT_S = 600.0
"""A cold start reads ten gigabytes of text encoder from a network disk."""
IN_MEMORY = 32
"""Captions; LTX-Video's are four megabytes each."""


class Captions:
    """One replica: loads the text encoder for the first caption that it has to embed, and holds it."""

    def __init__(self, settings: str) -> None:
        from synclora.backbone.find import find_backbone

        parsed = ServiceSettings.model_validate_json(settings)
        self._backbone = find_backbone(parsed.backbone, parsed.revision, shared=True)
        self._store = caption_store(parsed)
        self._device = "cuda" if parsed.captions_gpus else "cpu"
        self._one = Lock()

    async def embed(self, text: str) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
        """One caption: (l, d) float32 and (l,), 1 for tokens that count."""
        caption = await asyncio.to_thread(self.get, text)
        return caption.embeds_bld[0].float().numpy(), caption.mask_bl[0].numpy()

    def get(self, text: str) -> "Caption":
        """The same, b = 1."""
        with self._one:  # two editors that ask for the same caption embed it once
            if self._backbone.wordless:  # nothing to keep: the model's own file has it
                return self._reader(text)
            try:
                return self._store.get(text)
            except KeyError:
                caption = self._reader(text)
            with contextlib.suppress(OSError):  # a disk that is full costs time, not captions
                self._store.put(text, caption)
            return caption

    @cached_property
    def _reader(self) -> "Callable[[str], Caption]":
        import torch

        torch.set_num_threads(os.cpu_count() or 1)  # Ray allows one to who asks for no core; this is seconds, now and then
        return self._backbone.reader(self._device, torch.bfloat16 if self._device == "cuda" else torch.float32)


def ask(captions: "DeploymentHandle[Any]", settings: ServiceSettings) -> "Callable[[str], Caption]":
    """What an editor is given: a caption from the files of its machine, else from the deployment. Called in the editor's thread.

    Imports and looks up nothing before the first caption.
    """

    @lru_cache(1)
    def store() -> "CaptionStore":
        return caption_store(settings)

    @lru_cache(IN_MEMORY)
    def get(text: str) -> "Caption":
        import torch

        from synclora.backbone.base import Caption

        try:
            return store().get(text)
        except KeyError:
            embeds_ld, mask_l = captions.embed.remote(text).result(timeout_s=ASK_TIMEOUT_S)
            return Caption(torch.tensor(embeds_ld)[None], torch.tensor(mask_l)[None])

    return get


def caption_store(settings: ServiceSettings) -> "CaptionStore":
    """The embedded captions on this machine. A revision's are its own."""
    from synclora.train.captions import CaptionStore

    name = settings.backbone if settings.revision is None else f"{settings.backbone}@{settings.revision}"
    return CaptionStore(Path(settings.data).absolute() / "captions", name)
