"""Files that are wrong or incomplete, unknown names, and long texts."""

import tracemalloc

import pytest

from tests.urt_core.bench.lines import judgement
from urt_core.bench import rescore
from urt_core.errors import ConfigError, DataError


def test_an_incomplete_set_says_what_was_found_and_expected() -> None:
    lines = [{"item": str(n), "label": "leftvote", "vote": "[[A>B]]"} for n in range(1734)]
    result = rescore(lines, benchmark="genai_bench")
    assert result.is_complete is False
    assert "INCOMPLETE" in result.notes[0]
    assert "1,734" in result.notes[0]
    assert "1,735" in result.notes[0]


@pytest.mark.parametrize(
    ("lines", "asked", "message"),
    [
        ([judgement("a", "given", "first", "first")] * 2, {}, r"line 2: repeats the judgement of line 1.*remove"),
        ([judgement("a", "given", "first", "up")], {}, r"line 1: has verdict 'up'.*allowed"),
        ([judgement("a", "given", "tie", "tie")], {"benchmark": "genai_bench"}, "which kind.*tie_kind"),
        ([judgement("a", "given", "tie", "tie")], {}, "every label is a tie"),
        ([judgement("a", "given", "first", "first")], {"benchmark": "mj_bench"}, "makes verdicts from margins"),
        ([{"item": "1", "chosen": "A", "forward": ["A"], "reverse": ["A"]}], {"benchmark": "genai_bench"}, "another benchmark"),
        ([{"what": 1}], {}, "line 1: has the fields what, which is no known shape"),
        (["text"], {}, "line 1: is a JSON str"),
        ([], {}, "holds no lines"),
        (
            [judgement("a", "given", "first", "first"), judgement("a", "swapped", "first", "first")],
            {},
            r"line 2: pair .a. is labelled second, and first further up",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_named_with_line_and_remedy(lines: list, asked: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rescore(lines, **{"benchmark": "pairs", **asked})


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"benchmark is 'genai'.*genai_bench"):
        rescore([], benchmark="genai")
    with pytest.raises(ConfigError, match=r"no rule 'best'.*four_way.*diff"):
        rescore([], benchmark="genai_bench", rule="best")


def test_memory_does_not_grow_with_the_texts() -> None:
    def lines(length: int):
        for n in range(2_000):
            yield judgement(f"k{n}", "given", "first", "first", text="x" * length)

    peaks = []
    for length in (10, 20_000):
        tracemalloc.start()
        rescore(lines(length), benchmark="pairs")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000
