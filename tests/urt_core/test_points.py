"""Scores of one candidate, put together by hand: means over what could be read, or the reason why nothing could."""

import pytest

from urt_core import Completion, PointContract, Status, Task
from urt_core.engines import FinishReason
from urt_core.points import PointRequest, failed_score, score_votes
from urt_core.records import Media, MediaKind

REQUEST = PointRequest(
    key="a", task=Task.IMAGE_GENERATION, text="a cat", candidate=Media(kind=MediaKind.IMAGE, files=("a.png",))
)


def completion(alignment: float, coherence: float, style: float) -> Completion:
    return Completion(
        text=f"Alignment Score (1-5): {alignment}\nCoherence Score (1-5): {coherence}\nStyle Score (1-5): {style}"
    )


def test_the_mean_over_readable_votes() -> None:
    votes = [completion(4, 4, 4), completion(2, 3, 4), Completion(text="fine")]
    found = score_votes(REQUEST, votes, contract=PointContract.ACS)
    assert (found.status, found.num_votes, found.num_failed) == (Status.OK, 3, 1)
    assert found.score == pytest.approx(3.5)
    assert found.fraction == pytest.approx((3.5 - 1) / 4)
    assert found.scores == {"alignment": 3.0, "coherence": 3.5, "style": 4.0}


def test_without_a_readable_vote_the_commonest_reason() -> None:
    cut = Completion(text="Align", finish_reason=FinishReason.LENGTH)
    found = score_votes(REQUEST, [cut, Completion(text="fine"), cut], contract=PointContract.ACS)
    assert (found.status, found.score, found.fraction, found.scores) == (Status.TRUNCATED, None, None, {})


def test_what_could_not_be_asked() -> None:
    lost = Completion(text="", finish_reason=FinishReason.BAD_MEDIA, detail="a.png: gone")
    found = failed_score(key="a", task=REQUEST.task, completion=lost, contract="acs")
    assert (found.status, found.score, found.detail) == (Status.BAD_MEDIA, None, "a.png: gone")
