"""`Scorer`: compare, score and rank candidates with a judge, and say plainly where it could not judge."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from urt_core.calibration import Calibration
from urt_core.comparison import Comparison, Orders, ProbabilityMethod, asked_orders, failed_comparison
from urt_core.contracts import load_contract
from urt_core.engines import AsyncEngine, Engine, SamplingParams
from urt_core.errors import MediaError
from urt_core.instant import AnchorSet, Bounds, InstantCalibration, Mode
from urt_core.instant.anchored import ask_anchored, ready_for_scores
from urt_core.instant.asking import PairAsker, ask_pair
from urt_core.instant.modes import as_bounds, as_instant, checked_mode, instant_sampling, one_pass_sampling
from urt_core.judges.released import wording_of
from urt_core.judging.asking import Asker, Question
from urt_core.judging.faults import SurrogateError, check_text, faulty
from urt_core.judging.votes import default_sampling, with_votes
from urt_core.media import MediaPolicy, as_media, preprocessing_id
from urt_core.media.reading import Unreadable, read_once
from urt_core.media.sources import Download
from urt_core.points import PointRequest, PointScore, ask_point, failed_score
from urt_core.prompts import Dialect, PointContract
from urt_core.ranking import Matches, Pair, Ranking, RankMethod
from urt_core.records import PreferenceRecord, Task

if TYPE_CHECKING:
    from urt_core.engines.wrappers.cache import CompletionCache
    from urt_core.judges.pretrained import EngineKind


class Scorer:
    """A judge, asked about pairs and single candidates.

        scorer = Scorer.from_pretrained("outputs/tiny/grpo/model")
        scorer = Scorer(engine=OpenAIEngine(base_url="http://localhost:8000/v1", model="judge"), dialect=Dialect.V2)
        comparison = scorer.compare(task=Task.IMAGE_GENERATION, text="a red cube", first="a.png", second="b.png")

    An engine does not say how its judge was trained to be asked. `from_pretrained` finds it in `judge.json`; `Scorer(engine=...)` asks in
    `dialect`, the one-line-per-dimension v1 where none is given.
    """

    def __init__(
        self,
        *,
        engine: Engine | AsyncEngine,
        dialect: Dialect | str = Dialect.V1,
        orders: Orders = "both",
        votes: int = 1,
        sampling: SamplingParams | None = None,
        probability: ProbabilityMethod | str = ProbabilityMethod.VOTES,
        calibration: Calibration | None = None,
        templates: str | PathLike[str] | None = None,
        download: Download | None = None,
        allow_paths: bool = True,
        mode: Mode | str = Mode.REASON,
        bounds: Bounds | Sequence[float] = (0.1, 0.9),
        instant_calibration: InstantCalibration | None = None,
        anchors: AnchorSet | None = None,
    ) -> None:
        self.engine, self.dialect = engine, load_contract(dialect)
        self.orders = asked_orders(orders)
        self.probability, self.calibration = ProbabilityMethod(probability), calibration
        self.templates, self.download, self.allow_paths = templates, download, allow_paths
        self.instant_calibration, self.anchors = instant_calibration, anchors
        self.mode, self.bounds = checked_mode(mode, instant_calibration, self.orders), as_bounds(bounds)
        self.sampling = with_votes(sampling or default_sampling(votes), votes)
        if self.probability is ProbabilityMethod.LOGPROB:
            self.sampling = replace(self.sampling, logprobs=True)
        self.wording = ""
        """What every answer says about its prompts, where they aren't those that the judge was trained with."""
        self._asker = Asker(engine)

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | PathLike[str],
        *,
        engine: "EngineKind" = "transformers",
        dialect: Dialect | str | None = None,
        policy: MediaPolicy | None = None,
        batch_size: int = 64,
        device: str | None = None,
        base_url: str | None = None,
        engine_options: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> "Scorer":
        """A judge folder written by urt (`judge.json` says how it is asked), or any Qwen-VL judge with a given `dialect`.

        With `base_url` the judge is asked at that OpenAI-compatible endpoint, which serves it under the same name (`vllm serve <folder>`
        does). `engine_options` are those of `OpenAIEngine` then, else those of `vllm.LLM`, such as {"max_model_len": 8192,
        "tensor_parallel_size": 2}; of transformers, {"dtype": "float32"}; of vllm_server, {"vllm_servers": ["http://gpu-1:8000"]}. `settings` are those of `Scorer`; without `sampling` among
        them, judgements may be as long as `judge.json` says.
        """
        from urt_core.judges.pretrained import find_engine, load_scale, load_spec

        asked, shown, max_tokens = load_spec(path_or_id, dialect=dialect, policy=policy)
        found = find_engine(
            path_or_id,
            kind=engine,
            policy=shown,
            batch_size=batch_size,
            device=device,
            base_url=base_url,
            options=engine_options,
        )
        settings.setdefault("sampling", default_sampling(settings.get("votes", 1), max_tokens=max_tokens))
        settings = {**load_scale(path_or_id, policy=shown), **settings}
        scorer = cls(engine=found, dialect=asked, **settings)
        scorer.wording = wording_of(path_or_id, templates=scorer.templates)
        return scorer.with_engine(found.open())

    def with_cache(self, cache: "CompletionCache | str | PathLike[str]") -> "Scorer":
        """The same scorer, which pays for no request twice."""
        from urt_core.engines.wrappers.cache import CompletionCache
        from urt_core.engines.wrappers.cached import CachedEngine

        store = cache if isinstance(cache, CompletionCache) else CompletionCache(cache)
        return self.with_engine(CachedEngine(self.engine, cache=store))

    def with_engine(self, engine: Engine | AsyncEngine) -> "Scorer":
        """The same questions to another engine."""
        other = copy(self)
        other.engine, other._asker = engine, Asker(engine)
        return other

    def compare(
        self,
        *,
        task: Task | str,
        text: str,
        first: Any,
        second: Any,
        media: Any = None,
        orders: Orders | None = None,
        votes: int | None = None,
        mode: Mode | str | None = None,
        bounds: Bounds | Sequence[float] | None = None,
        key: str = "pair",
    ) -> Comparison:
        """Judge one pair. `first` and `second` are images or videos in any form that `as_media` takes, or answers."""
        record = self.record(task=task, text=text, first=first, second=second, media=media, key=key)
        [comparison] = self.compare_batch([record], orders=orders, votes=votes, mode=mode, bounds=bounds)
        return comparison

    async def acompare(
        self,
        *,
        task: Task | str,
        text: str,
        first: Any,
        second: Any,
        media: Any = None,
        orders: Orders | None = None,
        votes: int | None = None,
        mode: Mode | str | None = None,
        bounds: Bounds | Sequence[float] | None = None,
        key: str = "pair",
    ) -> Comparison:
        # Reading media may wait on a disk or a network.
        record = await asyncio.to_thread(
            self.record, task=task, text=text, first=first, second=second, media=media, key=key
        )
        batch = self.acompare_batch([record], orders=orders, votes=votes, mode=mode, bounds=bounds)
        [comparison] = [answered async for answered in batch]
        return comparison

    def compare_batch(
        self,
        records: Iterable[PreferenceRecord | Comparison],
        *,
        ordered: bool = True,
        orders: Orders | None = None,
        votes: int | None = None,
        mode: Mode | str | None = None,
        bounds: Bounds | Sequence[float] | None = None,
    ) -> Iterator[Comparison]:
        """Judge records lazily, in their order or (`ordered=False`) as they finish; `Comparison.key` tells which is which.

        `mode`: reason, instant (the verdict alone), or auto (reasons where the calibrated instant probability lies between `bounds`).
        """
        return self._pairs(orders, votes, mode, bounds).ask(records, ordered=ordered)

    def acompare_batch(
        self,
        records: Iterable[PreferenceRecord | Comparison],
        *,
        ordered: bool = True,
        orders: Orders | None = None,
        votes: int | None = None,
        mode: Mode | str | None = None,
        bounds: Bounds | Sequence[float] | None = None,
    ) -> AsyncIterator[Comparison]:
        return self._pairs(orders, votes, mode, bounds).aask(records, ordered=ordered)

    def _pairs(self, orders: Orders | None, votes: int | None, mode: Mode | str | None, bounds: Any) -> PairAsker:
        how = self.mode if mode is None else mode
        return PairAsker(
            asker=self._asker,
            question=lambda record, how: self.pair_question(record, orders, how),
            sampling=with_votes(self.sampling, votes),
            mode=checked_mode(how, self.instant_calibration, asked_orders(orders) if orders else self.orders),
            bounds=self.bounds if bounds is None else as_bounds(bounds),
        )

    def record(
        self, *, task: Task | str, text: str, first: Any, second: Any, media: Any = None, key: str = "pair"
    ) -> PreferenceRecord | Comparison:
        """What `compare_batch` takes; the failed comparison where a medium can't be taken in."""
        task = Task(task)
        try:
            check_text(text=text, first=first, second=second)
            if task.is_generation:
                first, second = self._media(first, task, "first"), self._media(second, task, "second")
            source = self._media(media, task, "source") if task.is_generation and media is not None else None
            media = None if task.is_generation else self._media(media, task, "media")
        except (MediaError, SurrogateError) as error:
            return self.failed_pair(error, key=key, task=task)
        return PreferenceRecord(key=key, task=task, text=text, first=first, second=second, media=media, source=source)

    def failed_pair(self, error: Exception, *, key: str, task: Task | None = None) -> Comparison:
        """The comparison of a pair that can't be asked: its own fault, said by `error`, and nobody else's."""
        return failed_comparison(key=key, task=task, completion=faulty(error), method=self.probability)

    def pair_question(
        self, record: PreferenceRecord | Comparison, orders: Orders | None = None, mode: Mode = Mode.REASON
    ) -> Question[Comparison] | Comparison:
        """What is asked about a pair, and how the answers become its comparison."""
        is_instant, at_once = mode is Mode.INSTANT, partial(as_instant, calibration=self.instant_calibration)
        return ask_pair(
            record,
            orders=asked_orders(orders) if orders else self.orders,
            dialect=Dialect.DIRECT if is_instant else self.dialect,
            method=ProbabilityMethod.LOGPROB if is_instant else self.probability,
            templates=self.templates,
            origin=self._origin(),
            finish=at_once if is_instant else self.calibration and self.calibration.apply,
        )

    def score(
        self,
        *,
        task: Task | str,
        text: str,
        candidate: Any,
        media: Any = None,
        contract: PointContract | str = PointContract.THINK,
        against: Literal["anchors"] | None = None,
        votes: int | None = None,
        key: str = "candidate",
    ) -> PointScore:
        """Score one candidate by `contract`, which has to be one the judge was trained on; or `against` the judge's anchors: the calibrated
        probability of beating them, asked at once, two passes each, whatever contract and votes say."""
        request = self.point_request(task=task, text=text, candidate=candidate, media=media, contract=contract, key=key)
        [score] = self.score_batch([request], contract=contract, against=against, votes=votes)
        return score

    def score_batch(
        self,
        requests: Iterable[PointRequest | PointScore],
        *,
        contract: PointContract | str = PointContract.THINK,
        against: Literal["anchors"] | None = None,
        ordered: bool = True,
        votes: int | None = None,
    ) -> Iterator[PointScore]:
        question, sampling = self.point_questions(contract, against, votes)
        return self._asker.ask(map(question, requests), sampling, ordered=ordered)

    def ascore_batch(
        self,
        requests: Iterable[PointRequest | PointScore],
        *,
        contract: PointContract | str = PointContract.THINK,
        against: Literal["anchors"] | None = None,
        ordered: bool = True,
        votes: int | None = None,
    ) -> AsyncIterator[PointScore]:
        question, sampling = self.point_questions(contract, against, votes)
        return self._asker.aask(map(question, requests), sampling, ordered=ordered)

    def point_questions(
        self, contract: PointContract | str, against: str | None = None, votes: int | None = None
    ) -> tuple[Callable[[Any], Question[PointScore] | PointScore], SamplingParams]:
        """What is asked about a request, and how it is sampled; a ConfigError where the judge has no scale of anchors."""
        if against is None:
            by = load_contract(contract, PointContract)
            ask = partial(ask_point, contract=by, templates=self.templates, origin=self._origin())
            return ask, with_votes(self.sampling, votes)
        scale = ready_for_scores(against, anchors=self.anchors, calibration=self.instant_calibration)
        pair = partial(self.pair_question, orders="both", mode=Mode.INSTANT)
        return partial(ask_anchored, **scale, ask=pair, origin=self._origin()), instant_sampling(self.sampling)

    def point_request(
        self,
        *,
        task: Task | str,
        text: str,
        candidate: Any,
        media: Any = None,
        contract: PointContract | str = PointContract.THINK,
        key: str = "candidate",
    ) -> PointRequest | PointScore:
        """What `score_batch` takes; the failed score where a medium can't be taken in."""
        task = Task(task)
        try:
            check_text(text=text, candidate=candidate)
            if task.is_generation:
                candidate = self._media(candidate, task, "candidate")
            else:
                media = self._media(media, task, "media")
        except (MediaError, SurrogateError) as error:
            return failed_score(key=key, task=task, completion=faulty(error), contract=contract)
        return PointRequest(key=key, task=task, text=text, candidate=candidate, media=media)

    def rank(
        self,
        *,
        task: Task | str,
        text: str,
        candidates: Sequence[Any],
        media: Any = None,
        method: RankMethod = "round_robin",
        num_rounds: int | None = None,
        orders: Orders | None = None,
        votes: int | None = None,
        key: str = "rank",
    ) -> Ranking:
        """Compare pairs of `candidates`: all of them, or `num_rounds` Swiss rounds (default: about log2 of their number)."""
        matches = Matches(len(candidates), method, num_rounds)
        candidates, [medium] = self.prepared(candidates, task=task), self.prepared_media([media], task=task)
        match = partial(self._match, task=task, text=text, candidates=candidates, media=medium, orders=orders, key=key)
        for _ in self._asker.ask(
            matches.questions(match), one_pass_sampling(self.mode, with_votes(self.sampling, votes))
        ):
            pass
        return matches.ranking(key)

    async def arank(
        self,
        *,
        task: Task | str,
        text: str,
        candidates: Sequence[Any],
        media: Any = None,
        method: RankMethod = "round_robin",
        num_rounds: int | None = None,
        orders: Orders | None = None,
        votes: int | None = None,
        key: str = "rank",
    ) -> Ranking:
        matches = Matches(len(candidates), method, num_rounds)
        candidates = await asyncio.to_thread(self.prepared, candidates, task=task)
        [medium] = await asyncio.to_thread(self.prepared_media, [media], task=task)
        match = partial(self._match, task=task, text=text, candidates=candidates, media=medium, orders=orders, key=key)
        async for _ in self._asker.aask(
            matches.questions(match), one_pass_sampling(self.mode, with_votes(self.sampling, votes))
        ):
            pass
        return matches.ranking(key)

    def _match(self, pair: Pair, *, candidates: Sequence[Any], orders: Orders | None, key: str, **question: Any) -> Any:
        i, j = pair
        record = self.record(first=candidates[i], second=candidates[j], key=f"{key}-{i}-{j}", **question)
        return self.pair_question(record, orders, self.mode)

    def prepared(self, candidates: Sequence[Any], *, task: Task | str) -> list[Any]:
        """Candidates that are compared several times, fetched and encoded once. What can't be read says so in each comparison."""
        read = partial(self._media, task=Task(task), name="candidate")
        return read_once(candidates, read) if Task(task).is_generation else list(candidates)

    def prepared_media(self, media: Sequence[Any], *, task: Task | str) -> list[Any]:
        """What several questions are about, fetched and encoded once; of pictures, None: what is no edit has no source."""
        name = "source" if Task(task).is_generation else "media"
        return read_once(media, partial(self._media, task=Task(task), name=name))

    def _media(self, value: Any, task: Task, name: str) -> Any:
        if isinstance(value, Unreadable):
            raise value.error
        if value is None and name == "source":
            return None
        return as_media(value, kind=task.media_kind, name=name, download=self.download, allow_paths=self.allow_paths)

    def _origin(self) -> dict[str, str]:
        policy = self._asker.traits.policy
        shown = {"preprocessing": preprocessing_id(policy)} if policy else {}
        return {"model": self.engine.model, "wording": self.wording, **shown}
