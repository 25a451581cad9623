"""Routes of other reward services' clients: UniRL's `/score`, OpenRLHF's remote reward model, NeMo-Gym's comparison
server."""

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from urt_core.adapters.rewards import Rewards, ascore_rewards, awin_rate_rewards
from urt_core.engines import Status
from urt_core.records import Task
from urt_core.scorer import Scorer
from urt_core.server.problems import Problem
from urt_core.server.protocols.compute import as_uri, check_number
from urt_core.server.requests import MAX_SAMPLES, MAX_TEXT
from urt_core.server.settings import ServerSettings
from urt_core.server.work import Work

REWARD = "unified_reward"
METRIC = "score"


class Said(BaseModel):
    """One turn of a sample's history: its prompt, and the picture that came out."""

    text: str = Field(default="", max_length=MAX_TEXT)
    image_b64: str | None = None


class Sample(BaseModel):
    history: Annotated[list[Said], Field(min_length=1, max_length=64, fail_fast=True)]
    required_rewards: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=64, fail_fast=True)]


class ScoreSamples(BaseModel):
    """`POST /score` of UniRL's reward service: scores in, in the order of the requests, each reward by its name."""

    model_config = ConfigDict(extra="ignore")
    requests: Annotated[list[Sample], Field(max_length=MAX_SAMPLES, fail_fast=True)]


class RewardQueries(BaseModel):
    """What OpenRLHF's `--remote_rm_url http://...` sends: prompts with their answers, prompts, labels."""

    model_config = ConfigDict(extra="ignore")
    query: Annotated[list[Annotated[str, Field(max_length=MAX_TEXT)]], Field(max_length=MAX_SAMPLES, fail_fast=True)]
    prompts: Annotated[list[Annotated[str, Field(max_length=MAX_TEXT)]], Field(max_length=MAX_SAMPLES, fail_fast=True)]
    labels: Annotated[list[Any], Field(max_length=MAX_SAMPLES, fail_fast=True)]


class CompareResponses(BaseModel):
    """`POST /compare` of NeMo-Gym's `genrm_compare` resources server: all answers to one conversation, in, a reward for
    each, out."""

    model_config = ConfigDict(extra="ignore")
    conversation_history: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=256, fail_fast=True)]
    response_objs: Annotated[list[dict[str, Any]], Field(max_length=MAX_SAMPLES, fail_fast=True)]
    principle: Annotated[str, Field(max_length=MAX_TEXT)] | None = None


async def compare_responses(
    request: CompareResponses, scorer: Scorer, *, settings: ServerSettings, work: Work
) -> Rewards:
    """Win rates of the answers to the last user turn about its picture. What could not be judged is a 503, as that
    server's clients expect: they never train on a placeholder."""
    check_number(len(request.response_objs), settings)
    if request.principle:
        raise Problem(
            400, "principle: the judge was trained on its own criteria; leave the field away", param="principle"
        )
    texts, pictures = parts_of_turn(request.conversation_history[-1])
    if len(pictures) != 1:
        text = (
            f"conversation_history: the last turn has {len(pictures)} pictures; this judge compares answers about one"
        )
        raise Problem(400, text, param="conversation_history")
    answers = [answer_of_response(response) for response in request.response_objs]
    if not answers:
        return Rewards([], [])
    number = len(answers)
    rewards = await work.do(
        lambda: awin_rate_rewards(
            scorer,
            task=Task.IMAGE_UNDERSTANDING,
            texts=["\n".join(texts)] * number,
            candidates=answers,
            media=pictures * number,
            groups=[0] * number,
        )
    )
    failed = [str(status) for status in rewards.statuses if status is not Status.OK]
    if failed:
        raise Problem(503, f"{len(failed)} of {number} answers could not be judged ({failed[0]})", code="judge_failed")
    return rewards


def parts_of_turn(turn: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Texts and pictures of a turn, in the words of the Responses API or of chat completions."""
    content = turn.get("content")
    parts = [{"text": content}] if isinstance(content, str) else content if isinstance(content, list) else []
    texts, pictures = [], []
    for part in parts:
        if not isinstance(part, dict):
            raise Problem(422, "conversation_history: a part of content is no object", param="conversation_history")
        url = part.get("image_url")
        if (url := url.get("url") if isinstance(url, dict) else url) is not None:
            pictures.append(str(url))
        elif isinstance(part.get("text"), str):
            texts.append(part["text"])
    return texts, pictures


def answer_of_response(response: dict[str, Any]) -> str:
    """What a response says: the text of its messages, without its reasoning."""
    output = response.get("output")
    messages = [one for one in output if isinstance(one, dict)] if isinstance(output, list) else []
    texts = [text for one in messages if one.get("type", "message") == "message" for text in parts_of_turn(one)[0]]
    return "".join(texts)[:MAX_TEXT]


async def score_samples(
    request: ScoreSamples, scorer: Scorer, *, settings: ServerSettings, work: Work
) -> dict[str, Any]:
    """A sample's errors are its own: `errors[i]` says by reward what `results[i]` lacks."""
    check_number(len(request.requests), settings)
    wanted = [index for index, sample in enumerate(request.requests) if REWARD in sample.required_rewards]
    judged: dict[int, tuple[float | None, Status]] = {}
    if wanted:
        texts = ["\n".join(said.text for said in request.requests[index].history if said.text) for index in wanted]
        pictures = [last_picture(request.requests[index]) for index in wanted]
        rewards: Rewards = await work.do(
            lambda: ascore_rewards(
                scorer, task=Task.IMAGE_GENERATION, texts=texts, candidates=pictures, contract=settings.contract
            )
        )
        judged = dict(zip(wanted, zip(*rewards, strict=True), strict=True))
    results, errors = [], []
    for index, sample in enumerate(request.requests):
        value, status = judged.get(index, (None, None))
        results.append({} if value is None else {REWARD: {METRIC: value}})
        unknown = {name: f"this server has {REWARD} alone" for name in sample.required_rewards if name != REWARD}
        errors.append(unknown if value is not None or status is None else unknown | {REWARD: str(status)})
    return {"results": results, "errors": errors}


def last_picture(sample: Sample) -> str:
    pictures = [said.image_b64 for said in sample.history if said.image_b64]
    return as_uri(pictures[-1]) if pictures else ""


async def score_queries(request: RewardQueries, scorer: Scorer, *, settings: ServerSettings, work: Work) -> Rewards:
    """Scores of answers about the picture that each label names (`{"question": ..., "media": "data:..."}`)."""
    if not len(request.query) == len(request.prompts) == len(request.labels):
        raise Problem(422, "query, prompts and labels must have the same length", param="labels")
    check_number(len(request.query), settings)
    rows = [label_of(label) for label in request.labels]
    answers = [query.removeprefix(prompt).strip() for query, prompt in zip(request.query, request.prompts, strict=True)]
    return await work.do(
        lambda: ascore_rewards(
            scorer,
            task=Task.IMAGE_UNDERSTANDING,
            texts=[row["question"] for row in rows],
            candidates=answers,
            media=[row["media"] for row in rows],
            contract=settings.contract,
        )
    )


def label_of(label: Any) -> dict[str, str]:
    try:
        row = json.loads(label) if isinstance(label, str) else label
    except ValueError:
        row = None
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in ("question", "media")):
        raise Problem(
            422,
            'a label must be a JSON object {"question": "...", "media": "data:..."}: this judge looks at pictures. For labels in files use '
            "urt_core.adapters.openrlhf.make_reward_func (docs/serving.md)",
            param="labels",
        )
    return row
