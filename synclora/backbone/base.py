"""The interface of a backbone, and what all of them share.

A backbone is a folder in diffusers' layout. Its parts are loaded one by one, because each step of the work needs only one of them: encoding
the autoencoder, a caption the text encoder, training the transformer.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from synclora.backbone.adapters import LoadedAdapter, put_in
from synclora.backbone.folder import ADAPTERS, CAPTION_FILE, Trained, trained_of
from synclora.backbone.folder import BackboneError as BackboneError
from synclora.incontext.attention import AttentionMode, Span
from synclora.incontext.layout import Tokens
from synclora.incontext.memory import SourceMemory
from synclora.incontext.sampler import Model, Velocity

Device = torch.device | str


@dataclass(frozen=True)
class Caption:
    """An embedded caption, as the transformer takes it.

    Attributes:
        embeds_bld: (b, l, d).
        mask_bl: (b, l), 1 for tokens that count.
    """

    embeds_bld: Tensor
    mask_bl: Tensor

    def to(self, device: Device, dtype: torch.dtype) -> "Caption":
        """The same on a device, the embedding in a dtype."""
        return Caption(self.embeds_bld.to(device, dtype), self.mask_bl.to(device))

    def expand(self, batch: int) -> "Caption":
        """One caption for a batch of samples."""
        return Caption(self.embeds_bld.expand(batch, -1, -1), self.mask_bl.expand(batch, -1))

    @classmethod
    def stack(cls, captions: list["Caption"]) -> "Caption":
        """A caption for each sample."""
        return cls(torch.cat([c.embeds_bld for c in captions]), torch.cat([c.mask_bl for c in captions]))


class Codec:
    """The autoencoder, with its latents' normalisation inside: what comes out of `encode` is what the transformer is trained on."""

    def __init__(self, vae: Any, *, decode_timestep: float | None = None) -> None:
        self.vae = vae.eval().requires_grad_(False)
        self.stride_t = int(vae.temporal_compression_ratio)
        self.stride_s = int(vae.spatial_compression_ratio)
        self.channels = int(vae.config.latent_channels)
        self._decode_timestep = decode_timestep if getattr(vae.config, "timestep_conditioning", False) else None

    @torch.no_grad()
    def encode(self, video_bcfyx: Tensor) -> Tensor:
        """(b, 3, frames, height, width) pixels in -1 to 1 to normalised latents. The mode, not a draw: equal pixels give equal latents."""
        latents: Tensor = self.vae.encode(video_bcfyx.to(self.vae.device, self.vae.dtype)).latent_dist.mode()
        mean, std = self._moments(latents)
        return (latents - mean) * float(self.vae.config.scaling_factor) / std

    @torch.no_grad()
    def decode(self, latents_bcfyx: Tensor) -> Tensor:
        """Normalised latents to (b, 3, frames, height, width) pixels in -1 to 1."""
        latents = latents_bcfyx.to(self.vae.device, self.vae.dtype)
        mean, std = self._moments(latents)
        latents = latents * std / float(self.vae.config.scaling_factor) + mean
        timestep = None
        if self._decode_timestep is not None:
            timestep = torch.full((len(latents),), self._decode_timestep, device=latents.device, dtype=latents.dtype)
        video: Tensor = self.vae.decode(latents, timestep, return_dict=False)[0]
        return video.clamp(-1, 1)

    def _moments(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (moment.view(1, -1, 1, 1, 1).to(latents) for moment in (self.vae.latents_mean, self.vae.latents_std))
        return mean, std


class Stream(ABC):
    """The transformer's video stream, ready for in-context tokens.

    Attributes:
        transformer: the diffusers model, frozen. Adapters and wrappers (DDP, DeepSpeed) go on it.
        lora_targets: full-match pattern over module names: the layers that the paper's lineage adapts.
    """

    lora_targets: ClassVar[str]

    def __init__(self, transformer: nn.Module, mode: AttentionMode) -> None:
        self.transformer = transformer.requires_grad_(False)
        self.span = Span(mode)
        self._bare_mode = mode
        self._adapter: LoadedAdapter | None = None
        self._handles: list[RemovableHandle] = []

    @property
    def mode(self) -> AttentionMode:
        """Who attends to whom. Can be set between calls."""
        return self.span.mode

    @mode.setter
    def mode(self, mode: AttentionMode) -> None:
        self.span.mode = mode
        self._turned()

    @property
    def adapter(self) -> LoadedAdapter | None:
        """The one in use."""
        return self._adapter

    def use(self, adapter: LoadedAdapter | None) -> None:
        """Work with this adapter from the next call on, in its attention mode, and no longer with the one before.

        Args:
            adapter: made for this stream by `synclora.train.lora.ready_lora`; None for the bare model, in the mode that it was loaded for.
        """
        handles = [] if adapter is None else put_in(self.transformer, adapter)
        for handle in self._handles:
            handle.remove()
        self._adapter, self._handles = adapter, handles
        self.mode = self._bare_mode if adapter is None else adapter.mode

    def idle(self, layer: str) -> bool:
        """Whether an adapter's layer of that name has no part in the video's velocity and was left out of the transformer."""
        return False

    @property
    def channels(self) -> int:
        """Latent channels of a token."""
        return int(self.transformer.config.in_channels)  # type: ignore[union-attr,arg-type]

    def velocity(
        self,
        tokens: Tokens,
        caption: Caption,
        through: Callable[..., Any] | None = None,
        memory: SourceMemory | None = None,
    ) -> Tensor:
        """(b, s, c) velocity of every token.

        Args:
            tokens: what is seen.
            caption: one per sample.
            through: the transformer's wrapper, if it has one.
            memory: filled by the first call, so that later ones on the same source and caption compute the target alone; the source's velocity
                is then 0. Has no effect in shared mode, without a source, or where gradients are wanted.
        """
        if memory is None or self.mode != "causal-source" or not tokens.source_tokens or torch.is_grad_enabled():
            return self._called(tokens, caption, through)
        known = memory.knows(tokens, self._adapter)
        if not known:
            memory.begin(tokens, self._adapter)
        self.span.memory = memory
        try:
            velocity = self._called(tokens.without_source() if known else tokens, caption, through)
        finally:
            self.span.memory = None
        memory.filled = True
        if known:
            velocity = torch.cat([torch.zeros_like(tokens.x_bsc[:, : tokens.source_tokens]), velocity], dim=1)
        return velocity

    def sampling(
        self, caption: Caption, without_text: Caption | None = None, *, source: bool = True, remember: bool = True
    ) -> Model:
        """What an edit is sampled from: one source, these captions. Memories of the source go with it.

        Args:
            caption: one per sample, on the transformer's device.
            without_text: the empty caption; only guidance on text needs it.
            source: False: the model is not shown it, and makes a video of what is given, image-to-video. The source's velocity is then 0.
            remember: in causal-source mode, compute the source once and keep its keys and values.
        """

        def velocity_of(one: Caption) -> Velocity:
            memory = SourceMemory() if remember else None

            def velocity(tokens: Tokens) -> Tensor:
                if source:
                    return self.velocity(tokens, one, memory=memory)
                made = self.velocity(tokens.without_source(), one)
                return torch.cat([torch.zeros_like(tokens.x_bsc[:, : tokens.source_tokens]), made], dim=1)

            return velocity

        return Model(velocity_of(caption), None if without_text is None else velocity_of(without_text))

    def _called(self, tokens: Tokens, caption: Caption, through: Callable[..., Any] | None) -> Tensor:
        self.span.source_tokens = tokens.source_tokens
        output: Tensor = (through or self.transformer)(**self.inputs(tokens, caption))[0]
        return output

    def _turned(self) -> None:  # noqa: B027  most backbones have nothing to do here
        """The mode is another one."""

    @abstractmethod
    def inputs(self, tokens: Tokens, caption: Caption) -> dict[str, Any]:
        """The arguments of the transformer's own `forward`. Its result is a tuple with the velocity first."""


class Backbone(ABC):
    """A model folder in diffusers' layout.

    Attributes:
        name: how the user named it: a hub id, a folder, `embedded` or `tiny:…`; stored with every adapter.
        folder: where its files lie on this machine.
        random: its weights are random: what it makes proves plumbing only.
        shared: its large parts are loaded so that all processes of this machine hold one copy of the weights (`shared.py`).
    """

    kind: ClassVar[str]
    """`ltx-video` or `ltx-2`."""
    caption_tokens: ClassVar[int]

    def __init__(self, name: str, folder: Path, *, random: bool = False, shared: bool = False) -> None:
        self.name, self.folder, self.random, self.shared = name, folder, random, shared

    @property
    def trained(self) -> Trained | None:
        """What it has seen, where its folder says so: no edit asks for more.

        Raises:
            BackboneError: its model.json makes no sense.
        """
        return trained_of(self.name, self.folder)

    @property
    def adapters(self) -> Path | None:
        """The folder of the adapters that come with it."""
        return self.folder / ADAPTERS if (self.folder / ADAPTERS).is_dir() else None

    @property
    def wordless(self) -> bool:
        """It has no text encoder, and answers every caption with the one that it was trained with."""
        return (self.folder / CAPTION_FILE).is_file() and not (self.folder / "text_encoder").is_dir()

    @abstractmethod
    def codec(self, dtype: torch.dtype, device: Device) -> Codec:
        """Load the autoencoder."""

    @abstractmethod
    def stream(self, dtype: torch.dtype, device: Device, mode: AttentionMode) -> Stream:
        """Load the transformer."""

    @abstractmethod
    def reader(self, device: Device = "cpu", dtype: torch.dtype = torch.float32) -> Callable[[str], Caption]:
        """Load the text encoder, to embed captions as long as it is held."""

    def caption(self, text: str, device: Device = "cpu", dtype: torch.dtype = torch.float32) -> Caption:
        """Embed one caption. Loads the text encoder for this call and lets it go."""
        return self.reader(device, dtype)(text)
