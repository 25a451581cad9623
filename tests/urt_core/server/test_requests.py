"""Fields of the routes: candidates by task, one scale at a time, and what a question hands to the scorer."""

from typing import Any

import pytest
from pydantic import ValidationError

from urt_core import PointContract
from urt_core.server.requests import MAX_TEXT, CompareRequest, ComputeRequest, RankRequest, ScoreRequest

PAIR: dict[str, Any] = {"task": "image_understanding", "text": "q", "first": "a", "second": "b"}


def test_an_answer_is_a_text_of_bounded_length_and_a_picture_is_not() -> None:
    long = "x" * (MAX_TEXT + 1)
    for first in (long, ["a", "b"]):
        with pytest.raises(ValidationError, match="in image_understanding a candidate is a text of at most 100,000"):
            CompareRequest.model_validate(PAIR | {"first": first})
    shown = CompareRequest.model_validate(PAIR | {"task": "image_generation", "first": long})
    assert shown.candidates_of() == [long, "b"]


def test_a_question_hands_over_what_was_asked_and_no_more() -> None:
    request = CompareRequest.model_validate(PAIR | {"media": "data:,", "votes": 3, "orders": "given", "key": "k"})
    assert request.question("votes", "orders") == {
        "task": "image_understanding", "text": "q", "media": "data:,", "votes": 3, "orders": "given"
    }  # fmt: skip
    assert request.key == "k"


def test_a_score_is_by_a_contract_or_against_anchors() -> None:
    one = {"task": "image_generation", "text": "q", "candidate": "data:,"}
    assert ScoreRequest.model_validate(one).contract is PointContract.THINK
    assert ScoreRequest.model_validate(one | {"against": "anchors"}).against == "anchors"
    with pytest.raises(ValidationError, match="by a contract or against anchors; send one of the two"):
        ScoreRequest.model_validate(one | {"against": "anchors", "contract": "acs"})


@pytest.mark.parametrize(
    ("model", "body", "field"),
    [
        (CompareRequest, PAIR | {"votes": 0}, "votes"),
        (CompareRequest, PAIR | {"votes": 33}, "votes"),
        (CompareRequest, PAIR | {"vote": 3}, "vote"),
        (CompareRequest, PAIR | {"orders": "random"}, "orders"),
        (CompareRequest, PAIR | {"key": "k" * 201}, "key"),
        (RankRequest, {"task": "image_generation", "text": "q", "candidates": [["f"] * 257]}, "candidates"),
        (RankRequest, {"task": "image_generation", "text": "q", "candidates": [], "num_rounds": 65}, "num_rounds"),
        (ComputeRequest, {"prompt": ["p"], "group_size": 0}, "group_size"),
        (ComputeRequest, {"prompt": ["p"], "group_timeout_s": 0}, "group_timeout_s"),
    ],
)
def test_what_is_outside_is_refused_by_its_field(model, body: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    assert {error["loc"][0] for error in caught.value.errors()} == {field}


def test_fields_that_only_some_clients_send_do_not_stop_the_others() -> None:
    assert ComputeRequest.model_validate({"prompt": ["p"], "kwargs": {"a": 1}}).prompt == ["p"]
