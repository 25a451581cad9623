"""`POST /compute`: rewards for the samples of a trainer, in the protocol of Flow-Factory's remote reward client."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from urt_core.adapters.references import ReferencePool
from urt_core.adapters.rewards import Rewards, ascore_rewards, awin_rate_rewards
from urt_core.records import Task
from urt_core.scorer import Scorer
from urt_core.server.problems import Problem
from urt_core.server.protocols.groups import GroupPart, Groups, Result
from urt_core.server.requests import ComputeRequest
from urt_core.server.settings import ServerSettings
from urt_core.server.work import Work


class Compute:
    """What /compute returns is the server's setting: win rates (of the samples of a prompt among each other, over all
    processes where they say so) or scores."""

    def __init__(self, scorer: Scorer, *, settings: ServerSettings, work: Work) -> None:
        self.scorer, self.settings, self.work = scorer, settings, work
        self._groups = Groups(self._judge_group, timeout_s=settings.group_timeout_s)

    async def rewards(self, request: ComputeRequest) -> Rewards:
        task, samples, media = samples_of(request, self.settings)
        check_number(len(request.prompt), self.settings)
        if self.settings.reward == "score":
            return await self.work.do(
                lambda: ascore_rewards(
                    self.scorer,
                    task=task,
                    texts=request.prompt,
                    candidates=samples,
                    media=media,
                    contract=self.settings.contract,
                )
            )
        if request.groups is not None:
            return await self._gathered(request, task, samples, media)
        return await self.work.do(
            lambda: awin_rate_rewards(
                self.scorer,
                task=task,
                texts=request.prompt,
                candidates=samples,
                media=media,
                groups=request.prompt if media is None else list(zip(request.prompt, map(repr, media), strict=True)),
                references=self._references(request),
            )
        )

    async def _gathered(
        self, request: ComputeRequest, task: Task, samples: Sequence[Any], media: Sequence[Any] | None
    ) -> Rewards:
        """All groups of the call at once: waiting for one must not keep the others from filling."""
        parts = parts_of(request, task, samples, media)
        for part, _ in parts:
            check_number(part.size, self.settings)
        calls = [self._groups.join(part, timeout_s=request.group_timeout_s) for part, _ in parts]
        results: dict[int, Result] = {}
        for (_, indices), answers in zip(parts, await gather_all(calls), strict=True):
            results |= dict(zip(indices, answers, strict=True))
        in_order = [results[index] for index in range(len(samples))]
        return Rewards([value for value, _ in in_order], [status for _, status in in_order])

    async def _judge_group(self, part: GroupPart, samples: Sequence[Any]) -> Rewards:
        number = len(samples)
        return await self.work.do(
            lambda: awin_rate_rewards(
                self.scorer,
                task=part.task,
                texts=[part.text] * number,
                candidates=samples,
                media=None if part.medium is None else [part.medium] * number,
                groups=[part.id] * number,
                references=self.settings.references,
            )
        )

    def _references(self, request: ComputeRequest) -> ReferencePool | None:
        """Those that came with the samples, or else the server's."""
        if request.references is None:
            return self.settings.references
        if len(request.references) != len(request.prompt):
            raise Problem(
                422,
                f"{len(request.references)} lists of references for {len(request.prompt)} samples; give one list each",
                param="references",
            )
        pairs = zip(request.prompt, request.references, strict=True)
        return ReferencePool(by_text={text: tuple(map(as_uri, files)) for text, files in pairs})


async def gather_all(calls: Sequence[Coroutine[Any, Any, list[Result]]]) -> list[list[Result]]:
    """As `asyncio.gather`, but a failure ends the other calls too: nobody waits in a group for a request that was
    refused."""
    running = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*running))
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def samples_of(request: ComputeRequest, settings: ServerSettings) -> tuple[Task, list[Any], list[Any] | None]:
    """The task, a candidate for each prompt and what each is about: of an answer its picture, of an edit its source."""
    given = [name for name in ("image", "video", "answer") if getattr(request, name) is not None]
    if len(given) != 1:
        raise Problem(422, f"/compute got {given}; it needs one of image, video and answer", param="image")
    sources = sources_of(request, settings)
    if request.answer is not None:
        return answers_of(request, request.answer)
    if request.video is not None:
        task, samples = Task.VIDEO_GENERATION, [[*map(as_uri, frames)] for frames in request.video]
    else:
        task, samples = Task.IMAGE_GENERATION, [*map(as_uri, request.image or [])]
    check_lengths(request, samples=samples)
    return task, samples, sources


def sources_of(request: ComputeRequest, settings: ServerSettings) -> list[str | None] | None:
    """The picture that each sample is an edit of; None where no sample has one."""

    def refuse(name: str, why: str) -> Problem:
        return Problem(
            400, f"{name}: {why}; leave the field away, or ask /v1/chat/completions in words of your own", param=name
        )

    if any(request.condition_videos or []):
        raise refuse("condition_videos", "edits of videos have no contract")
    lists = request.condition_images or []
    if not any(lists):
        return None
    if request.image is None or settings.reward == "score":
        raise refuse(
            "condition_images", "only pictures are compared with the source that they are edits of, by win rates"
        )
    if len(lists) != len(request.prompt) or any(len(files or []) > 1 for files in lists):
        raise refuse("condition_images", "an edit has one source, and each sample a list with it, or an empty one")
    return [as_uri(files[0]) if files else None for files in lists]


def answers_of(request: ComputeRequest, answers: list[str]) -> tuple[Task, list[Any], list[Any]]:
    media = [as_uri(medium) for medium in request.media or []]
    check_lengths(request, samples=answers, media=media)
    is_video = any(isinstance(medium, list) for medium in media)
    return Task.VIDEO_UNDERSTANDING if is_video else Task.IMAGE_UNDERSTANDING, list(answers), media


def check_lengths(request: ComputeRequest, **lists: Sequence[Any]) -> None:
    for name, given in lists.items():
        if len(given) != len(request.prompt) or not given:
            text = f"/compute got {len(request.prompt)} prompts and {len(given)} {name}; it needs one each, and at least one"
            raise Problem(422, text, param="media" if name == "media" else "prompt")


def parts_of(
    request: ComputeRequest, task: Task, samples: Sequence[Any], media: Sequence[Any] | None
) -> list[tuple[GroupPart, list[int]]]:
    """What the call brings to each group, and which of its samples those are."""
    groups = request.groups or []
    if len(groups) != len(samples) or request.group_size is None:
        raise Problem(
            422,
            f"groups names {len(groups)} groups for {len(samples)} samples, and group_size is {request.group_size}; give an id for each sample, "
            "and how many samples a group has over all processes",
            param="groups",
        )
    members: dict[str, list[int]] = {}
    for index, identity in enumerate(groups):
        members.setdefault(identity, []).append(index)
    parts = []
    for identity, indices in members.items():
        questions = {(request.prompt[index], repr(media[index]) if media else "") for index in indices}
        if len(questions) > 1:
            text = f"group {identity[:80]!r} has {len(questions)} prompts; the samples of a group share one"
            raise Problem(409, text, param="groups")
        part = GroupPart(
            id=identity,
            size=request.group_size,
            task=task,
            text=request.prompt[indices[0]],
            samples=tuple(samples[index] for index in indices),
            medium=None if media is None else media[indices[0]],
        )
        parts.append((part, indices))
    return parts


def as_uri(medium: Any) -> Any:
    """Base64 without a prefix, as remote clients send it; of a video, each frame."""
    if not isinstance(medium, str):
        return [*map(as_uri, medium)]
    return medium if medium[:64].lstrip().lower().startswith("data:") else f"data:image/*;base64,{medium}"


def check_number(number: int, settings: ServerSettings) -> None:
    if number > settings.max_candidates:
        text = f"{number} candidates, allowed are {settings.max_candidates} (ServerSettings.max_candidates, --max-candidates)"
        raise Problem(422, text)
