"""A packed row holds every real token once, at the position it has alone, and nothing else."""

import torch

from urt_core import render
from urt_core.engines.model.decoding import prompt_positions
from urt_train.model.batching import TokenBatch, pack_completions
from urt_train.model.packed.packing import Group, pack_row

ROWS = [[[10, 20, 30, 2], [40, 2]], [[50], [60, 70, 2]]]


def packed(policy, records, completion_mask=None):
    prompts = policy.encode([render(record, policy.spec.dialect) for record in records])
    ids, mask = pack_completions(ROWS)
    batch = TokenBatch(
        prompts=prompts, completion_ids=ids, completion_mask=mask if completion_mask is None else mask & completion_mask
    )
    position_ids, next_position = prompt_positions(policy.model, prompts)
    return batch, pack_row(batch, position_ids=position_ids, next_position=next_position)


def test_a_row_is_its_prompts_and_completions_end_to_end(policy, records):
    """Of each completion all but the last token, which predicts nothing."""
    batch, row = packed(policy, records[:2])
    assert batch.prompts["attention_mask"][0].sum() != batch.prompts["attention_mask"][1].sum(), "a prompt is padded"
    ids, types, positions = [], [], []
    for number, record in enumerate(records[:2]):
        alone = policy.encode([render(record, policy.spec.dialect)])
        own_positions, next_position = prompt_positions(policy.model, alone)
        ids += alone["input_ids"][0].tolist()
        types += alone["mm_token_type_ids"][0].tolist()
        positions.append(own_positions[:, 0])
        for tokens in ROWS[number]:
            ids += tokens[:-1]
            types += [0] * (len(tokens) - 1)
            positions.append((next_position + torch.arange(len(tokens) - 1)).expand(3, -1))
    assert row.input_ids[0].tolist() == ids
    assert row.mm_token_type_ids[0].tolist() == types
    assert torch.equal(row.position_ids[:, 0], torch.cat(positions, dim=-1))


def test_each_token_is_predicted_from_the_one_before_it(policy, records):
    batch, row = packed(policy, records[:2])
    first, second = batch.prompts["attention_mask"].sum(-1).tolist()
    assert row.groups == (Group(first, (3, 1)), Group(second, (0, 2)))
    ends = first - 1, first + 4 + second - 1
    assert row.sources.tolist() == [
        *(ends[0], first, first + 1, first + 2),
        *(ends[0], first + 3),
        ends[1],
        *(ends[1], ends[1] + 1, ends[1] + 2),
    ]


def test_completions_outside_the_loss_are_not_computed(policy, records):
    kept = torch.tensor([[[False], [True]], [[True], [False]]])
    batch, row = packed(policy, records[:2], completion_mask=kept)
    assert [group.completions for group in row.groups] == [(0, 1), (0, 0)]
    assert row.input_ids.shape[1] == batch.prompts["attention_mask"].sum() + 1
    assert len(row.sources) == 3
    _, prompts_alone = packed(policy, records[:2], completion_mask=torch.tensor(False))
    assert len(prompts_alone.sources) == 0
