"""What every stage has in common: AdamW with a warm-up, gradients that are clipped and refused when not finite, sums for metrics.

The loss of a micro-batch is its share of the whole step's loss. Lightning divides it by the number of accumulated micro-batches
and the strategy averages gradients over ranks; `step_share` undoes both, so that neither changes the gradient.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from urt_core import PreferenceRecord
from urt_core.errors import DataError
from urt_train.config import Schedule
from urt_train.config.stage import StageConfig
from urt_train.errors import NonFiniteError
from urt_train.model.batching import TokenBatch
from urt_train.model.policy import Policy
from urt_train.model.sharding import shard
from urt_train.rollouts.loader import Sealed
from urt_train.runtime.hybrid import COPIES, SHARDS
from urt_train.runtime.ranks import any_rank


class PolicyModule(LightningModule):
    """A policy under the run's strategy, whether it learns or only judges."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy
        self.frozen: tuple[Policy, ...] = ()
        """Policies that do not learn. In a tuple, because a module would be saved and wrapped with the policy."""
        self.is_sharded = False

    def configure_model(self) -> None:
        """Shard under FSDP2; the other strategies take the model as it is. Weights that are not read yet go where they belong."""
        is_hybrid = self.device_mesh is not None and COPIES in (self.device_mesh.mesh_dim_names or ())
        for policy in (self.policy, *self.frozen):
            if self.device_mesh is not None and not self.is_sharded:
                mesh = self.device_mesh[COPIES, SHARDS] if is_hybrid else self.device_mesh[SHARDS]
                shard(policy, mesh, compute_dtype=self.compute_dtype)
            policy.load(self.trainer.strategy.root_device)
        self.is_sharded = self.device_mesh is not None

    @property
    def compute_dtype(self) -> torch.dtype | None:
        return torch.bfloat16 if str(self.trainer.precision).startswith("bf16") else None


class StageModule(PolicyModule, ABC):
    def __init__(self, policy: Policy, config: StageConfig, *, num_steps: int) -> None:
        super().__init__(policy)
        self.config = config
        self.num_steps = num_steps
        self.sums: dict[str, float] = {}
        """What the micro-batches of a step add up to; whoever logs a step takes and clears it."""
        self.grad_norm: float | None = None
        """Of the last optimizer step, before clipping; None where DeepSpeed does not tell."""
        self.has_kept = False
        """Whether any pair was short enough so far, on any rank."""
        self.examples: list[dict[str, Any]] = []
        """Sampled completions that nobody has written down yet."""

    def on_fit_start(self) -> None:
        for policy in self.frozen:
            policy.to(self.device)

    def on_train_start(self) -> None:
        weight = self.policy.model.get_output_embeddings().weight
        if hasattr(
            weight, "ds_id"
        ):  # ZeRO-3 gathers what a module of its own uses; the head's kernel takes the bare weight
            from deepspeed.runtime.zero import register_external_parameter

            register_external_parameter(self, weight)

    def computing(self) -> AbstractContextManager[Any]:
        """The trainer's precision, for what is computed outside of a training step."""
        return self._trainer.precision_plugin.forward_context() if self._trainer is not None else nullcontext()

    def step_share(self, loss: Tensor) -> Tensor:
        """A share of the step's loss as Lightning wants it returned."""
        if not torch.isfinite(loss):
            raise NonFiniteError(
                f"the loss is {loss.item()} in optimizer step {self.global_step + 1}; nothing was updated. The last checkpoint is"
                f" good; if the same command comes here again, start anew: ckpt_path=null and a lower {self.config.path}.learning_rate"
            )
        accumulated = self.trainer.accumulate_grad_batches
        if self.trainer.strategy.handles_gradient_accumulation:
            accumulated *= accumulated  # DeepSpeed divides by it once more
        return loss * accumulated * self.trainer.world_size

    def add(self, **sums: Tensor | float) -> None:
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + (float(value.detach()) if isinstance(value, Tensor) else value)

    def note_left_out(self, lengths: Tensor, *, num_kept: int) -> None:
        """Count what is too long. An end of an epoch may leave a rank with nothing; if no rank ever kept any, the limits are wrong."""
        self.add(num_left_out=len(lengths) - num_kept)
        self.has_kept |= any_rank(num_kept > 0, device=self.policy.device)
        if not self.has_kept:
            raise DataError(
                f"of {len(lengths)} pairs with prompts of {int(lengths.min())} to {int(lengths.max())} tokens none is within"
                f" {self.config.path}.max_prompt_tokens ({self.config.max_prompt_tokens}) and max_completion_tokens"
                f" ({self.config.max_completion_tokens}); raise them, or lower judge.max_pixels or judge.num_frames"
            )

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.add(**{f"time/{phase}": time.perf_counter() - start})

    def collate(self, records: list[PreferenceRecord]) -> Any:
        """What `draw()` gives: made of the records of a batch in the processes that read ahead, which have no device."""
        return records

    @abstractmethod
    def make_round(self, draw: Callable[[], Any], number: int) -> Sequence[TokenBatch]:
        """The micro-batches of round `number` on this rank, made from what `draw()` gives: `collate` of the next records."""

    @abstractmethod
    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        """What the sums of one optimizer step, added up over the ranks, say."""

    def configure_optimizers(self) -> Any:
        matrices = [parameter for parameter in self.parameters() if parameter.requires_grad and parameter.dim() > 1]
        vectors = [parameter for parameter in self.parameters() if parameter.requires_grad and parameter.dim() <= 1]
        groups = [
            {"params": matrices, "weight_decay": self.config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(
            groups,
            lr=self.config.learning_rate,
            betas=(self.config.betas[0], self.config.betas[1]),
            eps=self.config.eps,
        )
        # A plain function: of any other callable the scheduler would save the attributes into checkpoints.
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.learning_rate_share(step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def learning_rate_share(self, step: int) -> float:
        return learning_rate_share(
            step,
            num_steps=self.num_steps,
            warmup_ratio=self.config.warmup_ratio,
            schedule=self.config.schedule,
            final=self.config.final_learning_rate,
        )

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """Runs between the last backward pass and the optimizer step; DeepSpeed clips inside of its step, to `gradient_clip_val`."""
        if self.trainer.strategy.handles_gradient_accumulation:
            return
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.config.max_grad_norm or math.inf)
        self.grad_norm = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)  # pyright: ignore
        if not math.isfinite(self.grad_norm):
            self._refuse_gradient("nothing was updated")

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """DeepSpeed is asked for the norm behind its step, which is when it knows it; what is not finite it writes as inf, nan or -1."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        strategy: Any = self.trainer.strategy
        if not strategy.handles_gradient_accumulation:
            return
        norm = strategy.deepspeed_engine.get_global_grad_norm()
        self.grad_norm = None if norm is None else float(norm)
        if self.grad_norm is not None and not 0 <= self.grad_norm < math.inf:
            self._refuse_gradient("DeepSpeed told it behind its step, the weights of now may be spoilt")

    def _refuse_gradient(self, consequence: str) -> None:
        raise NonFiniteError(
            f"the gradient's norm is {self.grad_norm} in optimizer step {self.global_step + 1}; {consequence}. The last"
            " checkpoint is good; if the same command comes here again, start anew: ckpt_path=null and a lower"
            f" {self.config.path}.learning_rate"
        )

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        batch = batch.batch if isinstance(batch, Sealed) else batch
        return batch.to(device) if isinstance(batch, TokenBatch) else batch


def learning_rate_share(step: int, *, num_steps: int, warmup_ratio: float, schedule: Schedule, final: float) -> float:
    """Linear warm-up over a share of the steps, then constant, or down to `final` on a line or half a cosine.

    >>> [round(learning_rate_share(step, num_steps=10, warmup_ratio=0.2, schedule=Schedule.linear, final=0.0), 3) for step in (0, 1, 2, 6)]
    [0.5, 1.0, 1.0, 0.5]
    """
    num_warmup = math.ceil(warmup_ratio * num_steps)
    if step < num_warmup:
        return (step + 1) / num_warmup
    if schedule is Schedule.constant:
        return 1.0
    progress = min(1.0, (step - num_warmup) / max(1, num_steps - num_warmup))
    falling = 1 - progress if schedule is Schedule.linear else (1 + math.cos(math.pi * progress)) / 2
    return final + (1 - final) * falling
