"""The fields of a request, from options and from rows."""

import argparse
from typing import Any

import pytest

from urt_core.cli.batch.requests import need_fields, one_request, row_fields
from urt_core.errors import ConfigError, DataError

FIELDS = ("task", "text", "first", "second")


def options(**values: Any) -> argparse.Namespace:
    return argparse.Namespace(**{**dict.fromkeys((*FIELDS, "media")), **values})


def test_one_file_is_a_picture_and_several_are_frames() -> None:
    found = one_request(
        options(task="video_generation", text="a cat", first=["a.mp4"], second=["0.png", "1.png"]), FIELDS
    )
    assert found == {"task": "video_generation", "text": "a cat", "first": "a.mp4", "second": ["0.png", "1.png"]}


def test_what_is_missing_is_named_and_questions_need_their_media() -> None:
    with pytest.raises(ConfigError, match="--task --second missing"):
        one_request(options(text="a cat", first=["a.png"]), FIELDS)
    with pytest.raises(ConfigError, match="--media missing"):
        one_request(options(task="image_understanding", text="How many?", first=["One."], second=["Two."]), FIELDS)


def test_a_row_gives_its_fields_and_no_notes() -> None:
    row = {"task": "t", "text": "x", "first": "a", "second": "b", "preference": "first", "media": "m"}
    assert row_fields(row, FIELDS) == {"task": "t", "text": "x", "first": "a", "second": "b", "media": "m"}
    with pytest.raises(DataError, match="request pair lacks second; it has first, task, text"):
        need_fields({"task": "t", "text": "x", "first": "a"}, FIELDS, "pair")
