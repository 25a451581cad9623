"""The routes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from urt_core import __version__
from urt_core.adapters.failures import FailurePolicy, FailureTally, apply_policy
from urt_core.adapters.rewards import Rewards, ascore_rewards, awin_rate_rewards
from urt_core.engines import AsyncEngine, Engine, Usage
from urt_core.engines.batching import BatchingEngine
from urt_core.errors import ConfigError, EngineError, UrtError
from urt_core.records import Task
from urt_core.scorer import Scorer
from urt_core.server.chat import ChatRequest, chat_completion, served_model
from urt_core.server.gate import Gate
from urt_core.server.metrics import Metrics
from urt_core.server.requests import CompareRequest, ComputeRequest, RankRequest, ScoreRequest
from urt_core.server.settings import ServerSettings


def create_app(scorer: Scorer, settings: ServerSettings | None = None) -> Any:
    """An ASGI application. `scorer` must not read paths; concurrent requests share the batches of a local engine."""
    settings = settings or ServerSettings()
    if scorer.allow_paths:
        raise ConfigError("a served Scorer must have allow_paths=False: requests must not name files of this machine")
    if isinstance(scorer.engine, Engine) and not isinstance(scorer.engine, AsyncEngine):
        scorer = scorer.with_engine(BatchingEngine(scorer.engine))
    metrics, tally = Metrics(), FailureTally(name="/compute")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        if close := getattr(scorer.engine, "aclose", None):
            await close()

    # The interactive pages load scripts from elsewhere; the schema alone stays at /openapi.json.
    app = FastAPI(title="urt", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)

    @app.exception_handler(UrtError)
    async def refused(request: Any, error: UrtError) -> JSONResponse:
        code = 502 if isinstance(error, EngineError) else 422
        return JSONResponse({"error": str(error)}, status_code=code)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "model": scorer.engine.model, "version": __version__}

    @app.get("/metrics")
    async def prometheus() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    @app.post("/v1/compare")
    async def compare(request: CompareRequest) -> dict[str, Any]:
        comparison = await scorer.acompare(**request.model_dump())
        metrics.count("comparison", comparison.status, comparison.usage)
        return comparison.to_json()

    @app.post("/v1/score")
    async def score(request: ScoreRequest) -> dict[str, Any]:
        fields = request.model_dump()
        votes = fields.pop("votes")
        point = await asyncio.to_thread(scorer.point_request, **fields)
        [result] = [one async for one in scorer.ascore_batch([point], contract=request.contract, votes=votes)]
        metrics.count("score", result.status, result.usage)
        return result.to_json()

    @app.post("/v1/rank")
    async def rank(request: RankRequest) -> dict[str, Any]:
        check_number(len(request.candidates), settings)
        ranking = await scorer.arank(**request.model_dump())
        for comparison in ranking.comparisons.values():
            metrics.count("comparison", comparison.status, comparison.usage)
        return ranking.to_json()

    @app.post("/compute")
    async def compute(request: ComputeRequest) -> Response:
        check_number(len(request.prompt), settings)
        rewards = await compute_rewards(scorer, request, settings)
        tally.add(rewards.statuses)
        policy = FailurePolicy(settings.on_failure)
        values = apply_policy(rewards.values, rewards.statuses, policy=policy, groups=request.prompt)
        for status in rewards.statuses:
            metrics.count("sample", status, Usage())
        # Its client reads with Python's json, which knows NaN. The strict routes never send one.
        answer = {"rewards": values, "statuses": [*map(str, rewards.statuses)], "failure_rate": tally.rate}
        return Response(json.dumps(answer), media_type="application/json")

    @app.post("/v1/chat/completions")
    async def chat(request: ChatRequest) -> JSONResponse:
        return await chat_completion(scorer, request)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": served_model(scorer), "object": "model", "owned_by": "urt"}]}

    return Gate(app, settings=settings, metrics=metrics)


async def compute_rewards(scorer: Scorer, request: ComputeRequest, settings: ServerSettings) -> Rewards:
    if (request.image is None) == (request.video is None):
        raise ConfigError("/compute needs image or video, and not both")
    if request.video is not None:
        task, candidates = Task.VIDEO_GENERATION, [[*map(data_uri, frames)] for frames in request.video]
    else:
        task, candidates = Task.IMAGE_GENERATION, [*map(data_uri, request.image or [])]
    if len(candidates) != len(request.prompt):
        raise ConfigError(
            f"/compute got {len(request.prompt)} prompts and {len(candidates)} samples; it needs one each"
        )
    if settings.reward == "score":
        return await ascore_rewards(
            scorer, task=task, texts=request.prompt, candidates=candidates, contract=settings.contract
        )
    return await awin_rate_rewards(
        scorer, task=task, texts=request.prompt, candidates=candidates, groups=request.prompt
    )


def data_uri(base64_text: str) -> str:
    return base64_text if base64_text.startswith("data:") else f"data:image/*;base64,{base64_text}"


def check_number(number: int, settings: ServerSettings) -> None:
    if number > settings.max_candidates:
        raise ConfigError(f"{number} candidates, allowed are {settings.max_candidates} (ServerSettings.max_candidates)")
