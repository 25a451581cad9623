"""Groups spread over processes: each judges its share, all have their own samples' rates, and all stop together."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from urt_core import Task
from urt_core.adapters import gathered
from urt_core.adapters.gathered import Sample, gathered_win_rates
from urt_core.adapters.processes import Meeting
from urt_core.adapters.rewards import win_rate_rewards
from urt_core.errors import EngineError

TASK = Task.IMAGE_GENERATION
SHADES = {0: [10, 200, 90], 1: [40, 50], 2: [60]}
PROMPTS = {0: ["a", "a", "b"], 1: ["b", "a"], 2: ["c"]}


class Together:
    """A meeting of threads in the place of processes."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size)
        self.parts: list[Any] = [None] * size
        self.rank = threading.local()

    def meeting(self) -> Meeting:
        meeting, together = Meeting(), self

        class Thread(Meeting):
            def wait_for(self, number: int) -> None:
                meeting.wait_for(number)

            def gathered(self, rows: Sequence[Any]) -> tuple[list[Any], int]:
                together.barrier.wait(30)
                together.parts[together.rank.number] = list(rows)
                together.barrier.wait(30)
                parts = list(together.parts)
                return [row for part in parts for row in part], sum(map(len, parts[: together.rank.number]))

        return Thread()


def samples(rank: int) -> list[Sample]:
    return [
        Sample(prompt=prompt, text=prompt, candidate=Image.new("RGB", (8, 8), (shade, 0, 0)))
        for prompt, shade in zip(PROMPTS[rank], SHADES[rank], strict=True)
    ]


def of_prompt(everything: Sequence[Sample]) -> list[Any]:
    return [sample.prompt for sample in everything]


def in_threads(scorer, monkeypatch, *, fails_on: int | None = None) -> dict[int, Any]:
    together, found = Together(3), {}

    def own_share(groups: Sequence[str]) -> list[int]:
        names = list(dict.fromkeys(groups))
        return [index for index, group in enumerate(groups) if names.index(group) % 3 == together.rank.number]

    def judged(*args, **settings):
        if together.rank.number == fails_on:
            raise EngineError("out of memory")
        return win_rate_rewards(*args, **settings)

    monkeypatch.setattr(gathered, "own_share", own_share)
    monkeypatch.setattr(gathered, "win_rate_rewards", judged)

    def run(rank: int) -> None:
        together.rank.number = rank
        try:
            found[rank] = gathered_win_rates(
                scorer, samples(rank), task=TASK, group_of=of_prompt, meeting=together.meeting(), call=0
            )
        except EngineError as error:
            found[rank] = str(error)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_every_process_has_the_rates_that_one_alone_would_give(scorer, monkeypatch) -> None:
    whole = [sample for rank in range(3) for sample in samples(rank)]
    alone, groups = gathered_win_rates(scorer, whole, task=TASK, group_of=of_prompt, meeting=Meeting(), call=0)
    assert groups == ["a", "a", "b", "b", "a", "c"]
    assert alone.values == [0.0, 1.0, 1.0, 0.0, 0.5, None]
    found = in_threads(scorer, monkeypatch)
    assert [value for rank in range(3) for value in found[rank][0].values] == alone.values
    assert [status for rank in range(3) for status in found[rank][0].statuses] == alone.statuses
    assert [found[rank][1] for rank in range(3)] == [["a", "a", "b"], ["b", "a"], ["c"]]


@pytest.mark.parametrize("rank", range(3))
def test_an_engine_that_breaks_in_one_process_stops_all(scorer, monkeypatch, rank: int) -> None:
    assert in_threads(scorer, monkeypatch, fails_on=rank) == dict.fromkeys(range(3), "out of memory")
