"""The GRPO stage through Lightning's own loop: cuts of a rollout do not change the gradient, the same seed gives the
same losses."""

import importlib.util
import math
from collections import defaultdict
from dataclasses import replace

import pytest
import torch

from tests.urt_train.stages.grpo.runs import by_token_count, sampler, settings, train
from urt_core import Completion, SamplingParams, render
from urt_core.errors import DataError
from urt_train.config import Batching, LoraConfig, Orders, TrainerConfig
from urt_train.errors import NonFiniteError, ParityError
from urt_train.model.batching import ExperienceBatch
from urt_train.model.lora import add_adapters
from urt_train.stages import train_config
from urt_train.stages.grpo.module import GRPO


@pytest.mark.parametrize("batching", list(Batching))
@pytest.mark.parametrize("aggregation", ["grpo", "dapo"])
def test_micro_batches_do_not_change_the_gradient(fresh, records, batching, aggregation):
    gradients = {}
    for size in (8, 4, 2, 1):
        config = settings(micro_batch_size=size, batching=batching, aggregation=aggregation, kl_coef=0.1)
        gradients[size] = train(fresh(), records, config, reward=by_token_count).gradients[0]
    scale = gradients[8].abs().max()
    assert scale > 1e-3
    for size in (4, 2, 1):
        torch.testing.assert_close(gradients[size] / scale, gradients[8] / scale, rtol=0, atol=2e-6)
        for tokens in (1, 10**6):
            config = settings(
                micro_batch_size=size,
                micro_batch_tokens=tokens,
                batching=batching,
                aggregation=aggregation,
                kl_coef=0.1,
            )
            by_tokens = train(fresh(), records, config, reward=by_token_count).gradients[0]
            torch.testing.assert_close(by_tokens / scale, gradients[8] / scale, rtol=0, atol=2e-6)


def test_layouts_give_the_same_gradient(fresh, records):
    padded, shared = (
        train(fresh(), records, settings(batching=batching, kl_coef=0.1), reward=by_token_count).gradients[0]
        for batching in Batching
    )
    torch.testing.assert_close(shared / padded.abs().max(), padded / padded.abs().max(), rtol=0, atol=1e-5)


def test_mixed_precision_is_near_full_precision(fresh, records):
    """bfloat16 has eight bits: on the same completions gradients agree to a few per cent."""
    mixed = train_config()(trainer=TrainerConfig(accelerator="cpu", progress_bar=False, precision="bf16-mixed"))
    config = settings(kl_coef=0.1, temperature=0.9)
    sampled = []
    full = train(fresh(), records, config, reward=by_token_count, edit=lambda batch: sampled.append(batch) or batch)
    half = train(fresh(), records, config, reward=by_token_count, edit=lambda _: sampled[0], machine=mixed)
    assert half.gradients[0].dtype is torch.float32
    assert not torch.equal(full.gradients[0], half.gradients[0])
    similarity = torch.nn.functional.cosine_similarity(full.gradients[0], half.gradients[0], dim=0)
    assert similarity > 0.98


def test_the_same_seed_gives_the_same_losses(fresh, records):
    first, again = (
        train(fresh(), records, settings(steps_per_rollout=2), num_rollouts=2, reward=by_token_count) for _ in range(2)
    )
    assert len(first.gradients) == 4
    for one, other in zip(first.gradients, again.gradients, strict=True):
        assert torch.equal(one, other)


def test_without_variance_only_the_kl_term_pulls(fresh, records):
    """A random model earns nothing, so every group is degenerate; before any step policy and reference agree: no
    gradient at all."""
    module = train(fresh(), records, settings(kl_coef=0.1))
    assert module.gradients[0].abs().max() < 1e-6
    metrics = module.metrics(module.sums)
    assert metrics["share/zero_variance"] == 1.0
    assert metrics["reward"] == 0.0
    assert metrics["kl"] == pytest.approx(0.0, abs=1e-9)
    assert 0 < metrics["entropy"] < math.log(400)


def test_what_earns_more_becomes_more_likely(fresh, records):
    """One prompt, one rewarded completion: its log-prob rises, those of the punished ones fall."""
    policy = fresh()
    kept: list[ExperienceBatch] = []

    def keep(batch):
        kept.append(batch)
        return batch

    def one_winner(rewards):
        return torch.tensor([[3.0, -1.0, -1.0, -1.0]])

    train(
        policy, records, settings(prompts_per_rollout=1, kl_coef=0.0, learning_rate=3e-3), edit=keep, reward=one_winner
    )
    after = policy.token_logprobs(kept[0]).logprobs.sum(-1)
    before = kept[0].rollout_logprobs.sum(-1)
    assert after[0, 0] > before[0, 0]
    assert (after - before)[0, 0] > (after - before)[0, 1:].max()


def test_a_second_step_on_a_rollout_clips(fresh, records):
    module = train(
        fresh(), records, settings(steps_per_rollout=2, learning_rate=0.05, kl_coef=0.0), reward=by_token_count
    )
    metrics = module.metrics(module.sums)
    assert metrics["share/clipped_low"] + metrics["share/clipped_high"] > 0


def test_groups_in_both_orders_share_a_baseline(fresh, records):
    config = settings(orders=Orders.both, prompts_per_rollout=2, kl_coef=0.1)
    batches: list[ExperienceBatch] = []
    module = train(fresh(), records, config, edit=lambda batch: batches.append(batch) or batch)
    assert module.sampling(0).num_completions == 2
    assert batches[0].completion_ids.shape[:2] == (4, 2), "two pairs, each in both orders, half a group each"
    assert module.metrics(module.sums)["share/zero_variance"] == 1.0


def test_a_non_finite_loss_stops_before_the_step(fresh, records):
    policy = fresh()
    weights = [parameter.detach().clone() for parameter in policy.parameters()]

    def spoil(batch):
        return replace(batch, advantages=batch.advantages + 3e38)  # whose sum over a sequence is no float32

    with pytest.raises(
        NonFiniteError, match=r"(the loss|the gradient's norm) is -?inf in optimizer step 1; nothing was updated"
    ):
        train(policy, records, settings(), edit=spoil)
    assert all(torch.equal(now, before) for now, before in zip(policy.parameters(), weights, strict=True))


def test_an_engine_of_other_weights_is_found_out(fresh, records, tiny_folder, spec):
    policy = fresh()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.1)
    config = settings()
    plan = config.plan(num_ranks=1)
    module = GRPO(policy, config, engine=fresh().engine(), reference=None, plan=plan, num_steps=1, seed=0)
    with pytest.raises(ParityError, match=r"disagree on the log-probs of rollout 0: mean exp\|difference\| is"):
        module.make_round(lambda: records[:2], 0)


def test_seeds_are_functions_of_the_rollout(fresh):
    config = settings()
    module = sampler(fresh, config)
    seeds = [module.rollout_seed(number, attempt) for number in range(3) for attempt in range(2)]
    assert len(set(seeds)) == 6
    assert module.sampling(seeds[0]) == SamplingParams(
        temperature=1.0, max_tokens=10, num_completions=4, seed=seeds[0], logprobs=True
    )


def test_long_prompts_leave_empty_micro_batches(fresh, records):
    policy = fresh()
    lengths = policy.encode([render(record, policy.spec.dialect) for record in records[:2]])
    limit = int(lengths["attention_mask"].sum(-1).min())
    batches: list[ExperienceBatch] = []
    config = settings(max_prompt_tokens=limit, micro_batch_size=4)
    module = train(policy, records, config, edit=lambda batch: batches.append(batch) or batch)
    assert module.metrics(module.sums)["left_out"] == 1.0
    assert [bool(batch.completion_mask.any()) for batch in batches] == [True, False]
    assert batches[0].num_sequences == 4.0


def test_where_nothing_fits_the_rank_goes_on_outside_of_the_loss(fresh, records, monkeypatch):
    """The end of an epoch may leave one rank with a prompt that is too long; the others wait for it in their collective
    calls."""
    monkeypatch.setattr("urt_train.stages.module.any_rank", lambda flag, *, device: True)  # another rank has some
    batches: list[ExperienceBatch] = []
    config = settings(max_prompt_tokens=3, kl_coef=0.1, parity_every=1)
    module = train(fresh(), records, config, edit=lambda batch: batches.append(batch) or batch)
    (batch,) = batches
    assert batch.completion_ids.shape[:2] == (1, 4)
    assert not batch.completion_mask.any()
    assert module.metrics(module.sums)["left_out"] == 2.0
    assert module.gradients[0].abs().max() == 0.0


def test_limits_that_leave_nothing_are_named(fresh, records):
    module = sampler(fresh, settings(max_prompt_tokens=3))
    with pytest.raises(
        DataError, match=r"none is within grpo\.max_prompt_tokens \(3\) and max_completion_tokens \(10\)"
    ):
        module.make_round(lambda: records[:2], 0)


def test_a_batch_of_truncated_completions_is_no_disagreement(fresh, records):
    """With `mask_truncated` there may be nothing left to compare."""
    config = settings(mask_truncated=True, parity_every=1, max_completion_tokens=2, kl_coef=0.0)
    module = sampler(fresh, config)
    (batch,) = module.make_round(lambda: records[:2], 0)
    assert not batch.completion_mask.any()
    assert module.sums["parity"] == 1.0


def test_a_rollout_of_which_nothing_ended_is_said_once(fresh, records, caplog):
    module = sampler(fresh, settings())
    sums = {"num_completions": 8.0, "num_truncated": 8.0}
    with caplog.at_level("WARNING"):
        caplog.clear()
        for _ in range(2):
            module.metrics(defaultdict(float, sums))
        module_of_some = sampler(fresh, settings())
        module_of_some.metrics(defaultdict(float, sums | {"num_truncated": 7.0}))
    [message] = [record.getMessage() for record in caplog.records]
    assert "cut off at grpo.max_completion_tokens (10)" in message


def test_a_template_that_opens_the_reasoning_costs_no_format_reward(fresh, records):
    """The prompt is cut in front of the tag, so that a whole judgement, with both its tags, is what is sampled and paid."""
    module = sampler(fresh, settings())
    policy, template = module.policy, module.policy.tokenizer.chat_template
    plain = policy.encode([render(records[0], policy.spec.dialect)])["input_ids"]
    policy.tokenizer.chat_template = template.replace("<|im_start|>assistant\n", "<|im_start|>assistant\n<think>\n")
    assert torch.equal(policy.encode([render(records[0], policy.spec.dialect)])["input_ids"], plain)
    noun = records[0].task.noun
    whole = Completion(text=f"<think>\nreasons\n</think>\n<answer>{noun} 1 is better</answer>", token_ids=(1, 2))
    assert module.earned(records[:1], [[whole] * 4]).of("format").tolist() == [[1.0] * 4]


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs peft")
@pytest.mark.parametrize("batching", list(Batching))
def test_dropout_of_adapters_is_off_where_nothing_learns(fresh, records, batching):
    """The rollout's log-probs again, and those of the reference, which is the same policy without its adapters."""
    policy = fresh()
    policy.select_trainable(language=True, vision=False, projector=False)
    add_adapters(policy.model, LoraConfig(rank=2, dropout=0.5))
    seen = []
    config = settings(kl_coef=0.1, importance_cap=2.0, batching=batching, parity_every=1)
    module = train(
        policy, records, config, num_rollouts=2, reward=by_token_count, edit=lambda batch: seen.append(batch) or batch
    )
    first, second = seen
    for batch in seen:
        engine, again = batch.rollout_logprobs[batch.completion_mask], batch.old_logprobs[batch.completion_mask]
        torch.testing.assert_close(again, engine, rtol=0, atol=1e-4)
    torch.testing.assert_close(first.reference_logprobs, first.old_logprobs, rtol=0, atol=1e-6)
    moved = (second.reference_logprobs - second.old_logprobs)[second.completion_mask].abs().max()
    assert moved > 1e-4, "after a step the policy is no longer its reference"
    assert not module.frozen, "nothing was copied"


def test_groups_without_variance_cost_no_forward_pass_and_change_no_gradient(fresh, records, monkeypatch):
    """kl_coef 0: two of four groups have advantages of 0. The gradient is that of computing them all, in fewer rows."""
    monkeypatch.setattr("urt_train.rollouts.micro_batches.without_idle_groups", lambda batch: batch)
    config = settings(prompts_per_rollout=4, kl_coef=0.0, micro_batch_size=8)

    def in_two_groups(rewards) -> torch.Tensor:
        advantages = by_token_count(rewards)
        advantages[1:3] = 0.0
        return advantages

    whole = train(fresh(), records, config, reward=in_two_groups)
    monkeypatch.undo()
    rows: list[int] = []
    idle = train(
        fresh(), records, config, reward=in_two_groups, edit=lambda batch: rows.append(len(batch.advantages)) or batch
    )
    assert rows == [1, 1]
    torch.testing.assert_close(idle.gradients[0], whole.gradients[0], atol=1e-7, rtol=1e-5)
    nothing = train(fresh(), records, config, reward=lambda rewards: torch.zeros(rewards.values.shape[:2]))
    assert float(nothing.gradients[0].abs().max()) == 0.0
