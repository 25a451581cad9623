"""The program as a user starts it: help, one-line errors before torch is imported, exit codes."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str, code: str | None = None, name: str = "train") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(["-c", code] if code else [str(ROOT / "apps" / f"{name}.py")]), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)


def test_help_names_stages_groups_and_fields():
    done = run("--help")
    assert done.returncode == 0
    for words in (
        "stage=cold_start | rejection_sampling | grpo",
        "recipe: ",
        "paper_qwen2_5_vl_7b",
        "kl_coef:",
        "group_size:",
    ):
        assert words in done.stdout


PROGRAMS = ("train", "prepare_data", "distill", "sample", "evaluate", "pipeline", "dry_run", "make_tiny")


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_shows_how_it_is_started(name):
    text = ast.get_docstring(ast.parse((ROOT / "apps" / f"{name}.py").read_text(encoding="utf-8"))) or ""
    assert f"python apps/{name}.py" in text


def test_help_is_the_programs_own():
    done = run("--help", name="sample")
    assert done.stdout.startswith("Judge the pool and write the accepted and the hard shard")
    assert "\n    urt-train sample recipe=tiny\n" in done.stdout
    assert "  urt-train sample --fields grpo " in done.stdout


def test_fields_say_what_they_mean():
    done = run("--fields", "grpo.clip_low")
    assert done.stdout.startswith("grpo.clip_low = 0.2\n    The ratio is clipped below 1 - clip_low")
    assert "cold_start" not in done.stdout


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("grpo.groupsize=3", "error: there is no field grpo.groupsize; did you mean group_size? allowed:"),
        ("stage=warm", "error: stage is 'warm'; allowed: cold_start, dpo, grpo, internalise, rejection_sampling"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(override, line):
    done = run(override)
    assert done.returncode == 2
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert not done.stdout


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("--fields", "nope"), 1, "error: no field begins with 'nope'; --fields alone lists all"),
        (("--cfg", "job", "recipe=nope"), 2, "error: recipe is 'nope'; allowed: "),
        (("--cfg", "job", "grpo.groupsize=3"), 2, "error: there is no field grpo.groupsize; did you mean group_size?"),
        (
            ("--cfg", "job", "grpo.rewards.length_reward:shortness=0.2"),
            2,
            "error: grpo.rewards.length_reward:shortness is named by its import path, which --cfg and --help can't show",
        ),
    ],
)
def test_what_can_not_be_shown_is_one_line(words, code, line):
    done = run(*words)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (code, 1, "")
    assert done.stderr.startswith(line)


def test_a_missing_stage_is_one_line_with_the_command(tmp_path):
    done = run("recipe=qwen3_vl_8b", "stage=cold_start", f"output_root={tmp_path}", "data=sprites")
    assert done.returncode == 1
    command = f"urt-train prepare_data recipe=qwen3_vl_8b data=sprites output_root={tmp_path}"
    assert done.stderr.endswith(f"run it first: {command}\n")
    assert done.stderr.count("\n") == 1


def test_configs_are_checked_without_torch():
    code = (
        "import sys; from urt_train.cli import compose;"
        "compose(['stage=grpo']); import urt_train.experiment.steps;"
        "print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    assert run(code=code).stdout.split() == ["False", "False"]
