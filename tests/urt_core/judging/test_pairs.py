"""Judged pairs as lines of a file."""

from tests.urt_core.bench.judged import judgement, pair, run
from urt_core import Dialect
from urt_core.judging.pairs import read_judged_pairs


def test_judged_pairs_file_is_read_back(tmp_path):
    result = run([judgement(1)], [pair(0)], dialects=[Dialect.V1], orders="given")
    result.save(tmp_path)
    assert read_judged_pairs(tmp_path / "judgements.jsonl") == list(result.judged)
