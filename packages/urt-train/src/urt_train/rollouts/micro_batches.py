"""A rollout cut into the micro-batches of its optimizer steps: in drawn order, or by tokens and evenly over the ranks.

Both compute the same sums. In drawn order a micro-batch counts completions, and ranks that wait for each other at every
layer wait for the longest; evenly, groups go to the rank that has room for them.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import distributed

from urt_train.config.stage import RoundPlan
from urt_train.model.batching import ExperienceBatch, join
from urt_train.model.pass_cost import PassCost, Work
from urt_train.rollouts.balance import Piece, balanced
from urt_train.rollouts.exchange import exchange
from urt_train.runtime.ranks import world


def steps_of(rollout: ExperienceBatch, num_steps: int) -> list[ExperienceBatch]:
    """The prompts of each optimizer step on a rollout: where it is short (the end of an epoch, prompts left out), each
    gets its share of what there is, and one that gets none stands outside of the loss."""
    number = len(rollout.completion_ids)
    shares = [range(number * step // num_steps, number * (step + 1) // num_steps) for step in range(num_steps)]
    return [rollout.select(share) if share else outside_the_loss(rollout) for share in shares]


def pieces_of(step: ExperienceBatch, size: int) -> list[ExperienceBatch]:
    """Parts of `size` completions: whole groups, or equal parts of one group."""
    num_prompts, group_size, _ = step.completion_ids.shape
    per_piece, completions = max(1, size // group_size), min(size, group_size)
    return [
        prompts.completions(start, start + completions).trimmed()
        for first in range(0, num_prompts, per_piece)
        for prompts in [step.select(range(first, min(first + per_piece, num_prompts)))]
        for start in range(0, group_size, completions)
    ]


def outside_the_loss(batch: ExperienceBatch) -> ExperienceBatch:
    """The first completion of a batch with an empty mask: what stands where there is nothing to learn from."""
    first = batch.select([0]).completions(0, 1)
    return replace(first, completion_mask=torch.zeros_like(first.completion_mask)).trimmed()


def without_idle_groups(batch: ExperienceBatch) -> ExperienceBatch | None:
    """Without the prompts all of whose advantages are 0: where nothing but the advantage pulls, they get no gradient. The divisors in
    the batch go on counting them, so that the others' gradient is what it was. None where there is no other."""
    busy = ((batch.advantages != 0) & batch.completion_mask.any(-1)).any(-1).nonzero()[:, 0].tolist()
    if len(busy) == len(batch.advantages):
        return batch
    return batch.select(busy).trimmed() if busy else None


def micro_batches(
    step: ExperienceBatch, *, plan: RoundPlan, has_reference: bool, cost: PassCost, device: torch.device
) -> list[ExperienceBatch]:
    """Those of this rank for an optimizer step: by tokens if the plan has a number of them. Every rank takes part.

    Without a reference, what has no advantage is left out. `cost` is that of the policy's passes, `device` where tensors
    travel from.
    """
    if plan.tokens_per_batch is None:
        return in_drawn_order(step, plan=plan, has_reference=has_reference)
    return shared_out(step, plan=plan, has_reference=has_reference, cost=cost, device=device)


def in_drawn_order(step: ExperienceBatch, *, plan: RoundPlan, has_reference: bool) -> list[ExperienceBatch]:
    """The micro-batches of a step on this rank's own prompts."""
    pieces, spare = pieces_of(step, plan.batch_size), outside_the_loss(step)
    kept = pieces if has_reference else [without_idle_groups(piece) or spare for piece in pieces]
    return kept + [spare] * (plan.batches_per_step - len(kept))


def shared_out(
    step: ExperienceBatch, *, plan: RoundPlan, has_reference: bool, cost: PassCost, device: torch.device
) -> list[ExperienceBatch]:
    """The micro-batches of this rank for a step on the prompts of all: of `plan.tokens_per_batch` tokens at most, each
    about as long as those of the other ranks beside it.

    What the packing leaves over of the plan's number comes first and is skipped on all ranks: the last micro-batch of a
    step is the one in which gradients meet.
    """
    assert plan.tokens_per_batch is not None
    learnt = [piece for piece in pieces_of(step, plan.batch_size) if piece.completion_mask.any()]
    pieces = [piece for piece in learnt if has_reference or without_idle_groups(piece)]
    num_ranks, spare = world()[1], outside_the_loss(step)
    own = [cost.of(piece) for piece in pieces]
    offered: list[list[Work]] = [own] * num_ranks
    if num_ranks > 1:
        distributed.all_gather_object(offered, own)
    places = balanced(
        [Piece(owner, number, work) for owner, works in enumerate(offered) for number, work in enumerate(works)],
        num_ranks=num_ranks,
        num_batches=plan.batches_per_step,
        max_tokens=plan.tokens_per_batch,
    )
    batches = [join(parts) if parts else spare for parts in exchange(pieces, places, like=spare, device=device)]
    return [replace(spare, is_skipped=True)] * (plan.batches_per_step - len(batches)) + batches
