"""Groups gathered over calls: the rates of one process, whoever comes when; who is late, wrong or gone stops nobody for
long."""

import asyncio
import random

import pytest

from urt_core.adapters.rewards import Rewards
from urt_core.engines import Status
from urt_core.records import Task
from urt_core.server.problems import Problem
from urt_core.server.protocols.groups import GroupPart, Groups

OK = Status.OK


class Judge:
    """Ranks numbers by size, and counts."""

    def __init__(self):
        self.calls, self.cancelled, self.delay_s = [], 0, 0.0

    async def __call__(self, part, samples):
        self.calls.append(list(samples))
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if "broken" in samples:
            raise RuntimeError("the engine broke")
        rates: list[float | None] = []
        rates += [sum(one > other for other in samples) / (len(samples) - 1) for one in samples]
        return Rewards(rates, [OK] * len(samples))


def part(*samples, id="g", size=4, text="a cat", **more):
    return GroupPart(id=id, size=size, task=Task.IMAGE_GENERATION, text=text, samples=samples, **more)


def run(main, timeout_s=5.0):
    judge = Judge()
    asyncio.run(main(Groups(judge, timeout_s=timeout_s), judge))


def test_every_call_gets_the_rates_of_its_own_samples():
    async def main(groups, judge):
        answers = await asyncio.gather(groups.join(part(3, 1)), groups.join(part(4)), groups.join(part(2)))
        assert answers == [[(2 / 3, OK), (0.0, OK)], [(1.0, OK)], [(1 / 3, OK)]]
        assert len(judge.calls) == 1

    run(main)


def test_the_order_of_a_group_does_not_depend_on_who_came_first():
    async def main(groups, judge):
        for number in range(5):
            samples = list(range(6))
            random.Random(number).shuffle(samples)
            await asyncio.gather(*(groups.join(part(sample, id=f"g{number}", size=6)) for sample in samples))
        assert all(call == judge.calls[0] for call in judge.calls)

    run(main)


def test_a_group_that_never_fills_tells_all_that_came_and_who_comes_late():
    async def main(groups, judge):
        began = asyncio.get_running_loop().time()
        answers = await asyncio.gather(groups.join(part(1)), groups.join(part(2, 3), timeout_s=99))
        assert answers == [[(None, Status.INCOMPLETE)], [(None, Status.INCOMPLETE)] * 2]
        assert await groups.join(part(4)) == [(None, Status.INCOMPLETE)]
        assert asyncio.get_running_loop().time() - began < 0.5
        assert judge.calls == []
        # Another group is not concerned, and after a while the name is free again.
        assert await groups.join(part(1, 2, 3, 4, id="h")) != []
        await asyncio.sleep(0.25)
        assert [status for _, status in await groups.join(part(1, 2, 3, 4))] == [OK] * 4

    run(main, timeout_s=0.2)


@pytest.mark.parametrize(
    ("intruder", "message"),
    [
        (part(9, text="a dog"), "has text 'a cat', and not 'a dog'"),
        (part(9, size=5), "has size '4', and not '5'"),
        (part(9, medium="other"), "has medium"),
        (part(7, 8, 9), "has 2 of 4 samples, and 3 more came"),
    ],
)
def test_what_does_not_belong_is_refused_and_the_group_goes_on(intruder, message):
    async def main(groups, judge):
        first = asyncio.create_task(groups.join(part(3, 1)))
        await asyncio.sleep(0)
        with pytest.raises(Problem, match=message) as refused:
            await groups.join(intruder)
        assert (refused.value.status, refused.value.error["param"]) == (409, "groups")
        assert await groups.join(part(4, 2)) == [(1.0, OK), (1 / 3, OK)]
        assert await first == [(2 / 3, OK), (0.0, OK)]

    run(main)


def test_a_client_that_goes_away_takes_its_samples_along_and_may_come_back():
    async def main(groups, judge):
        gone = asyncio.create_task(groups.join(part(3, 1)))
        stays = asyncio.create_task(groups.join(part(4)))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        again = asyncio.create_task(groups.join(part(3, 1)))
        assert await groups.join(part(2)) == [(1 / 3, OK)]
        assert await stays == [(1.0, OK)]
        assert await again == [(2 / 3, OK), (0.0, OK)]
        # An answer that was lost on the way is found again, without another ranking.
        assert await groups.join(part(1, 3)) == [(0.0, OK), (2 / 3, OK)]
        assert len(judge.calls) == 1

    run(main)


def test_a_call_that_comes_again_while_its_group_is_judged_gets_the_same_answer():
    async def main(groups, judge):
        judge.delay_s = 0.1
        calls = [asyncio.create_task(groups.join(part(*samples))) for samples in ((1, 2), (3, 4))]
        await asyncio.sleep(0.02)
        again = asyncio.create_task(groups.join(part(2, 1)))
        await asyncio.sleep(0.02)
        for call in calls:  # whoever is left has it judged to the end
            call.cancel()
        assert await again == [(1 / 3, OK), (0.0, OK)]
        assert (len(judge.calls), judge.cancelled) == (1, 0)

    run(main)


@pytest.mark.parametrize("when", ["judged", "answered"])
@pytest.mark.parametrize("intruder", [part(3, 1, text="a dog"), part(3, 1, medium="other"), part(3, 1, size=5)])
def test_another_prompt_never_gets_the_rates_of_a_group_that_was_judged(when, intruder):
    async def main(groups, judge):
        judge.delay_s = 0.05
        group = asyncio.gather(groups.join(part(3, 1)), groups.join(part(4, 2)))
        await (group if when == "answered" else asyncio.sleep(0.02))
        with pytest.raises(Problem, match="give each group of samples an id of its own"):
            await groups.join(intruder)
        assert await group == [[(2 / 3, OK), (0.0, OK)], [(1.0, OK), (1 / 3, OK)]]

    run(main)


def test_a_name_may_be_used_again_while_the_last_answer_is_kept():
    async def main(groups, judge):
        await asyncio.gather(groups.join(part(3, 1)), groups.join(part(4, 2)))
        await asyncio.sleep(0.15)
        fresh = await asyncio.gather(groups.join(part(7, 5, text="a dog")), groups.join(part(8, 6, text="a dog")))
        await asyncio.sleep(0.1)  # the answer of the first is forgotten, that of the second is not
        assert await groups.join(part(7, 5, text="a dog")) == fresh[0]
        assert len(judge.calls) == 2

    run(main, timeout_s=0.2)


def test_judging_goes_on_while_somebody_waits_and_stops_when_nobody_does():
    async def main(groups, judge):
        judge.delay_s = 0.2
        one, two = (asyncio.create_task(groups.join(part(*samples))) for samples in ((1, 2), (3, 4)))
        await asyncio.sleep(0.05)
        one.cancel()
        assert await two == [(2 / 3, OK), (1.0, OK)]
        three, four = (asyncio.create_task(groups.join(part(*samples, id="h"))) for samples in ((1, 2), (3, 4)))
        await asyncio.sleep(0.05)
        three.cancel()
        four.cancel()
        await asyncio.gather(three, four, return_exceptions=True)
        await asyncio.sleep(0.01)
        assert judge.cancelled == 1

    run(main)


def test_an_engine_that_breaks_is_heard_of_by_all():
    async def main(groups, judge):
        answers = await asyncio.gather(
            groups.join(part("broken", "a")), groups.join(part("b", "c")), return_exceptions=True
        )
        assert [str(answer) for answer in answers] == ["the engine broke"] * 2

    run(main)
