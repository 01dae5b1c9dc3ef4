"""How several workers train one adapter: alone or with plain DDP, or with DeepSpeed's ZeRO.

    strategy = start(transformer, parameters, recipe, worker)
    for micro in …:
        with strategy.computing(last=…): loss = …
        strategy.backward(loss, last=…)
    norm = strategy.step(lr)
    state = strategy.state()         # whole tensors: any strategy and any number of workers can go on from them

One worker per process; torch.distributed is up whenever there is more than one of them, and always for ZeRO.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from synclora.train.recipe import OptimizerSettings, ParallelSettings

Parameters = Mapping[str, nn.Parameter]
"""The adapter's weights by name, in the order of every worker."""


@dataclass(frozen=True)
class Worker:
    """One process of a training run.

    Attributes:
        rank: its number, from 0; worker 0 writes.
        world: how many there are.
        device: where it computes.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@dataclass(frozen=True)
class OptimizerState:
    """An adapter under way: whole float32 tensors on the CPU, by name.

    Attributes:
        steps: optimizer steps taken.
        weights: the adapter.
        mean: AdamW's first moment.
        square: its second.
    """

    steps: int
    weights: dict[str, Tensor]
    mean: dict[str, Tensor]
    square: dict[str, Tensor]


class Strategy(ABC):
    """The optimizer side of a run.

    Attributes:
        through: what the transformer is called through.
    """

    through: Callable[..., Any]

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._steps = 0

    def computing(self, *, last: bool) -> AbstractContextManager[Any]:
        """In which the forward pass of a micro batch runs; `last` of this step."""
        return nullcontext()

    @abstractmethod
    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the gradient of one micro batch's mean loss."""

    @abstractmethod
    def step(self, lr: float) -> float:
        """Take one optimizer step; returns the gradient's norm before it was cut."""

    @abstractmethod
    def state(self) -> OptimizerState:
        """Everything that a later run needs. A collective call."""

    @abstractmethod
    def restore(self, state: OptimizerState) -> None:
        """Go on from a state whose weights the transformer already holds."""


class Plain(Strategy):
    """One process, or torch's DistributedDataParallel: every worker holds everything. Adapter weights are float32."""

    def __init__(
        self,
        transformer: nn.Module,
        parameters: Parameters,
        settings: OptimizerSettings,
        micros: int,
        worker: Worker,
        *,
        bf16: bool,
    ) -> None:
        super().__init__(parameters)
        self._settings, self._micros, self._bf16, self._device = settings, micros, bf16, worker.device
        self._optimizer = torch.optim.AdamW(
            list(parameters.values()), lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay
        )
        self._ddp = nn.parallel.DistributedDataParallel(transformer) if worker.world > 1 else None
        self.through = self._ddp or transformer

    @contextmanager
    def computing(self, *, last: bool) -> Iterator[None]:
        """Autocast where the base is bf16: the adapter's float32 weights are then rounded for each product only. Workers exchange gradients
        after the last micro batch alone, which DDP wants to know in the forward pass."""
        alone = nullcontext() if last or self._ddp is None else self._ddp.no_sync()
        with alone, torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            yield

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add a micro batch's gradient."""
        (loss / self._micros).backward()  # type: ignore[no-untyped-call]

    def step(self, lr: float) -> float:
        """AdamW on the cut gradient."""
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        norm = nn.utils.clip_grad_norm_(self._parameters.values(), self._settings.clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._steps += 1
        return float(norm)

    def state(self) -> OptimizerState:
        """Copies of what this worker holds."""
        state = self._optimizer.state

        def moments(key: str) -> dict[str, Tensor]:
            return {
                name: state[p][key].cpu().clone() if p in state else torch.zeros(p.shape) for name, p in self._parameters.items()
            }

        weights = {name: p.detach().float().cpu().clone() for name, p in self._parameters.items()}
        return OptimizerState(self._steps, weights, moments("exp_avg"), moments("exp_avg_sq"))

    def restore(self, state: OptimizerState) -> None:
        """Set AdamW's state."""
        self._steps = state.steps
        for name, p in self._parameters.items():
            self._optimizer.state[p] = {
                "step": torch.tensor(float(state.steps)),
                "exp_avg": state.mean[name].to(p.device).clone(),
                "exp_avg_sq": state.square[name].to(p.device).clone(),
            }


class Zero(Strategy):
    """DeepSpeed's ZeRO: optimizer states (1), gradients (2) and all weights (3) are cut among the workers."""

    def __init__(
        self,
        transformer: nn.Module,
        parameters: Parameters,
        settings: OptimizerSettings,
        micros: int,
        parallel: ParallelSettings,
        *,
        bf16: bool,
    ) -> None:
        super().__init__(parameters)
        deepspeed = _deepspeed()
        trainable = list(parameters.values())
        optimizer = torch.optim.AdamW(trainable, lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay)
        self._engine, self._optimizer, _, _ = deepspeed.initialize(
            model=transformer,
            optimizer=optimizer,
            model_parameters=trainable,
            config=zero_config(parallel, settings.clip, micros, bf16=bf16),
            dist_init_required=False,
        )
        self._adamw = optimizer
        self.through = self._engine

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add a micro batch's gradient; the engine itself divides by their number."""
        self._engine.backward(loss)
        if not last:
            self._engine.step()  # counts the micro batch; the optimizer moves with the last one only

    def step(self, lr: float) -> float:
        """AdamW on this worker's part."""
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._engine.step()
        self._steps += 1
        return float(self._engine.get_global_grad_norm())

    def state(self) -> OptimizerState:
        """Gathered from all workers, one weight after the other."""
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        def whole(get: Callable[[nn.Parameter], Tensor]) -> dict[str, Tensor]:
            return {name: get(p).float().cpu().clone() for name, p in self._parameters.items()}

        weights = whole(safe_get_full_fp32_param)
        if not self._steps:
            zeros = {name: torch.zeros_like(weight) for name, weight in weights.items()}
            return OptimizerState(0, weights, zeros, {name: zero.clone() for name, zero in zeros.items()})
        mean, square = (whole(partial(safe_get_full_optimizer_state, optim_state_key=key)) for key in ("exp_avg", "exp_avg_sq"))
        return OptimizerState(self._steps, weights, mean, square)

    def restore(self, state: OptimizerState) -> None:
        """Set every worker's part: the float32 weights behind the rounded ones, and AdamW's state."""
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

        self._steps = state.steps
        for flat in self._parts():
            moments = {key: torch.zeros_like(flat.data) for key in ("exp_avg", "exp_avg_sq")}
            self._adamw.state[flat] = {"step": torch.tensor(float(state.steps)), **moments}
        if hasattr(
            self._optimizer, "_lazy_init_hp_params_optimizer_state"
        ):  # ZeRO 1 and 2 link AdamW's state to the weights with their first step
            self._optimizer._lazy_init_hp_params_optimizer_state()
        for name, p in self._parameters.items():
            safe_set_full_fp32_param(p, state.weights[name].to(p.device))
            safe_set_full_optimizer_state(p, state.mean[name].to(p.device), "exp_avg")
            safe_set_full_optimizer_state(p, state.square[name].to(p.device), "exp_avg_sq")

    def _parts(self) -> list[Tensor]:
        """What AdamW really works on: this worker's float32 part of each group of weights."""
        if hasattr(self._optimizer, "fp32_partitioned_groups_flat"):  # ZeRO-3 gives it one part after the other, in each step
            return list(self._optimizer.fp32_partitioned_groups_flat)
        return [part for group in self._adamw.param_groups for part in group["params"]]


def _deepspeed() -> Any:
    """DeepSpeed, without what it would compile with its first use. The shared-memory exchange for CPUs takes 40 s and a C++ compiler, and a
    worker killed while compiling leaves a lock that all later ones wait for; gloo does the same work. Muon, an optimizer that nobody here uses,
    loads torch's whole compiler: a second and a half of each worker's start."""
    import deepspeed
    from deepspeed.runtime import compiler

    compile_, compiler.compile = compiler.compile, lambda *_, **__: lambda function: function
    try:
        import deepspeed.runtime.zero.muon.original_muon
    finally:
        compiler.compile = compile_
    if not torch.cuda.is_available():
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


def zero_config(parallel: ParallelSettings, clip: float, micros: int, *, bf16: bool) -> dict[str, Any]:
    """DeepSpeed's configuration of a strategy."""
    stage = int(parallel.strategy.removeprefix("zero"))
    zero: dict[str, Any] = {
        "stage": stage,
        "overlap_comm": False,
    }  # gloo has no streams to overlap on; NCCL gains little on an adapter's gradient
    if parallel.offload != "none":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    if stage == 3:
        zero["stage3_param_persistence_threshold"] = 0  # else small weights, all of an adapter's, stay whole
        if parallel.offload == "all":
            zero["offload_param"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    return {
        "train_micro_batch_size_per_gpu": parallel.micro_batch,
        "gradient_accumulation_steps": micros,
        "gradient_clipping": clip,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,  # torch's AdamW everywhere: the same arithmetic under every strategy
        "bf16": {"enabled": bf16},
    }


def start(
    transformer: nn.Module,
    parameters: Parameters,
    optimizer: OptimizerSettings,
    parallel: ParallelSettings,
    micros: int,
    worker: Worker,
    *,
    bf16: bool,
) -> Strategy:
    """The strategy that the recipe asks for.

    Args:
        transformer: holds the adapter; on the worker's device.
        parameters: the adapter's weights.
        optimizer: AdamW's settings.
        parallel: which strategy.
        micros: transformer calls per step and worker.
        worker: this process.
        bf16: compute in bfloat16.
    """
    if parallel.strategy == "ddp":
        return Plain(transformer, parameters, optimizer, micros, worker, bf16=bf16)
    return Zero(transformer, parameters, optimizer, micros, parallel, bf16=bf16)
