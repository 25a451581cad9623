"""The routes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Response

from urt_core import __version__
from urt_core.adapters.failures import FailurePolicy, FailureTally, apply_policy
from urt_core.adapters.rewards import Rewards
from urt_core.engines import AsyncEngine, Engine, Usage, honoured, traits
from urt_core.engines.wrappers.batching import BatchingEngine
from urt_core.engines.wrappers.bounded import BoundedEngine
from urt_core.engines.wrappers.cached import CachedEngine
from urt_core.errors import ConfigError
from urt_core.points import PointScore
from urt_core.scorer import Scorer
from urt_core.server.bodies import body_of, schema_of
from urt_core.server.gate import Gate
from urt_core.server.metrics import Metrics
from urt_core.server.problems import HANDLERS
from urt_core.server.protocols import reward_services
from urt_core.server.protocols.chat import ChatRequest, chat_prompt
from urt_core.server.protocols.chat_answers import chat_answer
from urt_core.server.protocols.compute import Compute, check_number
from urt_core.server.requests import CompareRequest, ComputeRequest, RankRequest, ScoreRequest
from urt_core.server.settings import ServerSettings
from urt_core.server.work import Work
from urt_core.streaming import BACKGROUND


def create_app(scorer: Scorer, settings: ServerSettings | None = None) -> Any:
    """An ASGI application. `scorer` must not read paths; concurrent requests share the batches of a local engine."""
    settings = settings or ServerSettings()
    if scorer.allow_paths:
        raise ConfigError("a served Scorer must have allow_paths=False: requests must not name files of this machine")
    scorer = scorer.with_engine(shared(scorer.engine, max_prompt_tokens=settings.max_prompt_tokens))
    metrics = Metrics()
    work = Work(settings=settings, metrics=metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        if close := getattr(scorer.engine, "aclose", None):
            await BACKGROUND.arun(close())

    # The interactive pages load scripts from elsewhere; the schema alone stays at /openapi.json.
    app = FastAPI(
        title="urt", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan, exception_handlers=HANDLERS
    )
    add_judging(app, scorer, settings=settings, work=work, metrics=metrics)
    add_rewards(app, scorer, settings=settings, work=work, metrics=metrics)
    add_chat(app, scorer, work=work, metrics=metrics)
    add_pages(app, metrics)
    return Gate(app, settings=settings, metrics=metrics)


def shared(engine: Engine | AsyncEngine, *, max_prompt_tokens: int) -> Engine | AsyncEngine:
    """One engine for all callers, below the cache where there is one; one that computes batches gets the callers in
    batches."""
    if isinstance(engine, CachedEngine):
        return CachedEngine(shared(engine.engine, max_prompt_tokens=max_prompt_tokens), cache=engine.cache)
    if isinstance(engine, Engine) and not isinstance(engine, AsyncEngine):
        return BatchingEngine(engine, max_prompt_tokens=max_prompt_tokens)
    if hasattr(engine, "num_text_tokens"):
        return BoundedEngine(engine, max_prompt_tokens=max_prompt_tokens)
    return engine


def add_judging(app: FastAPI, scorer: Scorer, *, settings: ServerSettings, work: Work, metrics: Metrics) -> None:
    @app.post("/v1/compare", openapi_extra=schema_of(CompareRequest))
    async def compare(request: Annotated[CompareRequest, Depends(body_of(CompareRequest))]) -> Response:
        question = request.question("first", "second", "orders", "votes", "mode", "bounds")
        comparison = await work.do(lambda: scorer.acompare(**question))
        metrics.count("comparison", comparison.status, comparison.usage)
        return await as_json(lambda: comparison.to_json() | {"key": request.key})

    @app.post("/v1/score", openapi_extra=schema_of(ScoreRequest))
    async def score(request: Annotated[ScoreRequest, Depends(body_of(ScoreRequest))]) -> Response:
        async def scored() -> PointScore:
            fields = request.question("candidate", "contract")
            point = await asyncio.to_thread(scorer.point_request, **fields)
            batch = scorer.ascore_batch(
                [point], contract=request.contract, against=request.against, votes=request.votes
            )
            [result] = [one async for one in batch]
            return result

        result = await work.do(scored)
        metrics.count("score", result.status, result.usage)
        return await as_json(lambda: result.to_json() | {"key": request.key})

    @app.post("/v1/rank", openapi_extra=schema_of(RankRequest))
    async def rank(request: Annotated[RankRequest, Depends(body_of(RankRequest))]) -> Response:
        check_number(len(request.candidates), settings)
        question = request.question("candidates", "method", "num_rounds", "orders", "votes")
        ranking = await work.do(lambda: scorer.arank(**question))
        for comparison in ranking.comparisons.values():
            metrics.count("comparison", comparison.status, comparison.usage)
        return await as_json(lambda: ranking.to_json() | {"key": request.key})


def add_rewards(app: FastAPI, scorer: Scorer, *, settings: ServerSettings, work: Work, metrics: Metrics) -> None:
    compute, tally = Compute(scorer, settings=settings, work=work), FailureTally(name="/compute")
    policy = FailurePolicy(settings.on_failure)

    def answer(rewards: Rewards, groups: list[str]) -> dict[str, Any]:
        tally.add(rewards.statuses)
        for status in rewards.statuses:
            metrics.count("sample", status, Usage())
        values = apply_policy(rewards.values, rewards.statuses, policy=policy, groups=groups)
        return {"rewards": values, "statuses": [*map(str, rewards.statuses)], "failure_rate": tally.rate}

    @app.post("/compute", openapi_extra=schema_of(ComputeRequest))
    async def compute_rewards(request: Annotated[ComputeRequest, Depends(body_of(ComputeRequest))]) -> Response:
        rewards = await compute.rewards(request)
        # Its client reads with Python's json, which knows NaN. The strict routes never send one.
        return await as_json(lambda: answer(rewards, request.groups or request.prompt), allow_nan=True)

    @app.post("/get_reward", openapi_extra=schema_of(reward_services.RewardQueries))
    async def get_reward(
        request: Annotated[reward_services.RewardQueries, Depends(body_of(reward_services.RewardQueries))],
    ) -> Response:
        rewards = await reward_services.score_queries(request, scorer, settings=settings, work=work)
        return await as_json(lambda: answer(rewards, request.prompts), allow_nan=True)

    @app.post("/compare", openapi_extra=schema_of(reward_services.CompareResponses))
    async def compare_responses(
        request: Annotated[reward_services.CompareResponses, Depends(body_of(reward_services.CompareResponses))],
    ) -> Response:
        rewards = await reward_services.compare_responses(request, scorer, settings=settings, work=work)
        return await as_json(lambda: {"rewards": rewards.values, "comparison_results": [], "metrics": {}})

    @app.post("/score", openapi_extra=schema_of(reward_services.ScoreSamples))
    async def score_samples(
        request: Annotated[reward_services.ScoreSamples, Depends(body_of(reward_services.ScoreSamples))],
    ) -> Response:
        scores = await reward_services.score_samples(request, scorer, settings=settings, work=work)
        return await as_json(lambda: scores)


def add_chat(app: FastAPI, scorer: Scorer, *, work: Work, metrics: Metrics) -> None:
    engine = scorer.engine
    assert isinstance(engine, AsyncEngine)
    model = served_model(scorer)

    @app.post("/v1/chat/completions", openapi_extra=schema_of(ChatRequest))
    async def chat(request: Annotated[ChatRequest, Depends(body_of(ChatRequest))]) -> Response:
        sampling = request.sampling(max_tokens=scorer.sampling.max_tokens, honoured=honoured(engine))
        prompt = await asyncio.to_thread(chat_prompt, request, scorer)
        [completions] = await work.do(lambda: engine.agenerate([prompt], sampling))
        for completion in completions:
            metrics.count("chat", completion.status, completion.usage)
        return chat_answer(completions, request, model=model)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [model_card(model)]}

    @app.get("/v1/models/{name:path}")
    async def named_model(name: str) -> dict[str, Any]:
        """Whatever name a client sends is answered by the one judge, so every name has a card."""
        return model_card(name)


def add_pages(app: FastAPI, metrics: Metrics) -> None:
    page = files("urt_core.server").joinpath("page.html").read_text(encoding="utf-8")

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "version": __version__, "rewards": {reward_services.REWARD: [reward_services.METRIC]}}

    @app.get("/metrics")
    async def prometheus() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/")
    async def front() -> Response:
        # What the page shows comes from a judge, and what it loads comes from here alone.
        policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'"
        more = "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        return Response(page, media_type="text/html", headers={"content-security-policy": policy + more})


async def as_json(value: Callable[[], Any], *, allow_nan: bool = False) -> Response:
    """A ranking of 64 candidates is megabytes of JSON: written beside the event loop."""
    text = await asyncio.to_thread(lambda: json.dumps(value(), allow_nan=allow_nan))
    return Response(text, media_type="application/json")


def served_model(scorer: Scorer) -> str:
    """The name that clients know: the engine's own identity may hold more than it, such as where a folder lies."""
    name = traits(scorer.engine).served_model
    return Path(name).resolve().name if Path(name).is_absolute() or Path(name).is_dir() else name


def model_card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "urt"}
