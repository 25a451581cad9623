"""Results for people, and what each line is made of."""

import pytest

from urt_core import Judgement, ParseFailure, Preference, Task
from urt_core.cli.display import (
    footer,
    print_judgement,
    scores_table,
    verdict_text,
    vote_title,
)
from urt_core.comparison import Order, Vote
from urt_core.engines import Completion, FinishReason, Status, Usage

USAGE = Usage(prompt_tokens=1234, completion_tokens=56)


@pytest.mark.parametrize(
    ("preference", "text"),
    [
        (Preference.FIRST, "Video 1 is better"),
        (Preference.SECOND, "Video 2 is better"),
        (Preference.TIE, "a tie"),
        (None, "a tie"),
    ],
)
def test_a_verdict_names_its_candidate(preference, text: str) -> None:
    assert verdict_text(preference, "Video") == text


def test_a_swapped_vote_says_whose_number_it_is() -> None:
    vote = Vote(
        order=Order.SWAPPED, status=Status.PARSE_ERROR, judgement=ParseFailure(kind="no_answer"),
        completion=Completion(text="", finish_reason=FinishReason.STOP),
    )  # fmt: skip
    assert vote_title(vote, "Image") == "swapped, so that its Image 1 is Image 2 above: parse_error, no_answer"


def test_scores_have_a_difference_and_the_total_stands_below() -> None:
    lines = scores_table({"aesthetics": (7.0, 7.5), "lighting": (9.0, 4.0)}, noun="Image", margin=4.5).splitlines()
    assert [line.split() for line in lines] == [
        ["Image", "1", "Image", "2", "difference"],
        ["aesthetics", "7", "7.5", "-0.5"],
        ["lighting", "9", "4", "+5"],
        ["total", "+4.5"],
    ]
    assert scores_table({}, noun="Image") == "no scores stated"


def test_a_footer_has_what_there_is() -> None:
    assert footer("judge", "", USAGE) == "judge  1,234 + 56 tokens"
    assert footer("judge", "px-1", USAGE) == "judge  px-1  1,234 + 56 tokens"


def test_a_judgement_that_cannot_be_read_shows_where(capsys) -> None:
    print_judgement(
        ParseFailure(kind="truncated", excerpt="Total score:"), task=Task.IMAGE_GENERATION, title="a\x1b[2J"
    )
    assert capsys.readouterr().out == "a\ufffd[2J: truncated\n  Total score:\n"


def test_a_judgement_says_whether_its_sums_hold(capsys) -> None:
    judgement = Judgement(
        verdict=Preference.SECOND, scores={"style": (1.0, 2.0)}, totals=(1.0, 2.0), sums_consistent=True,
        answer_matches_totals=False,
    )  # fmt: skip
    print_judgement(judgement, task=Task.VIDEO_GENERATION, title="a.txt")
    out = capsys.readouterr().out
    assert out.startswith("a.txt: Video 2 is better\n")
    assert out.endswith("sums add up: yes\nverdict follows totals: no\n")
