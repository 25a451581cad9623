"""Cross-entropy on completions: against log-probs summed by hand, over any cut, with what is too long left out."""

from dataclasses import replace

import pytest
import torch

from urt_core import Dialect, render
from urt_train.config import Mean
from urt_train.datasets.distill import DIALECT
from urt_train.model.batching import encode_completions
from urt_train.stages.cold_start.config import ColdStartConfig
from urt_train.stages.cold_start.module import ColdStart, cross_entropy

TEXTS = ["a cat", "<think>two dogs and a red mat</think>", "a", "no"]


def cold_start(policy, *, size: int = 2, limit: int = 60, mean: Mean = Mean.tokens) -> ColdStart:
    config = ColdStartConfig(batch_size=4, micro_batch_size=size, max_completion_tokens=limit, mean=mean)
    return ColdStart(policy, config, plan=config.plan(num_ranks=1), num_steps=3)


@pytest.fixture
def traced(records):
    return [replace(record, completion=text) for record, text in zip(records, TEXTS, strict=False)]


@torch.no_grad()
def by_hand(policy, records) -> list[torch.Tensor]:
    """Log-probs of each completion's tokens, one record at a time."""
    values = []
    for record in records:
        prompts = policy.encode([render(record, policy.spec.dialect)])
        [target] = encode_completions(policy.tokenizer, [record.completion])
        ids = torch.cat([prompts["input_ids"], torch.tensor([target])], 1)
        inputs = {name: tensor for name, tensor in prompts.items() if name not in ("input_ids", "attention_mask")}
        kinds = inputs.pop("mm_token_type_ids", None)
        if kinds is not None:
            inputs["mm_token_type_ids"] = torch.cat([kinds, kinds.new_zeros(1, len(target))], 1)
        logits = policy.model(input_ids=ids, attention_mask=torch.ones_like(ids), **inputs).logits
        log_p = logits[0, -len(target) - 1 : -1].float().log_softmax(-1)
        values.append(log_p.gather(-1, torch.tensor(target)[:, None])[:, 0])
    return values


@pytest.mark.parametrize("mean", list(Mean))
@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_loss_of_a_step_is_the_mean_however_it_is_cut(policy, traced, mean, size):
    module = cold_start(policy, size=size, mean=mean)
    batches = module.make_round(lambda: module.collate(traced), 0)
    assert len(batches) == 4 // size
    loss = sum(float(cross_entropy(policy, batch, mean=mean).loss.detach()) for batch in batches)
    values = by_hand(policy, traced)
    expected = -torch.cat(values).mean() if mean is Mean.tokens else -torch.stack([v.mean() for v in values]).mean()
    assert loss == pytest.approx(float(expected), abs=2e-5)


def test_what_is_too_long_or_empty_is_left_out_and_counted(policy, traced):
    traced[0] = replace(traced[0], completion="")
    module = cold_start(policy, limit=12)
    batches = module.make_round(lambda: module.collate(traced), 0)
    lengths = [len(target) for target in encode_completions(policy.tokenizer, [record.completion for record in traced])]
    kept = [length for length in lengths if 1 < length <= 12]
    assert 0 < len(kept) < 4
    assert {(batch.num_sequences, batch.num_tokens) for batch in batches} == {(len(kept), sum(kept))}
    assert sum(int(batch.completion_mask.sum()) for batch in batches) == sum(kept)
    assert module.sums["num_left_out"] == 4 - len(kept)


def test_a_pair_is_asked_in_the_dialect_that_its_trace_is_written_in(policy, traced):
    module = cold_start(policy)
    direct = replace(traced[0], metadata={DIALECT: "direct"})
    own, other = (module.collate([record]).prompts["input_ids"][0].tolist() for record in (traced[0], direct))
    expected = policy.encode([render(direct, Dialect.DIRECT)])["input_ids"][0].tolist()
    assert other == expected
    assert own != other


def test_metrics_are_over_tokens_and_sequences_of_the_step(policy):
    sums = {"loss": 1.5, "num_right_tokens": 6.0, "num_tokens": 8.0, "num_sequences": 4.0, "prompt_tokens": 100.0}
    assert cold_start(policy).metrics(sums | {"num_left_out": 1.0}) == {
        "loss": 1.5, "right_tokens": 0.75, "length/completion": 2.0, "length/prompt": 25.0, "left_out": 1.0,
    }  # fmt: skip
