"""DPO: the loss against its equation in float64, micro-batches and layouts against each other, and what it reads."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from urt_core.errors import DataError
from urt_train.config import Batching, TrainerConfig
from urt_train.datasets.rejection import REJECTED
from urt_train.model.policy import Policy
from urt_train.runtime.machine import make_trainer
from urt_train.stages import StageInputs, find_stage
from urt_train.stages.dpo.config import DPOConfig
from urt_train.stages.dpo.module import DPO, judgements_of, preference_margins

ON_CPU = TrainerConfig(accelerator="cpu", progress_bar=False)


@pytest.fixture
def contrasts(records):
    texts = [
        "<think>one</think>",
        "<think>two cats</think>",
        "<think>a</think>",
        "<think>a longer thought of it</think>",
    ]
    return [
        replace(record, completion=texts[number % 4], metadata={**record.metadata, REJECTED: texts[(number + 1) % 4]})
        for number, record in enumerate(records[:4])
    ]


@pytest.fixture
def fresh(tiny_folder, spec):
    return lambda: Policy.from_pretrained(tiny_folder, spec=spec).train()


def train(policy, records, config: DPOConfig, *, num_steps: int = 1) -> tuple[DPO, list[dict[str, float]]]:
    policy.batching = config.batching
    plan = config.plan(num_ranks=1)
    module = DPO(policy, config, plan=plan, num_steps=num_steps)
    trainer = make_trainer(ON_CPU)
    trainer.accumulate_grad_batches = plan.batches_per_step
    steps: list[dict[str, float]] = []

    class Loader:
        def __len__(self):
            return num_steps * plan.batches_per_round

        def __iter__(self):
            for number in range(num_steps):
                if module.sums.get("num_pairs"):
                    steps.append(module.metrics(module.sums))
                    module.sums.clear()
                yield from module.make_round(partial(module.collate, records), number)

    trainer.fit(module, train_dataloaders=Loader())
    steps.append(module.metrics(module.sums))
    return module, steps


def test_margins_are_those_of_the_equation():
    """arXiv 2305.18290, equation 7, term by term in float64."""
    generator = torch.Generator().manual_seed(0)
    policy, reference = (-torch.rand(5, 2, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    expected = [
        0.3 * ((policy[p, 0].sum() - reference[p, 0].sum()) - (policy[p, 1].sum() - reference[p, 1].sum()))
        for p in range(5)
    ]
    torch.testing.assert_close(preference_margins(policy, reference, beta=0.3), torch.stack(expected))


def test_it_begins_at_log_2_and_learns_to_prefer(fresh, contrasts):
    """The policy is its own reference at first: margins of 0, whose loss is log 2."""
    config = DPOConfig(batch_size=4, micro_batch_size=2, learning_rate=3e-3, warmup_ratio=0.0)
    _, steps = train(fresh(), contrasts, config, num_steps=6)
    assert steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert steps[0]["margin"] == pytest.approx(0.0, abs=1e-4)
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert steps[-1]["share/preferred"] == 1.0


@pytest.mark.parametrize("batching", list(Batching))
def test_micro_batches_and_layouts_do_not_change_the_step(fresh, contrasts, batching):
    """The same weights after a step, whatever the cut and the layout; float32 sums in another order."""

    def after(**changes) -> torch.Tensor:
        config = DPOConfig(batch_size=4, learning_rate=1e-3, warmup_ratio=0.0, eps=1e-3, **changes)
        module, _ = train(fresh(), contrasts, config)
        return torch.cat([parameter.detach().flatten() for parameter in module.policy.parameters()])

    expected = after(micro_batch_size=4, batching=Batching.padded)
    for size in (1, 2, 4):
        torch.testing.assert_close(after(micro_batch_size=size, batching=batching), expected, atol=2e-6, rtol=1e-5)


def test_a_pair_that_is_too_long_is_left_out_and_counted(fresh, contrasts):
    config = DPOConfig(batch_size=4, micro_batch_size=4, max_completion_tokens=20)
    longest = max(len(text) for record in contrasts for text in judgements_of(record))
    assert longest > 20
    _, steps = train(fresh(), contrasts, config)
    assert 0 < steps[0]["left_out"] < 4


@pytest.mark.parametrize("changes", [{"completion": None}, {"metadata": {}}, {"metadata": {REJECTED: 3}}])
def test_a_record_without_both_judgements_is_named(contrasts, changes):
    with pytest.raises(DataError, match=rf"record '{contrasts[0].key}' has no right judgement .* or no wrong one"):
        judgements_of(replace(contrasts[0], **changes))


def test_its_spec_builds_it_and_says_what_it_reads(fresh, tmp_path):
    spec, settings = find_stage("dpo"), DPOConfig(batch_size=2)
    assert (spec.reads, spec.starts_from, spec.writes) == ("contrasts", "rejection_sampling", ())
    plan = settings.plan(num_ranks=2)
    assert (plan.records_per_rank, plan.batch_size, plan.batches_per_round) == (1, 2, 1)
    module = spec.build(
        StageInputs(
            policy=fresh(), settings=settings, plan=plan, num_steps=3, seed=0, initial="", folder=tmp_path,
            served_dtype="float32",
        )
    )  # fmt: skip
    assert isinstance(module, DPO)
    assert not any(parameter.requires_grad for parameter in module.references[0].parameters())
