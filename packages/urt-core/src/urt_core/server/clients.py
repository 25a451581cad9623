"""Routes of other reward services' clients: UniRL's `/score` and OpenRLHF's remote reward model."""

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from urt_core.adapters.rewards import Rewards, ascore_rewards
from urt_core.engines import Status
from urt_core.records import Task
from urt_core.scorer import Scorer
from urt_core.server.compute import as_uri, check_number
from urt_core.server.problems import Problem
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
