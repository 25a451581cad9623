"""Cutting, joining and trimming batches: no token, image or pairing of the two is lost."""

from dataclasses import replace

import pytest
import torch

from urt_core import render
from urt_train.model.batching import (
    SFTBatch,
    TokenBatch,
    encode_completions,
    expand_prompts,
    images_of_prompts,
    join,
    pack_completions,
    pack_values,
    prompts_within,
    select_prompts,
    sft_batches,
    shortest_prompts,
)


@pytest.fixture(scope="module")
def encoded(tiny_folder, spec, records):
    from urt_train.model.policy import Policy

    policy = Policy.from_pretrained(tiny_folder, spec=spec)
    prompts = [render(record, spec.dialect) for record in records]
    return policy, prompts, policy.encode(prompts)


def test_selected_prompts_are_those_encoded_alone(encoded):
    policy, prompts, whole = encoded
    chosen = [7, 0, 3]
    selected, alone = select_prompts(whole, chosen), policy.encode([prompts[row] for row in chosen])
    torch.testing.assert_close(selected["pixel_values"], alone["pixel_values"], rtol=0, atol=0)
    assert selected["image_grid_thw"].tolist() == alone["image_grid_thw"].tolist()
    width = alone["input_ids"].shape[1]
    assert torch.equal(selected["input_ids"][:, -width:], alone["input_ids"])
    assert not selected["attention_mask"][:, :-width].any()


def test_each_image_belongs_to_one_prompt(encoded):
    _, prompts, whole = encoded
    images = images_of_prompts(whole)
    assert torch.cat(images).tolist() == list(range(len(whole["image_grid_thw"])))
    frames = [sum(len(media.files) for media in prompt.media) for prompt in prompts]
    assert [len(own) for own in images] == frames


def test_expanded_prompts_repeat_prompt_and_images_together(encoded):
    _, _, whole = encoded
    expanded = expand_prompts(select_prompts(whole, [1, 2]), 3)
    again = select_prompts(whole, [1, 1, 1, 2, 2, 2])
    for name, tensor in again.items():
        assert torch.equal(expanded[name], tensor), name


def test_joined_batches_are_the_batch_they_were_cut_from(encoded):
    """Prompts of one and of several images, of different lengths: the same log-probs in one batch as in three."""
    policy, _, whole = encoded
    ids, mask = pack_completions([[[15, 16, 17], [9]], [[8], [8, 8]], [[9, 10, 11, 12], [17]], [[16, 16], [15]]])
    batch = TokenBatch(prompts=select_prompts(whole, [0, 7, 2, 3]), completion_ids=ids, completion_mask=mask)
    joined = join([batch.select(rows).trimmed() for rows in ([0], [1, 2], [3])])
    assert torch.equal(joined.completion_ids, ids)
    assert torch.equal(joined.completion_mask, mask)
    assert torch.equal(joined.prompts["pixel_values"], batch.prompts["pixel_values"])
    torch.testing.assert_close(policy.token_logprobs(joined).logprobs, policy.token_logprobs(batch).logprobs)


def test_trimming_drops_only_padding(encoded):
    _, _, whole = encoded
    ids, mask = pack_completions([[[5, 6, 7]], [[8]], [[9, 10, 11, 12]]])
    batch = SFTBatch(prompts=select_prompts(whole, [0, 1, 2]), completion_ids=ids, completion_mask=mask)
    part = batch.select([1]).trimmed()
    assert part.completion_ids.tolist() == [[[8]]]
    assert part.prompts["attention_mask"].all()
    assert int(part.prompts["attention_mask"].sum()) == int(whole["attention_mask"][1].sum())


def test_micro_batches_hold_every_sequence_once(encoded):
    _, _, whole = encoded
    rows = [[number] * (1 + number % 5) for number in range(1, 13)]
    batches = sft_batches(whole, rows, num_batches=5, size=4)
    assert len(batches) == 5
    found = sorted(
        batch.completion_ids[row, 0][batch.completion_mask[row, 0]].tolist()
        for batch in batches[:3]
        for row in range(4)
    )
    assert found == sorted(rows)
    assert not any(batch.completion_mask.any() for batch in batches[3:]), "the rest is empty"
    padding = sum(int((batch.prompts["attention_mask"] == 0).sum()) for batch in batches)
    assert padding < int((whole["attention_mask"] == 0).sum()), "similar lengths lie together"


def test_values_are_packed_beside_their_tokens():
    assert pack_values([[[-1.0, -2.0], []]], length=3).tolist() == [[[-1.0, -2.0, 0.0], [0.0, 0.0, 0.0]]]


def test_targets_end_with_one_eos(encoded):
    policy, _, _ = encoded
    (row,) = encode_completions(policy.tokenizer, ["<answer>Image 1 is better</answer>"])
    assert row.count(policy.tokenizer.eos_token_id) == 1
    assert policy.tokenizer.decode(row[:-1]) == "<answer>Image 1 is better</answer>"


def test_long_prompts_are_left_out_in_whole_pairs(encoded):
    _, _, whole = encoded
    lengths = whole["attention_mask"].sum(-1).tolist()
    limit = sorted(lengths)[6]
    assert prompts_within(whole, limit) == [row for row, length in enumerate(lengths) if length <= limit]
    together = prompts_within(whole, limit, together=2)
    assert all((row ^ 1) in together for row in together)
    assert prompts_within(whole, 3) == []
    assert shortest_prompts(whole) == [lengths.index(min(lengths))]
    pairs = [max(lengths[row : row + 2]) for row in range(0, 12, 2)]
    first = 2 * pairs.index(min(pairs))
    assert shortest_prompts(whole, together=2) == [first, first + 1]


def test_moving_keeps_everything(encoded):
    _, _, whole = encoded
    ids, mask = pack_completions([[[5]], [[8]]])
    batch = SFTBatch(prompts=select_prompts(whole, [0, 1]), completion_ids=ids, completion_mask=mask, num_tokens=2.0)
    moved = batch.to(torch.device("cpu"))
    assert replace(moved, prompts={}).by_completion().keys() == {"completion_ids", "completion_mask"}
    assert moved.num_tokens == 2.0
