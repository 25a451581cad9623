"""Judged pairs as lines of a file."""

from dataclasses import replace

from tests.urt_core.bench.judged import judgement, pair, run
from urt_core import Dialect
from urt_core.judging.pairs import JudgedPair, read_judged_pairs


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
