"""Judged pairs as lines of a file."""

import json
import re
from dataclasses import replace

import pytest

from tests.urt_core.bench.judged import judgement, pair, run
from urt_core import Dialect
from urt_core.errors import DataError
from urt_core.judging.pairs import SCHEMA, JudgedPair, read_judged_pairs


def test_judged_pairs_file_is_read_back(tmp_path):
    result = run([judgement(1)], [pair(0)], dialects=[Dialect.V1], orders="given")
    result.save(tmp_path)
    assert read_judged_pairs(tmp_path / "judgements.jsonl") == list(result.judged)


def test_a_stated_confidence_is_kept_in_a_line_and_older_lines_have_none():
    [judged] = run([judgement(1)], [pair(0)], dialects=[Dialect.V1], orders="given").judged
    stated = replace(judged, confidence=0.7)
    assert JudgedPair.from_json(stated.to_json()) == stated
    older = {name: value for name, value in stated.to_json().items() if name != "confidence"}
    assert JudgedPair.from_json(older) == judged


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": SCHEMA + 1}, f"has schema {SCHEMA + 1}, this urt reads up to {SCHEMA}; update urt-core"),
        *(({"schema": schema}, f"has schema {schema!r}; it must be") for schema in ("3", None, True, 0, 1.5)),
        ({"dialect": "v9"}, "can't be read ('v9' is not a valid Dialect)"),
        ({"task": "audio"}, "can't be read (task is 'audio'"),
        ({"scores": None}, "can't be read ("),
        ({"label": ...}, "lacks label; judge again"),
        ({"key": ..., "text": ...}, "lacks key, text; judge again"),
    ],
)
def test_a_line_that_would_be_read_wrongly_is_one_line_with_its_number(tmp_path, change, message):
    [judged] = run([judgement(1)], [pair(0)], dialects=[Dialect.V1], orders="given").judged
    line = judged.to_json()
    changed = {name: value for name, value in (line | change).items() if value is not ...}
    path = tmp_path / "judgements.jsonl"
    path.write_text(f"{json.dumps(line)}\n{json.dumps(changed)}\n")
    with pytest.raises(DataError, match=re.escape(f"{path}, line 2: a judgement {message}")) as caught:
        read_judged_pairs(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["[1]", "null", "{", "[" * 20_000])
def test_a_line_that_is_no_object_is_named(tmp_path, line):
    (tmp_path / "judgements.jsonl").write_text(f"{line}\n")
    with pytest.raises(DataError, match=r"judgements\.jsonl, line 1: "):
        read_judged_pairs(tmp_path / "judgements.jsonl")


def test_what_a_newer_line_says_more_is_passed_over():
    [judged] = run([judgement(1)], [pair(0)], dialects=[Dialect.V1], orders="given").judged
    assert JudgedPair.from_json(judged.to_json() | {"seconds": 3}) == judged
