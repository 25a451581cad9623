"""What a person reads of one ranking."""

import pytest

from tests.urt_core.cli.single import PAIR


def test_a_ranking(urt, picture):
    files = [picture(10), picture(200), picture(100)]
    done = urt("rank", *PAIR, "--candidates", *files)
    lines = done.out.splitlines()
    assert done.code == 0
    assert [line.split()[-3:-1] for line in lines[1:4]] == [["1", "1.00"], ["2", "0.50"], ["3", "0.00"]]
    assert lines[1].split()[0].endswith("200.png")
    assert lines[-1] == "3 comparisons, 0 failed"
    failed = urt("rank", *PAIR, "--candidates", picture(10), picture(13))
    assert failed.code == 3
    assert "not judged" in failed.out


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--input", "pairs.jsonl", "--output", "out.jsonl")])
def test_auto_is_refused_before_a_judge_is_opened(urt, more):
    """Not row by row: a ranking asks each pair once."""
    done = urt("rank", *PAIR, "--candidates", "a.png", "b.png", "--mode", "auto", *more)
    assert done.code == 1
    assert (
        done.err
        == "urt: mode is auto, which may ask a pair twice, and a ranking asks each once; allowed: reason, instant\n"
    )
