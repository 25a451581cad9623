"""Groups of samples that come from several processes of a trainer, gathered before they are ranked.

Each process sends the samples it holds, with the group's id and size. The call that completes a group has it judged;
every call is answered with the win rates of its own samples, which are those of one process that holds the whole group.
Who is late for `timeout_s` makes the others go on with the status `incomplete`: a lost process stops nobody.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from urt_core.adapters.rewards import Rewards
from urt_core.engines import Status
from urt_core.records import Task
from urt_core.server.problems import Problem

Result = tuple[float | None, Status]
Judge = Callable[["GroupPart", Sequence[Any]], Awaitable[Rewards]]
"""Ranks all samples of the group that a part belongs to."""
MAX_GROUPS = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupPart:
    """What one call brings: GroupPart(id="step7-a1b2", size=24, task=Task.IMAGE_GENERATION, text="a red car",
    samples=("data:...",))"""

    id: str
    size: int
    task: Task
    text: str
    samples: tuple[Any, ...]
    medium: Any = None
    """What the question is about, in understanding tasks."""

    @property
    def digests(self) -> tuple[str, ...]:
        """What tells samples apart: the order of a group must not depend on who came first."""
        return tuple(hashlib.sha256(repr(sample).encode()).hexdigest() for sample in self.samples)


@dataclass(slots=True, eq=False)
class Member:
    sample: Any
    digest: str
    answer: asyncio.Future[Result]


@dataclass(slots=True, eq=False)
class Group:
    first: GroupPart
    deadline: asyncio.TimerHandle
    members: list[Member] = field(default_factory=list)
    repeated: list[Member] = field(default_factory=list)
    """Of calls that came again while the group is judged; nobody compares them a second time."""
    judging: asyncio.Task[None] | None = None

    def check(self, part: GroupPart) -> None:
        """A part that does not belong is refused, and the group goes on waiting for its own."""
        self.check_question(part)
        if len(self.members) + len(part.samples) > self.first.size:
            raise Problem(
                409,
                f"group {part.id[:80]!r} has {len(self.members)} of {self.first.size} samples, and {len(part.samples)} more came; give each "
                "group of samples an id of its own, such as step and prompt",
                param="groups",
            )

    def check_question(self, part: GroupPart) -> None:
        """The samples of a group share what they are samples of, also where its answer is there already."""
        for name in ("text", "size", "task", "medium"):
            if (there := getattr(self.first, name)) != (sent := getattr(part, name)):
                raise Problem(
                    409,
                    f"group {part.id[:80]!r} has {name} {str(there)[:80]!r}, and not {str(sent)[:80]!r}; give each group of samples an id of "
                    "its own, such as step and prompt",
                    param="groups",
                )

    @property
    def is_full(self) -> bool:
        return len(self.members) == self.first.size

    def has(self, part: GroupPart) -> bool:
        """Whether the part only says again what came before."""
        return {member.digest for member in self.members}.issuperset(part.digests)


class Groups:
    """`await groups.join(part, timeout_s=60)` -> (win rate, status) of each sample of the part, in their order.

    A call that is repeated (its answer was lost on the way) waits for the answer of its group with the others, and
    finds it for `timeout_s` more.
    """

    def __init__(self, judge: Judge, *, timeout_s: float) -> None:
        self._judge, self._timeout_s = judge, timeout_s
        self._gathering: dict[str, Group] = {}
        self._judged: dict[str, Group] = {}
        self._answered: dict[str, tuple[Group, dict[str, Result]]] = {}
        self._missed: set[str] = set()

    async def join(self, part: GroupPart, *, timeout_s: float | None = None) -> list[Result]:
        """`timeout_s` counts from the first call of a group, and is that call's; the server's own is the most."""
        if part.id in self._answered:
            group, known = self._answered[part.id]
            if group.has(part):
                group.check_question(part)
                return [known[digest] for digest in part.digests]
        if part.id in self._judged and self._judged[part.id].has(part):
            return await self._wait_again(self._judged[part.id], part)
        if part.id in self._missed:
            return [(None, Status.INCOMPLETE)] * len(part.samples)
        loop = asyncio.get_running_loop()
        group = self._gathering.get(part.id)
        if group is None:
            if len(self._gathering) >= MAX_GROUPS:
                raise Problem(
                    503, f"{MAX_GROUPS} groups are being gathered; try again later", headers={"retry-after": "1"}
                )
            wait_s = min(timeout_s or self._timeout_s, self._timeout_s)
            group = Group(first=part, deadline=loop.call_later(wait_s, self._give_up, part.id))
            self._gathering[part.id] = group
        group.check(part)
        mine = members_of(part)
        group.members += mine
        if group.is_full:
            group.deadline.cancel()
            self._judged[part.id] = self._gathering.pop(part.id)
            group.judging = loop.create_task(self._work(group))
        return await self._wait(group, mine)

    async def _wait_again(self, group: Group, part: GroupPart) -> list[Result]:
        group.check_question(part)
        mine = members_of(part)
        group.repeated += mine
        return await self._wait(group, mine)

    async def _wait(self, group: Group, mine: Sequence[Member]) -> list[Result]:
        try:
            return list(await asyncio.gather(*(member.answer for member in mine)))
        finally:
            self._leave(group, mine)

    async def _work(self, group: Group) -> None:
        group.members.sort(key=lambda member: member.digest)
        samples = [member.sample for member in group.members]
        identity = group.first.id
        try:
            rewards = await self._judge(group.first, samples)
        except Exception as error:  # noqa: BLE001 - whoever waits has to hear of it, whatever it is
            for member in (*group.members, *group.repeated):
                if not member.answer.done():
                    member.answer.set_exception(error)
            return
        finally:
            if self._judged.get(identity) is group:
                del self._judged[identity]
        results = list(zip(group.members, zip(rewards.values, rewards.statuses, strict=True), strict=True))
        known = {member.digest: result for member, result in results}
        self._answered[identity] = (group, known)
        asyncio.get_running_loop().call_later(self._timeout_s, self._forget, identity, group)
        for member, result in (*results, *((member, known[member.digest]) for member in group.repeated)):
            if not member.answer.done():
                member.answer.set_result(result)

    def _forget(self, identity: str, group: Group) -> None:
        """Unless another group of that name was answered since."""
        if self._answered.get(identity, (None,))[0] is group:
            del self._answered[identity]

    def _give_up(self, identity: str) -> None:
        """The group did not fill: all that came are told at once, and who comes late."""
        for member in self._gathering.pop(identity).members:
            if not member.answer.done():
                member.answer.set_result((None, Status.INCOMPLETE))
        self._missed.add(identity)
        asyncio.get_running_loop().call_later(self._timeout_s, self._missed.discard, identity)

    def _leave(self, group: Group, mine: Sequence[Member]) -> None:
        """A client that goes away takes its samples along while the group is gathered; when all have gone, judging
        stops."""
        for member in mine:
            member.answer.cancel()
        if group.judging is not None:
            if all(member.answer.cancelled() for member in (*group.members, *group.repeated)):
                group.judging.cancel()
            return
        group.members = [member for member in group.members if member not in mine]
        if not group.members and self._gathering.get(group.first.id) is group:
            group.deadline.cancel()
            del self._gathering[group.first.id]


def members_of(part: GroupPart) -> list[Member]:
    loop = asyncio.get_running_loop()
    return [
        Member(sample, digest, loop.create_future()) for sample, digest in zip(part.samples, part.digests, strict=True)
    ]
