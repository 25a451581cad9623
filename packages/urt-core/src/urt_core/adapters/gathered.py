"""Win rates within groups whose samples are spread over the processes of a run, each of which has a judge of its own."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from urt_core.adapters.processes import Meeting, own_share
from urt_core.adapters.references import ReferencePool
from urt_core.adapters.rewards import Rewards, win_rate_rewards
from urt_core.errors import UrtError
from urt_core.records import Task
from urt_core.scorer import Scorer


class Sample(NamedTuple):
    """What a process knows of one sample: Sample(prompt="...", text="How many?", candidate="Two.", medium=<PIL image>)"""

    prompt: Any
    """What its group has in common, as the trainer knows it."""
    text: str
    candidate: Any
    medium: Any = None


def gathered_win_rates(
    scorer: Scorer,
    samples: Sequence[Sample],
    *,
    task: Task,
    group_of: Callable[[Sequence[Sample]], list[Hashable]],
    meeting: Meeting,
    call: int,
    references: ReferencePool | None = None,
) -> tuple[Rewards, list[Hashable]]:
    """The rates of this process's samples and their groups, which `group_of` tells from the samples of all processes in the order of the
    ranks. Each process judges its share of the groups, so that together they ask what one process would. `call` is the number of this call
    (`Meeting.call`)."""
    meeting.wait_for(call)
    everything, start = meeting.gathered(samples)
    groups = group_of(everything)
    mine = own_share(groups)
    media = [everything[index].medium for index in mine]
    judged: list[Any]
    try:
        rewards = win_rate_rewards(
            scorer,
            task=task,
            texts=[everything[index].text for index in mine],
            candidates=[everything[index].candidate for index in mine],
            media=None if task.is_generation else media,
            groups=[groups[index] for index in mine],
            references=references,
        )
        judged = list(zip(mine, *rewards, strict=True))
    except UrtError as error:  # all processes stop together, instead of waiting for one that has
        judged = [error]
    results, _ = meeting.gathered(judged)
    for result in results:
        if isinstance(result, UrtError):
            raise result
    by_index = {index: (value, status) for index, value, status in results}
    own = range(start, start + len(samples))
    return Rewards([by_index[i][0] for i in own], [by_index[i][1] for i in own]), [groups[i] for i in own]
