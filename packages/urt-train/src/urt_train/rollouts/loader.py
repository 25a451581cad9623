"""Records in, micro-batches out, in rounds: a round is a batch of records and the fixed number of micro-batches made of it.

For fine-tuning a round is one optimizer step; for GRPO it is one rollout, made with the weights as they are when the loader gets
there. Lightning takes micro-batches one by one and never ahead of time, because the loader has a length. The state counts
rounds, so it is exact between two rounds, which is where checkpoints are saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from urt_core import PreferenceRecord
from urt_core.errors import ConfigError, DataError
from urt_data import PreferenceStream
from urt_train.config import ColdStartConfig, GRPOConfig, Orders, RejectionSamplingConfig, StageConfig
from urt_train.model.batching import TokenBatch

Draw = Callable[[], list[PreferenceRecord]]
"""The next records of the stream."""


class Sealed:
    """A batch that Lightning hands on whole: collections and dataclasses it takes apart to convert their tensors."""

    def __init__(self, batch: TokenBatch) -> None:
        self.batch = batch


Item = TypeVar("Item")


@runtime_checkable
class Stream(Protocol[Item]):
    """What a loader draws from: an epoch for each iteration, and a position that can be saved."""

    def __iter__(self) -> Iterator[list[Item]]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any], /) -> None: ...


class RoundLoader(Generic[Item]):
    """RoundLoader(stream, make_round, num_rounds=60, batches_per_round=4)

    `make_round(draw, number of the round)` gives its micro-batches.
    """

    def __init__(
        self,
        stream: Stream[Item],
        make_round: Callable[[Callable[[], list[Item]], int], Sequence[TokenBatch]],
        *,
        num_rounds: int,
        batches_per_round: int,
    ) -> None:
        self.stream, self.make_round = stream, make_round
        self.num_rounds, self.batches_per_round = num_rounds, batches_per_round
        self.round = 0

    def __len__(self) -> int:
        return self.num_rounds * self.batches_per_round

    def __iter__(self) -> Iterator[Sealed]:
        records = _endless(self.stream)
        while self.round < self.num_rounds:
            batches = self.make_round(lambda: next(records), self.round)
            if len(batches) != self.batches_per_round:
                raise DataError(f"round {self.round} has {len(batches)} micro-batches, not {self.batches_per_round}")
            self.round += 1
            yield from map(Sealed, batches)

    def state_dict(self) -> dict[str, Any]:
        return {"round": self.round, "stream": self.stream.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.round = state["round"]
        self.stream.load_state_dict(state["stream"])


def rounds_of(stream: PreferenceStream, *, epochs: float, max_rounds: int | None) -> int:
    """Rounds of `epochs` passes, at most `max_rounds`."""
    rounds = math.ceil(epochs * len(stream))
    return rounds if max_rounds is None else min(rounds, max_rounds)


def _endless(stream: Stream[Item]) -> Iterator[list[Item]]:
    while True:
        yield from stream


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundPlan:
    """How a round divides: RoundPlan(records_per_rank=16, batch_size=128, batches_per_round=1, steps_per_round=1)"""

    records_per_rank: int
    """Records that one rank draws for a round."""
    batch_size: int
    """Sequences of a micro-batch."""
    batches_per_round: int
    steps_per_round: int
    """Optimizer steps on one round."""

    @property
    def batches_per_step(self) -> int:
        return self.batches_per_round // self.steps_per_round


def plan_rounds(config: StageConfig, *, num_ranks: int) -> RoundPlan:
    """The division that a stage's settings mean on `num_ranks` devices, or the ConfigError that says which of them don't fit."""
    if isinstance(config, GRPOConfig):
        return _plan_rollouts(config, num_ranks=num_ranks)
    assert isinstance(config, ColdStartConfig | RejectionSamplingConfig)
    records = _per_rank(config, "batch_size", config.batch_size, num_ranks)
    size = min(config.micro_batch_size, records)
    return RoundPlan(
        records_per_rank=records, batch_size=size, batches_per_round=math.ceil(records / size), steps_per_round=1
    )


def _plan_rollouts(config: GRPOConfig, *, num_ranks: int) -> RoundPlan:
    records = _per_rank(config, "prompts_per_rollout", config.prompts_per_rollout, num_ranks)
    # A group in both orders is two prompts with half of it each.
    prompts, group = (
        (2 * records, config.group_size // 2) if config.orders is Orders.both else (records, config.group_size)
    )
    steps = config.steps_per_rollout
    if prompts % steps:
        raise ConfigError(
            f"grpo.steps_per_rollout is {steps}; allowed: a divisor of the {prompts} prompts that each of {num_ranks} devices has"
        )
    size = config.micro_batch_size
    if size % group and group % size:
        raise ConfigError(
            f"grpo.micro_batch_size is {size}; allowed: a multiple or a divisor of the group of {group} completions"
        )
    if size >= group:
        prompts_per_batch = min(size // group, prompts // steps)
        size, batches_per_step = prompts_per_batch * group, math.ceil(prompts // steps / prompts_per_batch)
    else:
        batches_per_step = prompts // steps * (group // size)
    if (prompts // steps) % max(1, size // group):
        raise ConfigError(
            f"grpo.micro_batch_size is {config.micro_batch_size}; allowed: as many groups as divide the {prompts // steps} prompts"
            " of an optimizer step on one device"
        )
    return RoundPlan(
        records_per_rank=records, batch_size=size, batches_per_round=batches_per_step * steps, steps_per_round=steps
    )


def _per_rank(config: StageConfig, name: str, total: int, num_ranks: int) -> int:
    if total % num_ranks:
        raise ConfigError(f"{config.path}.{name} is {total}; allowed: a multiple of the {num_ranks} devices")
    return total // num_ranks
