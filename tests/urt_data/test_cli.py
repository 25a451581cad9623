"""The `urt-data` command: exit codes, JSON, and a contact sheet that runs nothing."""

import errno
import inspect
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.urt_data.conftest import answer_record, as_media, image_record, png, write
from urt_data.cli import main
from urt_data.prepare import ConversionSettings

ATTACK = '<script>alert(1)</script><img src=x onerror=alert(1)>"><svg onload=alert(1)>{{ 7*7 }}'


@pytest.fixture
def folder(tmp_path) -> Path:
    records = [
        replace(image_record(0), metadata={"source": "x", "licence": "MIT", "commercial_ok": True}),
        answer_record(1),
    ]
    return Path(write(tmp_path / "pairs", records).folder)


def test_verify_tells_by_its_exit_code(folder, capsys):
    assert main(["verify", str(folder)]) == 0
    assert "2 samples in 1 shards: sound" in capsys.readouterr().out
    path = folder / "shard-000000.tar"
    path.write_bytes(path.read_bytes()[:-1500])
    assert main(["verify", str(folder), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [finding["key"] for finding in report["findings"]] == [None, "clip-1"]
    assert main(["repair", str(folder), str(folder.parent / "repaired")]) == 0
    assert main(["verify", str(folder.parent / "repaired")]) == 0


def test_a_table_becomes_shards(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(png(1, name))
    row = {"text": "a scene", "first": "a.png", "second": "b.png", "preference": "first"}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(row) + "\n")
    settings = ["data=generic", f"input={tmp_path / 'pairs.jsonl'}", f"output={tmp_path / 'shards'}"]
    assert main(["convert", *settings]) == 0
    assert capsys.readouterr().out.startswith("1 pairs (1 first)")
    assert main(["verify", str(tmp_path / "shards")]) == 0


def test_what_can_be_converted_is_listed(capsys):
    assert main(["convert"]) == 0
    assert "hpdv3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "word"),
    [(["data=hpdv3"], "input="), (["data=nowhere", "input=x"], "nowhere"), (["data=hpdv3", "input=gone"], "gone")],
)
def test_a_conversion_that_cannot_start_says_why(settings, word, capsys):
    assert main(["convert", *settings]) == 2
    line = capsys.readouterr().err
    assert line.startswith("urt-data convert: ")
    assert word in line
    assert line.count("\n") == 1


def test_a_command_that_cannot_run_says_why(tmp_path, capsys):
    assert main(["stats", str(tmp_path / "nowhere")]) == 2
    assert "holds no finished data set" in capsys.readouterr().err


def test_stats(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["stats", str(folder), "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["tasks"] == {"image_generation": 1, "video_understanding": 1}
    assert {"name": "media files", "low": pytest.approx(2.05), "median": 2.5, "high": pytest.approx(2.95)} in numbers[
        "quantiles"
    ]
    assert main(["stats", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "x, MIT, commercial use: True" in shown
    assert "licence not stated, commercial use: not stated" in shown


def test_index_command(folder, capsys):
    (folder / "manifest.json").unlink()
    assert main(["index", str(folder)]) == 0
    assert "indexed 2 samples" in capsys.readouterr().out


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_contact_sheet_escapes_everything(tmp_path):
    record = replace(
        answer_record(0), text=ATTACK, first=ATTACK, second=ATTACK, completion=ATTACK, metadata={"x": ATTACK}
    )
    folder = write(
        tmp_path / "pairs",
        [
            record,
            image_record(1),
            replace(image_record(2), first=replace(as_media(image_record(2).first), data=(b"?",))),
        ],
    )
    page = tmp_path / "sheet.html"
    assert main(["inspect", folder.folder, str(page)]) == 0
    tags = Tags()
    tags.feed(page.read_text())
    assert not {"script", "svg", "iframe", "object", "link"} & {tag for tag, _ in tags.found}
    assert not [name for _, attributes in tags.found for name in attributes if name.startswith("on")]
    images = [attributes["src"] for tag, attributes in tags.found if tag == "img"]
    assert len(images) == 3 + 2
    assert all(source.startswith("data:image/png;base64,") for source in images)
    policy = [
        attributes["content"]
        for tag, attributes in tags.found
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert "not a readable image" in page.read_text()
    assert "{{ 7*7 }}" in page.read_text()


@pytest.mark.parametrize("command", [["stats", "--json"], ["verify"], ["stats"]])
def test_a_reader_that_leaves_is_no_error(folder_of, command):
    """As in `urt-data stats ... | head`."""
    read, write = os.pipe()
    os.close(read)
    folder = folder_of(40)
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-m", "urt_data.cli", *command, folder.folder],
        stdout=write,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_a_disk_that_takes_nothing_is_one_line(folder_of, tmp_path, monkeypatch, capsys):
    def full(*arguments, **settings):
        raise OSError(errno.ENOSPC, "No space left on device", "x.tar")

    folder = folder_of(4)
    monkeypatch.setattr("urt_data.shards.open_shard.OpenShard.finish", full)
    assert main(["repair", folder.folder, str(tmp_path / "repaired")]) == 2
    assert capsys.readouterr().err == "urt-data repair: [Errno 28] No space left on device: 'x.tar'\n"
    assert not (tmp_path / "repaired" / "manifest.json").exists()


def test_conversion_needs_no_trainer(tmp_path):
    """Where urt-train and torch are not installed."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(png(name))
    (tmp_path / "rows.jsonl").write_text('{"text": "t", "first": "a.png", "second": "b.png", "preference": "second"}')
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['urt_train', 'torch', 'webdataset', 'fsspec', 'pyarrow'])); "
        "from urt_data.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", code, "convert", "data=generic", f"input={tmp_path}", f"output={tmp_path / 'out'}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 pairs (1 second); 0 rows rejected")


def test_the_help_of_a_conversion_names_every_setting(capsys):
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    words = re.findall(r"\w+", capsys.readouterr().out)
    assert set(inspect.signature(ConversionSettings).parameters) <= set(words)
