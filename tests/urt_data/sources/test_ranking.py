"""Candidates of one prompt, and the pairs that ranks or marks give."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.urt_data.conftest import png
from urt_core.records import Preference, Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.ranking import Located, Member, MemberError, pairs_of, ranked_groups
from urt_data.sources.rows import Row, RowError

NAMES = "abcd"


@pytest.fixture
def folder(tmp_path: Path) -> InputFolder:
    for name in NAMES:
        (tmp_path / f"{name}.png").write_bytes(png(name))
    return InputFolder(tmp_path)


def located(number: int, **changes) -> Located:
    made = Member(group="prompt", task=Task.IMAGE_GENERATION, text="a cat", medium=f"{NAMES[number]}.png")
    return Row(file="rows.json", number=number, values={"long": "x"}), replace(made, **changes)


def made(group: list[Located], folder: InputFolder, pairing: str = "all") -> dict[str, Preference | None]:
    """The two files of each pair -> which is better."""
    found = {}
    for make, _ in pairs_of(group, folder, pairing=pairing):
        pair = make()
        names = [
            name
            for side in (pair.first, pair.second)
            for name in NAMES
            if side.data == (png(name),)  # type: ignore[union-attr]
        ]
        found["".join(names)] = pair.preference
    return found


def test_of_ranks_the_lower_is_better_and_equal_ones_tie(folder: InputFolder) -> None:
    group = [located(number, rank=rank) for number, rank in enumerate((2, 1, 2))]
    assert made(group, folder) == {"ab": Preference.SECOND, "ac": Preference.TIE, "bc": Preference.FIRST}


def test_of_marks_the_higher_mean_is_better_and_a_rank_counts_before_them(folder: InputFolder) -> None:
    a, b = located(0, scores={"x": 5.0, "y": 1.0}), located(1, scores={"x": 4.0, "y": 4.0})
    assert made([a, b], folder) == {"ab": Preference.SECOND}
    ranked = [(a[0], replace(a[1], rank=1)), (b[0], replace(b[1], rank=2))]
    assert made(ranked, folder) == {"ab": Preference.FIRST}


def test_extremes_are_the_best_against_the_worst(folder: InputFolder) -> None:
    group = [located(number, scores={"x": mark}) for number, mark in enumerate((3.0, 1.0, 4.0, 2.0))]
    assert made(group, folder, "extremes") == {"cb": Preference.FIRST}
    assert len(made(group, folder)) == 6
    assert made(group[:1], folder, "extremes") == {}


def test_a_pair_has_the_numbers_that_both_have(folder: InputFolder) -> None:
    a = located(0, rank=1, scores={"x": 1.0, "y": 2.0}, details={"variance": 0.5}, model="m", split="train")
    b = located(1, rank=2, scores={"x": 3.0}, details={"variance": 0.25}, split="train")
    [(make, row)] = pairs_of([a, b], folder, pairing="all")
    pair = make()
    assert pair.scores == {"variance": (0.5, 0.25), "x": (1.0, 3.0), "rank": (1, 2)}
    assert (pair.models, pair.split, row.number) == (("m", None), "train", 0)


def test_groups_come_in_the_order_of_their_first_row_and_rows_of_one_file_are_one_member() -> None:
    bad = RowError(source="mine", file="rows.json", row=9, field="rank", reason="is missing")
    rows = [
        located(0, scores={"x": 1.0}),
        located(1, group="other"),
        bad,
        located(0, scores={"y": 2.0}),
        located(2),
        located(3, split="test"),
    ]
    first, *groups = ranked_groups(rows)
    assert first is bad
    assert [[member.medium for _, member in group] for group in groups if isinstance(group, list)] == [
        ["a.png", "c.png"],
        ["b.png"],
        ["d.png"],
    ]
    assert isinstance(groups[0], list)
    assert groups[0][0][1].scores == {"x": 1.0, "y": 2.0}
    assert groups[0][0][0].values == {}


def test_a_file_that_is_not_there_is_the_fault_of_its_own_row(folder: InputFolder) -> None:
    [(make, _)] = pairs_of([located(0, rank=1), located(3, rank=2, medium="gone.png")], folder, pairing="all")
    with pytest.raises(MemberError) as caught:
        make()
    assert (caught.value.row.number, caught.value.field) == (3, "file")
