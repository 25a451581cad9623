"""Between engine and loss: rewards of groups, both orders, and rollouts cut into micro-batches."""

import math

import pytest
import torch

from urt_core import Completion, Dialect, Preference, Prompt, render
from urt_core.engines import FinishReason
from urt_core.rewards import RewardFunction, RewardInput
from urt_core.rewards import Rewards as RewardFunctions
from urt_train.config import Orders
from urt_train.rollouts.rollout import (
    Rewards,
    Sampled,
    experience,
    overlong_penalty,
    replace_groups,
    right_in_both_orders,
    rollout_sums,
    score,
    shown_orders,
)

REWARDS = RewardFunctions.load({"format": 1.0, "accuracy": 1.0})


def judgement(noun: str, winner: int) -> str:
    first, second = (9, 5) if winner == 1 else (5, 9)
    return (
        f"<think>\n1. Semantic consistency: {noun} 1 ({first}/10) - a; {noun} 2 ({second}/10) - b\n"
        f"Total score:\n{noun} 1: {first}\n{noun} 2: {second}\n</think>\n<answer>{noun} {winner} is better</answer>"
    )


def sampled(prompts, groups, rewards=None) -> Sampled:
    shape = len(groups), len(groups[0])
    nothing = Rewards(
        parts=("format",), weights=(1.0,), values=torch.zeros(*shape, 1), unsaid=torch.zeros(shape, dtype=torch.bool)
    )
    return Sampled(
        prompts=[Prompt(parts=("?",))] * len(groups), encoded=prompts, groups=groups, rewards=rewards or nothing
    )


def completion(text: str, tokens: int = 3, *, reason: FinishReason = FinishReason.STOP) -> Completion:
    return Completion(
        text=text, finish_reason=reason, token_ids=tuple(range(10, 10 + tokens)), logprobs=(-0.5,) * tokens
    )


def test_rewards_are_format_plus_accuracy(records):
    record = records[0]
    noun, label = record.task.noun, 1 if record.preference is Preference.FIRST else 2
    right, wrong = judgement(noun, label), judgement(noun, 3 - label)
    group = [
        completion(right),
        completion(wrong),
        completion(f"<answer>{noun} {label} is better</answer>"),
        completion("mumbling"),
        completion(right, reason=FinishReason.LENGTH),
    ]
    rewards = score([record], [group], REWARDS, dialect=Dialect.V1)
    assert rewards.parts == ("format", "accuracy")
    assert rewards.values[0, 0].tolist() == [1.0, 1.0]
    assert rewards.values[0, 1].tolist() == [1.0, 0.0]
    assert rewards.values[0, 2, 0] == 0.0, "no reasoning: not the shape"
    assert rewards.values[0, 3].tolist() == [0.0, 0.0]
    assert rewards.values[0, 4].tolist() == [0.0, 0.0], "cut off: whatever it says"
    assert rewards.total[0, :2].tolist() == [2.0, 1.0]


def test_below_the_floor_nothing_above_zero_is_earned(records):
    record = records[0]  # of a task with three core dimensions
    answer = f"<answer>{record.task.noun} 1 is better</answer>"
    dimensions = record.task.dimensions
    line = "{0}. {1}: Image 1 (9/10) - a; Image 2 (5/10) - b\n"
    whole = "".join(line.format(number, name) for number, name in enumerate(dimensions, 1))
    texts = [
        "<think></think>",
        "<think>ok</think>",
        f"<think>{line.format(1, dimensions[0])}</think>",
        f"<think>{whole}</think>",
    ]
    group = [completion(f"{text}\n{answer}") for text in texts]
    functions = RewardFunctions.load(
        {"format": 1.0, "accuracy": 1.0, "tests.urt_train.rollouts.test_rollout:fine": 0.5}
    )
    paid = score([record], [group], functions, dialect=Dialect.V1)
    assert paid.total[0].tolist() == [1.5] * 4, "the paper pays for an empty reasoning"
    floored = score([record], [group], functions, dialect=Dialect.V1, reasoning_floor=True)
    assert floored.total[0].tolist() == [-0.5] * 3 + [1.5], "what is taken away stays taken away"


def fine(sample: RewardInput) -> float:
    return -1.0


def test_weights_and_further_parts(records):
    shown = shown_orders(records[:1], Orders.both, seed=0)
    noun = records[0].task.noun
    labels = [1 if record.preference is Preference.FIRST else 2 for record in shown]
    assert labels[0] != labels[1], "the second row is the first with its candidates exchanged"
    groups = [
        [completion(judgement(noun, labels[0])), completion(judgement(noun, labels[0]), 10)],
        [completion(judgement(noun, labels[1])), completion(judgement(noun, labels[0]))],
    ]
    weights = {"format": 0.5, "accuracy": 2.0, "consistency": 1.0}
    rewards = score(shown, groups, RewardFunctions.load(weights), dialect=Dialect.V1)
    rewards = rewards.plus("pair_consistency", right_in_both_orders(rewards.of("accuracy")), weight=0.25)
    lengths = torch.tensor([[len(completion.token_ids) for completion in group] for group in groups])
    rewards = rewards.plus("overlong", overlong_penalty(lengths, limit=10, share=0.5), weight=3.0)
    assert rewards.of("pair_consistency").tolist() == [[1.0, 0.0], [1.0, 0.0]], "right in both orders, by number"
    assert rewards.of("overlong").tolist() == [[0.0, -1.0], [0.0, 0.0]]
    plain = 0.5 * rewards.of("format") + 2 * rewards.of("accuracy") + rewards.of("consistency")
    extra = 0.25 * rewards.of("pair_consistency") + 3 * rewards.of("overlong")
    torch.testing.assert_close(rewards.total, plain + extra)


def test_a_reward_that_could_not_say_moves_nobody_and_is_left_out_of_the_loss(records):
    """NaN: the part becomes the mean of the others' in its group, and the completion's tokens leave the mask."""

    def by_length(sample: RewardInput) -> float:
        return math.nan if sample.text == "?" else float(len(sample.text))

    function = RewardFunction(path="by_length", function=by_length, takes_batch=False)
    rewards = RewardFunctions(functions=(function,), weights={"by_length": 1.0})
    groups = [
        [completion("a"), completion("?"), completion("abc")],
        [completion("?"), completion("?"), completion("?")],
    ]
    scored = score(records[:2], groups, rewards, dialect=Dialect.V1)
    assert scored.total.tolist() == [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]
    assert scored.unsaid.tolist() == [[False, True, False], [True, True, True]]
    batch = experience(sampled({}, groups, scored), torch.zeros(2, 3), mask_truncated=False)
    assert batch.completion_mask.any(-1).tolist() == [[True, False, True], [False, False, False]]


def test_soft_overlong_punishment_is_dapos():
    """DAPO, equation 13, with L_max 20480 and L_cache 4096: 0 up to 16384, then a line, -1 at the limit."""
    lengths = torch.tensor([[0, 16384, 18432, 20480]])
    assert overlong_penalty(lengths, limit=20480, share=0.2).tolist() == [[0.0, 0.0, -0.5, -1.0]]


def test_random_order_is_a_function_of_seed_and_key(records):
    first, again = (shown_orders(records, Orders.random, seed=5) for _ in range(2))
    assert first == again
    swapped = sum(a is not b for a, b in zip(first, records, strict=True))
    assert 0 < swapped < len(records)


def test_truncated_completions_can_be_masked(policy, records):
    prompts = policy.encode([render(records[0], Dialect.V1)])
    groups = [[completion("a"), completion("b", reason=FinishReason.LENGTH)]]
    for masked in (False, True):
        rollout = experience(sampled(prompts, groups), torch.zeros(1, 2), mask_truncated=masked)
        assert rollout.completion_mask.any(-1).tolist() == [[True, not masked]]


def test_sums_of_a_rollout(policy, records):
    prompts = policy.encode([render(records[0], Dialect.V1)])
    noun = records[0].task.noun
    groups = [[completion(judgement(noun, 1), 4), completion("?", 6, reason=FinishReason.LENGTH)]]
    rewards = score(records[:1], groups, REWARDS, dialect=Dialect.V1)
    sums = rollout_sums(sampled(prompts, groups, rewards))
    assert sums["num_completions"] == 2
    assert sums["completion_tokens"] == 10
    assert sums["num_truncated"] == 1
    assert sums["reward/format"] == 1.0
    assert sums["prompt_tokens"] == float(prompts["attention_mask"].sum())


@pytest.mark.parametrize("per_group", [1, 2])
def test_groups_with_variance_take_the_place_of_those_without(per_group):
    """Four groups of four completions each, given as one prompt or as two prompts (both orders) with half of them
    each."""

    def made(name, totals) -> Sampled:
        values = torch.tensor(totals, dtype=torch.float32).reshape(4 * per_group, 4 // per_group, 1)
        prompts = [Prompt(parts=(f"{name}{row // per_group}",)) for row in range(4 * per_group)]
        groups = [[completion(prompt.text)] * (4 // per_group) for prompt in prompts]
        return Sampled(
            prompts=prompts,
            encoded={},
            groups=groups,
            rewards=Rewards(
                parts=("format",), weights=(1.0,), values=values, unsaid=torch.zeros(values.shape[:2], dtype=torch.bool)
            ),
        )

    flat, useful = [1, 1, 1, 1], [0, 1, 1, 0]
    first, others = made("a", [flat, useful, flat, flat]), made("b", [flat, useful, flat, useful])
    assert first.without_variance(4) == [0, 2, 3]
    joined = replace_groups(
        first,
        others,
        useless=lambda each: each.without_variance(4),
        group_size=4,
        encode=lambda prompts: {"encoded": torch.tensor(len(prompts))},
    )
    assert [prompt.text for prompt in joined.prompts[::per_group]] == ["b1", "a1", "b3", "a3"]
    assert [group[0].text for group in joined.groups] == [prompt.text for prompt in joined.prompts]
    assert joined.without_variance(4) == [3]
    assert int(joined.encoded["encoded"]) == 4 * per_group
