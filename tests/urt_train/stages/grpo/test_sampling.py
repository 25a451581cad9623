"""Which prompts of a round are sampled: those whose groups teach something, and as many anew as are missing."""

from dataclasses import replace

import torch

from tests.urt_train.stages.grpo.runs import sampler, settings

ZEROS = ("loss", "num_tokens", "kl", "entropy", "ratio", "clipped_low", "clipped_high")


def test_groups_without_variance_are_replaced(fresh, records):
    """Dynamic sampling draws again, as often as it may; where nothing has variance the last groups stay."""
    draws = []
    config = settings(resample_rounds=2, kl_coef=0.0)
    module = sampler(fresh, config)

    def draw():
        draws.append(len(draws))
        return records[:2]

    (batch,) = module.make_round(draw, 0)
    assert len(draws) == 3
    assert not batch.completion_mask.any(), "the last groups teach nothing"
    assert module.metrics({**module.sums, **dict.fromkeys(ZEROS, 0.0)})["share/zero_variance_sampled"] == 1.0


def test_of_several_candidates_the_promising_are_taken(fresh, records):
    config = settings(candidates_per_prompt=3, prompts_per_rollout=2)
    module = sampler(fresh, config)
    pairs = iter([records[:2], records[2:4], records[4:6]])
    drawn = module.drawn(lambda: next(pairs), 0)
    assert len(drawn) == 2
    assert {record.key for record in drawn} <= {record.key for record in records[:6]}


def test_as_many_prompts_are_sampled_anew_as_groups_are_missing(fresh, records):
    """Of four groups two have no variance, then one of two: two and one more are sampled, and the metrics tell of all seven."""
    config = settings(prompts_per_rollout=4, resample_rounds=3, kl_coef=0.0)
    module = sampler(fresh, config)
    asked: list[int] = []
    useful = iter([[True, False, True, False], [False, True], [True]])
    generate, earned = module.generate, module.earned

    def counted(prompts, sampling):
        asked.append(len(prompts))
        return generate(prompts, sampling)

    def given(shown, groups):
        rewards = earned(shown, groups)
        values = torch.zeros_like(rewards.values)
        for row, is_useful in enumerate(next(useful)):
            values[row, 0, 0] = float(is_useful)
        return replace(rewards, values=values)

    module.generate, module.earned = counted, given
    drawn = iter([records[:4], records[4:8], records[8:12]])
    sampled = module.sample_useful(lambda: next(drawn), 0)
    assert asked == [4, 2, 1]
    assert module.useless(sampled) == []
    assert (module.sums["num_sampled_groups"], module.sums["num_useless_groups"]) == (7.0, 3.0)
