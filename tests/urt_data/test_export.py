"""Records -> official JSON and Parquet -> records."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from urt_core.errors import DataError
from urt_core.prompts import Dialect
from urt_core.records import Media, MediaKind, Preference, PreferenceRecord, Task
from urt_data import sources
from urt_data.export import read_parquet, write_official_grpo, write_official_sft, write_parquet

PNG = b"\x89PNG\r\n\x1a\n"

MP4 = b"\x00\x00\x00\x18ftypisom"


def image(name: str, *words: str) -> Media:
    return Media(kind=MediaKind.IMAGE, files=(name,), data=(PNG + "".join(words).encode(),))


def frames(role: str, number: int) -> Media:
    files = tuple(f"{role}.f{index:02d}.png" for index in range(number))
    return Media(kind=MediaKind.VIDEO, files=files, data=tuple(PNG + file.encode() for file in files))


def clip(name: str) -> Media:
    return Media(kind=MediaKind.VIDEO, files=(name,), data=(MP4 + name.encode(),))


METADATA = {"source": "mine", "votes": {"first": 7, "second": 2, "tie": 0}, "licence": "CC0-1.0"}

RECORDS = [
    PreferenceRecord(
        key="images-1",
        task=Task.IMAGE_GENERATION,
        text="a red [car]\nby night",
        first=image("first.png", "1"),
        second=image("second.png", "2"),
        preference=Preference.SECOND,
        completion="<think>\n...\n</think>\n<answer>Image 2 is better</answer>",
        metadata=METADATA,
    ),
    PreferenceRecord(
        key="videos-1",
        task=Task.VIDEO_GENERATION,
        text="a kite",
        first=frames("first", 3),
        second=frames("second", 3),
        preference=Preference.FIRST,
        completion="<think>\n...\n</think>\n<answer>Video 1 is better</answer>",
    ),
    PreferenceRecord(
        key="answers-1",
        task=Task.IMAGE_UNDERSTANDING,
        text="How many cars?",
        first="Two.",
        second="Three ö.",
        media=image("media.png", "m"),
        preference=Preference.FIRST,
        completion="<think>\n...\n</think>\n<answer>Answer 1 is better</answer>",
        metadata={"item": "7"},
    ),
    PreferenceRecord(
        key="answers-2",
        task=Task.VIDEO_UNDERSTANDING,
        text="What happens?",
        first="He jumps.",
        second="He sits.",
        media=frames("media", 2),
        preference=Preference.SECOND,
        completion="<think>\n...\n</think>\n<answer>Answer 2 is better</answer>",
    ),
]

CLIPS = PreferenceRecord(
    key="clips-1",
    task=Task.VIDEO_GENERATION,
    text="a wave",
    first=clip("first.mp4"),
    second=clip("second.mp4"),
    preference=Preference.FIRST,
    completion="<think>\n...\n</think>\n<answer>Video 1 is better</answer>",
)

TIE = replace(RECORDS[0], key="tie-1", preference=Preference.TIE, completion="Both images are equally good.")


def read_back(name: str, folder: Path) -> list:
    return list(sources.get(name).records(folder))


def test_grpo_round_trip_is_lossless(tmp_path: Path) -> None:
    assert write_official_grpo([*RECORDS, CLIPS], tmp_path) == 5
    assert read_back("official_grpo", tmp_path) == [*RECORDS, CLIPS]


def test_sft_round_trip_is_lossless(tmp_path: Path) -> None:
    assert write_official_sft([*RECORDS, CLIPS, TIE], tmp_path) == 6
    assert read_back("official_sft", tmp_path) == [*RECORDS, CLIPS, TIE]


def same_pair(found: PreferenceRecord, record: PreferenceRecord) -> bool:
    def content(value: object) -> object:
        return value.data if isinstance(value, Media) else value

    fields = ("task", "text", "preference", "completion")
    return all(getattr(found, name) == getattr(record, name) for name in fields) and all(
        content(getattr(found, role)) == content(getattr(record, role)) for role in ("first", "second", "media")
    )


def test_official_fields_alone_give_the_pairs_back(tmp_path: Path) -> None:
    write_official_grpo(RECORDS, tmp_path / "grpo", embed=False)
    found = read_back("official_grpo", tmp_path / "grpo")
    assert all(same_pair(a, replace(b, completion=None)) for a, b in zip(found, RECORDS, strict=True))
    write_official_sft(RECORDS, tmp_path / "sft", embed=False)
    found = read_back("official_sft", tmp_path / "sft")
    assert all(same_pair(a, b) for a, b in zip(found, RECORDS, strict=True))


def test_official_rows_have_the_official_fields(tmp_path: Path) -> None:
    write_official_grpo(RECORDS, tmp_path, embed=False)
    rows = json.loads((tmp_path / "grpo_train_data.json").read_text())
    assert [row["solution"] for row in rows] == [
        "Image 2 is better",
        "Video 1 is better",
        "Answer 1 is better",
        "Answer 2 is better",
    ]
    assert [sorted(row) for row in rows] == [["images", "problem", "solution"]] * 4
    assert [len(row["images"]) for row in rows] == [2, 6, 1, 2]
    assert rows[1]["images"][3] == "media/videos-1/second.f0000.png"
    assert (tmp_path / rows[1]["images"][3]).read_bytes() == PNG + b"second.f00.png"
    write_official_sft(RECORDS, tmp_path, embed=False)
    rows = json.loads((tmp_path / "train_data.json").read_text())
    assert [row["conversations"][0]["value"].count("<image>") for row in rows] == [2, 6, 1, 2]
    assert [row["conversations"][1]["value"] for row in rows] == [record.completion for record in RECORDS]
    assert rows[0]["source"] == "mine"


def test_ties_need_the_direct_dialect(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"record tie-1 is a tie, which v1 cannot say"):
        write_official_grpo([TIE], tmp_path)
    write_official_grpo([TIE], tmp_path, dialect=Dialect.DIRECT, embed=False)
    (found,) = read_back("official_grpo", tmp_path)
    assert found.preference is Preference.TIE


def test_what_a_row_needs_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images-1 has no preference"):
        write_official_grpo([replace(RECORDS[0], preference=None)], tmp_path)
    with pytest.raises(DataError, match="images-1 has no completion"):
        write_official_sft([replace(RECORDS[0], completion=None)], tmp_path)
    with pytest.raises(DataError, match="first has no bytes"):
        write_official_grpo([replace(RECORDS[0], first=Media(kind=MediaKind.IMAGE, files=("x.png",)))], tmp_path)
    assert not (tmp_path / "grpo_train_data.json").exists()


def test_a_broken_embedded_record_is_a_row_error(tmp_path: Path) -> None:
    write_official_grpo(RECORDS[:1], tmp_path)
    file = tmp_path / "grpo_train_data.json"
    file.write_text(file.read_text().replace("image_generation", "image_degeneration"))
    (error,) = read_back("official_grpo", tmp_path)
    assert (error.field, error.row) == ("urt_record", 0)


def test_parquet_round_trip(tmp_path: Path) -> None:
    records = [*RECORDS, CLIPS, TIE, replace(RECORDS[2], key="none-1", preference=None, completion=None)]
    assert write_parquet(records, tmp_path / "deep" / "pairs.parquet") == 7
    assert list(read_parquet(tmp_path / "deep" / "pairs.parquet")) == records
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["pairs.parquet"]


def test_parquet_of_nothing(tmp_path: Path) -> None:
    assert write_parquet([], tmp_path / "empty.parquet") == 0
    assert list(read_parquet(tmp_path / "empty.parquet")) == []


json_leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)


@given(
    text=st.text(),
    answers=st.tuples(st.text(), st.text()),
    preference=st.sampled_from([*Preference, None]),
    completion=st.none() | st.text(),
    metadata=st.dictionaries(st.text(max_size=8), json_leaves | st.lists(json_leaves, max_size=3), max_size=3),
    number=st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_any_record_survives_parquet(tmp_path_factory, text, answers, preference, completion, metadata, number) -> None:
    record = PreferenceRecord(
        key="k",
        task=Task.VIDEO_UNDERSTANDING,
        text=text,
        first=answers[0],
        second=answers[1],
        media=frames("media", number),
        preference=preference,
        completion=completion,
        metadata=metadata,
    )
    path = tmp_path_factory.mktemp("parquet") / "one.parquet"
    write_parquet([record], path)
    assert list(read_parquet(path)) == [record]
