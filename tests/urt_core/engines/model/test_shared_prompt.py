"""Attention over [prompt | own] of many rows, against the softmax over one long row, and rows that end."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from urt_core.engines.model.shared_prompt import (
    GROWTH,
    RowMap,
    SharedPromptCache,
    SharedPromptLayer,
    decoding_attention,
    shared_prompt_attention,
)
from urt_core.errors import EngineError

PROMPTS, GROUP, KEY_HEADS, HEADS, TOKENS, WIDTH = 3, 4, 2, 6, 5, 8
ROWS = PROMPTS * GROUP


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


@pytest.fixture
def prompt() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(keys, values, mask) of three prompts; the second and third are padded on the left."""
    mask = torch.ones(PROMPTS, TOKENS, dtype=torch.long)
    mask[1, :2] = mask[2, :1] = 0
    return random(PROMPTS, KEY_HEADS, TOKENS, WIDTH, seed=0), random(PROMPTS, KEY_HEADS, TOKENS, WIDTH, seed=1), mask


def prefilled(prompt) -> DynamicCache:
    cache = DynamicCache()
    cache.update(prompt[0], prompt[1], 0)
    return cache


def reference(prompt, own_keys, own_values, query, prompts) -> torch.Tensor:
    """Each row by itself in float64: softmax over the unmasked keys of its prompt and its own."""
    keys, values, mask = prompt
    out = []
    for row, number in enumerate(prompts):
        seen = mask[number].bool()
        whole_keys = (
            torch.cat([keys[number][:, seen], own_keys[row]], 1).double().repeat_interleave(HEADS // KEY_HEADS, 0)
        )
        whole_values = (
            torch.cat([values[number][:, seen], own_values[row]], 1).double().repeat_interleave(HEADS // KEY_HEADS, 0)
        )
        scores = (query[row].double() @ whole_keys.transpose(-1, -2)) * WIDTH**-0.5
        out.append((scores.softmax(-1) @ whole_values)[:, 0].reshape(1, HEADS, WIDTH))
    return torch.stack(out)


def attend(layer: Any, query: torch.Tensor) -> torch.Tensor:
    found, _ = shared_prompt_attention(torch.nn.Module(), query, layer, layer, None, WIDTH**-0.5)
    return found.reshape(len(query), 1, HEADS, WIDTH)


@pytest.mark.parametrize("kept", [None, [0, 5, 6, 11], [4, 5, 7], [9]])
def test_every_row_sees_its_prompt_and_itself_also_when_others_have_ended(prompt, kept) -> None:
    cache = SharedPromptCache(prefilled(prompt), prompt_mask=prompt[2], group_size=GROUP)
    layer = cache.cache.layers[0]
    assert isinstance(layer, SharedPromptLayer)
    steps = [
        (random(ROWS, KEY_HEADS, 1, WIDTH, seed=10 + n), random(ROWS, KEY_HEADS, 1, WIDTH, seed=20 + n))
        for n in range(3)
    ]
    for keys, values in steps[:2]:
        layer.update(keys, values)
    rows = list(range(ROWS)) if kept is None else kept
    if kept is not None:
        cache.keep(torch.tensor(kept))
    layer.update(steps[2][0][rows], steps[2][1][rows])
    own_keys, own_values = (torch.cat([step[side] for step in steps], 2)[rows] for side in (0, 1))
    query = random(ROWS, HEADS, 1, WIDTH, seed=99)[rows]
    expected = reference(prompt, own_keys, own_values, query, [row // GROUP for row in rows])
    assert torch.allclose(attend(layer, query).double(), expected, atol=2e-6)  # fp32 sums of 8 products
    assert layer.get_seq_length() == TOKENS + 3


def test_own_keys_grow_and_keep_what_they_hold(prompt) -> None:
    layer = SharedPromptCache(prefilled(prompt), prompt_mask=prompt[2], group_size=GROUP).cache.layers[0]
    assert isinstance(layer, SharedPromptLayer)
    steps = [random(ROWS, KEY_HEADS, 1, WIDTH, seed=n) for n in range(GROWTH + 1)]
    for step in steps:
        layer.update(step, 2 * step)
    assert layer.own_keys.shape[2] == 2 * GROWTH
    assert torch.equal(layer.own_keys[:, :, : len(steps)], torch.cat(steps, 2))
    assert torch.equal(layer.own_values[:, :, : len(steps)], 2 * torch.cat(steps, 2))


@pytest.mark.parametrize("rows", [list(range(ROWS)), [0, 5, 6, 11], [8, 9]])
def test_rows_go_into_groups_and_come_back(rows: list[int]) -> None:
    places = RowMap(PROMPTS, GROUP, torch.device("cpu"))
    if len(rows) < ROWS:
        assert places.keep(torch.tensor(rows)).tolist() == sorted({row // GROUP for row in rows})
    values = random(len(rows), KEY_HEADS, 3, WIDTH, seed=0)
    groups = places.to_groups(values)
    assert groups.shape == (places.num_prompts, KEY_HEADS, GROUP * 3, WIDTH)
    assert torch.equal(places.to_rows(groups, 3), values)
    assert groups.count_nonzero() == values.count_nonzero()  # slots of rows that have ended are zero


def test_another_kind_of_cache_is_refused_by_name(prompt) -> None:
    class Sliding(DynamicLayer):
        pass

    cache = prefilled(prompt)
    cache.layers[0] = Sliding()
    with pytest.raises(
        EngineError, match="cache layer Sliding is not supported; allowed are full and linear attention"
    ):
        SharedPromptCache(cache, prompt_mask=prompt[2], group_size=GROUP)


def test_the_module_attends_as_before_behind_the_block_also_after_an_error() -> None:
    part = torch.nn.Linear(1, 1)
    part.config = SimpleNamespace(_attn_implementation="sdpa")  # pyright: ignore[reportArgumentType]
    module = SimpleNamespace(get_decoder=lambda: torch.nn.Sequential(part))
    inside = []

    def fail() -> None:
        with decoding_attention(module):
            inside.append(part.config._attn_implementation)  # pyright: ignore[reportAttributeAccessIssue]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert inside == ["urt_shared_prompt"]
    assert part.config._attn_implementation == "sdpa"  # pyright: ignore[reportAttributeAccessIssue]
