"""The recipe of a training run: every setting of every room, in one value.

recipe = TrainRecipe.from_yaml(Path("jobs/recipes/train.yaml"))
"""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from synclora.incontext.attention import AttentionMode
from synclora.incontext.flow import SigmaSettings
from synclora.settings import Settings
from synclora.train.clips import EncodeResources, EncodeSettings
from synclora.train.lora import LoraSettings
from synclora.train.validation import ValidationSettings

Beta = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Strategy = Literal["ddp", "zero1", "zero2", "zero3"]


class ContextSettings(Settings):
    """What the model is shown, and how often a part of it is left out."""

    mode: AttentionMode = "shared"
    """shared is the paper's. causal-source lets an edit compute the source once; an adapter is of one mode for ever."""
    first_frame: float = Field(default=1.0, ge=0, le=1)
    """How often the edited first frame is given. Always, as at inference; below 1 it can be guided by."""
    given_frames: tuple[Share, ...] = Field(default=(1.0,), min_length=1)
    """How many first latent frames are given where any are: shares of 1, 2, 3, …; [0.8, 0.1, 0.1] is one in 80 % of samples. An edit in windows
    gives each later one those that it shares with the one before, never more than were given here. [1.0] is one always, and nothing is drawn."""
    drop_caption: float = Field(default=0.0, ge=0, le=1)
    """How often a sample's caption is replaced by the empty one."""
    drop_source: float = Field(default=0.0, ge=0, lt=1)
    """How often a step sees no source. Of whole steps, so that one batch has one length."""
    edit_share: float = Field(default=0.0, ge=0, lt=1)
    """The share of the loss that goes by how far a token's halves are apart; the rest is even. 0 is the paper's. A small model, which learns an
    edit of a few tokens slowly and copies the source meanwhile, takes 0.5: there the edit weighs what all else does."""

    @field_validator("given_frames")
    @classmethod
    def _whole(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"the shares sum to {sum(shares):g}; let them sum to 1")
        return shares


class OptimizerSettings(Settings):
    """AdamW over the adapter's weights."""

    lr: float = Field(default=2e-4, gt=0)
    """The lineage's; a miniature takes ten times that."""
    schedule: Literal["linear", "constant"] = "linear"
    """linear: down to 0 at the last step."""
    warmup: int = Field(default=0, ge=0)
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, gt=0)
    """Norm to which a step's gradient is cut."""

    def lr_at(self, step: int, steps: int) -> float:
        """Learning rate of a step, counted from 0."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        return self.lr * rise * (1 - step / steps if self.schedule == "linear" else 1.0)


class ParallelSettings(Settings):
    """How the work is spread. Never changes what is computed, beyond rounding."""

    strategy: Strategy = "zero1"
    """ddp: everything on every worker. zero1, zero2, zero3 (DeepSpeed): optimizer states, gradients, frozen weights too are cut among them."""
    offload: Literal["none", "optimizer", "all"] = "none"
    """Keep the optimizer's states (zero1 on) or the weights too (zero3) in host memory."""
    workers: int = Field(default=0, ge=0)
    """0: one per GPU of the cluster, or two on CPUs."""
    cpus_per_worker: float = Field(default=0.5, gt=0)
    """Less than one: the encoding actors and Ray's own processes want a share; two workers of a whole CPU each can wait for ever on two."""
    gpus_per_worker: float = Field(default=0.0, ge=0)
    """0: one where the cluster has GPUs."""
    micro_batch: int = Field(default=1, ge=1)
    """Samples of one transformer call. What is left of a worker's share of the batch is accumulated."""

    @model_validator(mode="after")
    def _fits(self) -> "ParallelSettings":
        if self.offload != "none" and self.strategy == "ddp":
            raise ValueError(f"offload {self.offload} needs zero1, zero2 or zero3")
        if self.offload == "all" and self.strategy != "zero3":
            raise ValueError("offload all needs zero3, which alone cuts the weights")
        return self


class CheckpointSettings(Settings):
    """When a run can be taken up again."""

    every: int = Field(default=100, ge=1)
    keep: int = Field(default=3, ge=2)
    """At least two: the newest may turn out corrupt."""


class FaultSettings(Settings):
    """What a run lives through."""

    retries: int = Field(default=3, ge=0)
    """Workers that died are started again so often, from the newest good checkpoint."""


class TrainRecipe(Settings):
    """Everything that decides a training run."""

    backbone: str = "tiny:ltx-video"
    """A hub id, a folder in diffusers' layout, `embedded`, or a miniature with random weights."""
    revision: str | None = None
    """Of the hub's repository."""
    caption: str | None = "3d1t"
    """The one caption of every sample, the released LoRA's; null takes each pair's own."""
    seed: int = Field(default=0, ge=0)
    steps: int = Field(default=200, ge=1)
    batch: int = Field(default=4, ge=1)
    """Samples of one optimizer step, over all workers."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """auto: bf16 on CUDA, float32 on a CPU."""
    checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them."""
    encode: EncodeSettings = EncodeSettings()
    context: ContextSettings = ContextSettings()
    sigma: SigmaSettings = SigmaSettings()
    lora: LoraSettings = LoraSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    validation: ValidationSettings = ValidationSettings()
    parallel: ParallelSettings = ParallelSettings()
    checkpoints: CheckpointSettings = CheckpointSettings()
    faults: FaultSettings = FaultSettings()
    encode_resources: EncodeResources = EncodeResources()
    license: str = "other"
    """For the model card."""

    @property
    def text_encoder(self) -> str:
        """What captions are embedded by: the backbone and its revision."""
        return f"{self.backbone}@{self.revision}" if self.revision else self.backbone

    def bf16(self, device_type: str) -> bool:
        """Whether a device of this type computes in bfloat16."""
        return self.precision == "bf16" or (self.precision == "auto" and device_type == "cuda")

    def deciding(self) -> dict[str, Any]:
        """The settings that the trained weights depend on, by dotted name. A run goes on only under the same ones.

        How the work is spread, when checkpoints are written and what is looked at on the way are free to change.
        """
        free = {"parallel", "checkpoints", "faults", "validation", "encode_resources", "license", "checkpointing"}
        flat: dict[str, Any] = {}
        for name, value in self.model_dump(mode="json").items():
            if name in free:
                continue
            flat |= {f"{name}.{field}": v for field, v in value.items()} if isinstance(value, dict) else {name: value}
        if self.context.given_frames == (1.0,):  # as it was before this could be said: runs of that time go on
            del flat["context.given_frames"]
        for name in ("context.edit_share", "lora.start"):  # likewise
            if not flat[name]:
                del flat[name]
        flat["validation.pairs"] = self.validation.pairs  # the held-out pairs are not trained on
        return flat
