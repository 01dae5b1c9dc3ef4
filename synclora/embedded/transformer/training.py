"""The transformer under way: a step, its state, and the average that is kept.

trainer = TransformerTrainer(settings, store, codec)
trainer.step()                       # a function of the state, the seed, the number of steps and of clips
state = trainer.state()              # whole; `restore` goes on to the same trace
"""

import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from synclora.backbone.base import Caption, Codec
from synclora.backbone.load import quiet
from synclora.backbone.ltx_video import LTXVideoStream
from synclora.embedded.autoencoder.model import parameters, same_shape
from synclora.embedded.moving import Moving, rate_at
from synclora.embedded.transformer.flow import Samples, draw, loss_of
from synclora.embedded.transformer.latents import Encoded, LatentStore
from synclora.embedded.transformer.optimizer import TransformerDescent
from synclora.embedded.transformer.settings import TransformerModelSettings, TransformerSettings
from synclora.errors import SyncLoraError
from synclora.incontext.positions import Grid
from synclora.train.batches import Plan, seed_of
from synclora.train.strategy import OptimizerState

# autocast leaves the norms' weights alone, and torch says so once
warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight", category=UserWarning)


class Normaliser:
    """Raw latents to what the transformer sees, as `Codec.encode` does."""

    def __init__(self, codec: Codec, settings: TransformerSettings) -> None:
        self._codec, self._settings = codec, settings
        vae = codec.vae
        self._mean_c, std_c = vae.latents_mean.float(), vae.latents_std.float()
        self._scale_c = float(vae.config.scaling_factor) / std_c

    def samples(self, encoded: Encoded) -> Samples:
        """Ready for a step."""
        cells = self._settings.clips.picture_px // self._codec.stride_s
        frames = (self._settings.frames - 1) // self._codec.stride_t + 1
        grids = tuple(Grid(frames, cells, cells, fps, self._codec.stride_t, self._codec.stride_s) for fps in encoded.fps)
        return Samples((encoded.raw_bnc - self._mean_c) * self._scale_c, encoded.weight_bn, grids)


class TransformerTrainer:
    """Holds the weights, their moments and the moving average."""

    def __init__(self, settings: TransformerSettings, store: LatentStore, codec: Codec) -> None:
        self.settings, self.steps, self.store = settings, 0, store
        self.normaliser = Normaliser(codec, settings)
        self.caption = caption_of(settings)
        self._plan = Plan([()] * store.count, settings.optimizer.batch, settings.seed)
        self.transformer = build(settings.model, codec.channels, settings.seed)
        self._stream = LTXVideoStream(self.transformer, "shared")
        self.transformer.requires_grad_(True).train()  # the stream froze it
        self._weights = parameters(self.transformer)
        self._descent = TransformerDescent(self._weights, settings.optimizer)
        self._moving = Moving(self._weights, self._descent)

    def cast(self) -> AbstractContextManager[Any]:
        """The arithmetic of a step."""
        return torch.autocast("cpu", torch.bfloat16) if self.settings.bf16 else nullcontext()

    def step(self) -> dict[str, float]:
        """One optimizer step; returns the loss.

        Raises:
            SyncLoraError: the loss is not finite; the weights are as before.
        """
        settings, optimizer = self.settings, self.settings.optimizer
        samples = self.normaliser.samples(self.store.batch(self._plan.batch(self.steps)))
        draws = draw(settings.seed, self.steps, samples, settings)
        with self.cast():
            loss = loss_of(self._stream, samples, draws, self.caption).mean()
        if not loss.isfinite():
            raise SyncLoraError(f"step {self.steps}: the loss is {float(loss.detach())}; train with a smaller optimizer.lr")
        self.transformer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._weights.values(), optimizer.clip)
        self._descent.step(rate_at(self.steps, optimizer))
        self.steps += 1
        self._moving.follow(optimizer.ema)
        return {"loss": float(loss.detach()), "gradient_norm": float(norm)}

    def state(self) -> OptimizerState:
        """All of it."""
        return self._moving.state()

    def restore(self, state: OptimizerState) -> None:
        """Go on from there."""
        self.steps = state.steps
        self._moving.restore(state)

    def averaged(self) -> Any:
        """The average as a transformer of its own, in inference mode."""
        transformer = same_shape(self.transformer).eval()
        transformer.load_state_dict(self._moving.average)
        return transformer


def build(settings: TransformerModelSettings, channels: int, seed: int) -> Any:
    """The transformer with random weights that are a function of the seed."""
    from diffusers import LTXVideoTransformer3DModel

    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LTXVideoTransformer3DModel(
            in_channels=channels,
            out_channels=channels,
            num_attention_heads=settings.heads,
            attention_head_dim=settings.head_dim,
            cross_attention_dim=settings.heads * settings.head_dim,
            num_layers=settings.layers,
            caption_channels=settings.caption_channels,
        )


def caption_of(settings: TransformerSettings) -> Caption:
    """The one caption: standard normal numbers, a function of the seed."""
    random = torch.Generator().manual_seed(seed_of("caption", settings.seed))
    embeds: Tensor = torch.randn(1, settings.model.caption_tokens, settings.model.caption_channels, generator=random)
    return Caption(embeds.half().float(), torch.ones(1, settings.model.caption_tokens))
