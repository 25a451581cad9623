"""Rows of other trainers and N-way rankings: the same pair whatever the shape, and a reason where a record has no place."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.urt_data.conftest import png
from urt_core.records import Media, Preference, PreferenceRecord
from urt_data import sources
from urt_data.sources.rows import RowError

ASKED = {"task": "image_understanding"}
PART = {"type": "text", "text": "What is shown?"}
USER = {"role": "user", "content": [{"type": "image"}, PART]}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


SAME_PAIR = {
    "trl": {
        "images": ["a.png"],
        "prompt": [USER],
        "chosen": [assistant("Squares.")],
        "rejected": [assistant("A dog.")],
    },
    "trl, prompt inside": {
        "image": "a.png",
        "chosen": [USER, assistant("Squares.")],
        "rejected": [USER, assistant("A dog.")],
    },
    "sharegpt": {
        "conversations": [{"from": "human", "value": "<image>What is shown?"}],
        "chosen": {"from": "gpt", "value": "Squares."},
        "rejected": {"from": "gpt", "value": "A dog."},
        "images": ["a.png"],
    },
    "alpaca": {
        "instruction": "What is",
        "input": "shown?",
        "chosen": "Squares.",
        "rejected": "A dog.",
        "images": ["a.png"],
    },
    "plain": {"question": "What is shown?", "chosen": "Squares.", "rejected": "A dog.", "images": ["a.png"]},
    "ranked": {"query": "What is shown?", "responses": ["A dog.", "Squares."], "ranking": [2, 1], "image": "a.png"},
    "rated": {
        "prompt": "What is shown?",
        "responses": ["Squares.", "A dog."],
        "scores": [0.5, 0.1],
        "image": ["a.png"],
    },
    "annotated": {
        "prompt": "What is shown?",
        "img_path": "a.png",
        "completions": [
            {"response": "A dog.", "annotations": {"Helpfulness": {"Rating": "2"}, "Faithfulness": {"Rating": "3"}}},
            {"response": "Squares.", "annotations": {"Helpfulness": {"Rating": "5"}, "Faithfulness": {"Rating": "1"}}},
        ],
    },
}


def converted(folder: Path, row: Any, **options: Any) -> list[PreferenceRecord | RowError]:
    for name in "abcd":
        (folder / f"{name}.png").write_bytes(png(name))
    (folder / "rows.json").write_text(json.dumps([row]))
    return list(sources.get("generic", **options).records(folder))


def better(record: Any) -> Any:
    assert isinstance(record, PreferenceRecord)
    return record.first if record.preference is Preference.FIRST else record.second


@pytest.mark.parametrize("shape", SAME_PAIR)
def test_every_shape_of_one_pair_gives_the_same_pair(shape: str, tmp_path: Path) -> None:
    (record,) = converted(tmp_path, SAME_PAIR[shape], **ASKED)
    assert isinstance(record, PreferenceRecord)
    assert record.text.split() == ["What", "is", "shown?"]
    assert {record.first, record.second} == {"Squares.", "A dog."}
    assert better(record) == "Squares."
    assert isinstance(record.media, Media)
    assert record.media.data == (png("a"),)


def test_a_ranking_of_four_gives_six_pairs_of_one_group(tmp_path: Path) -> None:
    row = {
        "id": "000000-0001",
        "prompt": "a red car",
        "generations": ["a.png", "b.png", "c.png", "d.png"],
        "ranking": [1, 2, 4, 3],
    }
    for source in (sources.get("generic"), sources.get("image_reward_db")):
        converted(tmp_path, row)
        records = list(source.records(tmp_path))
        order = [png(name) for name in "abdc"]  # best to worst
        for record in records:
            assert isinstance(record, PreferenceRecord)
            sides = [side.data[0] for side in (record.first, record.second) if isinstance(side, Media)]
            assert better(record).data[0] == min(sides, key=order.index)
            assert record.metadata["group"] == "000000-0001"
        assert len(records) == 6


def test_marks_below_zero_keep_their_sign(tmp_path: Path) -> None:
    row = {"prompt": "x", "generations": ["a.png", "b.png", "c.png"], "scores": [-2.5, 0.5, -1]}
    of = dict(zip([png(name) for name in "abc"], row["scores"], strict=True))
    records = converted(tmp_path, row)
    assert len(records) == 3
    for record in records:
        assert isinstance(record, PreferenceRecord)
        assert isinstance(record.first, Media)
        assert isinstance(record.second, Media)
        shown = record.metadata["scores"]["score"]
        assert shown == {"first": of[record.first.data[0]], "second": of[record.second.data[0]]}
        assert better(record).data[0] == max(record.first.data[0], record.second.data[0], key=of.__getitem__)


def test_equal_ratings_are_a_tie_and_orders_are_drawn(tmp_path: Path) -> None:
    row = {"prompt": "x", "image": "a.png", "answers": list("wxyz"), "ratings": [5, 3, 3, 1]}
    records = converted(tmp_path, row, **ASKED)
    labels = [record.preference for record in records if isinstance(record, PreferenceRecord)]
    assert labels.count(Preference.TIE) == 1
    assert {Preference.FIRST, Preference.SECOND} < set(labels)


def test_chosen_and_rejected_may_be_pictures(tmp_path: Path) -> None:
    (record,) = converted(tmp_path, {"caption": "a red car", "chosen": "a.png", "rejected": "b.png"})
    assert better(record).data == (png("a"),)


@pytest.mark.parametrize(
    ("row", "options", "field", "reason"),
    [
        ({"prompt": [USER, assistant("Yes."), USER], "chosen": "a", "rejected": "b", "images": ["a.png"]}, ASKED, "prompt", "3 turns"),
        ({"question": "q", "chosen": "a", "rejected": "b", "images": ["a.png", "b.png"]}, ASKED, "images", "holds 2 images"),
        ({"question": "q", "chosen": "a", "rejected": "b"}, ASKED, "images", "is missing"),
        ({"question": "<image>", "chosen": "a", "rejected": "b", "image": "a.png"}, ASKED, "question", "is empty"),
        ({"chosen": "a", "rejected": "b", "image": "a.png"}, ASKED, "prompt", "is missing or empty"),
        ({"question": "q", "chosen": [], "rejected": "b", "image": "a.png"}, ASKED, "chosen", "a turn of type NoneType"),
        ({"question": "q", "chosen": "same", "rejected": "same", "image": "a.png"}, ASKED, "candidates", "are the same"),
        ({"prompt": "q", "responses": ["a", "b"], "ranking": [1], "image": "a.png"}, ASKED, "ranking", "has 1 items; it must have 2"),
        ({"prompt": "q", "responses": ["a", "b"], "scores": [1, "N/A"], "image": "a.png"}, ASKED, "scores", "must be a number"),
        (
            {"prompt": "q", "completions": [{"response": "a", "annotations": {}}, {"response": "b"}], "image": "a.png"},
            ASKED,
            "completions",
            "without a rating",
        ),
        (
            {"text": "make it red", "first": "a.png", "second": "b.png", "preference": "first", "path_src": "c.png"},
            {},
            "path_src",
            r"has no place \(the source of an edit, .*ignore=path_src",
        ),
        (
            {"text": "q", "first": "x", "second": "y", "preference": "first", "media": "a.png", "more": ["b.png", "c.png"]},
            ASKED,
            "more",
            "has no place",
        ),
    ],
)  # fmt: skip
def test_what_has_no_place_is_named(row: Any, options: Any, field: str, reason: str, tmp_path: Path) -> None:
    (error,) = converted(tmp_path, row, **options)
    assert isinstance(error, RowError)
    assert error.field == field
    assert re.search(reason, error.reason), error.reason


@pytest.mark.parametrize("ignore", ["path_src", "other,path_src", ["path_src"]])
def test_a_column_may_be_left_out_by_name(ignore: Any, tmp_path: Path) -> None:
    row = {
        "text": "t",
        "first": "a.png",
        "second": "b.png",
        "preference": "first",
        "path_src": "c.png",
        "id": 7,
        "again": "a.png",
    }
    (record,) = converted(tmp_path, row, ignore=ignore)
    assert isinstance(record, PreferenceRecord)


def test_an_editing_set_in_the_shape_of_hpdv3_is_refused(tmp_path: Path) -> None:
    converted(tmp_path, {"prompt": "x", "path_src": "a.png", "path1": "b.png", "path2": "c.png"})
    (error,) = sources.get("hpdv3").records(tmp_path)
    assert isinstance(error, RowError)
    assert (error.field, "source image of an edit" in error.reason) == ("path_src", True)


def test_the_source_of_an_edit_is_read_where_its_column_is_named(tmp_path: Path) -> None:
    row = {"text": "make it red", "first": "a.png", "second": "b.png", "preference": "second", "path_src": "c.png"}
    (record,) = converted(tmp_path, row, columns={"source_image": "path_src"})
    assert isinstance(record, PreferenceRecord)
    assert record.is_edit
    assert [media.files[0] for media in record.all_media.values()] == ["source.png", "first.png", "second.png"]
    assert record.preference == "second"
