"""A completion that is one JSON object, fenced or not, and everything that is none."""

import pytest

from urt_core.judgement.json_object import json_object


@pytest.mark.parametrize(
    "text", ['{"a": 1}', '  {"a": 1}\n', '```json\n{"a": 1}\n```', 'Here:\n```\n{"a": 1}\n``` done']
)
def test_the_object_is_read(text: str) -> None:
    assert json_object(text) == {"a": 1}


@pytest.mark.parametrize(
    "text", ["", "[1]", '"a"', '{"a": 1} and more', '{"a": ', "{" * 100_000, '{"a": "' + "x" * 1_000_001 + '"}']
)
def test_anything_else_is_none(text: str) -> None:
    assert json_object(text) is None
