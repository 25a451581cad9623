"""Which pairs are shown, and what a card says of one."""

import io
from dataclasses import replace

import pytest
from PIL import Image

from urt_core import Dialect, Media, MediaKind, Preference, PreferenceRecord, Task
from urt_core.bench.report.gallery import cards, choose_pairs, data_uri, outcome_of
from urt_core.comparison import Order
from urt_core.judging.pairs import JudgedPair


def picture() -> Media:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(content, format="PNG")
    return Media(kind=MediaKind.IMAGE, files=("picture.png",), data=(content.getvalue(),))


PICTURE = picture()


def judged(number: int, *, correct: bool | None = True, cause: str = "count", order: Order = Order.GIVEN) -> JudgedPair:
    verdict = {True: Preference.FIRST, False: Preference.SECOND, None: None}[correct]
    return JudgedPair(
        key=f"pair-{number}",
        task=Task.IMAGE_UNDERSTANDING,
        cause=cause,
        dialect=Dialect.V1,
        order=order,
        label=Preference.FIRST,
        verdict=verdict,
        failure=None if verdict else "no_answer",
        correct=correct,
        scores={},
        totals=None,
        sums_consistent=None,
        answer_matches_totals=None,
        num_tokens=9,
        text="<think>two</think><answer>Answer 1 is better</answer>",
    )


def record(number: int) -> PreferenceRecord:
    return PreferenceRecord(
        key=f"pair-{number}", task=Task.IMAGE_UNDERSTANDING, text="How many?", first="Two.", second="Three.",
        media=PICTURE, preference=Preference.FIRST,
    )  # fmt: skip


def test_causes_take_turns_and_wrong_ones_are_shown():
    pairs = [judged(n, cause=f"cause-{n % 3}", correct=n not in (5, 6)) for n in range(30)]
    pairs += [replace(pair, order=Order.SWAPPED) for pair in pairs]
    chosen = choose_pairs(pairs, per_task=8)
    assert len(chosen) == 8
    assert {pair.order for pair in chosen} == {Order.GIVEN}
    assert {pair.key for pair in chosen if not pair.correct} == {"pair-5", "pair-6"}
    assert [pair.cause for pair in chosen if pair.correct] == [f"cause-{n}" for n in (0, 1, 2, 0, 1, 2)]


def test_half_of_a_full_gallery_is_wrong():
    chosen = choose_pairs([judged(n, correct=n % 2 == 0) for n in range(40)], per_task=10)
    assert [pair.correct for pair in chosen] == [True] * 5 + [False] * 5


@pytest.mark.parametrize(("correct", "outcome"), [(True, "right"), (False, "wrong"), (None, "unreadable")])
def test_an_outcome_is_told_in_words(correct, outcome):
    assert outcome_of(judged(0, correct=correct)) == outcome


def test_learned_is_what_a_taught_stage_got_wrong_and_the_last_gets_right():
    history = {"Base": [judged(0, correct=False)], "Cold start": [judged(0)], "GRPO": [judged(0)]}
    (card,) = cards(history["GRPO"], records={"pair-0": record(0)}, stages=history)
    assert not card.learned
    history["Cold start"] = [judged(0, correct=None)]
    (card,) = cards(history["GRPO"], records={"pair-0": record(0)}, stages=history)
    assert card.learned
    assert [(told.stage, told.outcome) for told in card.tellings] == [
        ("GRPO", "right"), ("Cold start", "unreadable"), ("Base", "wrong"),
    ]  # fmt: skip
    assert card.tellings[1].says == "unreadable: no answer"


def test_a_card_marks_tags_and_the_labelled_candidate():
    (card,) = cards([judged(0)], records={"pair-0": record(0)}, stages={"GRPO": [judged(0)]})
    assert (card.better, card.label, card.answers) == (1, "Answer 1 is better", ("Two.", "Three."))
    assert card.tellings[0].pieces == (
        (True, "<think>"), (False, "two"), (True, "</think>"), (True, "<answer>"), (False, "Answer 1 is better"), (True, "</answer>"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("totals", "sums", "follows", "said"),
    [
        (None, None, None, ""),
        ((9.0, 5.0), True, True, "sums right, verdict follows the totals"),
        ((9.0, 5.0), False, False, "sums wrong, verdict against the totals"),
        ((9.0, 5.0), None, None, "sums not checked"),
    ],
)
def test_arithmetic_is_told_in_words(totals, sums, follows, said):
    pair = replace(judged(0), totals=totals, sums_consistent=sums, answer_matches_totals=follows)
    assert cards([pair], records={"pair-0": record(0)}, stages={"GRPO": [pair]})[0].sums == said


def test_pictures_are_small_and_photographs_become_jpeg():
    assert data_uri(Image.new("RGB", (64, 64), "red")).startswith("data:image/png;base64,")
    assert data_uri(Image.effect_noise((300, 300), 90).convert("RGB")).startswith("data:image/jpeg;base64,")
