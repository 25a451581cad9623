"""What a person reads of one ranking."""

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
