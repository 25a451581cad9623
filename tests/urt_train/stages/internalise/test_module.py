"""Internalising: the loss against its equation in float64, symmetry in the order of the candidates, and what each setting changes."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from urt_core import Dialect, Preference, render, verdict_text
from urt_train.config import Batching, TrainerConfig
from urt_train.model.batching import SFTBatch, pack_completions
from urt_train.model.policy import Policy
from urt_train.runtime.machine import make_trainer
from urt_train.stages.internalise.config import InternaliseConfig, Removal, Targets
from urt_train.stages.internalise.module import Internalise, Lesson
from urt_train.stages.internalise.votes import SHARE

ON_CPU = TrainerConfig(accelerator="cpu", progress_bar=False)
SHARES = (1.0, 0.75, 0.5, 0.0)
SIDES = (Preference.FIRST, Preference.SECOND)


@pytest.fixture
def taught(records):
    """Four pairs with the votes for their first candidate, and one to keep reasoning by."""
    bare = [
        replace(record, preference=None, metadata={**record.metadata, SHARE: share})
        for record, share in zip(records[:4], SHARES, strict=True)
    ]
    return [*bare, replace(records[4], preference=None)]


@pytest.fixture
def fresh(tiny_folder, spec):
    return lambda: Policy.from_pretrained(tiny_folder, spec=spec).train()


def module_of(policy, *, num_steps: int = 1, **settings) -> Internalise:
    config = InternaliseConfig(**{"batch_size": 5, "micro_batch_size": 5, **settings})
    policy.batching = config.batching
    return Internalise(policy, config, plan=config.plan(num_ranks=1), num_steps=num_steps)


def train(policy, records, *, num_steps: int = 1, **settings) -> tuple[Internalise, list[dict[str, float]]]:
    rate = {"learning_rate": 1e-3, "warmup_ratio": 0.0, "eps": 1e-3}
    module = module_of(policy, num_steps=num_steps, **{**rate, **settings})
    trainer = make_trainer(ON_CPU)
    trainer.accumulate_grad_batches = module.plan.batches_per_step
    steps: list[dict[str, float]] = []

    class Loader:
        def __len__(self):
            return num_steps * module.plan.batches_per_round

        def __iter__(self):
            for number in range(num_steps):
                if module.sums.get("num_lessons"):
                    steps.append(module.metrics(module.sums))
                    module.sums.clear()
                yield from module.make_round(partial(module.collate, records), number)

    trainer.fit(module, train_dataloaders=Loader())
    steps.append(module.metrics(module.sums))
    return module, steps


def logprobs_of(policy, record, dialect, text: str) -> torch.Tensor:
    """log p of each token of `text` behind the prompt of `record`, by a float64 softmax over the model's own logits."""
    policy = policy.double()
    prompts = policy.encode([render(record, dialect)])
    prompts = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in prompts.items()}
    ids = [*policy.tokenizer(text, add_special_tokens=False)["input_ids"], policy.tokenizer.eos_token_id]
    tokens, mask = pack_completions([[ids]])
    batch = SFTBatch(prompts=prompts, completion_ids=tokens, completion_mask=mask)
    hidden = policy.completion_hidden(batch)
    logits = hidden @ policy.model.get_output_embeddings().weight.T
    return logits.log_softmax(-1).gather(-1, torch.tensor(ids)[:, None])[:, 0]


def test_the_loss_is_the_cross_entropy_to_the_votes_in_float64(fresh, taught):
    """- p log q(first) - (1 - p) log q(second) for each bare verdict, and the mean token loss of what is replayed."""
    policy = fresh().eval()
    policy.batching = Batching.padded
    terms = []
    with torch.no_grad():
        for record, share in zip(taught[:4], SHARES, strict=True):
            texts = [
                verdict_text(record.task, side, dialect=Dialect.DIRECT)
                for side in (Preference.FIRST, Preference.SECOND)
            ]
            first, second = (logprobs_of(policy, record, Dialect.DIRECT, text).sum() for text in texts)
            terms.append(-share * first - (1 - share) * second)
        terms.append(-logprobs_of(policy, taught[4], Dialect.V1, taught[4].completion).mean())
    expected = float(torch.stack(terms).mean())
    _, [step] = train(fresh(), taught)
    assert step["loss"] == pytest.approx(expected, rel=1e-5)
    entropies = [-sum(p * math.log(p) for p in (share, 1 - share) if p) for share in SHARES]
    assert step["kl/votes"] == pytest.approx(float(torch.stack(terms[:4]).sum() - sum(entropies)) / 4, rel=1e-5)
    assert step["share/bare"] == 4 / 5


def test_the_loss_does_not_know_which_candidate_came_first(fresh, taught):
    """A pair and the same pair exchanged with 1 - p are one lesson: p tells which verdict is which, nothing else does."""
    for share in SHARES:
        lesson = Lesson([], ([5, 1], [6, 1]), share)
        swapped = Lesson([], ([6, 1], [5, 1]), 1 - share)
        assert sorted(map(tuple, _weighed(lesson))) == sorted(map(tuple, _weighed(swapped)))


def _weighed(lesson: Lesson) -> list[tuple]:
    return [(tuple(text.ids), tuple(text.weights)) for text in lesson.texts(1.0)]


@pytest.mark.parametrize("batching", list(Batching))
def test_micro_batches_and_layouts_do_not_change_the_step(fresh, taught, batching):
    """The same weights after a step, whatever the cut and the layout; float32 sums in another order."""

    def after(**changes) -> torch.Tensor:
        module, _ = train(fresh(), taught, **changes)
        return torch.cat([parameter.detach().flatten() for parameter in module.policy.parameters()])

    expected = after(micro_batch_size=5, batching=Batching.padded)
    for size in (1, 2, 5):
        torch.testing.assert_close(after(micro_batch_size=size, batching=batching), expected, atol=2e-6, rtol=1e-5)


def test_it_learns_the_distribution_and_not_its_mode(fresh, taught):
    """Four pairs by heart: each verdict's probability goes to the votes for it."""
    module, steps = train(fresh(), taught[:4], num_steps=120, batch_size=4, learning_rate=5e-3, eps=1e-8)
    assert steps[-1]["kl/votes"] < 0.1 < steps[0]["kl/votes"]
    batch = module.make_round(partial(module.collate, taught[:4]), 0)[0]
    with torch.no_grad():
        own = module.policy.token_logprobs(batch).logprobs.sum(-1).exp()
    soft = [row for row in range(4) if 0 < batch.shares[row, 0] < 1]
    torch.testing.assert_close(own[soft], batch.shares[soft], atol=0.1, rtol=0)


def test_reasoning_goes_away_from_its_front(fresh, taught):
    """All of it at first, its last tokens half way, the bare verdict behind `removal_until`."""
    module = module_of(fresh(), num_steps=10, removal=Removal.front, removal_until=0.5)
    assert [module.removed(number) for number in (0, 1, 4, 5, 9)] == [0.0, 0.2, 0.8, 1.0, 1.0]
    lesson = module.lesson(taught[1])
    tokens, [first, _] = lesson.reasoning, lesson.verdicts or ([], [])
    assert "two cats" in module.policy.tokenizer.decode(tokens)
    assert "<think>" not in module.policy.tokenizer.decode(tokens)
    for number in (0, 1, 4):
        [text] = lesson.texts(module.removed(number))
        kept = tokens[math.ceil(module.removed(number) * len(tokens)) :]
        assert text.ids == kept + first
        assert sum(text.weights) == pytest.approx(1 + len(first))
        assert text.share == 0
    assert [text.share for text in lesson.texts(module.removed(5))] == [0.75, 0.25]
    replayed = module.lesson(taught[4])
    assert replayed.texts(1.0) == replayed.texts(0.0), "what is replayed keeps its reasoning"
    at_once = module_of(fresh(), num_steps=10)
    assert at_once.removed(0) == 1.0
    assert at_once.lesson(taught[1]).reasoning == []


def test_the_schedule_reaches_the_loss(fresh, taught):
    """Bare verdicts appear when the reasoning is gone, and not before."""
    settings = {"removal": Removal.front, "removal_until": 0.5, "max_completion_tokens": 400}
    _, steps = train(fresh(), taught, num_steps=4, **settings)
    assert [step["share/bare"] for step in steps] == [0.0, 0.0, 4 / 5, 4 / 5]
    assert steps[0]["length/completion"] > steps[1]["length/completion"] > steps[2]["length/completion"]


def test_a_text_that_is_too_long_is_left_out_and_counted(fresh, taught):
    _, [step] = train(fresh(), taught, max_completion_tokens=40)
    assert step["left_out"] == 1
    assert step["share/bare"] == 1.0


def own_share(policy, record) -> torch.Tensor:
    """exp log p(judgement that names the first) over the sum of both, behind the prompt that asks for reasoning."""
    words = [verdict_text(record.task, side, dialect=Dialect.V1) for side in SIDES]
    [said] = [word for word in words if word in record.completion]
    texts = [word.join(record.completion.rsplit(said, 1)) for word in words]
    return torch.stack([logprobs_of(policy, record, Dialect.V1, text).sum() for text in texts]).softmax(0)


@pytest.mark.parametrize("batching", list(Batching))
def test_the_loss_is_the_cross_entropy_to_the_policy_behind_its_reasoning_in_float64(fresh, taught, batching):
    policy = fresh().eval()
    policy.batching = Batching.padded
    terms, shares = [], []
    with torch.no_grad():
        for record in taught[:4]:
            share = own_share(policy, record)
            answers = [verdict_text(record.task, side, dialect=Dialect.DIRECT) for side in SIDES]
            said = torch.stack([logprobs_of(policy, record, Dialect.DIRECT, text).sum() for text in answers])
            terms.append(-(share * said).sum())
            shares.append(share)
        terms.append(-logprobs_of(policy, taught[4], Dialect.V1, taught[4].completion).mean())
    _, [step] = train(fresh(), taught, targets=Targets.on_policy, batching=batching)
    assert step["loss"] == pytest.approx(float(torch.stack(terms).mean()), rel=1e-5)
    entropy = -sum(float(torch.special.xlogy(share, share).sum()) for share in shares)
    assert step["kl/votes"] == pytest.approx((float(torch.stack(terms[:4]).sum()) - entropy) / 4, rel=1e-5)


@pytest.mark.parametrize("size", [1, 2])
def test_micro_batches_do_not_change_what_it_teaches_itself(fresh, taught, size):
    def after(**changes) -> torch.Tensor:
        module, _ = train(fresh(), taught, targets=Targets.on_policy, **changes)
        return torch.cat([parameter.detach().flatten() for parameter in module.policy.parameters()])

    torch.testing.assert_close(after(micro_batch_size=size), after(micro_batch_size=5), atol=2e-6, rtol=1e-5)


def test_a_pair_without_a_judgement_is_taught_by_its_votes(fresh, taught):
    """The first has no reasoning of this order, the second none that can be read, the third one that is too long."""
    records = [
        replace(taught[0], completion=None),
        replace(taught[1], completion="two cats"),
        replace(taught[2], completion=taught[2].completion.replace("<think>", "<think>" + 200 * "a cat ")),
        taught[3],
    ]
    module = module_of(fresh(), targets=Targets.on_policy, batch_size=4, max_completion_tokens=400)
    lessons = [module.lesson(record) for record in records]
    assert [lesson.judgements is None for lesson in lessons] == [True, True, True, False]
    [batch] = module.make_round(partial(module.collate, records), 0)
    assert batch.teacher is not None
    changed = module.taught_by_itself(batch, batch.teacher)
    is_taught = batch.teacher.completion_mask.any(-1).all(-1)
    assert int(is_taught.sum()) == 1
    torch.testing.assert_close(changed.shares[~is_taught], batch.shares[~is_taught])
    torch.testing.assert_close(changed.shares.sum(-1), torch.ones(4))
    assert not torch.allclose(changed.shares[is_taught], batch.shares[is_taught])


def test_it_is_off_unless_asked_for_and_waits_for_the_bare_answer(fresh, taught):
    module = module_of(fresh())
    assert module.make_round(partial(module.collate, taught), 0)[0].teacher is None
    front = module_of(fresh(), targets=Targets.on_policy, removal=Removal.front, removal_until=0.5, num_steps=10)
    early, late = (front.make_round(partial(front.collate, taught), number)[0] for number in (0, 5))
    assert early.teacher is not None
    assert late.teacher is not None
    assert not early.teacher.completion_mask.any()
    assert int(late.teacher.completion_mask.any(-1).all(-1).sum()) == 4
