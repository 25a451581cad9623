"""Bradley-Terry strengths and Swiss pairing."""

import asyncio
import math
import re
import selectors
import time
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urt_core.comparison import Comparison, ProbabilityMethod
from urt_core.engines import Completion, SamplingParams, Status
from urt_core.prompts import Dialect, Prompt
from urt_core.ranking import (
    Matches,
    bradley_terry,
    num_comparisons,
    rank_candidates,
    round_robin,
    swiss_pairs,
    swiss_rounds,
    win_rates,
)
from urt_core.records import Media, MediaKind, Preference, Task
from urt_core.scorer import Scorer

PIXEL = Media(
    kind=MediaKind.IMAGE,
    files=("a.gif",),
    data=(bytes.fromhex("47494638376101000100f00000ff00000000002c00000000010001000002024401003b"),),
)


def log_likelihood(strengths, wins, prior):
    total = 0.0
    for i, row in enumerate(wins):
        for j, won in enumerate(row):
            total -= won * math.log1p(math.exp(strengths[j] - strengths[i]))
    # each candidate against the imagined one of strength 0
    return total - prior * sum(math.log1p(math.exp(-s)) + math.log1p(math.exp(s)) for s in strengths)


def test_two_candidates_have_a_closed_form():
    # Without a prior the odds are the ratio of wins: 3:1.
    first, second = bradley_terry([[0, 3], [1, 0]], prior=1e-9)
    assert first - second == pytest.approx(math.log(3), abs=1e-4)


@given(st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=4, max_size=4))
def test_strengths_maximise_the_likelihood(wins):
    wins = [[0 if i == j else won for j, won in enumerate(row)] for i, row in enumerate(wins)]
    strengths = bradley_terry(wins, prior=0.5)
    assert sum(strengths) == pytest.approx(0, abs=1e-6)
    # The penalised likelihood is not invariant to a shift: find the shift that centring removed, then perturb.
    shift = max((log_likelihood([s + d / 100 for s in strengths], wins, 0.5), d / 100) for d in range(-300, 301))[1]
    best = log_likelihood([s + shift for s in strengths], wins, 0.5)
    for index in range(4):
        for change in (-0.1, 0.1):
            other = [s + shift + (change if i == index else 0) for i, s in enumerate(strengths)]
            assert log_likelihood(other, wins, 0.5) <= best + 1e-4


def test_an_unbeaten_candidate_stays_finite():
    strengths = bradley_terry([[0, 5, 5], [0, 0, 5], [0, 0, 0]])
    assert all(math.isfinite(strength) for strength in strengths)
    assert strengths[0] > strengths[1] > strengths[2]


def test_swiss_rounds_never_repeat_a_pair():
    met = set()
    scores = [0.0] * 8
    for _ in range(7):
        pairs = swiss_pairs(scores, met)
        assert len({candidate for pair in pairs for candidate in pair}) == 2 * len(pairs)
        assert not met & set(pairs)
        met |= set(pairs)
        for i, _ in pairs:
            scores[i] += 1
    assert met <= set(round_robin(8))


def minorise(wins, prior, sweeps):
    """Hunter 2004, eq. 3, sweep by sweep: slow, and an independent way to the same maximum."""
    num, strengths = len(wins), [1.0] * len(wins)
    for _ in range(sweeps):
        strengths = [
            (sum(wins[i]) + prior)
            / (
                2 * prior / (strengths[i] + 1)
                + sum((wins[i][j] + wins[j][i]) / (strengths[i] + strengths[j]) for j in range(num) if j != i)
            )
            for i in range(num)
        ]
    logs = [math.log(strength) for strength in strengths]
    return [value - sum(logs) / num for value in logs]


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=5, max_size=5), min_size=5, max_size=5))
def test_newton_and_minorisation_find_the_same_strengths(wins):
    wins = [[0.0 if i == j else won for j, won in enumerate(row)] for i, row in enumerate(wins)]
    # 1e-6: what 4,000 sweeps of the slow method leave of its error.
    assert bradley_terry(wins) == pytest.approx(minorise(wins, 0.1, 4000), abs=1e-6)


def test_a_hundred_candidates_of_a_judge_that_never_contradicts_itself():
    wins = [[1.0 if i < j else 0.0 for j in range(100)] for i in range(100)]
    began = time.thread_time()
    strengths = bradley_terry(wins)
    assert time.thread_time() - began < 0.5  # a tenth of it on an idle core
    assert list(strengths) == sorted(strengths, reverse=True)
    assert strengths[0] == pytest.approx(-strengths[99], abs=1e-6)  # the judge is symmetric


def test_nobody_and_one():
    assert bradley_terry([]) == ()
    assert bradley_terry([[0.0]]) == (0.0,)


@pytest.mark.parametrize("num", [2, 3, 5, 8, 16, 33, 100])
def test_swiss_asks_as_much_as_it_says(num):
    matches = Matches(num, "swiss")
    asked = len(list(matches.questions(lambda pair: comparison(Preference.FIRST))))
    comparisons = matches.comparisons
    assert asked == len(comparisons)
    said = num_comparisons(num, "swiss")
    assert said * 0.8 <= asked <= said
    if swiss_rounds(num) <= num // 2:  # an unmet opponent is left for everybody, by Dirac's theorem
        assert asked == said
    played = Counter(candidate for pair in comparisons for candidate in pair)
    assert max(played.values()) - min(played.values()) <= 1


@given(st.integers(2, 24), st.integers(0, 2**32), st.integers(1, 12))
def test_every_swiss_round_is_full_up_to_half_as_many_rounds_as_candidates(num, seed, num_rounds):
    random, met = Random(seed), set()
    for _ in range(min(num_rounds, num // 2)):
        pairs = swiss_pairs([random.random() for _ in range(num)], met)
        assert len(pairs) == num // 2
        assert len({candidate for pair in pairs for candidate in pair}) == 2 * len(pairs)
        assert not met & set(pairs)
        met |= set(pairs)


def test_win_rates_need_no_fit():
    comparisons = {
        (0, 1): comparison(Preference.FIRST),
        (0, 2): comparison(Preference.TIE),
        (1, 2): comparison(None, status=Status.TIMEOUT),
    }
    rates = win_rates(4, comparisons)
    assert rates[:3] == (0.75, 0.0, 0.5)
    assert math.isnan(rates[3])
    ranking = rank_candidates(3, comparisons)
    assert (ranking.win_rates, ranking.num_failed, ranking.order[0]) == (rates[:3], 1, 0)


class Delayed:
    """Answers `Answer n` by number, after as many turns of the loop as a seed says."""

    model = "delayed"

    def __init__(self, *, seed, concurrency):
        self.random, self.concurrency = Random(seed), concurrency

    async def agenerate(self, prompts, sampling):
        for _ in range(self.random.randrange(20)):
            await asyncio.sleep(0)
        return [[Completion(text=higher_number(prompt))] for prompt in prompts]


class Local:
    model = "local"

    def __init__(self, *, batch_size):
        self.batch_size, self.asked = batch_size, []

    def generate(self, prompts, sampling):
        self.asked.append(len(prompts))
        return [[Completion(text=higher_number(prompt))] for prompt in prompts]


def higher_number(prompt):
    """A judge that never contradicts itself; multiples of seven can't be read."""
    text = "".join(part for part in prompt.parts if isinstance(part, str))
    first, second = map(int, re.findall(r"candidate (\d+)\.", text))
    if first % 7 == 0 and second % 7 == 0:
        return "neither"
    return f"Answer {1 if first > second else 2} is better"


def ranked(engine, *, num=24, seed=0):
    names = [f"candidate {number}." for number in Random(seed).sample(range(100), num)]
    scorer = Scorer(engine=engine, dialect=Dialect.DIRECT)
    return scorer.rank(task="image_understanding", text="q", media=PIXEL, candidates=names, method="swiss")


@pytest.mark.parametrize("num", [2, 3, 4, 5, 24, 33])
def test_who_meets_whom_is_a_function_of_the_answers_alone(num):
    straight = ranked(Local(batch_size=1), num=num)
    engines = [Local(batch_size=size) for size in (2, 7, 64, 1000)]
    engines += [Delayed(seed=seed, concurrency=concurrency) for seed in range(4) for concurrency in (2, 5, 64)]
    for engine in engines:
        other = ranked(engine, num=num)
        assert list(other.comparisons) == list(straight.comparisons)
        assert (other.strengths, other.win_rates) == (straight.strengths, straight.win_rates)


def test_no_request_waits_for_the_last_answer_of_a_round():
    """A local engine gets fuller batches than two a round; an endpoint is asked on while one answer is due."""
    engine = Local(batch_size=64)
    ranked(engine, num=100)
    assert sum(engine.asked) == 800
    assert len(engine.asked) < 2 * 8

    class Held(Delayed):
        asked = 0

        async def agenerate(self, prompts, sampling):
            self.asked += 1
            if self.asked == 50:  # the last pair of the first round
                self.held = asyncio.Event()
                await self.held.wait()
            elif self.asked == 50 + 36:
                self.held.set()
            return await super().agenerate(prompts, sampling)

    assert len(ranked(Held(seed=0, concurrency=64), num=100).comparisons) == 400


class VirtualTime(selectors.DefaultSelector):
    """Time goes on only where everything waits for it, so that a duration is counted and not measured."""

    now = 0.0

    def select(self, timeout=None):
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        found = super().select(0)
        self.now += 0.0 if found else timeout
        return found


class Answering:
    """Answers after 50 ms, or after what a seed draws around it, as many at a time as it says."""

    model = "answering"

    def __init__(self, *, concurrency, spread, seed=0):
        self.concurrency, self.spread, self.random = concurrency, spread, Random(seed)
        self.slots = asyncio.Semaphore(concurrency)

    async def agenerate(self, prompts, sampling):
        return await asyncio.gather(*map(self.answer, prompts))

    async def answer(self, prompt):
        async with self.slots:
            await asyncio.sleep(0.05 * self.random.lognormvariate(0.0, self.spread))
            return [Completion(text=higher_number(prompt))]


def virtual_seconds(work):
    clock = VirtualTime()
    loop = asyncio.SelectorEventLoop(clock)
    loop.time = lambda: clock.now
    try:
        loop.run_until_complete(work())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    return clock.now


@pytest.mark.parametrize(("concurrency", "spread", "at_most"), [(16, 0.0, 1.03), (64, 0.0, 1.1), (64, 0.3, 1.15)])
def test_swiss_rounds_take_the_time_of_their_requests(concurrency, spread, at_most):
    names = [f"candidate {number}." for number in Random(0).sample(range(100), 100)]
    prompts = [Prompt(parts=("candidate 1. candidate 2.",)) for _ in range(800)]

    async def rank():
        scorer = Scorer(engine=Answering(concurrency=concurrency, spread=spread), dialect=Dialect.DIRECT)
        question = {"task": "image_understanding", "text": "q", "media": PIXEL}
        ranking = await scorer.arank(candidates=names, method="swiss", **question)
        assert len(ranking.comparisons) == 400

    async def ask():
        await Answering(concurrency=concurrency, spread=spread).agenerate(prompts, SamplingParams())

    ratio = virtual_seconds(rank) / virtual_seconds(ask)
    print(f"{concurrency} at a time, spread {spread}: {ratio:.3f}")
    assert ratio <= at_most


def test_a_late_pairing_still_finds_the_order():
    """Kendall's tau of strengths and truth over draws of a judge that never contradicts itself: 0.89 over 40 of them,
    and 0.90 where a round waits for the one before."""
    taus = []
    for seed in range(5):
        ranking = ranked(Local(batch_size=8), num=32, seed=seed)
        numbers = Random(seed).sample(range(100), 32)
        right = [(numbers[i] > numbers[j]) == (ranking.strengths[i] > ranking.strengths[j]) for i, j in round_robin(32)]
        taus.append(2 * sum(right) / len(right) - 1)
    assert sum(taus) / len(taus) > 0.8


def comparison(preference, status=Status.OK):
    return Comparison(
        key="pair",
        task=Task.IMAGE_GENERATION,
        status=status,
        preference=preference,
        probability_first=None,
        probability_method=ProbabilityMethod.VOTES,
    )
