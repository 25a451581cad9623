"""A judge behind `urt serve`, for trainers whose environment holds no judge: JSON over HTTP, never pickle."""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any

from urt_core.adapters.rewards import Rewards
from urt_core.engines import Status
from urt_core.errors import EngineError, MediaError
from urt_core.media import MediaLimits, as_media
from urt_core.media.frames import encoded_bytes
from urt_core.records import Task

RETRIED = (429, 502, 503, 504)


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
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def rewards(self, *, texts: Sequence[str], candidates: Sequence[Any]) -> Rewards:
        """One request for all samples of a prompt. A request that fails for good is a status of its samples."""
        groups: dict[Hashable, list[int]] = {}
        for index, text in enumerate(texts):
            groups.setdefault(text, []).append(index)
        values: list[float | None] = [None] * len(texts)
        statuses = [Status.BAD_MEDIA] * len(texts)
        with ThreadPoolExecutor(max_workers=self.concurrency) as threads:
            answers = threads.map(lambda group: self._group(texts, candidates, group), groups.values())
            for group, answer in zip(groups.values(), answers, strict=True):
                for index, value, status in zip(group, *answer, strict=True):
                    values[index], statuses[index] = value, status
        return Rewards(values, statuses)

    def _group(self, texts: Sequence[str], candidates: Sequence[Any], group: Sequence[int]) -> Rewards:
        encoded = [self._encoded(candidates[index]) for index in group]
        body = {"prompt": [texts[index] for index in group], "video" if self.task.is_video else "image": encoded}
        try:
            answer = self._post(body)
        except TimeoutError:
            return Rewards([None] * len(group), [Status.TIMEOUT] * len(group))
        except (OSError, HTTPException, ValueError):  # no connection, half an answer, or no JSON
            return Rewards([None] * len(group), [Status.HTTP_ERROR] * len(group))
        statuses = [Status(status) for status in answer["statuses"]]
        pairs = zip(answer["rewards"], statuses, strict=True)
        return Rewards([reward if status is Status.OK else None for reward, status in pairs], statuses)

    def _encoded(self, candidate: Any) -> str | list[str]:
        try:
            media = as_media(candidate, kind=self.task.media_kind, name="sample")
            data = [encoded_bytes(media, index, limits=MediaLimits()) for index in range(len(media.files))]
        except MediaError:
            data = [b""]  # the server gives it the status bad_media, and judges the rest of the group
        files = [base64.b64encode(one).decode() for one in data]
        return files if self.task.is_video else files[0]

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.url}/compute", json.dumps(body).encode(), self._headers)
        attempt = 0
        while True:
            attempt += 1
            try:
                with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                with error:
                    text = error.read(500).decode("utf-8", "replace")
                if error.code not in RETRIED:
                    # The request itself is wrong (token, group of one, unknown setting); repeating it changes nothing.
                    raise EngineError(f"{self.url}/compute answered HTTP {error.code}: {text}") from error
                if attempt == self.max_attempts:
                    raise
            except (OSError, HTTPException):
                if attempt == self.max_attempts:
                    raise
            time.sleep(min(10.0, 0.5 * 2 ** (attempt - 1)))
