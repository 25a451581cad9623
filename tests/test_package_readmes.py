"""What the packages' READMEs show runs as it stands there (that of urt-core: tests/urt_core/test_readme.py)."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shell import commands_of

ROOT = Path(__file__).parents[1]


def blocks(package: str, language: str) -> list[str]:
    text = (ROOT / "packages" / package / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run_examples(package: str, folder: Path) -> str:
    code = "\n".join(blocks(package, "python"))
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pairs_are_written_streamed_and_proven(tmp_path: Path) -> None:
    batches = run_examples("urt-data", tmp_path).splitlines()
    assert len(batches) == 2
    assert batches[0].count("sprites-train") == 4
    lines = [command for block in blocks("urt-data", "bash") for command in commands_of(block)]
    commands = [line for line in lines if line[:1] == ["urt-data"] and "pairs" in line and "decontaminate" not in line]
    assert [command[1] for command in commands] == ["verify", "stats", "inspect"]
    for command in commands:
        subprocess.run(
            [sys.executable, "-m", "urt_data.cli", *command[1:]], cwd=tmp_path, check=True, capture_output=True
        )
    assert (tmp_path / "pairs.html").is_file()


def test_the_loss_head_is_computed(tmp_path: Path) -> None:
    assert "torch.Size([128])" in run_examples("urt-kernels", tmp_path)


def test_a_command_line_becomes_a_config(tmp_path: Path) -> None:
    shown = run_examples("urt-train", tmp_path)
    assert shown == "Qwen/Qwen3-VL-2B-Instruct 4 outputs/qwen3_vl_2b_lora_24gb/grpo\n"


@pytest.mark.parametrize("package", ["urt-core", "urt-data", "urt-kernels", "urt-train"])
def test_three_uses_are_shown(package: str) -> None:
    assert len(blocks(package, "python")) + len(blocks(package, "bash")) >= 4, "the install, and three uses"
