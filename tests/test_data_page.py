"""The page about data: what it says of own data is run, each command as it stands there."""

import io
import re
import runpy
import shlex
import tarfile
from pathlib import Path

import pytest

from tests.urt_data.conftest import png
from urt_core.records import Preference
from urt_data import ShardFolder
from urt_data.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "data.md"
OWN_PAIRS = PAGE.read_text(encoding="utf-8").partition("## Your own pairs in five lines")[2].partition("\n## ")[0]


def commands() -> list[str]:
    """Of the shell blocks about own pairs, lines that go on joined."""
    blocks = re.findall(r"```bash\n(.*?)```", OWN_PAIRS, re.S)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def table() -> None:
    for name in "abcd":
        Path(f"{name}.png").write_bytes(png(name))
    Path("pairs.csv").write_text(
        "prompt,image_a,image_b,label\na red car,a.png,b.png,A\na blue kite,c.png,d.png,second\n"
    )


def folders() -> None:
    for number, caption in enumerate(("a red car", "a blue kite"), 1):
        place = Path(f"photos/{number:04d}")
        place.mkdir(parents=True)
        (place / "caption.txt").write_text(caption)
        for side in ("better", "worse"):
            (place / f"{side}.png").write_bytes(png(number, side))


def tars() -> None:
    Path("tars").mkdir()
    with tarfile.open("tars/train-000000.tar", "w") as archive:
        for number, caption in enumerate(("a red car", "a blue kite")):
            members = {"0.png": png(number, 0), "1.png": png(number, 1), "txt": caption.encode()}
            for suffix, content in {**members, "json": b'{"label": %d}' % number}.items():
                info = tarfile.TarInfo(f"set/Sample_{number}.{suffix}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


INPUTS = {"data=generic": table, "data=folders": folders, "data=webdataset": tars}


def test_each_way_in_is_shown() -> None:
    assert [next(name for name in INPUTS if name in command) for command in commands()] == list(INPUTS)
    assert all(len(block.splitlines()) <= 5 for block in re.findall(r"```bash\n(.*?)```", OWN_PAIRS, re.S))


@pytest.mark.parametrize("command", commands(), ids=lambda command: re.findall(r"data=(\w+)", command)[0])
def test_the_command_makes_pairs(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    INPUTS[next(name for name in INPUTS if name in command)]()
    program, *arguments = shlex.split(command)
    assert program == "urt-data"
    assert main(arguments) == 0
    records = {record.text: record for record in ShardFolder("data/mine")}
    assert set(records) == {"a red car", "a blue kite"}
    if "data=folders" not in command:  # there the order is drawn
        assert records["a red car"].preference is Preference.FIRST
        assert records["a blue kite"].preference is Preference.SECOND


def test_the_writer_in_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        Path(f"{name}.png").write_bytes(png(name))
    [code] = re.findall(r"```python\n(.*?)```", OWN_PAIRS, re.S)
    Path("own.py").write_text(code)
    runpy.run_path("own.py")
    assert [record.key for record in ShardFolder("data/mine")] == ["pair-0"]
