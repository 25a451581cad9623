"""`Scorer`: compare, score and rank candidates with a judge, and say plainly where it could not judge."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, Literal

from urt_core.asking import Asker, Question
from urt_core.calibration import Calibration
from urt_core.comparison import Comparison, Order, ProbabilityMethod, compare_votes, failed_comparison, read_vote
from urt_core.engines import AsyncEngine, Completion, Engine, FinishReason, SamplingParams
from urt_core.errors import ConfigError, MediaError
from urt_core.media import MediaPolicy, as_media, preprocessing_id
from urt_core.media.sources import Download
from urt_core.points import PointRequest, PointScore, score_votes
from urt_core.prompts import Dialect, PointContract, render, render_point
from urt_core.ranking import Pair, Ranking, rank_candidates, round_robin, swiss_pairs, swiss_rounds
from urt_core.records import PreferenceRecord, Task

Orders = Literal["both", "given"]
RankMethod = Literal["round_robin", "swiss"]


class Scorer:
    """A judge, asked about pairs and single candidates.

    scorer = Scorer.from_pretrained("outputs/tiny/grpo/model")
    scorer = Scorer(engine=OpenAIEngine(base_url="http://localhost:8000/v1", model="judge"), dialect=Dialect.V2)
    comparison = scorer.compare(task=Task.IMAGE_GENERATION, text="a red cube", first="a.png", second="b.png")
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
    ) -> None:
        self.engine, self.dialect = engine, Dialect(dialect)
        self.orders = asked_orders(orders)
        self.probability, self.calibration = ProbabilityMethod(probability), calibration
        self.templates, self.download, self.allow_paths = templates, download, allow_paths
        sampling = sampling or SamplingParams(temperature=0.0 if votes == 1 else 0.7)
        if self.probability is ProbabilityMethod.LOGPROB:
            sampling = replace(sampling, logprobs=True)
        self.sampling = with_votes(sampling, votes)
        self._asker = Asker(engine)

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | PathLike[str],
        *,
        engine: Literal["transformers", "vllm"] = "transformers",
        dialect: Dialect | str | None = None,
        policy: MediaPolicy | None = None,
        batch_size: int = 64,
        device: str | None = None,
        **settings: Any,
    ) -> "Scorer":
        """A judge folder written by urt (`judge.json` says how it is asked), or any Qwen-VL judge with a given `dialect`.

        `settings` are those of `Scorer`.
        """
        from urt_core.pretrained import load_engine, load_spec

        asked, shown = load_spec(path_or_id, dialect=dialect, policy=policy)
        loaded = load_engine(path_or_id, kind=engine, policy=shown, batch_size=batch_size, device=device)
        return cls(engine=loaded, dialect=asked, **settings)

    # Pairs

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
        key: str = "pair",
    ) -> Comparison:
        """Judge one pair. `first` and `second` are images or videos in any form that `as_media` takes, or answers."""
        record = self.record(task=task, text=text, first=first, second=second, media=media, key=key)
        [comparison] = self.compare_batch([record], orders=orders, votes=votes)
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
        key: str = "pair",
    ) -> Comparison:
        record = self.record(task=task, text=text, first=first, second=second, media=media, key=key)
        results = [comparison async for comparison in self.acompare_batch([record], orders=orders, votes=votes)]
        return results[0]

    def compare_batch(
        self,
        records: Iterable[PreferenceRecord | Comparison],
        *,
        ordered: bool = True,
        orders: Orders | None = None,
        votes: int | None = None,
    ) -> Iterator[Comparison]:
        """Judge records lazily, in their order or (`ordered=False`) as they finish; `Comparison.key` tells which is which."""
        questions = (self._pair_question(record, orders) for record in records)
        return self._asker.ask(questions, with_votes(self.sampling, votes), ordered=ordered)

    def acompare_batch(
        self,
        records: Iterable[PreferenceRecord | Comparison],
        *,
        ordered: bool = True,
        orders: Orders | None = None,
        votes: int | None = None,
    ) -> AsyncIterator[Comparison]:
        questions = (self._pair_question(record, orders) for record in records)
        return self._asker.aask(questions, with_votes(self.sampling, votes), ordered=ordered)

    def record(
        self, *, task: Task | str, text: str, first: Any, second: Any, media: Any = None, key: str = "pair"
    ) -> PreferenceRecord | Comparison:
        """What `compare_batch` takes; the failed comparison where a medium can't be taken in."""
        task = Task(task)
        try:
            if task.is_generation:
                first, second = self._media(first, task, "first"), self._media(second, task, "second")
            else:
                media = self._media(media, task, "media")
        except MediaError as error:
            return failed_comparison(key=key, task=task, completion=bad_media(error), method=self.probability)
        return PreferenceRecord(key=key, task=task, text=text, first=first, second=second, media=media)

    def _pair_question(
        self, record: PreferenceRecord | Comparison, orders: Orders | None
    ) -> Question[Comparison] | Comparison:
        if isinstance(record, Comparison):
            return record
        asked = asked_orders(orders) if orders else self.orders

        def read(groups: Sequence[Sequence[Completion]]) -> Comparison:
            votes = [
                read_vote(completion, order=order, task=record.task, dialect=self.dialect)
                for order, completions in zip(asked, groups, strict=True)
                for completion in completions
            ]
            comparison = compare_votes(record, votes, method=self.probability, **self._origin())
            return self.calibration.apply(comparison) if self.calibration else comparison

        shown = {Order.GIVEN: record, Order.SWAPPED: record.swap()}
        prompts = tuple(render(shown[order], self.dialect, templates=self.templates) for order in asked)
        return Question(prompts=prompts, read=read)

    # Single candidates

    def score(
        self,
        *,
        task: Task | str,
        text: str,
        candidate: Any,
        media: Any = None,
        contract: PointContract | str = PointContract.THINK,
        votes: int | None = None,
        key: str = "candidate",
    ) -> PointScore:
        """Score one candidate by `contract`, which has to be one the judge was trained on."""
        request = self.point_request(task=task, text=text, candidate=candidate, media=media, contract=contract, key=key)
        [score] = self.score_batch([request], contract=contract, votes=votes)
        return score

    def score_batch(
        self,
        requests: Iterable[PointRequest | PointScore],
        *,
        contract: PointContract | str = PointContract.THINK,
        ordered: bool = True,
        votes: int | None = None,
    ) -> Iterator[PointScore]:
        questions = (self._point_question(request, PointContract(contract)) for request in requests)
        return self._asker.ask(questions, with_votes(self.sampling, votes), ordered=ordered)

    def ascore_batch(
        self,
        requests: Iterable[PointRequest | PointScore],
        *,
        contract: PointContract | str = PointContract.THINK,
        ordered: bool = True,
        votes: int | None = None,
    ) -> AsyncIterator[PointScore]:
        questions = (self._point_question(request, PointContract(contract)) for request in requests)
        return self._asker.aask(questions, with_votes(self.sampling, votes), ordered=ordered)

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
            if task.is_generation:
                candidate = self._media(candidate, task, "candidate")
            else:
                media = self._media(media, task, "media")
        except MediaError as error:
            request = PointRequest(key=key, task=task, text=text, candidate="")
            return score_votes(request, [bad_media(error)], contract=PointContract(contract))
        return PointRequest(key=key, task=task, text=text, candidate=candidate, media=media)

    def _point_question(
        self, request: PointRequest | PointScore, contract: PointContract
    ) -> Question[PointScore] | PointScore:
        if isinstance(request, PointScore):
            return request
        prompt = render_point(
            contract=contract,
            task=request.task,
            text=request.text,
            candidate=request.candidate,
            media=request.media,
            key=request.key,
            templates=self.templates,
        )
        return Question(
            prompts=(prompt,),
            read=lambda groups: score_votes(request, groups[0], contract=contract, **self._origin()),
        )

    # Many candidates

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
        if len(candidates) < 2:
            raise ConfigError(f"rank got {len(candidates)} candidates; it needs at least 2")
        if method not in ("round_robin", "swiss"):
            raise ConfigError(f"method is {method!r}; allowed: 'round_robin', 'swiss'")

        def record(pair: Pair) -> PreferenceRecord | Comparison:
            first, second = candidates[pair[0]], candidates[pair[1]]
            name = f"{key}-{pair[0]}-{pair[1]}"
            return self.record(task=task, text=text, first=first, second=second, media=media, key=name)

        comparisons: dict[Pair, Comparison] = {}
        for _ in range(1 if method == "round_robin" else num_rounds or swiss_rounds(len(candidates))):
            if method == "round_robin":
                pairs = round_robin(len(candidates))
            else:
                standing = rank_candidates(len(candidates), comparisons)
                pairs = swiss_pairs(standing.strengths, set(comparisons))
            results = self.compare_batch(map(record, pairs), orders=orders, votes=votes)
            comparisons |= dict(zip(pairs, results, strict=True))
        return rank_candidates(len(candidates), comparisons)

    def _media(self, value: Any, task: Task, name: str) -> Any:
        return as_media(value, kind=task.media_kind, name=name, download=self.download, allow_paths=self.allow_paths)

    def _origin(self) -> dict[str, str]:
        policy = getattr(self.engine, "policy", None)
        return {"model": self.engine.model, "preprocessing": preprocessing_id(policy) if policy else ""}


def asked_orders(orders: Orders) -> tuple[Order, ...]:
    if orders not in ("both", "given"):
        raise ConfigError(f"orders is {orders!r}; allowed: 'both', 'given'")
    return (Order.GIVEN, Order.SWAPPED) if orders == "both" else (Order.GIVEN,)


def with_votes(sampling: SamplingParams, votes: int | None) -> SamplingParams:
    if votes is None:
        return sampling
    if votes < 1 or (votes > 1 and sampling.temperature == 0):
        raise ConfigError(
            f"votes is {votes} at temperature {sampling.temperature}; votes must be at least 1, and more than one needs "
            "Scorer(sampling=SamplingParams(temperature=0.7)): greedy completions would all be the same"
        )
    return replace(sampling, num_completions=votes)


def bad_media(error: MediaError) -> Completion:
    return Completion(text="", finish_reason=FinishReason.BAD_MEDIA, detail=str(error))
