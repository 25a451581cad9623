"""The scorer over a scripted judge: orders, votes, failures, probabilities, batches."""

import asyncio
import io
import math
import threading
from collections.abc import Generator
from typing import cast

import pytest
from PIL import Image

from urt_core import Dialect, Judgement, Preference, PreferenceRecord, SamplingParams, Status, Task
from urt_core.engines import Completion, FinishReason, Usage
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import ConfigError, MediaError, RecordError
from urt_core.records import MediaKind
from urt_core.scorer import Scorer


def picture(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def judgement(winner, first=(7, 7, 7), second=(5, 5, 5)):
    """A v1 judgement; scores are of the candidates as shown."""
    names = ("Semantic consistency", "Aesthetics", "Authenticity")
    lines = [
        f"{number}. {name}: Image 1 ({a}/10) - text; Image 2 ({b}/10) - text"
        for number, (name, a, b) in enumerate(zip(names, first, second, strict=True), start=1)
    ]
    sums = [f"Image {n}: {'+'.join(map(str, s))}={sum(s)}" for n, s in ((1, first), (2, second))]
    think = "\n".join([*lines, "Total score:", *sums])
    return f"<think>\n{think}\n</think>\n<answer>Image {winner} is better</answer>"


def shade_of(media) -> int:
    """The red of the first pixel."""
    return Image.open(io.BytesIO(media.data[0])).tobytes()[0]


def brighter_wins(prompt, index):
    """A judge without position bias: the redder image gets the higher scores."""
    first, second = (shade_of(media) for media in prompt.media)
    scores = (9, 9, 9), (4, 4, 4)
    return judgement(1, *scores) if first > second else judgement(2, scores[1], scores[0])


def compare(script, **changes):
    settings = {name: changes.pop(name) for name in list(changes) if name in ("sampling", "probability", "dialect")}
    scorer = Scorer(engine=ScriptedEngine(script=script), **settings)
    request = {"task": "image_generation", "text": "a cat", "first": picture(200), "second": picture(100)}
    return scorer.compare(**(request | changes))


def test_agreeing_orders_give_a_preference_with_scores_in_the_records_order():
    comparison = compare(brighter_wins)
    assert (comparison.status, comparison.preference) == (Status.OK, Preference.FIRST)
    assert comparison.position_consistent is True
    assert comparison.probability_first == 1.0
    assert comparison.margin == 15.0
    assert comparison.scores == {
        "semantic consistency": (9, 4),
        "aesthetics": (9, 4),
        "authenticity": (9, 4),
    }
    assert [vote.order for vote in comparison.votes] == ["given", "swapped"]
    verdicts = [j.verdict for j in comparison.judgements if isinstance(j, Judgement)]
    assert verdicts == [Preference.FIRST, Preference.SECOND]


def test_a_judge_that_always_names_the_first_is_a_tie_and_inconsistent():
    comparison = compare([judgement(1), judgement(1)])
    assert comparison.preference is Preference.TIE
    assert comparison.position_consistent is False
    assert comparison.probability_first == 0.5
    assert comparison.margin == 0.0


def test_one_order_says_nothing_about_consistency():
    comparison = compare([judgement(2)], orders="given")
    assert comparison.preference is Preference.SECOND
    assert comparison.position_consistent is None
    assert len(comparison.votes) == 1


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Completion(text="I like both."), Status.PARSE_ERROR),
        (Completion(text="", finish_reason=FinishReason.REFUSED, detail="policy"), Status.REFUSED),
        (Completion(text=judgement(1), finish_reason=FinishReason.LENGTH), Status.TRUNCATED),
        (Completion(text="", finish_reason=FinishReason.TIMEOUT), Status.TIMEOUT),
        (Completion(text="", finish_reason=FinishReason.HTTP_ERROR), Status.HTTP_ERROR),
        (Completion(text="", finish_reason=FinishReason.BUDGET), Status.BUDGET),
    ],
)
def test_a_failed_order_is_a_status_and_never_a_number(answer, status):
    for script in ([judgement(1), answer], [answer, judgement(1)]):
        comparison = compare(script)
        assert comparison.status is status
        assert comparison.preference is None
        assert comparison.probability_first is None
        assert comparison.margin is None
        assert comparison.position_consistent is None
        assert comparison.num_failed == 1
        assert comparison.to_json()["preference"] is None


def test_bad_media_is_a_status_but_a_wrong_call_is_an_error():
    for first in (3.5, "no/such/file.png\0", [], b""):
        comparison = compare(brighter_wins, first=first) if first != b"" else None
        if comparison is not None:
            assert comparison.status is Status.BAD_MEDIA
            assert comparison.detail
    with pytest.raises(RecordError, match="first is a bytes"):
        Scorer(engine=ScriptedEngine(script=[])).compare(
            task=Task.IMAGE_UNDERSTANDING, text="how many?", first=b"two", second="three", media=picture(1)
        )


SAMPLED = SamplingParams(temperature=0.7)


def test_votes_are_a_majority_per_order_and_failed_votes_weigh_nothing():
    given = [judgement(1), judgement(1), judgement(2), "unreadable"]
    swapped = [judgement(2), "unreadable", "unreadable", "unreadable"]
    comparison = compare([*given, *swapped], votes=4, sampling=SAMPLED)
    assert comparison.status is Status.OK
    assert comparison.preference is Preference.FIRST
    assert comparison.position_consistent is True
    assert comparison.num_failed == 4
    # The given order says 2/3, the swapped one 1: each counts the same.
    assert comparison.probability_first == pytest.approx((2 / 3 + 1) / 2)


def test_an_even_vote_is_a_tie():
    comparison = compare([judgement(1), judgement(2)] * 2, votes=2, sampling=SAMPLED)
    assert (comparison.preference, comparison.position_consistent) == (Preference.TIE, True)


def test_probability_from_the_margin_and_what_is_used_without_totals():
    comparison = compare([judgement(1), judgement(2)], probability="margin")
    # Margins +6 in both orders seen from the first candidate: (7*3 - 5*3) and, swapped, the same pair the other way round.
    assert comparison.margin == pytest.approx((6 - 6) / 2)
    assert comparison.probability_first == 0.5
    comparison = compare(brighter_wins, probability="margin")
    assert comparison.probability_first == pytest.approx(1 / (1 + math.exp(-15 / 3)))
    assert comparison.probability_method == "margin"
    bare = "<think>no scores</think><answer>Image 1 is better</answer>"
    comparison = compare([bare], probability="margin", orders="given")
    assert (comparison.probability_method, comparison.probability_first) == ("votes", 1.0)


def test_probability_from_the_verdict_token():
    texts = ("<think>", "Image 1 is better", "</think>", "<answer>Image", " ", "2", " is", " better", "</answer>", "")
    logprobs = (-1.0, -2.0, -0.5, -0.1, -0.2, math.log(0.8), -0.01, -0.01, -0.3, 0.0)
    completion = Completion(
        text="".join(texts), token_ids=tuple(range(10)), token_texts=texts, logprobs=logprobs, usage=Usage()
    )
    comparison = compare([completion], probability="logprob", orders="given")
    assert comparison.preference is Preference.SECOND
    assert comparison.probability_first == pytest.approx(0.2)
    assert comparison.probability_method == "logprob"


def test_several_votes_need_a_temperature():
    with pytest.raises(ConfigError, match="greedy completions would all be the same"):
        compare(brighter_wins, votes=3)
    assert Scorer(engine=ScriptedEngine(script=[]), votes=3).sampling.temperature == 0.7


def records(count):
    return [
        PreferenceRecord(
            key=f"pair-{index}", task=Task.IMAGE_UNDERSTANDING, text="?", first="a", second="b", media=media_of(index)
        )
        for index in range(count)
    ]


def media_of(index):
    from urt_core.media import as_media

    return as_media(picture(index % 256), kind=MediaKind.IMAGE)


class SlowEngine:
    """Asynchronous, counts what is in flight; the first prompts take longest."""

    model, concurrency = "slow", 4

    def __init__(self):
        self.in_flight = self.most = self.started = 0

    async def agenerate(self, prompts, sampling):
        self.in_flight += 1
        self.started += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(0.02 if prompts[0].key.endswith("-0") else 0.001)
        self.in_flight -= 1
        answers = "<think>x</think><answer>Answer 1 is better</answer>"
        return [[Completion(text=answers) for _ in range(sampling.num_completions)] for _ in prompts]


@pytest.mark.parametrize("ordered", [True, False])
def test_asynchronous_batches_are_lazy_bounded_and_ordered_on_request(ordered):
    engine = SlowEngine()
    taken = []

    def source():
        for record in records(40):
            taken.append(record.key)
            yield record

    results = Scorer(engine=engine).compare_batch(source(), ordered=ordered)
    keys = [comparison.key for comparison in results]
    assert sorted(keys) == sorted(taken)
    assert (keys == taken) is ordered
    assert engine.most <= 8
    assert engine.started == 40


def test_leaving_a_batch_early_stops_asking():
    engine = SlowEngine()
    scorer = Scorer(engine=engine)
    results = scorer.compare_batch(records(2000))
    assert next(results).key == "pair-0"
    cast("Generator[object]", results).close()
    assert engine.started < 300


def test_acompare_runs_in_the_callers_loop():
    async def main():
        scorer = Scorer(engine=SlowEngine(), orders="given")
        return await asyncio.gather(
            *(
                scorer.acompare(
                    task="image_understanding", text="?", first="a", second="b", media=picture(i), key=f"k{i}"
                )
                for i in range(5)
            )
        )

    comparisons = asyncio.run(main())
    assert [c.key for c in comparisons] == [f"k{i}" for i in range(5)]
    assert {c.preference for c in comparisons} == {Preference.FIRST}


def test_synchronous_engines_get_whole_batches():
    class Batched(ScriptedEngine):
        batch_size = 6

        def generate(self, prompts, sampling):
            sizes.append(len(prompts))
            return super().generate(prompts, sampling)

    sizes = []

    engine = Batched(script=lambda prompt, index: "<think>x</think><answer>Answer 1 is better</answer>")
    comparisons = list(Scorer(engine=engine).compare_batch(records(7)))
    assert [c.key for c in comparisons] == [f"pair-{i}" for i in range(7)]
    assert sizes == [6, 6, 2]


def test_scores_of_single_candidates():
    script = ["Final Score: 4", "Final Score: 3", "no number"]
    scorer = Scorer(engine=ScriptedEngine(script=script), sampling=SAMPLED, dialect=Dialect.DIRECT)
    score = scorer.score(task="image_generation", text="a cat", candidate=picture(9), contract="final_score", votes=3)
    assert (score.status, score.score, score.num_failed) == (Status.OK, 3.5, 1)
    assert score.fraction == pytest.approx(0.625)
    scorer = Scorer(engine=ScriptedEngine(script=["unreadable"]))
    score = scorer.score(task="image_generation", text="a cat", candidate=picture(9), contract="final_score")
    assert (score.status, score.score, score.fraction) == (Status.PARSE_ERROR, None, None)
    score = scorer.score(task="image_generation", text="a cat", candidate=1, contract="acs")
    assert score.status is Status.BAD_MEDIA


def test_rank_orders_candidates_by_strength():
    shades = [50, 250, 150, 100]
    scorer = Scorer(engine=ScriptedEngine(script=brighter_wins))
    ranking = scorer.rank(task="image_generation", text="a cat", candidates=[picture(shade) for shade in shades])
    assert ranking.order == (1, 2, 3, 0)
    assert ranking.win_rates == (0.0, 1.0, pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert len(ranking.comparisons) == 6


def test_swiss_finds_the_best_with_fewer_comparisons():
    shades = [10 * index + 5 for index in range(16)]
    scorer = Scorer(engine=ScriptedEngine(script=brighter_wins), orders="given")
    pictures = [picture(shade) for shade in shades]
    ranking = scorer.rank(task="image_generation", text="a cat", candidates=pictures, method="swiss")
    assert ranking.order[0] == 15
    assert ranking.order[-1] == 0
    assert len(ranking.comparisons) <= 5 * 8 < 16 * 15 / 2


def test_failed_comparisons_count_for_nobody():
    script = [judgement(1), judgement(2), "unreadable", judgement(2), "x", "x"]
    ranking = Scorer(engine=ScriptedEngine(script=script)).rank(
        task="image_generation", text="a cat", candidates=[picture(i) for i in range(3)]
    )
    assert ranking.num_failed == 2
    assert ranking.win_rates[0] == 1.0
    assert ranking.win_rates[1] == 0.0
    assert math.isnan(ranking.win_rates[2])


def test_a_ranking_reads_each_medium_once_and_off_the_loop():
    fetched, threads = [], set()

    def download(address):
        fetched.append(address)
        threads.add(threading.get_ident())
        if address.endswith("/gone"):
            raise MediaError("gone")
        return picture(len(fetched))

    def ask(**question):
        fetched.clear()
        engine = ScriptedEngine(
            script=lambda prompt, index: (
                "Image 1 is better." if prompt.task and prompt.task.is_generation else "Answer 1 is better."
            )
        )
        scorer = Scorer(engine=engine, dialect=Dialect.DIRECT, download=download)
        return asyncio.run(scorer.arank(text="which?", **question))

    candidates = [f"https://example.org/{index}" for index in range(6)]
    ask(task="image_generation", candidates=candidates)
    assert fetched == candidates
    failed = ask(task="image_generation", candidates=[*candidates, "https://example.org/gone"])
    assert len(fetched) == 7
    assert (failed.num_failed, failed.status) == (6, "bad_media")
    ask(task="image_understanding", candidates=["a", "b", "c", "d"], media="https://example.org/0")
    assert len(fetched) == 1
    unreadable = ask(task="image_understanding", candidates=["a", "b", "c"], media="https://example.org/gone")
    assert (len(fetched), unreadable.num_failed) == (1, 3)
    assert threading.get_ident() not in threads


def test_edits_are_judged_beside_their_source():
    """A judge that prefers the edit that is closer to the source, whichever place it has."""

    def closer(prompt, index):
        source, first, second = map(shade_of, prompt.media)
        return judgement(1 if abs(first - source) < abs(second - source) else 2)

    scorer = Scorer(engine=ScriptedEngine(script=closer))
    edit = {"task": "image_generation", "text": "brighter", "media": picture(90)}
    assert scorer.compare(**edit, first=picture(100), second=picture(200)).preference is Preference.FIRST
    assert scorer.compare(**edit, first=picture(200), second=picture(100)).preference is Preference.SECOND
