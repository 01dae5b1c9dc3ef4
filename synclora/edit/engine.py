"""The model in memory: pictures to latents, latents to an edited window, latents to pictures; adapters and captions on the way.

    engine = Engine("tiny:ltx-video", None, None, None)
    engine.use(engine.load(info))
    source_bnc = engine.encode(pictures)
    edited = engine.decode(engine.sample(model, source_bnc, …), grid)

Knows nothing of videos, windows and faces.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from synclora.backbone.adapters import LoadedAdapter
from synclora.backbone.base import Backbone, Caption
from synclora.backbone.find import find_backbone
from synclora.backbone.shared import cache_folder
from synclora.edit.library import AdapterInfo
from synclora.errors import MediaError, Reason
from synclora.incontext.layout import to_latents, to_tokens
from synclora.incontext.positions import Grid
from synclora.incontext.sampler import Given, Key, Model, SamplerSettings, sample
from synclora.media.decode import Picture
from synclora.train.adapter import load_adapter
from synclora.train.captions import CaptionStore
from synclora.train.lora import AdapterError, ready_lora

Captions = Callable[[str], Caption]

_CAPTIONS_KEPT = 64  # a few megabytes each at most: T5's 256 tokens of 4096 numbers


class Engine:
    """One base model on one device.

    Args:
        backbone: hub id, folder, `embedded` or `tiny:…`.
        revision: of the hub's.
        device: None for the GPU where there is one.
        captions: embeds a caption; None: the backbone's own text encoder, loaded for each new caption, its results kept in the user's cache.
            Not asked where the model has one caption of its own.

    Attributes:
        backbone: where it came from.
    """

    def __init__(self, backbone: str, revision: str | None, device: str | None, captions: Captions | None) -> None:
        self.backbone: Backbone = find_backbone(backbone, revision, shared=True)
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._dtype = torch.bfloat16 if self._device.type == "cuda" else torch.float32
        self._codec = self.backbone.codec(self._dtype, self._device)
        self._stream = self.backbone.stream(self._dtype, self._device, "shared")
        # a wordless model's caption costs nothing, and kept elsewhere it would outlive the model
        own = self.backbone.reader("cpu", self._dtype) if self.backbone.wordless else None
        self._embed = own or captions or _own_captions(self.backbone, self._dtype)
        self._known: OrderedDict[str, Caption] = OrderedDict()
        self.stride_s, self.stride_t = self._codec.stride_s, self._codec.stride_t

    def load(self, info: AdapterInfo) -> LoadedAdapter:
        """Read an adapter's weights and make them ready for this base, which stays as it is.

        Raises:
            MediaError: BAD_ADAPTER: it is broken or of another model.
        """
        if info.kind not in ("", self.backbone.kind):
            detail = f"adapter {info.name}: made for {info.kind}, the editor has {self.backbone.kind} ({self.backbone.name})"
            raise MediaError(Reason.BAD_ADAPTER, detail)
        try:
            state, metadata = load_adapter(info.path)
            return ready_lora(self._stream, state, metadata.alpha if metadata else None, info.attention_mode)
        except AdapterError as error:
            raise MediaError(
                Reason.BAD_ADAPTER, str(error).removeprefix("adapter: ").replace(str(info.path), info.name)
            ) from error

    @property
    def adapter(self) -> LoadedAdapter | None:
        """The one in use."""
        return self._stream.adapter

    def use(self, adapter: LoadedAdapter | None) -> None:
        """Sample with this adapter from now on; None for the bare model."""
        if self._stream.adapter is not adapter:
            self._stream.use(adapter)

    def grid(self, frames: int, height: int, width: int, fps: float) -> Grid:
        """The cells of a window."""
        return Grid.of_video(frames, height, width, fps, self.stride_t, self.stride_s)

    def encode(self, pictures: Sequence[Picture]) -> Tensor:
        """8k + 1 pictures of one size to (1, n, c) tokens; one picture to those of a first frame."""
        pixels_thwc = torch.from_numpy(np.stack(pictures)).to(self._device)
        video_bcfyx = pixels_thwc.permute(3, 0, 1, 2)[None].float().div_(127.5).sub_(1)
        return to_tokens(self._codec.encode(video_bcfyx))

    def decode(self, tokens_bnc: Tensor, grid: Grid) -> list[Picture]:
        """(1, n, c) tokens to pictures.

        Raises:
            MediaError: NOT_FINITE: the model made no numbers of it.
        """
        video_bcfyx = self._codec.decode(to_latents(tokens_bnc, grid))
        if not bool(video_bcfyx.isfinite().all()):
            raise MediaError(
                Reason.NOT_FINITE, "the edited pictures are not all finite; another seed, fewer steps or less guidance"
            )
        levels = ((video_bcfyx[0].float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return list(np.ascontiguousarray(levels.permute(1, 2, 3, 0).cpu().numpy()))

    def model(self, prompt: str, *, guided: bool, remember: bool) -> Model:
        """What one window is sampled from. Without an adapter the model is not shown the source, which it never learnt to read.

        Args:
            prompt: the caption.
            guided: there is guidance on text.
            remember: keep the source's keys and values, where the adapter's attention allows it.
        """
        captions = self._caption(prompt), self._caption("") if guided else None
        return self._stream.sampling(*captions, source=self._stream.adapter is not None, remember=remember)

    def sample(
        self,
        model: Model,
        source_bnc: Tensor,
        given: Tensor,
        grid: Grid,
        settings: SamplerSettings,
        keys: Sequence[tuple[int, Tensor]],
        on_step: Callable[[int, int], None],
    ) -> Tensor:
        """An edited window.

        Args:
            model: as `model` gives it, new for each window.
            source_bnc: the source's tokens.
            given: tokens of the target's first latent frames.
            grid: of the window.
            settings: steps, seed, guidance.
            keys: frame in the window and tokens of further edited pictures.
            on_step: steps done and of how many.
        """
        pictures = [Key(frame, x_bnc) for frame, x_bnc in keys]
        return sample(model, source_bnc, Given.start(given, grid), grid, settings, keys=pictures, on_step=on_step)

    def _caption(self, text: str) -> Caption:
        if text not in self._known:
            self._known[text] = self._embed(text).to(self._device, self._dtype)
        self._known.move_to_end(text)
        while len(self._known) > _CAPTIONS_KEPT:
            self._known.popitem(last=False)
        return self._known[text]


def _own_captions(backbone: Backbone, dtype: torch.dtype) -> Captions:
    """The backbone's text encoder, its results kept on disk: a caption is embedded once on a machine. On the CPU: the model fills the GPU."""
    store = CaptionStore(cache_folder() / "captions", str(backbone.folder.resolve()))  # a hub's folder names its commit

    def embed(text: str) -> Caption:
        try:
            store.embed([text], backbone, "cpu", dtype)
            return store.get(text)
        except (OSError, KeyError):  # a cache that cannot be written saves no time, and costs nothing else
            return backbone.caption(text, "cpu", dtype)

    return embed
