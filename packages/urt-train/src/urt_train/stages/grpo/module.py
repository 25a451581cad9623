"""Stage 3: reinforce what earns more reward than its group. `sample`, `make_round` and `training_step` are steps 3 to 9
of the path.

records --render--> prompts --engine--> G completions each --parse, reward--> rewards --group--> advantages -->
micro-batches --policy--> log-probs --clipped surrogate + KL--> loss; Lightning accumulates, clips and steps.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from urt_core import Completion, PreferenceRecord, Prompt, SamplingParams, render
from urt_core.engines import Engine
from urt_core.engines.transformers import evaluation_mode
from urt_core.prompts.names import contract_of
from urt_core.rewards import Rewards as RewardFunctions
from urt_kernels import group_advantages
from urt_train.config import Batching, Orders
from urt_train.config.checks import fail
from urt_train.config.stage import RoundPlan
from urt_train.errors import ParityError, StaleError
from urt_train.model.batching import ExperienceBatch, prompts_within, select_prompts, shortest_prompts
from urt_train.model.pass_cost import PassCost
from urt_train.model.policy import Policy
from urt_train.rollouts.difficulty import choose
from urt_train.rollouts.hand_over import EngineBeside, EngineCopy
from urt_train.rollouts.loader import Draw, Drawing
from urt_train.rollouts.micro_batches import micro_batches, pieces_of, steps_of
from urt_train.rollouts.rollout import (
    Asked,
    Begun,
    Rewards,
    Sampled,
    experience,
    no_completions,
    overlong_penalty,
    replace_groups,
    right_in_both_orders,
    rollout_sums,
    score,
    shown_orders,
)
from urt_train.rollouts.timeline import Timeline
from urt_train.runtime.ranks import all_sum, any_rank, derived_seed, world
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.grpo.objective import grpo_step
from urt_train.stages.module import StageModule

LOG = logging.getLogger(__name__)


class GRPO(StageModule):
    """GRPO(policy, config, engine=policy.engine(), reference=policy.reference(), plan=plan, num_steps=60, seed=0)"""

    config: GRPOConfig

    def __init__(
        self,
        policy: Policy,
        config: GRPOConfig,
        *,
        engine: Engine,
        reference: Policy | None,
        plan: RoundPlan,
        num_steps: int,
        seed: int,
    ) -> None:
        super().__init__(policy, config, num_steps=num_steps)
        if config.reasoning_floor and not contract_of(policy.spec.dialect).reasons:
            fail(config, "reasoning_floor", f"false with judge.dialect={policy.spec.dialect}, which does not reason")
        self.engine = engine
        self.references = () if reference is None else (reference,)
        self.frozen = () if reference is policy else self.references  # adapters' reference is the policy without them
        self.plan = plan
        self.pass_cost = PassCost(policy.model, is_packed=policy.batching is Batching.shared_prefix)
        self.seed = seed
        self.rewards = RewardFunctions.load(config.rewards)
        self.timeline = Timeline()
        self.has_warned = False
        self.begun: Begun | None = None
        """The next rollout, which servers sample while the policy learns."""

    def sample(self, records: Sequence[PreferenceRecord], *, seed: int) -> Sampled:
        """Show the records, sample a group of completions for each and reward them."""
        asked = self.ask(records, seed=seed)
        with self.timed("generate"):
            groups = self.generate(asked.wanted, asked.sampling)
        return self.rewarded(asked, groups)

    def ask(self, records: Sequence[PreferenceRecord], *, seed: int) -> Asked:
        """The prompts of a rollout. Every rank takes part."""
        config, dialect = self.config, self.policy.spec.dialect
        with self.timed("data"):
            shown = shown_orders(records, config.orders, seed=seed)
            prompts = [render(record, dialect) for record in shown]
            encoded = self.policy.encode(prompts)
            fits = prompts_within(encoded, config.max_prompt_tokens, together=config.prompts_per_group)
            self.note_left_out(encoded["attention_mask"].sum(-1), num_kept=len(fits))
            rows = fits or shortest_prompts(encoded, together=config.prompts_per_group)
            shown, prompts, encoded = (
                [shown[row] for row in rows],
                [prompts[row] for row in rows],
                select_prompts(encoded, rows),
            )
        sampling = self.sampling(seed)
        return Asked(shown=shown, prompts=prompts, encoded=encoded, wanted=prompts if fits else [], sampling=sampling)

    def rewarded(self, asked: Asked, groups: Sequence[Sequence[Completion]]) -> Sampled:
        groups = groups or no_completions(len(asked.prompts), asked.sampling)
        with self.timed("data"):
            rewards = self.earned(asked.shown, groups)
        return Sampled(prompts=asked.prompts, encoded=asked.encoded, groups=groups, rewards=rewards)

    def earned(self, shown: Sequence[PreferenceRecord], groups: Sequence[Sequence[Completion]]) -> Rewards:
        """What each completion earned by itself, and what it earned as one of its group."""
        config = self.config
        dialect, floor = self.policy.spec.dialect, config.reasoning_floor
        rewards = score(shown, groups, self.rewards, dialect=dialect, reasoning_floor=floor)
        if config.pair_consistency and config.orders is Orders.both:
            both = right_in_both_orders(rewards.of("accuracy"))
            rewards = rewards.plus("pair_consistency", both, weight=config.pair_consistency)
        if config.overlong_share:
            lengths = torch.tensor([[len(completion.token_ids) for completion in group] for group in groups])
            overlong = overlong_penalty(lengths, limit=config.max_completion_tokens, share=config.overlong_share)
            rewards = rewards.plus("overlong", overlong, weight=config.overlong_penalty)
        return rewards

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        """An engine over the live weights needs them whole; a copy has its own."""
        if isinstance(self.engine, EngineCopy):
            return self.engine.generate(prompts, sampling)
        return self.policy.with_whole_weights(lambda: self.engine.generate(prompts, sampling))

    def sample_useful(self, draw: Draw, number: int) -> Sampled:
        """The samples of a rollout; groups without reward variance give way to others, `resample_rounds` times at
        most. Each time as many prompts are sampled as groups are missing, so that nothing useful is thrown away."""
        sampled = self.counted(self.sample(self.drawn(draw, number), seed=self.rollout_seed(number)))
        for attempt in range(1, self.config.resample_rounds + 1):
            missing = len(self.useless(sampled))
            if not any_rank(missing > 0, device=self.policy.device):
                break
            records = self.drawn(draw, number)[:missing]  # every rank draws, so that all go on from one position
            others = self.sample(records, seed=self.rollout_seed(number, attempt)) if records else self.no_sample()
            if others is None:
                continue
            sampled = replace_groups(
                sampled,
                self.counted(others),
                useless=self.useless,
                group_size=self.config.group_size,
                encode=self.policy.encode,
            )
        return sampled

    def counted(self, sampled: Sampled) -> Sampled:
        self.add(num_sampled_groups=self.num_groups(sampled), num_useless_groups=len(self.useless(sampled)))
        return sampled

    def useless(self, sampled: Sampled) -> list[int]:
        """Numbers of the groups that teach nothing: all their advantages are 0."""
        return sampled.without_variance(self.config.group_size, by_part=self.config.normalize_parts)

    def num_groups(self, sampled: Sampled) -> int:
        return len(sampled.groups) // self.config.prompts_per_group

    def no_sample(self) -> None:
        """Take part in what the other ranks sample, without a prompt of one's own."""
        self.generate([], self.sampling(0))

    def make_round(self, draw: Draw, number: int) -> list[ExperienceBatch]:
        """Micro-batches of one rollout, with everything in them that does not depend on the weights to come."""
        with self.computing():
            self.timeline.learned()
            if self.config.staleness:
                sampled, age = self.sample_ahead(draw, number)
                self.add(age=age)
            else:
                sampled, age = self.sample_now(draw, number), 0
            self.note(sampled)
            rollout = experience(sampled, self.advantages(sampled.rewards), mask_truncated=self.config.mask_truncated)
            steps = self.with_divisors(steps_of(rollout, self.plan.steps_per_round))
            batches = [batch for step in steps for batch in self.micro_batches(step)]
            with self.timed("logprobs"), evaluation_mode(self.policy):
                batches = [self.with_frozen_logprobs(batch) for batch in batches]
                if not age:  # older weights gave other log-probs; the canary of the hand-over has seen the engine's
                    self.check_parity(pieces_of(rollout, self.plan.batch_size)[0], number)
        self.timeline.learns(number)
        return batches

    def sample_now(self, draw: Draw, number: int) -> Sampled:
        """With the weights of now."""
        with self.engine_awake(number), self.timeline.span("sampling", number):
            return self.sample_useful(draw, number)

    def sample_ahead(self, draw: Draw, number: int) -> tuple[Sampled, int]:
        """The rollout that was begun when the policy started to learn from the one before, and by how many rollouts its
        weights are behind; then the next is begun with the weights of now. The first rollout of a process is not behind."""
        assert isinstance(self.engine, EngineBeside), "the config has refused others"
        begun, self.begun = self.begun, None
        if begun is None:
            self.hand_over(number)
            begun = self.begin(self.engine, draw, number, weights_of=number)
        with self.timed("generate"):
            groups = begun.groups.result()
        age = number - begun.weights_of
        if age > self.config.staleness:
            raise StaleError(
                f"rollout {number} was sampled {age} rollouts ago; allowed is grpo.staleness ({self.config.staleness})"
            )
        if (number + 1) * self.plan.steps_per_round < self.num_steps:
            if begun.weights_of < number:
                self.hand_over(number)
            if isinstance(draw, Drawing):
                draw.ahead()
            self.begun = self.begin(self.engine, draw, number + 1, weights_of=number)
        return self.counted(self.rewarded(begun.asked, groups)), age

    def begin(self, engine: EngineBeside, draw: Draw, number: int, *, weights_of: int) -> Begun:
        asked = self.ask(self.drawn(draw, number), seed=self.rollout_seed(number))
        groups = engine.begin(asked.wanted, asked.sampling)
        groups.add_done_callback(self.timeline.begun("sampling", number))
        return Begun(asked=asked, groups=groups, weights_of=weights_of)

    def micro_batches(self, step: ExperienceBatch) -> list[ExperienceBatch]:
        plan, device, has_reference = self.plan, self.policy.device, bool(self.references)
        return micro_batches(step, plan=plan, has_reference=has_reference, cost=self.pass_cost, device=device)

    def training_step(self, batch: ExperienceBatch, batch_idx: int) -> Tensor:
        if batch.is_skipped:  # a share of no weight: none is gathered for it
            return torch.zeros((), device=self.policy.device, requires_grad=True)
        if world()[1] == 1 and not batch.completion_mask.any():
            return self.nothing()
        result = grpo_step(self.policy, batch, self.config)
        assert result.entropy is not None
        assert result.sums is not None
        self.add(
            loss=result.loss,
            num_tokens=result.sums.num_tokens,
            kl=result.sums.kl_sum,
            entropy=result.entropy.sum(),
            clipped_low=result.sums.clip_low_sum,
            clipped_high=result.sums.clip_high_sum,
            ratio=result.sums.ratio_sum,
        )
        return self.step_share(result.loss)

    def nothing(self) -> Tensor:
        """The share of a micro-batch without a token in the loss; where others compute beside it, it is computed all the same."""
        self.add(**dict.fromkeys(("loss", "num_tokens", "kl", "entropy", "clipped_low", "clipped_high", "ratio"), 0.0))
        return next(weight for weight in self.policy.parameters() if weight.requires_grad).sum() * 0.0

    @contextmanager
    def engine_awake(self, number: int) -> Iterator[None]:
        """The engine with the weights of now; one over the live weights has them anyway."""
        if not isinstance(self.engine, EngineCopy):
            yield
            return
        self.hand_over(number)
        yield
        self.engine.sleep()

    def hand_over(self, number: int) -> None:
        assert isinstance(self.engine, EngineCopy), "another has no weights of its own"
        with self.timed("hand_over"), self.timeline.span("hand-over", number):
            self.engine.wake(self.policy)

    def note(self, sampled: Sampled) -> None:
        """Count the rollout for the metrics, and keep its first group for the reader of `rollouts.jsonl`."""
        self.add(**rollout_sums(sampled))
        self.examples += sampled.lines(range(self.config.prompts_per_group))

    def drawn(self, draw: Draw, number: int) -> list[PreferenceRecord]:
        """The next records; of several candidates for each prompt those whose groups are likely to differ in reward."""
        if self.config.candidates_per_prompt == 1:
            return draw()
        candidates = [record for _ in range(self.config.candidates_per_prompt) for record in draw()]
        return choose(
            candidates,
            self.plan.records_per_rank,
            group_size=self.config.group_size,
            seed=derived_seed(self.seed, number),
        )

    def rollout_seed(self, number: int, attempt: int = 0) -> int:
        """A function of the rollout and the rank, so a resumed run samples what a straight one does."""
        return derived_seed(self.seed, "rollout", number, attempt, world()[0])

    def sampling(self, seed: int) -> SamplingParams:
        return SamplingParams(
            temperature=self.config.temperature,
            top_p=self.config.top_p,
            max_tokens=self.config.max_completion_tokens,
            num_completions=self.config.group_size // self.config.prompts_per_group,
            seed=seed,
            logprobs=True,
        )

    def advantages(self, rewards: Rewards) -> Tensor:
        """[P, G]; the baseline of a group in both orders is over both unless `order_baseline` says otherwise."""
        config = self.config
        num_prompts, num_completions, num_parts = rewards.values.shape
        result = group_advantages(
            rewards.values.reshape(-1, num_parts),
            group_size=config.group_size if config.order_baseline is Orders.both else num_completions,
            mode=config.advantages,  # pyright: ignore[reportArgumentType]  checked by the config
            eps=config.advantage_eps,
            weights=rewards.weights,
            combine="normalize_then_sum" if config.normalize_parts else "sum_then_normalize",
        )
        self.add(num_groups=len(result.degenerate), num_degenerate=result.degenerate.sum())
        return result.advantages.reshape(num_prompts, num_completions)

    @torch.no_grad()
    def with_frozen_logprobs(self, batch: ExperienceBatch) -> ExperienceBatch:
        """Log-probs that no later step changes: the reference policy's, and the trainer's own where the engine's do not
        do."""
        if batch.is_skipped:
            return batch
        temperature = self.config.temperature
        on_device = batch.to(self.policy.device)
        if self.references:
            logprobs = self.references[0].reference_logprobs(on_device, temperature=temperature)
            batch = replace(batch, reference_logprobs=logprobs.to(batch.rollout_logprobs.device))
        if self.config.recomputes_logprobs:
            old = self.policy.token_logprobs(on_device, temperature=temperature).logprobs
            batch = replace(batch, old_logprobs=old.to(batch.rollout_logprobs.device))
        return batch

    @torch.no_grad()
    def check_parity(self, batch: ExperienceBatch, number: int) -> None:
        """Engine and trainer must mean the same: the first micro-batch's log-probs, before any step, from both."""
        if not self.config.parity_every or number % self.config.parity_every:
            return
        on_device = batch.to(self.policy.device)
        trainer = self.policy.token_logprobs(on_device, temperature=self.config.temperature).logprobs.cpu()
        mask = batch.completion_mask
        errors = (trainer - batch.rollout_logprobs)[mask].abs().exp()
        # Over all ranks, so that all go on or none does. Where nothing was left in the loss, there is nothing to
        # compare.
        total, num_tokens = all_sum([float(errors.sum()), float(mask.sum())], device=self.policy.device)
        parity = total / num_tokens if num_tokens else 1.0
        self.add(parity=parity)
        if not parity <= self.config.parity_limit:
            raise ParityError(
                f"engine and trainer disagree on the log-probs of rollout {number}: mean exp|difference| is {parity:.4f}, allowed"
                f" is {self.config.parity_limit} (grpo.parity_limit). Their prompts, weights or temperature differ"
            )

    def with_divisors(self, steps: Sequence[ExperienceBatch]) -> list[ExperienceBatch]:
        """Give each optimizer step the number of its tokens and completions over all ranks."""
        tokens = [int(step.completion_mask.sum()) for step in steps]
        sequences = [int(step.completion_mask.any(-1).sum()) for step in steps]
        totals = all_sum([*tokens, *sequences], device=self.policy.device)
        return [
            replace(step, num_tokens=totals[number], num_sequences=totals[len(steps) + number])
            for number, step in enumerate(steps)
        ]

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        tokens = max(sums["num_tokens"], 1.0)
        measured = {
            "loss": sums["loss"],
            "kl": sums["kl"] / tokens,
            "entropy": sums["entropy"] / tokens,
            "ratio": sums["ratio"] / tokens,
            "share/clipped_low": sums["clipped_low"] / tokens,
            "share/clipped_high": sums["clipped_high"] / tokens,
        }
        if "num_completions" in sums:  # the first step of a rollout
            completions = max(sums["num_completions"], 1.0)
            measured |= {name: value / completions for name, value in sums.items() if name.startswith("reward")}
            measured |= {
                "share/zero_variance": sums["num_degenerate"] / max(sums["num_groups"], 1.0),
                "share/truncated": sums["num_truncated"] / completions,
                "share/zero_variance_sampled": sums["num_useless_groups"] / max(sums["num_sampled_groups"], 1.0),
                "groups_sampled": sums["num_sampled_groups"],
                "share/unsaid": sums["num_unsaid"] / completions,
                "length/completion": sums["completion_tokens"] / completions,
                "length/prompt": sums["prompt_tokens"] / max(sums["num_prompts"], 1.0),
                "left_out": sums.get("num_left_out", 0.0),  # told when it is drawn, which may be a step ahead
            }
        if sums.get("num_completions") and sums["num_truncated"] == sums["num_completions"] and not self.has_warned:
            self.has_warned = True
            LOG.warning(
                "every completion of a rollout was cut off at grpo.max_completion_tokens (%d) and earned nothing: raise it, or start"
                " from a judge that ends its judgements",
                self.config.max_completion_tokens,
            )
        if "age" in sums:
            measured["age"] = sums["age"] / world()[1]
        if "parity" in sums:
            measured["parity"] = sums["parity"] / world()[1]
        return measured
