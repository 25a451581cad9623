import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from urt_core import Dialect, JudgeSpec, Task
from urt_core.errors import CheckpointError, ConfigError

SPEC = JudgeSpec(
    dialect=Dialect.V1,
    dimensions={str(task): task.dimensions for task in Task},
    min_pixels=4096,
    max_pixels=147456,
    num_frames=8,
    stage="grpo",
    base="tiny",
    data_manifest="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    urt_version="0.1.0",
    max_completion_tokens=2048,
)


def test_it_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    path = SPEC.save(tmp_path)
    assert path == tmp_path / "judge.json"
    assert JudgeSpec.load(tmp_path) == SPEC
    assert [item.name for item in tmp_path.iterdir()] == ["judge.json"]
    assert json.loads(path.read_text())["dialect"] == "v1"


def test_saving_again_replaces_it(tmp_path: Path) -> None:
    SPEC.save(tmp_path)
    replace(SPEC, stage="cold_start").save(tmp_path)
    assert JudgeSpec.load(tmp_path).stage == "cold_start"


def test_a_folder_without_it_is_no_judge(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"judge\.json is missing"):
        JudgeSpec.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", ["not JSON"]),
        ("[]", ["object", "dialect"]),
        ("{}", ["fields", "dialect", "max_pixels"]),
        (json.dumps({"dialect": "v1"}), ["fields"]),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str, words: list[str]) -> None:
    (tmp_path / "judge.json").write_text(content)
    with pytest.raises(CheckpointError) as error:
        JudgeSpec.load(tmp_path)
    assert all(word in str(error.value) for word in words)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path) -> None:
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        make(folder / "judge.json")
        with pytest.raises(CheckpointError, match="not a regular file"):
            JudgeSpec.load(folder)


def test_a_file_with_another_field_is_refused(tmp_path: Path) -> None:
    path = SPEC.save(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"future": 1}))
    with pytest.raises(CheckpointError, match="fields"):
        JudgeSpec.load(tmp_path)


def test_a_file_of_before_the_length_was_written_down_loads(tmp_path: Path) -> None:
    path = SPEC.save(tmp_path)
    older = json.loads(path.read_text())
    del older["max_completion_tokens"]
    path.write_text(json.dumps(older))
    assert JudgeSpec.load(tmp_path) == replace(SPEC, max_completion_tokens=None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dialect": "v3"}, ["dialect", "'v3'", "'direct'"]),
        ({"min_pixels": 0}, ["min_pixels"]),
        ({"max_pixels": 100}, ["min_pixels <= max_pixels"]),
        ({"num_frames": 0}, ["num_frames", "at least 1"]),
        ({"max_completion_tokens": 0}, ["max_completion_tokens", "at least 1"]),
    ],
)
def test_impossible_values_are_refused(changes: dict, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        replace(SPEC, **changes)
    assert all(word in str(error.value) for word in words)


def changed(tmp_path: Path, **values: object) -> Path:
    path = SPEC.save(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return path


def test_a_newer_minor_version_opens_with_a_warning_that_names_what_is_unknown(tmp_path: Path) -> None:
    changed(tmp_path, schema_version="1.9", future=1, further=[2])
    with pytest.warns(UserWarning, match="does not know its further, future"):
        assert JudgeSpec.load(tmp_path) == SPEC
    changed(tmp_path, schema_version="1.9")
    assert JudgeSpec.load(tmp_path) == SPEC


@pytest.mark.parametrize("version", ["2.0", "10.3"])
def test_a_newer_major_version_is_an_error(tmp_path: Path, version: str) -> None:
    changed(tmp_path, schema_version=version)
    with pytest.raises(
        CheckpointError, match=f"schema_version is {version}, this urt reads up to 1.x; install a newer"
    ):
        JudgeSpec.load(tmp_path)


def instant(tmp_path: Path, *, version: str, **changes: dict) -> Path:
    """A judge with a calibration and anchors of which some entries are changed."""
    value = {
        "calibration": {"image_understanding": {"kind": "platt", "num_pairs": 100, "slope": 0.7}},
        "anchors": {"image_understanding": [{"text": "It is red.", "strength": place} for place in (-1.0, 0.0, 1.0)]},
    }
    for name, change in changes.items():
        value[name] = value[name] | change
    return changed(tmp_path, schema_version=version, **value)


NEWER_WITHIN = {
    "calibration.image_understanding.spread": {
        "calibration": {"image_understanding": {"kind": "platt", "num_pairs": 100, "slope": 0.7, "spread": 0.1}}
    },
    "calibration.audio_generation": {"calibration": {"audio_generation": {"kind": "platt", "slope": 1.0}}},
    "calibration.video_generation.kind 'beta'": {
        "calibration": {"video_generation": {"kind": "beta", "num_pairs": 9, "a": 1.0}}
    },
    "anchors.image_understanding.voters": {
        "anchors": {
            "image_understanding": [
                {"text": "It is red.", "strength": place, "voters": 3} for place in (-1.0, 0.0, 1.0)
            ]
        }
    },
    "anchors.audio_generation": {"anchors": {"audio_generation": [{"sounds": ["a.wav"], "strength": 0.0}]}},
}


@pytest.mark.parametrize("named", NEWER_WITHIN)
def test_what_is_unknown_inside_the_calibration_and_the_anchors_of_a_newer_file_is_named_and_passed_over(
    tmp_path: Path, named: str
) -> None:
    instant(tmp_path, version="1.3")
    plain = JudgeSpec.load(tmp_path)
    instant(tmp_path, version="1.99", **NEWER_WITHIN[named])
    with pytest.warns(UserWarning, match=re.escape(f"newer than this urt, which does not know its {named}")):
        assert JudgeSpec.load(tmp_path) == plain
    instant(tmp_path, version="1.3", **NEWER_WITHIN[named])
    with pytest.raises(CheckpointError, match=named.split(".")[0].rstrip("s")):
        JudgeSpec.load(tmp_path)


def test_a_newer_judge_whose_only_map_is_of_an_unknown_kind_is_not_calibrated(tmp_path: Path) -> None:
    unknown = {"image_understanding": {"kind": "beta", "num_pairs": 9, "a": 1.0}}
    instant(tmp_path, version="1.99", calibration=unknown)
    with pytest.warns(UserWarning, match="kind 'beta'"):
        assert JudgeSpec.load(tmp_path).calibration is None


def test_a_file_of_before_versions_opens(tmp_path: Path) -> None:
    path = SPEC.save(tmp_path)
    older = json.loads(path.read_text())
    for name in ("schema_version", "about", "point_contracts"):
        del older[name]
    path.write_text(json.dumps(older))
    assert JudgeSpec.load(tmp_path) == SPEC


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"max_pixels": "9"}, "max_pixels"),
        ({"max_pixels": 1e9}, "max_pixels"),
        ({"min_pixels": 10**12, "max_pixels": 10**12}, "min_pixels"),
        ({"max_completion_tokens": "9"}, "max_completion_tokens"),
        ({"max_completion_tokens": 10**12}, "max_completion_tokens"),
        ({"num_frames": True}, "num_frames"),
        ({"dimensions": [1]}, "dimensions"),
        ({"dimensions": {"image_generation": "abc"}}, "dimensions"),
        ({"dimensions": {"image_generation": [1]}}, "dimensions"),
        ({"stage": None}, "stage"),
        ({"base": 7}, "base"),
        ({"dialect": ["v1"]}, "dialect"),
        ({"point_contracts": "acs"}, "point_contracts"),
        ({"schema_version": 2}, "schema_version"),
        ({"schema_version": "1"}, "schema_version"),
        ({"schema_version": "１.3"}, "schema_version"),  # noqa: RUF001  (a digit of another script)
    ],
)
def test_a_wrong_value_is_one_line_that_names_its_field(tmp_path: Path, values: dict, field: str) -> None:
    path = changed(tmp_path, **values)
    with pytest.raises(CheckpointError, match=field) as error:
        JudgeSpec.load(tmp_path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"[" * 20_000, b"\xff\xfe", b'{"a": ' + b"9" * 5000 + b"}", b" " * 2**21])
def test_content_that_no_reader_survives_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "judge.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"judge\.json"):
        JudgeSpec.load(tmp_path)


def test_a_contract_of_somebody_else_is_not_imported_for_a_file(tmp_path: Path) -> None:
    changed(tmp_path, dialect="os:system")
    with pytest.raises(CheckpointError, match="once you say yourself that its code may run: dialect='os:system'"):
        JudgeSpec.load(tmp_path)


def test_what_it_says_about_itself_is_kept(tmp_path: Path) -> None:
    spec = replace(SPEC, about="sprites only", point_contracts=("think",))
    spec.save(tmp_path)
    assert JudgeSpec.load(tmp_path) == spec
