"""python apps/compare.py: evaluation folders in, one Markdown table out."""

import subprocess
import sys
from pathlib import Path

import pytest

from urt_core import Dialect, Preference, Task
from urt_core.comparison import Order
from urt_core.judging.pairs import JudgedPair, write_judged_pairs

PROGRAM = Path(__file__).parents[2] / "apps" / "compare.py"


def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", PROGRAM, *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def folders(tmp_path):
    for name, right in (("bad", False), ("good", True)):
        (tmp_path / name).mkdir()
        pairs = [
            JudgedPair(
                key=f"pair-{number}",
                task=Task.IMAGE_GENERATION,
                cause="count",
                dialect=Dialect.V1,
                order=Order.GIVEN,
                label=Preference.FIRST,
                verdict=Preference.FIRST if right else Preference.SECOND,
                failure=None,
                correct=right,
                scores={},
                totals=None,
                sums_consistent=None,
                answer_matches_totals=None,
                num_tokens=1,
                text="",
            )
            for number in range(4)
        ]
        write_judged_pairs(tmp_path / name / "judgements.jsonl", pairs)
    return tmp_path


def test_a_table_of_differences(folders):
    run = compare(f"bad={folders / 'bad'}", f"good={folders / 'good'},{folders / 'bad'}", f"same={folders / 'bad'}")
    assert run.returncode == 1
    assert "good and bad have not judged the same pairs" in run.stderr
    run = compare(f"bad={folders / 'bad'}", f"good={folders / 'good'}")
    assert run.returncode == 0, run.stderr
    assert "| good | 4 | 100.0 % (51.0–100.0) | +100.0 (+100.0 to +100.0) |" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["good"], "'good' is no judge; allowed: <name>=<evaluation folder>"),
        (["good=nowhere"], "nowhere has no judgements.jsonl; give a folder that urt-train evaluate wrote"),
        ([], "0 judges to compare; give two or more"),
    ],
)
def test_what_is_wrong_is_named(arguments, message):
    run = compare(*arguments)
    assert run.returncode == 1
    assert message in run.stderr
