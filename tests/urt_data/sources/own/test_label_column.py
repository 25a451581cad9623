"""Label columns: an encoding with two readings is never guessed, and one of the readings shown is the right one."""

import csv
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.urt_data.conftest import png
from urt_core.errors import ConfigError
from urt_core.records import Preference, PreferenceRecord
from urt_data import sources
from urt_data.errors import LabelError
from urt_data.prepare import parse_values
from urt_data.sources.own.label_column import LabelColumn, LabelSettings
from urt_data.sources.rows import FieldError

F, S, T = Preference.FIRST, Preference.SECOND, Preference.TIE
TRUTH = [F, S, S, F, S, S, F, S, S, S]
WITH_TIES = [F, S, S, T, S, F, F, S, T, S]
Encode = Callable[[Preference, int], Any]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way people write labels, in both directions; `asks` where nobody but the owner can tell them apart."""

    name: str
    one: dict[Preference, Any] | Encode
    other: dict[Preference, Any] | Encode
    asks: bool = True
    truth: list[Preference] = field(default_factory=lambda: TRUTH)
    columns: dict[str, str] = field(default_factory=dict)
    label: str = "label"


def margin(sign: int) -> Encode:
    return lambda side, row: sign * {F: 1, S: -1, T: 0}[side] * (0.25 + row / 100)


def probability(sign: int) -> Encode:
    return lambda side, row: 0.5 + sign * {F: 1, S: -1, T: 0}[side] * (0.1 + row / 100)


def named(winner: dict[Preference, str]) -> Encode:
    return lambda side, row: winner[side]


KINDS = [
    Kind(name="zero and one", one={F: 0, S: 1}, other={F: 1, S: 0}),
    Kind(name="minus and plus one", one={F: 1, S: -1}, other={F: -1, S: 1}),
    Kind(name="minus, zero, plus", one={F: 1, S: -1, T: 0}, other={F: -1, S: 1, T: 0}, truth=WITH_TIES),
    Kind(name="booleans", one={F: True, S: False}, other={F: False, S: True}),
    Kind(name="true and false in words", one={F: "TRUE", S: "FALSE"}, other={F: "false", S: "true"}),
    Kind(name="yes and no", one={F: "yes", S: "no"}, other={F: "No", S: "Yes"}),
    Kind(name="win and lose", one={F: "win", S: "lose", T: "tie"}, other={F: "lose", S: "win", T: "tie"}, truth=WITH_TIES),
    Kind(name="floats", one={F: 1.0, S: 0.0}, other={F: "0.0", S: "1.0"}),
    Kind(name="halves are ties", one={F: 1.0, S: 0.0, T: 0.5}, other={F: 0.0, S: 1.0, T: 0.5}, truth=WITH_TIES),
    Kind(name="probabilities", one=probability(1), other=probability(-1)),
    Kind(name="margins", one=margin(1), other=margin(-1)),
    Kind(name="a scale of seven", one={F: 6, S: 2, T: 4}, other={F: 1, S: 7, T: 4}, truth=WITH_TIES),
    Kind(name="zero, one, two", one={T: 0, F: 1, S: 2}, other={F: 0, T: 1, S: 2}, truth=WITH_TIES),
    Kind(name="minus one is the tie of zero and one", one={F: 0, S: 1, T: -1}, other={F: 1, S: 0, T: -1}, truth=WITH_TIES),
    Kind(name="minus one is the tie of one and two", one={F: 1, S: 2, T: -1}, other={F: 2, S: 1, T: -1}, truth=WITH_TIES),
    Kind(name="zero is the tie of letters", one={F: "A", S: "B", T: 0}, other={F: "left", S: "right", T: "0"}, truth=WITH_TIES),
    Kind(name="one, two, three", one={F: 1, S: 2, T: 3}, other={F: 1, T: 2, S: 3}, truth=WITH_TIES),
    Kind(name="scores in a list", one={F: [0.9, 0.2], S: [0.1, 0.8]}, other={F: [1, 2], S: [2, 1]}),
    Kind(name="one hot", one={F: [1, 0], S: [0, 1]}, other={F: [0, 1], S: [1, 0]}),
    Kind(name="numbered names", one={F: "image0", S: "image1"}, other={F: "image_1", S: "image_0"}),
    Kind(name="one and two", one={F: 1, S: 2}, other={F: "1", S: "2.0"}, asks=False),
    Kind(name="words", one={F: "first", S: "second", T: "tie"}, other={F: "First", S: " SECOND", T: "Same"}, asks=False, truth=WITH_TIES),
    Kind(name="letters", one={F: "A", S: "B", T: "tie"}, other={F: "[[a]]", S: "[[b]]", T: "A=B"}, asks=False, truth=WITH_TIES),
    Kind(name="places with nouns", one={F: "model_a", S: "model_b", T: "tie (bothbad)"}, other={F: "Image A", S: "the second image", T: "neither"},
         asks=False, truth=WITH_TIES),
    Kind(name="comparisons", one={F: "A>B", S: "B > A", T: "A=B"}, other={F: "[[A>>B]]", S: "B >>> A", T: "A = B"}, asks=False, truth=WITH_TIES),
    Kind(name="numbered comparisons", one={F: "1>2", S: "2>1"}, other={F: "2 < 1", S: "1<2"}, asks=False),
    Kind(name="marked letters", one={F: "**A**", S: "(B)"}, other={F: "Option (A)", S: "`B`"}, asks=False),
    Kind(name="shortened nouns", one={F: "img1", S: "img2"}, other={F: "Choice A", S: "option_b"}, asks=False),
    Kind(name="spaces and mixed types", one={F: " 1 ", S: 2}, other={F: 1.0, S: "2"}, asks=False),
    Kind(name="verdicts", one={F: "Image 1 is better", S: "Image 2 is better than Image 1"}, other={F: "response 1", S: "Response_2 wins"}, asks=False),
    Kind(name="verdicts from zero", one={F: "Image 0 is better", S: "Image 1 is better"}, other={F: "answer1", S: "answer0"}),
    Kind(name="sides", one={F: "left", S: "right"}, other={F: "Left", S: "Right"}, asks=False),
    Kind(name="winning column", one=named({F: "image0", S: "image1"}), other=named({F: "image1", S: "image0"}), asks=False,
         columns={"first": "image0", "second": "image1"}),
    Kind(name="winning model", one=named({F: "flux", S: "kolors"}), other=named({F: "kolors", S: "flux"}), asks=False,
         columns={"first_model": "one", "second_model": "two"}),
    Kind(name="winning model in another case", one=named({F: "Flux", S: "KOLORS "}), other=named({F: "Kolors", S: "FLUX"}), asks=False,
         columns={"first_model": "one", "second_model": "two"}),
    Kind(name="winning file", one=named({F: "a.png", S: "b.png"}), other=named({F: "b.png", S: "a.png"}), asks=False),
    Kind(name="the worse one in words", one={F: "second", S: "first"}, other={F: "B", S: "A"}, label="worse_image"),
]  # fmt: skip


def table(folder: Path, kind: Kind, *, swapped: bool, suffix: str) -> dict[str, str]:
    """Rows of this kind in a file; returns the columns."""
    encode = kind.other if swapped else kind.one
    columns = {"first": "x", "second": "y", **kind.columns}
    if swapped and {"image0", "image1"} <= set(columns.values()):
        columns |= {"first": "image1", "second": "image0"}
    files = ("b.png", "a.png") if swapped and kind.name == "winning file" else ("a.png", "b.png")
    rows = []
    for number, side in enumerate(kind.truth):
        value = encode[side] if isinstance(encode, dict) else encode(side, number)
        models = {"one": "kolors", "two": "flux"} if swapped else {"one": "flux", "two": "kolors"}
        names = {columns["first"]: files[0], columns["second"]: files[1], kind.label: value}
        rows.append({"text": f"caption {number}", **models, **names})
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(png(name))
    if suffix == "csv":
        with (folder / "rows.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {**columns, "preference": kind.label}


def labels(folder: Path, **options: Any) -> list[Preference | None]:
    results = list(sources.get("generic", **options).records(folder))
    assert all(isinstance(result, PreferenceRecord) for result in results), results
    return [result.preference for result in results if isinstance(result, PreferenceRecord)]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("swapped", [False, True], ids=["so", "the other way round"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_label_is_ever_inverted(kind: Kind, swapped: bool, suffix: str, tmp_path: Path) -> None:
    if suffix == "csv" and isinstance(kind.one, dict) and isinstance(kind.one[F], list):
        pytest.skip("a list in CSV is text that nobody reads")
    columns = table(tmp_path, kind, swapped=swapped, suffix=suffix)
    if not kind.asks:
        assert labels(tmp_path, columns=columns) == kind.truth
        return
    with pytest.raises(LabelError) as error:
        labels(tmp_path, columns=columns)
    message = str(error.value)
    assert "caption 0" in message
    readings = re.findall(r"reading \d: (.*?)   gives", message)
    if kind.label == "worse_image":
        readings = re.findall(r"label_is=\w+", message)
    given = [labels(tmp_path, columns=columns, **parse_values(reading.split())) for reading in readings]
    assert [found == kind.truth for found in given].count(True) == 1
    assert [*map(Preference.swap, kind.truth)] in given or "letters" in kind.name


def rows_of(folder: Path, values: list[Any], **columns: Any) -> None:
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(png(name))
    rows = [
        {"text": f"c {number}", "first": "a.png", "second": "b.png", "preference": value}
        | {name: column[number] for name, column in columns.items()}
        for number, value in enumerate(values)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_message_shows_values_counts_and_both_readings(tmp_path: Path) -> None:
    rows_of(tmp_path, [0, 1, 1])
    with pytest.raises(LabelError) as error:
        labels(tmp_path)
    for part in (
        "column 'preference'",
        "'1' 2 times, '0' 1 times",
        "row 0 ('c 0') says '0'",
        "reading 1: preferences.0=first preferences.1=second   gives 1 first, 2 second",
        "reading 2: preferences.0=second preferences.1=first   gives 2 first, 1 second",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize("value", [1, 2, 0, "1", True, -1, 0.5])
def test_one_number_alone_is_asked_about(value: Any, tmp_path: Path) -> None:
    rows_of(tmp_path, [value] * 3)
    with pytest.raises(LabelError, match="have no certain meaning"):
        labels(tmp_path)


def test_single_words_are_explained_beside_known_ones(tmp_path: Path) -> None:
    rows_of(tmp_path, ["first", "both_bad", "second"])
    assert labels(tmp_path, preferences={"Both_Bad": "tie"}) == [F, T, S]
    rows_of(tmp_path, [0, 1, 1])
    with pytest.raises(LabelError, match="'1' 2 times"):
        labels(tmp_path, preferences={0: "first"})


def test_a_model_called_like_a_word_for_the_other_side_is_asked_about(tmp_path: Path) -> None:
    rows_of(tmp_path, ["A", "B"], one=["B", "B"], two=["A", "A"])
    with pytest.raises(LabelError, match="the name of one candidate and a word for the other"):
        labels(tmp_path, columns={"first_model": "one", "second_model": "two"})
    assert labels(tmp_path, preferences={"a": "second", "b": "first"}) == [S, F]


@pytest.mark.parametrize(
    ("first", "second", "values"),
    [
        ("image_b", "image_a", ["A", "b", "A"]),
        ("image_2", "image_1", [1, "2", 1]),
        ("right_image", "left_image", ["left", "right", "left"]),
        ("image0", "image1", ["image1", "image2", "image1"]),
    ],
)
def test_columns_in_the_other_order_are_asked_about(first: str, second: str, values: list[Any], tmp_path: Path) -> None:
    """Is `A` the first candidate, or the one whose column is called so?"""
    rows_of(tmp_path, values)
    text = (tmp_path / "rows.jsonl").read_text().replace('"first"', f'"{first}"').replace('"second"', f'"{second}"')
    (tmp_path / "rows.jsonl").write_text(text)
    columns = {"first": first, "second": second}
    with pytest.raises(LabelError, match=r"preferences\."):
        labels(tmp_path, columns=columns)
    spelled = {"A": "a", "image1": "1", "image2": "2"}
    said = {spelled.get(str(value), str(value)): side for value, side in zip(values, ("second", "first"), strict=False)}
    assert labels(tmp_path, columns=columns, preferences=said) == [S, F, S]


def test_a_rank_is_no_score(tmp_path: Path) -> None:
    rows_of(tmp_path, [None] * 2, rank_a=[1, 2], rank_b=[2, 1])
    with pytest.raises(ConfigError, match=r"columns.score_first is 'rank_a', a rank by its name.*columns.rank_first"):
        labels(tmp_path, columns={"score_first": "rank_a", "score_second": "rank_b"})
    assert labels(tmp_path, columns={"rank_first": "rank_a", "rank_second": "rank_b"}) == [F, S]


def test_a_number_that_no_float_holds_costs_its_row(tmp_path: Path) -> None:
    rows_of(tmp_path, [1, 10**400, 2, None], p=[0, 0, 0, 10**400], q=[1, 1, 1, 1])
    found = list(sources.get("generic", columns={"score_first": "p", "score_second": "q"}).records(tmp_path))
    assert [getattr(result, "preference", None) for result in found] == [F, None, S, None]


def test_a_number_is_no_name(tmp_path: Path) -> None:
    """Models called 0 and 1 do not explain labels 0 and 1."""
    rows_of(tmp_path, [0, "1"], one=["0", "0"], two=["1", "1"])
    with pytest.raises(LabelError, match="reading 2"):
        labels(tmp_path, columns={"first_model": "one", "second_model": "two"})


@pytest.mark.parametrize("word", ["first", "B", "right"])
def test_a_one_sided_column_needs_a_word_and_is_shuffled(word: str, tmp_path: Path) -> None:
    rows_of(tmp_path, [word] * 40)
    with pytest.raises(LabelError, match=r"all 40 decided labels .*one_sided=true"):
        labels(tmp_path)
    found = list(sources.get("generic", one_sided=True).records(tmp_path))
    winner = png("a.png") if word == "first" else png("b.png")
    sides = [record.preference for record in found if isinstance(record, PreferenceRecord)]
    # A fair coin lies outside 8 to 32 of 40 but for one run in 10,000; the keys are fixed.
    assert 8 <= sides.count(F) <= 32
    assert len(sides) == 40
    for record in found:
        assert isinstance(record, PreferenceRecord)
        side = record.first if record.preference is F else record.second
        assert not isinstance(side, str)
        assert side.data == (winner,)


def test_seven_rows_prove_nothing_about_sides(tmp_path: Path) -> None:
    rows_of(tmp_path, ["second"] * 7)
    assert labels(tmp_path) == [S] * 7


def test_scores_and_ranks_per_candidate_decide(tmp_path: Path) -> None:
    rows_of(tmp_path, [None] * 3, p=[0.1, 3, 2], q=[0.7, 1, 2])
    assert labels(tmp_path, columns={"score_first": "p", "score_second": "q"}) == [S, F, T]
    assert labels(tmp_path, columns={"rank_first": "p", "rank_second": "q"}) == [F, S, T]
    (record, *_) = sources.get("generic", columns={"rank_first": "p", "rank_second": "q"}).records(tmp_path)
    assert isinstance(record, PreferenceRecord)
    assert record.metadata["scores"] == {"rank": {"first": 0.1, "second": 0.7}}


def test_a_middle_must_be_given_where_numbers_do_not_show_it(tmp_path: Path) -> None:
    rows_of(tmp_path, [1, 7, 4, 6])
    with pytest.raises(LabelError, match=r"numbers from 1 to 7; .*middle=<number>"):
        labels(tmp_path, larger="second")
    assert labels(tmp_path, larger="second", middle="4") == [F, S, T, S]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"larger": "left"}, "larger is 'left'; allowed: first, second, tie"),
        ({"larger": "tie"}, "larger is 'tie'; allowed: first, second"),
        ({"label_is": "best"}, "label_is is 'best'; allowed: better, worse"),
        ({"preferences": {"0": "none"}}, r"preferences\['0'\] is 'none'"),
        ({"middle": "4"}, "middle is given without larger"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sources.get("generic", **options)


@given(
    st.lists(
        st.none()
        | st.booleans()
        | st.integers()
        | st.just(10**400)
        | st.floats()
        | st.text(max_size=5)
        | st.lists(st.integers(), max_size=3),
        max_size=12,
    )
)
def test_any_column_gives_a_meaning_or_a_question(values: list[Any]) -> None:
    column = LabelColumn(LabelSettings(column="label"))
    for number, value in enumerate(values):
        column.add(value, named=None, text="", number=number)
    try:
        meaning = column.meaning()
    except LabelError:
        return
    for value in values:
        with suppress(FieldError):
            assert meaning.read(value) in Preference
