"""Scores and totals of a judgement: which count, and whether they add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urt_core.judgement.scores import check_sums, has_marks, read_scores, read_totals, split_totals

V1 = """
1. Semantic consistency: Image 1 (9/10) - red; Image 2 (4/10) - blue
2. [Aesthetics]: Image 2 (7/10) - sharp; Image 1 (7.5/10) - sharper
Total score:
Image 1: 9+7.5=16.5
Image 2: 4+7=11
"""


def scores_of(text: str, noun: str = "Image"):
    body, _ = split_totals(text)
    return read_scores(body, noun=noun)


def sums_of(text: str) -> bool | None:
    body, block = split_totals(text)
    totals = read_totals(block, noun="Image")
    assert totals is not None
    return check_sums(read_scores(body, noun="Image"), totals)


def test_a_score_belongs_to_the_label_in_front_of_it_and_the_dimension_named_last() -> None:
    found = scores_of(V1)
    assert found.of == {"semantic consistency": (9.0, 4.0), "aesthetics": (7.5, 7.0)}
    assert (found.num_dropped, found.num_one_sided) == (0, 0)
    assert sums_of(V1) is True


@pytest.mark.parametrize(
    "written",
    [
        "1. Style: Image 1 (8/10); Image 2 (6/10)",
        "**Style**: Image 1: 8/10, Image 2: 6/10",
        "1) [Style]\n- Image 1: 8 / 10 - good\n- Image 2: 6 / 10 - fair",
        "Style:\nImage 2 (6/10)\nImage 1 (8/10)",
        "* **1. Style** (how it looks): Image 1 **8/10** Image 2 **6/10**",
        "1. style - Image 1 score: 8.0/10; Image 2 score: 6/10",
    ],
)
def test_dimensions_are_found_in_every_dress(written: str) -> None:
    assert scores_of("\n" + written + "\n").of == {"style": (8.0, 6.0)}


@pytest.mark.parametrize(
    ("written", "dropped", "one_sided"),
    [
        ("Image 1 (0/10); Image 2 (6/10)", 1, 0),
        ("Image 1 (11/10); Image 2 (6/10)", 1, 0),
        ("Image 1 (nan/10); Image 2 (6/10)", 1, 0),
        ("Image 1 (8/10); Image 1 (7/10); Image 2 (6/10)", 1, 0),
        ("Image 1 (8/10)", 0, 1),
        ("Image 1 (8/100); Image 2 (6/10)", 0, 1),
        ("Video 1 (8/10); Video 2 (6/10)", 0, 0),
    ],
)
def test_what_is_no_pair_of_scores_is_left_out_and_counted(written: str, dropped: int, one_sided: int) -> None:
    found = scores_of(f"\n1. Style: {written}\n")
    assert found.of == {}
    assert (found.num_dropped, found.num_one_sided) == (dropped, one_sided)


def test_a_name_given_twice_with_other_scores_is_left_out_of_the_names_alone() -> None:
    found = scores_of("\n1. Style: Image 1 (8/10); Image 2 (6/10)\n2. Style: Image 1 (5/10); Image 2 (6/10)\n")
    assert found.of == {}
    assert found.lines == ((8.0, 6.0), (5.0, 6.0))


@given(
    pairs=st.lists(st.tuples(*[st.integers(4, 40).map(lambda quarter: quarter / 4)] * 2), min_size=1, max_size=6),
    error=st.sampled_from([0.0, 0.25, -1.0]),
)
def test_sums_hold_exactly_where_they_are_right(pairs: list[tuple[float, float]], error: float) -> None:
    lines = [f"{n}. D{chr(97 + n)}: Image 1 ({a:g}/10); Image 2 ({b:g}/10)" for n, (a, b) in enumerate(pairs)]
    first, second = (sum(side) for side in zip(*pairs, strict=True))
    stated = [f"Image 1: {'+'.join(f'{a:g}' for a, _ in pairs)}={first + error:g}", f"Image 2: {second:g}"]
    assert sums_of("\n".join(["", *lines, "Total score:", *stated, ""])) == (error == 0.0)


@pytest.mark.parametrize(
    ("scored", "totals", "expected"),
    [
        ("Image 1 (8/10); Image 2 (6/10)", "Image 1: 8\nImage 2: 6", True),
        ("Image 1 (8/10); Image 2 (6/10)", "Image 1: 9\nImage 2: 6", False),
        ("Image 1 (8/10); Image 2 (6/10)", "Image 1: 4+4=8\nImage 2: 6", False),  # addends that were never given
        ("Image 1 (12/10); Image 2 (6/10)", "Image 1: 8\nImage 2: 6", None),  # one could not be read
        ("Image 1 (8/10)", "Image 1: 8\nImage 2: 6", None),
        ("Image 1 (8/10)", "Image 1: 8+0=8\nImage 2: 6", False),
        ("both fine", "Image 1: 4+4=8\nImage 2: 3+3=6", True),
        ("both fine", "Image 1: 8\nImage 2: 6", None),
    ],
)
def test_a_sum_is_right_wrong_or_undecided(scored: str, totals: str, expected: bool | None) -> None:
    assert sums_of(f"\n1. Style: {scored}\nTotal score:\n{totals}\n") is expected


def test_totals_are_behind_the_last_header_and_both_are_needed() -> None:
    _, block = split_totals("Total score:\nImage 1: 1\nImage 2: 1\n**Total:**\nImage 1: 7+8=15\nImage 2: 9\n")
    assert read_totals(block, noun="Image") == {"1": ((7.0, 8.0), 15.0), "2": ((9.0,), 9.0)}
    assert read_totals("image 1: 15\n", noun="Image") is None
    assert read_totals("image 1: 15\nimage 2: 9\nimage 1: 14\n", noun="Image") is None


def test_marks_are_scores_of_a_candidate_of_the_task() -> None:
    assert has_marks("Image 1 (8/10)", noun="Image")
    assert not has_marks("Image 1 (8/10)", noun="Video")
    assert not has_marks("8/10 for both", noun="Image")
