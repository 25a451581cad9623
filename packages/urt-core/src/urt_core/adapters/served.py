"""A judge behind `urt serve`, for trainers whose environment holds no judge: JSON over HTTP, never pickle."""

import asyncio
import base64
import json
import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from urt_core.adapters.rewards import Rewards
from urt_core.engines import Status
from urt_core.errors import ConfigError, EngineError, MediaError
from urt_core.media import MediaLimits, as_media
from urt_core.media.frames import encoded_bytes
from urt_core.records import Task
from urt_core.redaction import keep_secret, redacted
from urt_core.streaming import BACKGROUND

RETRIED = (408, 429, 502, 503, 504)
MAX_ANSWER_BYTES = 16 * 2**20


class ServedJudge:
    """Rewards of `POST /compute`: what they are (win rates or scores) is the server's setting.

    judge = ServedJudge("http://127.0.0.1:8090", token="secret"); judge.rewards(texts=prompts, candidates=images)
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        task: Task | str = Task.IMAGE_GENERATION,
        timeout_s: float = 600.0,
        concurrency: int = 8,
        max_attempts: int = 4,
    ) -> None:
        self.url, self.task, self.timeout_s = url.rstrip("/"), Task(task), timeout_s
        self.concurrency, self.max_attempts = concurrency, max_attempts
        token = (token or "").strip()
        if not (token.isascii() and token.isprintable()):
            raise ConfigError(
                "the token of ServedJudge holds characters that no header can carry; give it as it was set"
            )
        keep_secret(token)
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def rewards(
        self,
        *,
        texts: Sequence[str],
        candidates: Sequence[Any],
        media: Sequence[Any] | None = None,
        groups: Sequence[str] | None = None,
        group_size: int | None = None,
    ) -> Rewards:
        """A request that fails for good is a status of its samples; one that is wrong in itself an `EngineError`.

        With `groups`, an id for each sample, and `group_size`, all processes together bring the samples of a group, and
        the server ranks it when it is whole. Without, each prompt is one group and one request. `media` is what the
        question is about, in understanding tasks.
        """
        return BACKGROUND.run(
            self.arewards(texts=texts, candidates=candidates, media=media, groups=groups, group_size=group_size)
        )

    async def arewards(
        self,
        *,
        texts: Sequence[str],
        candidates: Sequence[Any],
        media: Sequence[Any] | None = None,
        groups: Sequence[str] | None = None,
        group_size: int | None = None,
    ) -> Rewards:
        """`rewards` of an asynchronous caller; cancelling it tells the server."""
        samples = await asyncio.to_thread(lambda: [self._encoded(candidate) for candidate in candidates])
        shown = await asyncio.to_thread(lambda: [self._medium(one) for one in media]) if media is not None else None
        requests: dict[str, list[int]] = {}
        for index, text in enumerate(texts):
            requests.setdefault("all" if groups else text, []).append(index)
        name = "answer" if not self.task.is_generation else "video" if self.task.is_video else "image"
        bodies = []
        for indices in requests.values():
            body: dict[str, Any] = {"prompt": [texts[index] for index in indices], name: [samples[i] for i in indices]}
            if shown is not None:
                body["media"] = [shown[index] for index in indices]
            if groups:
                body |= {"groups": [groups[index] for index in indices], "group_size": group_size}
            bodies.append(body)
        # Loopback is never reached through a proxy.
        is_remote = urlsplit(self.url).hostname not in ("127.0.0.1", "localhost", "::1")
        slots = asyncio.Semaphore(self.concurrency)
        async with aiohttp.ClientSession(headers=self._headers, trust_env=is_remote) as session:
            answers = await asyncio.gather(*(self._answer(session, slots, body) for body in bodies))
        values: dict[int, tuple[float | None, Status]] = {}
        for indices, answer in zip(requests.values(), answers, strict=True):
            values |= dict(zip(indices, zip(*answer, strict=True), strict=True))
        in_order = [values[index] for index in range(len(texts))]
        return Rewards([value for value, _ in in_order], [status for _, status in in_order])

    async def _answer(self, session: aiohttp.ClientSession, slots: asyncio.Semaphore, body: dict[str, Any]) -> Rewards:
        number = len(body["prompt"])
        async with slots:
            try:
                text = await self._post(session, json.dumps(body).encode())
                return read_rewards(text, number)
            except TimeoutError:
                return Rewards([None] * number, [Status.TIMEOUT] * number)
            except (aiohttp.ClientError, OSError, MalformedAnswer):  # no connection, half an answer, or no rewards
                return Rewards([None] * number, [Status.HTTP_ERROR] * number)

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> bytes:
        attempt = 0
        while True:
            attempt += 1
            try:
                async with asyncio.timeout(self.timeout_s):
                    # Not followed anywhere: the token, prompts and pictures are this server's.
                    async with session.post(f"{self.url}/compute", data=body, allow_redirects=False) as answer:
                        if answer.status == 200:
                            return await bounded(answer)
                        if answer.status not in RETRIED:
                            await self._refuse(answer)
                        answer.raise_for_status()
                        raise MalformedAnswer(f"HTTP {answer.status}")
            except (OSError, aiohttp.ClientError):  # a timeout too
                if attempt == self.max_attempts:
                    raise
            await asyncio.sleep(min(10.0, 0.5 * 2 ** (attempt - 1)))

    async def _refuse(self, answer: aiohttp.ClientResponse) -> None:
        """The request itself is wrong (token, unknown setting, two groups under one id); repeating it changes
        nothing."""
        if 300 <= answer.status < 400:
            raise MalformedAnswer(f"HTTP {answer.status} to another address")
        text = (await answer.content.read(500)).decode("utf-8", "replace")
        raise EngineError(f"{self.url}/compute answered HTTP {answer.status}: {redacted(text)}")

    def _encoded(self, candidate: Any) -> str | list[str]:
        """An answer as it is; a picture as base64, a video as that of its frames."""
        return self._medium(candidate) if self.task.is_generation else str(candidate)

    def _medium(self, value: Any) -> str | list[str]:
        try:
            media = as_media(value, kind=self.task.media_kind, name="sample")
            data = [encoded_bytes(media, index, limits=MediaLimits()) for index in range(len(media.files))]
        except MediaError:
            data = [b""]  # the server gives it the status bad_media, and judges the rest of the group
        files = [base64.b64encode(one).decode() for one in data]
        return files if self.task.is_video else files[0]


class MalformedAnswer(Exception):
    """What a server sent is no list of rewards."""


async def bounded(answer: aiohttp.ClientResponse) -> bytes:
    text = bytearray()
    async for chunk in answer.content.iter_chunked(65536):
        text += chunk
        if len(text) > MAX_ANSWER_BYTES:
            raise MalformedAnswer(f"more than {MAX_ANSWER_BYTES:,} bytes")
    return bytes(text)


def read_rewards(text: bytes, number: int) -> Rewards:
    """`number` rewards from 0 to 1 and their statuses; a reward whose status is not ok counts for nothing."""
    try:
        answer = json.loads(text)
        rewards, statuses = answer["rewards"], [Status(status) for status in answer["statuses"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise MalformedAnswer(f"no rewards and statuses: {type(error).__name__}") from error
    if not isinstance(rewards, list) or not len(rewards) == len(statuses) == number:
        raise MalformedAnswer(f"not {number} rewards and statuses")
    values: list[float | None] = []
    for reward, status in zip(rewards, statuses, strict=True):
        if status is not Status.OK:
            values.append(None)
        elif isinstance(reward, bool) or not isinstance(reward, int | float) or not 0 <= reward <= 1:
            raise MalformedAnswer(f"a reward of {str(reward)[:40]}; it must be a number from 0 to 1")
        else:
            values.append(float(reward))
    assert all(value is None or math.isfinite(value) for value in values)
    return Rewards(values, statuses)
