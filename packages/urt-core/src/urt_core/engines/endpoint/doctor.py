"""`urt doctor`: three questions to an endpoint, and what its answers say about how it wants to be asked.

The first asks for everything at once (several completions, a seed, log-probabilities, JSON) and takes back what is refused, one field
after the other; asked again, it tells whether a seed decides. The second shows a picture. The third is a judgement as urt asks for it,
sent by the engine with the profile that was found, and says what one costs.
"""

import asyncio
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from urt_core.comparison import Order, read_vote
from urt_core.contracts import load_contract
from urt_core.engines.chat import picture_parts, request_body
from urt_core.engines.completion import Completion, SamplingParams, Status, Usage
from urt_core.engines.endpoint.answers import UnreadableAnswer, is_same_model, parse_json, read_answer
from urt_core.engines.endpoint.profile import ANY_MODEL, Profile, load_profile, profile_names
from urt_core.engines.endpoint.refusal import read_refusal, refused_field
from urt_core.engines.endpoint.transport import PATH, HTTPConnections, NoConnection, Reply, proxy_for
from urt_core.engines.openai import OpenAIEngine, key_headers
from urt_core.errors import EngineError
from urt_core.media import MediaPolicy
from urt_core.prompts import Dialect, Prompt, render
from urt_core.records import Media, MediaKind, PreferenceRecord, Task
from urt_core.redaction import redacted

# In this order they are given up where a refusal does not say what it is about.
GIVEN_UP = ("response_format", "logprobs", "n", "seed", "top_p", "temperature")
WORDS = 'Name two fruits at random. Answer with JSON alone: {"fruits": ["...", "..."]}'


@dataclass(slots=True)
class Signs:
    """What was seen."""

    refused: dict[str, str] = field(default_factory=dict)
    """Field -> what the endpoint said when it was sent."""
    headers: Mapping[str, str] = field(default_factory=dict)
    owned_by: str = ""
    answered_as: str | None = None
    splits_reasoning: bool = False
    num_requests: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """What `urt doctor` found.

    Diagnosis(profile="openai-reasoning", options={}, works={"images": True, "logprobs": False, "n": True, "seed": False, "json": True},
              judgement="ok", detail="", usage=Usage(prompt_tokens=900, completion_tokens=210), num_requests=9)
    """

    profile: str
    options: dict[str, Any]
    """What has to be set beside the profile (`--engine-option`)."""
    works: dict[str, bool]
    refused: dict[str, str]
    judgement: str
    """Status of the judgement that was asked for."""
    detail: str
    usage: Usage
    """Of that judgement: one completion, two pictures."""
    num_requests: int

    def to_json(self) -> dict[str, Any]:
        return {
            "profile": self.profile,
            "options": self.options,
            "works": self.works,
            "refused": self.refused,
            "judgement": self.judgement,
            "detail": self.detail,
            "usage": self.usage.to_json(),
            "num_requests": self.num_requests,
        }


class Doctor:
    """Asks one endpoint: await Doctor(base_url="http://localhost:8000/v1", model="judge").examine()"""

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        profile: str | None = None,
        dialect: Dialect | str = Dialect.V1,
        max_tokens: int = 2048,
        timeout_s: float = 120.0,
    ) -> None:
        self.base_url, self.model, self.api_key = base_url, model, api_key
        self.asked, self.dialect = profile, load_contract(dialect)
        self.max_tokens, self.timeout_s = max_tokens, timeout_s
        self.engine = OpenAIEngine(base_url=base_url, model=model, api_key=api_key, profile=profile or "openai")
        self.signs = Signs()

    async def examine(self) -> Diagnosis:
        """`EngineError` where the endpoint can't be asked at all: no connection, a wrong key, no such model."""
        await self._look_at_models()
        first = await self._ask_words()
        again = await self._ask_words(again=True)
        sees = await self._ask_picture()
        profile, options = self._fitting()
        [completion] = await self._ask_judgement(profile, options)
        vote = read_vote(completion, order=Order.GIVEN, task=Task.IMAGE_GENERATION, dialect=self.dialect)
        works = {
            "images": sees,
            "logprobs": bool(first[0].logprobs),
            "n": len(first) > 1,
            "seed": "seed" not in self.signs.refused and first[0].text == again[0].text != "",
            "json": "response_format" not in self.signs.refused and is_json(first[0].text),
        }
        return Diagnosis(
            profile=profile.name,
            options=options,
            works=works,
            refused=self.signs.refused,
            judgement=str(vote.status),
            detail=completion.detail if vote.status is not Status.PARSE_ERROR else completion.text[:200],
            usage=completion.usage,
            num_requests=self.signs.num_requests,
        )

    async def _look_at_models(self) -> None:
        """Who owns the model says which program serves it; an endpoint without such a list is none the worse."""
        parts = urlsplit(self.engine.url)
        url = parts._replace(path=parts.path.removesuffix(PATH) + "/models").geturl()
        try:
            listed = parse_json((await self._send(url, None)).content).get("data")
        except (UnreadableAnswer, EngineError):
            return
        entries = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        mine = [each for each in entries if is_same_model(each.get("id"), self.model)] or entries[:1]
        self.signs.owned_by = str(mine[0].get("owned_by", ""))[:100] if mine else ""

    async def _ask_words(self, *, again: bool = False) -> list[Completion]:
        sampling = SamplingParams(
            temperature=1.0, seed=7, num_completions=1 if again else 2, logprobs=True, max_tokens=self.max_tokens
        )
        return await self._ask(Prompt(parts=(WORDS,)), [], sampling, {"response_format": {"type": "json_object"}})

    async def _ask_picture(self) -> bool:
        """Whether a red square is seen as one."""
        square = picture("red")
        parts = [picture_parts(square, policy=MediaPolicy(), image_format="png")]
        prompt = Prompt(parts=(square, "Which colour is this square? Answer with one word."))
        try:
            [completion] = await self._ask(prompt, parts, SamplingParams(max_tokens=self.max_tokens), {})
        except EngineError as error:
            self.signs.refused["image_url"] = str(error)[:200]
            return False
        return "red" in completion.text.lower()

    async def _ask_judgement(self, profile: Profile, options: Mapping[str, Any]) -> list[Completion]:
        record = PreferenceRecord(
            key="doctor",
            task=Task.IMAGE_GENERATION,
            text="a red square",
            first=picture("red"),
            second=picture("blue"),
        )
        async with OpenAIEngine(
            base_url=self.base_url, model=self.model, api_key=self.api_key, profile=profile, **options
        ) as engine:
            [completions] = await engine.agenerate(
                [render(record, self.dialect)], SamplingParams(max_tokens=self.max_tokens)
            )
            self.signs.num_requests += engine.num_attempts
            return completions

    async def _ask(
        self, prompt: Prompt, pictures: list[tuple[bytes, ...]], sampling: SamplingParams, extra: dict[str, Any]
    ) -> list[Completion]:
        """One question, again without each field that is refused."""
        while True:
            profile = self._profile_so_far()
            more = {name: value for name, value in extra.items() if name not in self.signs.refused}
            asked = replace(sampling, extra=more)
            if "n" in self.signs.refused:
                asked = replace(asked, num_completions=1)
            body = request_body(prompt, pictures, asked, model=self.model, profile=profile)
            reply = await self._send(self.engine.url, body)
            if reply.status == 200:
                self.signs.headers = {
                    **self.signs.headers,
                    **{name.lower(): value for name, value in reply.headers.items()},
                }
                self._note(reply)
                return read_answer(
                    reply.content,
                    content_type=reply.headers.get("Content-Type", ""),
                    sampling=asked,
                    asked_model=self.model,
                    accepted_models=(ANY_MODEL,),
                )
            text = redacted(reply.content[:2000].decode("utf-8", "replace"))
            refused = refused_field(reply, text, profile)
            if reply.status in (400, 422) and (refused is None or refused in self.signs.refused):
                refused = "response_format" if "response_format" in text else None
                refused = refused or next((name for name in GIVEN_UP if name not in self.signs.refused), None)
            if refused is None or refused in self.signs.refused:
                said = read_refusal(reply, sent=asked, profile=profile, base_url=self.base_url)
                raise EngineError(f"{self.base_url} can't be asked: {said.detail}")
            self.signs.refused[refused] = " ".join(text.split())[:160]

    def _profile_so_far(self) -> Profile:
        refused = self.signs.refused
        name = "max_completion_tokens" if "max_tokens" in refused else None
        without = [each for each in ("temperature", "top_p", "seed", "logprobs", "n") if each in refused]
        profile = load_profile(self.asked or "openai")
        return profile.changed(max_tokens_name=name, leave_out=[*profile.leave_out, *without])

    async def _send(self, url: str, body: bytes | None) -> Reply:
        """A connection of its own for each request: there are few."""
        headers = key_headers(self.engine.profile, self.api_key)
        connections = HTTPConnections(url, headers=headers, size=1, proxy=proxy_for(url))
        self.signs.num_requests += body is not None
        try:
            async with asyncio.timeout(self.timeout_s):
                return await connections.request("GET" if body is None else "POST", body)
        except TimeoutError:
            raise EngineError(f"{self.base_url} did not answer within {self.timeout_s:g} s") from None
        except NoConnection as error:
            raise EngineError(f"{self.base_url} can't be reached: {error}") from None
        finally:
            await connections.close()

    def _note(self, reply: Reply) -> None:
        """Who answered, and whether the reasoning stands apart."""
        try:
            value = parse_json(reply.content)
            message = value["choices"][0]["message"]
            self.signs.splits_reasoning |= bool(message.get("reasoning") or message.get("reasoning_content"))
        except (UnreadableAnswer, LookupError, TypeError, AttributeError):
            return  # said by `read_answer`
        if isinstance(value.get("model"), str):
            self.signs.answered_as = value["model"]

    def _fitting(self) -> tuple[Profile, dict[str, Any]]:
        """The profile that leaves least to be set beside it, and these settings."""
        names = [self.asked] if self.asked else sorted(profile_names(), key=lambda name: name != "openai")
        profile = min(map(load_profile, names), key=self._distance)
        options: dict[str, Any] = {}
        unsolved = self._unsolved(profile)
        if "max_tokens" in unsolved:
            options["max_tokens_name"] = "max_completion_tokens"
        if left := [name for name in ("temperature", "top_p", "seed", "logprobs") if name in unsolved]:
            options["leave_out"] = [*profile.leave_out, *left]
        if "name" in unsolved and self.signs.answered_as:
            options["accepted_models"] = [*profile.accepted_models, self.signs.answered_as]
        return profile, options

    def _distance(self, profile: Profile) -> tuple[bool, int, int]:
        """Not recognised; problems that it does not solve; fields that it leaves out though they are taken."""
        refused = self.signs.refused
        needless = len([name for name in profile.leave_out if name not in refused])
        needless += bool(profile.max_n) and "n" not in refused
        needless += profile.max_tokens_name != "max_tokens" and "max_tokens" not in refused
        needless += bool(profile.accepted_models) and "name" not in self._problems()
        needless += 2 * (profile.key_header != "Authorization")
        return not self._is_recognised(profile), len(self._unsolved(profile)), needless

    def _problems(self) -> set[str]:
        problems = set(self.signs.refused) - {"response_format", "image_url", "n"}  # the engine copes with n by itself
        if self.signs.answered_as and not is_same_model(self.signs.answered_as, self.model):
            problems.add("name")
        if self.signs.splits_reasoning:
            problems.add("reasoning")
        return problems

    def _unsolved(self, profile: Profile) -> set[str]:
        solved = set(profile.leave_out)
        if profile.max_tokens_name != "max_tokens":
            solved.add("max_tokens")
        if ANY_MODEL in profile.accepted_models or self.signs.answered_as in profile.accepted_models:
            solved.add("name")
        if profile.recognised_by.get("behaviour") == "splits_reasoning":
            solved.add("reasoning")
        return self._problems() - solved

    def _is_recognised(self, profile: Profile) -> bool:
        by = profile.recognised_by
        return (
            ("host" in by and by["host"] in urlsplit(self.base_url).netloc)
            or ("owned_by" in by and by["owned_by"] == self.signs.owned_by)
            or ("header" in by and by["header"] in self.signs.headers)
        )


def picture(colour: str) -> Media:
    buffer = io.BytesIO()
    Image.new("RGB", (256, 256), colour).save(buffer, "PNG")
    return Media(kind=MediaKind.IMAGE, files=(f"{colour}.png",), data=(buffer.getvalue(),))


def is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text.rpartition("</think>")[2]), dict)
    except (ValueError, RecursionError):
        return False
