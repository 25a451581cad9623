"""A recipe from anywhere: fields of ours, or one line before anything is composed."""

import time
from pathlib import Path

import pytest

from urt_core.errors import ConfigError
from urt_train.cli import CONFIGS
from urt_train.config.yaml_files import check_chosen, check_file


def test_all_of_ours_pass() -> None:
    files = list(CONFIGS.rglob("*/*.yaml"))
    assert len(files) > 20
    for path in files:
        check_file(path)


def aliases(levels: int, wide: int) -> str:
    lines = ["a0: &a0 [" + ", ".join("x" * wide) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * wide) + "]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (aliases(7, 9), "unfolds to more than"),
        (aliases(40, 2), "unfolds to more than"),
        ("a: &a {b: *a}", "unfolds to more than"),
        ("a: &a [*a, 1]", "unfolds to more than"),
        ("a: " + "[" * 60 + "]" * 60, "deeper than"),
        ("a: " + "[" * 100_000, "is not YAML"),
        ("hydra: {job_logging: {handlers: {e: {class: logging.FileHandler, filename: x}}}}", "sets hydra"),
        ("hydra.run.dir: /tmp/x", "sets hydra"),
        ("hydra/job_logging: x", "sets hydra"),
        ("defaults: [{override hydra/job_logging: default}]", "choose override hydra"),
        ("- a\n- b", "no mapping"),
        ("a: !!python/object/apply:os.system ['touch ran']\nb: [", "is not YAML"),
        ("\x00", "is not YAML"),
    ],
)
def test_what_is_no_recipe_is_one_line(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "theirs.yaml").write_text(text)
    began = time.monotonic()
    with pytest.raises(ConfigError, match=reason) as caught:
        check_chosen(tmp_path, ["stage=grpo", "recipe=theirs"])
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 20


def test_what_it_takes_its_defaults_from_is_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "mine.yaml").write_text("defaults: [theirs, mine, {/model: tiny}]\nseed: 3")
    check_chosen(tmp_path, ["recipe=mine"])
    (tmp_path / "recipe" / "theirs.yaml").write_text("hydra: {}")
    with pytest.raises(ConfigError, match="theirs"):
        check_chosen(tmp_path, ["recipe=mine"])


def test_a_name_is_no_path(tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text("hydra: {}")
    check_chosen(tmp_path / "configs", ["recipe=../../theirs", "..=theirs", "x", "seed=1", "grpo.rewards={a: 1}"])
