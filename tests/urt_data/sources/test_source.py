"""What all sources share: keys, the drawn order, provenance, personal data, options, counts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.urt_data.sources.recordings import RECORDINGS
from urt_core.errors import ConfigError, DataError
from urt_core.records import Preference, PreferenceRecord, Task
from urt_data import sources
from urt_data.sources.folder import Content
from urt_data.sources.pair import split_of
from urt_data.sources.rows import RowError
from urt_data.sources.source import drawn_order

DOCS = Path(__file__).parents[3] / "docs" / "sources.md"


def records_of(conversion) -> list[PreferenceRecord]:
    return [result for result in conversion if isinstance(result, PreferenceRecord)]


def test_every_fixture_is_a_source_and_every_source_is_shown(fixture_names) -> None:
    """By a fixture, or by the rows that are recorded of it."""
    assert set(fixture_names) <= set(sources.SOURCES) <= set(fixture_names) | set(RECORDINGS)


def test_every_fixture_has_a_broken_row_and_every_set_that_can_tie_has_a_tie(fixture) -> None:
    results = list(sources.get(fixture.name, **fixture.options).records(fixture.input))
    assert any(isinstance(result, RowError) for result in results)
    cannot_tie = {"video_dpo", "rlaif_v", "multimodal_rewardbench", "mmrb2", "mm_rlhf_rewardbench"}
    preferences = {result.preference for result in results if isinstance(result, PreferenceRecord)}
    assert (Preference.TIE in preferences) == (fixture.name not in cannot_tie)


def test_a_second_conversion_gives_equal_records_and_unique_keys(fixture) -> None:
    conversion = sources.get(fixture.name, **fixture.options).records(fixture.input)
    first, second = records_of(conversion), records_of(conversion)
    assert first == second
    assert len({record.key for record in first}) == len(first)


def test_provenance_is_in_every_record(fixture) -> None:
    source = sources.get(fixture.name, **fixture.options)
    for record in records_of(source.records(fixture.input, revision="abc")):
        assert record.metadata["source"] == source.name
        assert record.metadata["licence"] == source.licence
        assert record.metadata["commercial_ok"] is source.commercial_ok
        assert record.metadata["revision"] == "abc"
        assert record.metadata["label_origin"] in [str(origin) for origin in sources.LabelOrigin]
        assert record.metadata["evaluation_only"] or not source.evaluation_only
        assert record.task in source.tasks


def test_personal_data_does_not_reach_a_record(fixture) -> None:
    # User ids, hashes, countries and the like are called "personal" in the fixtures, or are the user id of Pick-a-Pic.
    for record in records_of(sources.get(fixture.name, **fixture.options).records(fixture.input)):
        text = json.dumps(record.to_json())
        assert "personal" not in text.lower()
        assert "990017" not in text


def test_benchmarks_are_for_evaluation_only() -> None:
    benchmarks = {name for name in sources.SOURCES if sources.get(name).evaluation_only}
    assert benchmarks == {
        "videogen_rewardbench",
        "genai_bench_image",
        "genai_bench_video",
        "vl_rewardbench",
        "multimodal_rewardbench",
        "mmrb2",
        "mm_rlhf_rewardbench",
    }


def test_only_sources_with_a_stated_permissive_licence_are_commercial_ok() -> None:
    allowed = {sources.get(name).licence for name in sources.SOURCES if sources.get(name).commercial_ok}
    assert allowed == {"Apache-2.0", "MIT", "BSD-3-Clause"}


def hpdv3_rows(folder: Path, number: int) -> None:
    from PIL import Image

    for name, colour in (("win.png", (255, 0, 0)), ("lose.png", (0, 0, 255))):
        Image.new("RGB", (2, 2), colour).save(folder / name)
    rows = [
        {"prompt": f"prompt {i}", "path1": "win.png", "path2": "lose.png", "choice_dist": [9, 1]} for i in range(number)
    ]
    (folder / "train.json").write_text(json.dumps(rows))


def test_winner_first_sets_come_out_balanced_with_the_winner_still_winning(tmp_path: Path) -> None:
    hpdv3_rows(tmp_path, 1000)
    winner = (tmp_path / "win.png").read_bytes()
    records = records_of(sources.get("hpdv3").records(tmp_path))
    first = 0
    for record in records:
        position = "first" if record.preference is Preference.FIRST else "second"
        assert getattr(record, position).data == (winner,)
        assert record.metadata["votes"] == {position: 9, "second" if position == "first" else "first": 1, "tie": 0}
        first += record.preference is Preference.FIRST
    # A fair coin stays within 4.5 standard deviations, 0.07 here, but for one run in 100,000; the keys are fixed.
    assert abs(first / len(records) - 0.5) < 0.07


def test_the_drawn_order_depends_on_the_key_alone() -> None:
    assert [drawn_order(f"k-{i}") for i in range(8)] == [True, False, False, False, True, True, True, False]


def test_published_order_is_kept_where_the_winner_is_not_first(tmp_path: Path) -> None:
    hpdv3_rows(tmp_path, 0)
    rows = [{"human_preference": [1, 0], "prompt": f"p{i}", "file_path": ["win.png", "lose.png"]} for i in range(50)]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    assert {record.preference for record in records_of(sources.get("hpdv2").records(tmp_path))} == {Preference.FIRST}


def test_revision_noted_by_the_download_is_recorded(tmp_path: Path) -> None:
    hpdv3_rows(tmp_path, 1)
    note = tmp_path / ".cache" / "huggingface" / "download" / "train.json.metadata"
    note.parent.mkdir(parents=True)
    note.write_text("0123456789abcdef0123456789abcdef01234567\netag\n1700000000.0\n")
    (record,) = records_of(sources.get("hpdv3").records(tmp_path))
    assert record.metadata["revision"] == "0123456789abcdef0123456789abcdef01234567"
    note.write_text("not a commit\n")
    (record,) = records_of(sources.get("hpdv3").records(tmp_path))
    assert record.metadata["revision"] == "unknown"


def test_media_folder_apart_from_the_annotations(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    hpdv3_rows(tmp_path / "images", 3)
    (tmp_path / "images" / "train.json").rename(tmp_path / "labels" / "train.json")
    source = sources.get("hpdv3")
    assert len(records_of(source.records(tmp_path / "labels" / "train.json", media=tmp_path / "images"))) == 3
    assert len(records_of(source.records(tmp_path / "labels"))) == 0


def test_pairing_of_rank_lists_is_an_option(fixture_named) -> None:
    fixture = fixture_named("evalmuse")
    assert len(records_of(sources.get("evalmuse", pairing="all").records(fixture.input))) == 3 + 1
    with pytest.raises(ConfigError, match=r"pairing is 'best'; allowed: 'all', 'extremes'"):
        sources.get("evalmuse", pairing="best")
    with pytest.raises(ConfigError, match=r"has no option \['pairing'\]"):
        sources.get("hpdv3", pairing="all")


def test_unknown_name_lists_the_allowed_ones() -> None:
    with pytest.raises(ConfigError, match=r"source is 'hpd'; allowed: .*hpdv2, hpdv3, .*vl_rewardbench"):
        sources.get("hpd")


def test_missing_input_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        sources.get("hpdv3").records(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"holds no \*\.json or \*\.jsonl"):
        list(sources.get("hpdv3").records(tmp_path))


def test_decode_finds_a_damaged_image_early(tmp_path: Path) -> None:
    hpdv3_rows(tmp_path, 1)
    (tmp_path / "lose.png").write_bytes((tmp_path / "lose.png").read_bytes()[:40])
    assert len(records_of(sources.get("hpdv3").records(tmp_path))) == 1
    (error,) = sources.get("hpdv3").records(tmp_path, decode=True)
    assert isinstance(error, RowError)
    assert (error.file, error.row, error.field) == ("train.json", 0, "path2")


@pytest.mark.parametrize(
    ("file", "split"),
    [
        ("train.json", "train"),
        ("data/test_v1-00000-of-00001.parquet", "test"),
        ("validation_unique-00000.parquet", "validation"),
        ("metadata-train.parquet", "train"),
        ("data.json", None),
        ("contest.json", None),
    ],
)
def test_split_is_read_from_whole_words_of_the_file_name(file: str, split: str | None) -> None:
    assert split_of(file) == split


def test_the_table_of_sources_is_complete_and_right() -> None:
    rows = {line.split("|")[1].strip(" `"): line for line in DOCS.read_text().splitlines() if line.startswith("| `")}
    assert set(rows) == set(sources.SOURCES)
    for name, row in rows.items():
        source = sources.get(name)
        assert source.licence in row, name
        assert str(source.label_origin) in row, name
        assert ("evaluation only" in row) == source.evaluation_only, name
        assert ("**drawn**" in row) == (source.winner_first or name == "open_image_preferences"), name
        assert ("commercial" in row.split("|")[4]) == source.commercial_ok, name


def test_frames_are_named_like_members_of_a_sample() -> None:
    frames = Content(kind=Task.VIDEO_GENERATION.media_kind, suffixes=("jpg",) * 101, data=(b"x",) * 101)
    assert frames.as_media("first").files[:2] == ("first.f000.jpg", "first.f001.jpg")


def test_text_that_utf8_cannot_hold_costs_its_row(tmp_path: Path) -> None:
    hpdv3_rows(tmp_path, 2)
    (tmp_path / "train.json").write_text((tmp_path / "train.json").read_text().replace("prompt 0", "\\ud83d alone"))
    bad, good = sources.get("hpdv3").records(tmp_path)
    assert isinstance(bad, RowError)
    assert (bad.field, bad.reason) == ("text", "is no text that UTF-8 can hold (surrogates not allowed at 0)")
    assert isinstance(good, PreferenceRecord)


def leaves(row, folder):
    raise SystemExit(0)


def later(row, folder):
    yield from ()
    raise KeyError("no such\n field")


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        (leaves, "raised SystemExit: 0"),
        (later, r"raised KeyError: 'no such.*field'"),
        (lambda row: [], "raised TypeError: .*takes 1 positional argument but 2 were given"),
        (lambda row, folder: None, "raised TypeError: 'NoneType' object is not iterable"),
        (lambda row, folder: [3], "raised TypeError: int in place of a Pair"),
    ],
)
def test_pairs_that_do_not_work_end_a_conversion_with_source_and_row(fixture_named, pairs, found) -> None:
    fixture = fixture_named("hpdv3")
    source = replace(sources.get("hpdv3", **fixture.options), pairs=pairs)
    with pytest.raises(
        DataError, match=rf"^source 'hpdv3' {found} on \S+, row 0; expected: pairs\(row, folder\)"
    ) as caught:
        list(source.records(fixture.input))
    assert "\n" not in str(caught.value)
