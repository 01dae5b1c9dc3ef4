"""The kinds of backbone, as folders: which class each of their parts is. The classes are imported when a part is loaded, four seconds in all."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from synclora.backbone.base import Backbone, Caption, Codec, Device
from synclora.backbone.load import load_caption, load_part, load_tokenizer
from synclora.incontext.attention import AttentionMode

if TYPE_CHECKING:
    from synclora.backbone.ltx2 import LTX2Stream
    from synclora.backbone.ltx_video import LTXVideoStream


class LTXVideo(Backbone):
    """LTX-Video 0.9.x: a folder with `transformer`, `vae`, `text_encoder` (T5) and `tokenizer`, or `caption.safetensors` for these two."""

    kind = "ltx-video"
    caption_tokens = 256  # what diffusers' pipeline pads to
    decode_timestep = 0.05  # of the decoders from 0.9.1 on, which remove a last trace of noise

    def codec(self, dtype: torch.dtype, device: Device) -> Codec:
        """Load the autoencoder."""
        from diffusers import AutoencoderKLLTXVideo

        return Codec(load_part(self, "vae", AutoencoderKLLTXVideo, dtype, device), decode_timestep=self.decode_timestep)

    def stream(self, dtype: torch.dtype, device: Device, mode: AttentionMode) -> "LTXVideoStream":
        """Load the transformer."""
        from diffusers import LTXVideoTransformer3DModel

        from synclora.backbone.ltx_video import LTXVideoStream

        return LTXVideoStream(load_part(self, "transformer", LTXVideoTransformer3DModel, dtype, device), mode)

    def reader(self, device: Device = "cpu", dtype: torch.dtype = torch.float32) -> Callable[[str], Caption]:
        """T5; the caption's padding masked, as diffusers' `LTXConditionPipeline` does, and `LTXPipeline` does not.

        A wordless model's one caption is read instead, whatever is asked for.
        """
        if self.wordless:
            only = load_caption(self, dtype)
            return lambda _text: only
        from transformers import T5EncoderModel

        tokenizer = load_tokenizer(self)
        encoder = load_part(self, "text_encoder", T5EncoderModel, dtype, device)

        @torch.no_grad()
        def read(text: str) -> Caption:
            ids = tokenizer(text, padding="max_length", max_length=self.caption_tokens, truncation=True, return_tensors="pt")
            mask_bl = ids.attention_mask.to(device)
            embeds_bld = encoder(ids.input_ids.to(device), attention_mask=mask_bl)[0]
            return Caption(embeds_bld.cpu(), mask_bl.cpu())

        return read


class LTX2(Backbone):
    """LTX-2.x: a folder with `transformer`, `vae`, `text_encoder` (Gemma), `tokenizer` and `connectors`."""

    kind = "ltx-2"
    caption_tokens = 1024  # what diffusers' pipeline pads to
    decode_timestep = 0.0  # diffusers' pipeline's; only a decoder that takes one sees it

    def codec(self, dtype: torch.dtype, device: Device) -> Codec:
        """Load the autoencoder."""
        from diffusers import AutoencoderKLLTX2Video

        return Codec(load_part(self, "vae", AutoencoderKLLTX2Video, dtype, device), decode_timestep=self.decode_timestep)

    def stream(self, dtype: torch.dtype, device: Device, mode: AttentionMode) -> "LTX2Stream":
        """Load the transformer, without its audio branch."""
        from diffusers import LTX2VideoTransformer3DModel

        from synclora.backbone.ltx2 import LTX2Stream
        from synclora.backbone.ltx2_silence import silence

        transformer = load_part(self, "transformer", LTX2VideoTransformer3DModel, dtype, device, prepare=silence)
        return LTX2Stream(transformer, mode)

    def reader(self, device: Device = "cpu", dtype: torch.dtype = torch.float32) -> Callable[[str], Caption]:
        """Every layer of Gemma, drawn together by the connectors. The video's half of what they give."""
        from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors
        from transformers import AutoModel

        tokenizer, padding_side = self._tokenizer()
        encoder = load_part(self, "text_encoder", AutoModel, dtype, device)
        connectors = load_part(self, "connectors", LTX2TextConnectors, dtype, device)

        @torch.no_grad()
        def read(text: str) -> Caption:
            layers_ble, mask_bl = self._read(text.strip(), tokenizer, encoder, device)
            embeds_bld, _, mask_bl = connectors(layers_ble, mask_bl, padding_side=padding_side)
            return Caption(embeds_bld.cpu(), mask_bl.cpu())

        return read

    def _tokenizer(self) -> tuple[Any, str]:
        """The tokenizer, and the side that the folder pads on."""
        tokenizer = load_tokenizer(self)
        padding_side = str(getattr(tokenizer, "padding_side", "left"))
        # Whatever the folder says, for which the connectors have an argument: so does diffusers' pipeline
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer, padding_side

    def _read(self, text: str, tokenizer: Any, encoder: Any, device: Device) -> tuple[Tensor, Tensor]:
        """Gemma's hidden states, all layers on the last axis, and their mask."""
        ids = tokenizer([text], padding="max_length", max_length=self.caption_tokens, truncation=True, return_tensors="pt")
        ids = ids.to(device)
        layers = encoder(input_ids=ids.input_ids, attention_mask=ids.attention_mask, output_hidden_states=True).hidden_states
        return torch.stack(layers, dim=-1).flatten(2, 3), ids.attention_mask
