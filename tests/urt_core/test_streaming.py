"""Calls with a bounded number in flight, and items that are known only once others have ended."""

import asyncio
from collections.abc import Iterator

import pytest

from urt_core.streaming import LATER, stream_map


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("window", [1, 2, 5, 100])
def test_an_item_may_depend_on_results_of_earlier_ones(window: int, ordered: bool) -> None:
    """Each item is the sum of all results but the last three before it; no schedule changes it."""
    results: list[int | None] = []
    running = most = 0

    def items() -> Iterator[tuple[int, int]]:
        for number in range(20):
            while any(value is None for value in results[: max(0, number - 3)]):
                yield LATER
            results.append(None)
            yield number, 1 + sum(value or 0 for value in results[: max(0, number - 3)])

    async def call(item: tuple[int, int]) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(7 * item[0] % 5):
            await asyncio.sleep(0)
        running -= 1
        results[item[0]] = item[1]
        return item[1]

    async def collect() -> list[int]:
        return [result async for result in stream_map(call, items(), window=window, ordered=ordered)]

    collected = asyncio.run(collect())
    expected: list[int] = []
    for number in range(20):
        expected.append(1 + sum(expected[: max(0, number - 3)]))
    assert collected == expected if ordered else sorted(collected) == sorted(expected)
    assert most <= min(window, 4)
