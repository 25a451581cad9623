"""Events put together into the answer they are the pieces of."""

import json

import pytest

from urt_core.engines.endpoint.stream import events, is_stream, read_stream


def event(value: object) -> str:
    return f"data: {json.dumps(value)}\n\n"


def piece(index: int = 0, finish: str | None = None, logprobs: object = None, **delta: object) -> str:
    return event({"choices": [{"index": index, "delta": delta, "finish_reason": finish, "logprobs": logprobs}]})


def test_pieces_of_several_choices_are_joined_in_their_order() -> None:
    tokens = [{"token": "Image", "logprob": -0.1}, {"token": " 1", "logprob": -0.2}]
    content = "".join(
        [
            ": a comment\n\n",
            event({"id": "chat-1", "model": "judge", "choices": []}),
            piece(1, content="Image "),
            piece(0, content="Image", reasoning="so ", logprobs={"content": tokens[:1]}),
            piece(0, content=" 1", reasoning="it is", logprobs={"content": tokens[1:]}),
            piece(1, content="2"),
            piece(0, "stop"),
            piece(1, "length"),
            event({"usage": {"prompt_tokens": 3, "completion_tokens": 4}, "choices": []}),
            "data: [DONE]\n\n",
        ]
    )
    assert read_stream(content.encode()) == {
        "id": "chat-1",
        "model": "judge",
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
        "choices": [
            {
                "message": {"content": ["Image", " 1"], "reasoning": ["so ", "it is"]},
                "finish_reason": "stop",
                "logprobs": {"content": tokens},
            },
            {"message": {"content": ["Image ", "2"]}, "finish_reason": "length"},
        ],
    }


def test_a_stream_that_broke_off_was_cut_off() -> None:
    [choice] = read_stream((piece(content="Ima") + 'data: {"choices": [{"del').encode())["choices"]
    assert choice == {"message": {"content": ["Ima"]}, "finish_reason": "length"}


@pytest.mark.parametrize(
    "line",
    ["data: [DONE]", "data: 3", "data: [1]", "data: nothing", "event: ping", "id: 3", "data: " + "[" * 100_000],
)
def test_what_is_no_object_is_no_part_of_the_answer(line: str) -> None:
    assert events(line.encode()) == []


@pytest.mark.parametrize(
    "value",
    [
        {"choices": 3},
        {"choices": [3]},
        {"choices": [{"index": -1, "delta": {"content": "x"}}]},
        {"choices": [{"index": 10**9, "delta": {"content": "x"}}]},
        {"choices": [{"index": "0", "delta": {"content": "x"}}]},
    ],
)
def test_a_piece_that_is_none_is_passed_over(value: object) -> None:
    assert read_stream(event(value).encode()) == {"choices": []}


def test_only_texts_and_lists_of_tokens_are_taken() -> None:
    [choice] = read_stream(
        (piece(content=3, reasoning=["x"], logprobs={"content": "x"}) + piece(content="y")).encode()
    )["choices"]
    assert choice == {"message": {"content": ["y"]}, "finish_reason": "length"}


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        (b"{}", "application/json", False),
        (b"{}", "text/event-stream; charset=utf-8", True),
        (b"{}", "Text/Event-Stream", True),
        (b'\n data: {"choices": []}', "application/json", True),
        (b"", "", False),
    ],
)
def test_a_stream_is_known_by_its_type_or_its_first_bytes(content: bytes, kind: str, expected: bool) -> None:
    assert is_stream(content, kind) == expected
