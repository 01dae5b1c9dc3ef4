"""The autoencoder under way: a step, its state, and the average that is kept.

trainer = Trainer(settings, Feed(index, settings))
trainer.begin(pixels)                # from principal components
trainer.step()                       # a function of the state, the seed and the number of steps
state = trainer.state()              # whole; `restore` goes on to the same trace
"""

from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from synclora.embedded.autoencoder.loss import reconstruction_loss
from synclora.embedded.autoencoder.model import build, parameters, same_shape
from synclora.embedded.autoencoder.optimizer import Descent
from synclora.embedded.autoencoder.settings import AutoencoderSettings
from synclora.embedded.autoencoder.start import pca_start
from synclora.embedded.clips.feed import Feed
from synclora.embedded.moving import Moving, rate_at
from synclora.errors import SyncLoraError
from synclora.train.strategy import OptimizerState


class Trainer:
    """Holds the weights, their moments and the moving average."""

    def __init__(self, settings: AutoencoderSettings, feed: Feed) -> None:
        self.settings, self.steps = settings, 0
        self._feed = feed
        self.vae = build(settings.model, settings.seed).to(memory_format=torch.channels_last_3d).train()
        self._weights = parameters(self.vae)
        self._descent = Descent(self._weights, settings.optimizer)
        self._inputs: dict[str, Tensor] = {}
        for name, module in self.vae.named_modules():
            if isinstance(module, nn.Conv3d):
                module.register_forward_pre_hook(partial(self._look, f"{name}.weight"))
        self._moving = Moving(self._weights, self._descent)

    def _look(self, name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Note the mean of a convolution's input."""
        if module.training and torch.is_grad_enabled():
            self._inputs[name] = inputs[0].detach().mean((0, 2, 3, 4), dtype=torch.float32)

    def begin(self, pixels_bcfyx: Tensor) -> None:
        """Start from the principal components of these clips."""
        pca_start(self.vae, pixels_bcfyx, noise=self.settings.loss.latent_noise, seed=self.settings.seed)
        self._moving.begin()

    def step(self) -> dict[str, float]:
        """One optimizer step; returns the loss and its parts.

        Raises:
            SyncLoraError: the loss is not finite; the weights are as before.
        """
        settings, optimizer = self.settings, self.settings.optimizer
        batch = self._feed.batch(self.steps)
        cast = torch.autocast("cpu", torch.bfloat16) if settings.bf16 else nullcontext()
        with cast:
            loss, parts = reconstruction_loss(self.vae, batch, settings.seed, self.steps, settings.loss)
        if not loss.isfinite():
            raise SyncLoraError(f"step {self.steps}: the loss is {float(loss.detach())}; train with a smaller optimizer.lr")
        self.vae.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._weights.values(), optimizer.clip)
        self._descent.step(rate_at(self.steps, optimizer), self._inputs)
        self.steps += 1
        self._moving.follow(optimizer.ema)
        return {"loss": float(loss.detach()), **parts, "gradient_norm": float(norm)}

    def state(self) -> OptimizerState:
        """All of it."""
        return self._moving.state()

    def restore(self, state: OptimizerState) -> None:
        """Go on from there."""
        self.steps = state.steps
        self._moving.restore(state)

    @torch.no_grad()
    def averaged(self, pixels_bcfyx: Tensor) -> Any:
        """The average as an autoencoder of its own, its latents' statistics taken from these clips."""
        vae = same_shape(self.vae).eval()
        vae.load_state_dict({**self.vae.state_dict(), **self._moving.average})
        latents = torch.cat([vae.encode(clip[None]).latent_dist.mode() for clip in pixels_bcfyx])
        vae.latents_mean.copy_(latents.mean((0, 2, 3, 4)))
        vae.latents_std.copy_(latents.std((0, 2, 3, 4)))
        return vae
