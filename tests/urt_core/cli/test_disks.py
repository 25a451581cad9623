"""A disk that is full, limited or read-only, and an output that another process writes: one line, and the same command
goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from urt_core.cli.batch.results import ResultFile
from urt_core.errors import DataError

if sys.platform == "win32":
    pytest.skip("limits of file sizes are POSIX", allow_module_level=True)

LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from urt_core.cli import main
sys.exit(main(sys.argv[2:]))
"""
PAIRS = 12


def urt(limit: int, *words: object, endpoint: str) -> tuple[int, list[str]]:
    """(exit code, lines on stderr) of a process that may write no file longer than `limit`."""
    judge = ["--base-url", endpoint, "--model", "judge"]
    command = [sys.executable, "-W", "ignore", "-c", LIMITED, str(limit), *map(str, words), *judge]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "80"})
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr.strip().splitlines()


@pytest.fixture
def pairs(tmp_path: Path, picture) -> Path:
    pictures = [picture(shade) for shade in (40, 90, 200)]
    lines = []
    for number in range(PAIRS):
        first, second = pictures[number % 3], pictures[(number + 1) % 3]
        row = {"key": f"pair-{number}", "task": "image_generation", "text": f"a red car {number}"}
        lines.append(
            json.dumps({**row, "first": first, "second": second, "candidate": first, "candidates": [first, second]})
        )
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(("command", "limit"), [("compare", 0), ("compare", 45_000), ("score", 300), ("rank", 20_000)])
def test_what_may_not_grow_ends_with_one_line_and_goes_on(
    endpoint, pairs: Path, tmp_path: Path, command: str, limit: int
) -> None:
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    names = {"compare": ("first", "second"), "score": ("candidate",), "rank": ("candidates",)}[command]
    own = [{name: row[name] for name in ("key", "task", "text", *names)} for row in rows]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in own))
    output = tmp_path / "out" / "results.jsonl"
    words = [
        command,
        "--input",
        pairs,
        "--output",
        output,
        *(["--contract", "acs"] if command == "score" else ["--dialect", "v1"]),
    ]
    code, lines = urt(limit, *words, endpoint=endpoint.base_url)
    assert code == 1
    assert lines[-1].startswith("urt: ")
    assert "File too large" in lines[-1] or "disk I/O error" in lines[-1] or "database or disk is full" in lines[-1]
    assert sum(line.startswith("urt: ") for line in lines) == 1
    code, lines = urt(10**9, *words, endpoint=endpoint.base_url)
    assert code == 0, lines
    keys = [json.loads(line)["key"] for line in output.read_text().splitlines()]
    assert sorted(keys) == sorted(row["key"] for row in rows)


@pytest.mark.parametrize("place", ["file/results.jsonl", "folder", "n" * 300 + ".jsonl"])
def test_a_place_that_is_none_is_one_line(endpoint, pairs: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    code, lines = urt(
        10**9, "score", "--contract", "acs", "--input", pairs, "--output", tmp_path / place, endpoint=endpoint.base_url
    )
    assert code == 1
    assert lines[-1].startswith("urt: ")


def test_a_folder_that_may_not_be_written(endpoint, pairs: Path) -> None:
    """A file system of the kernel takes no files from anybody."""
    if not Path("/proc/self").is_dir():
        pytest.skip("needs /proc")
    code, lines = urt(
        10**9,
        "score",
        "--contract",
        "acs",
        "--input",
        pairs,
        "--output",
        "/proc/results.jsonl",
        endpoint=endpoint.base_url,
    )
    assert code == 1
    assert lines[-1].startswith("urt: /proc/results.jsonl")


def test_two_processes_on_one_output(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    held = (
        "import sys\nfrom urt_core.cli.batch.results import ResultFile\n"
        "with ResultFile(sys.argv[1], settings={}) as results:\n"
        "    results.append({'key': 'a', 'status': 'ok'})\n    print('held', flush=True)\n    sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", held, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(DataError, match="being written by another process"), ResultFile(path, settings={}):
            pass
        other.communicate("\n", timeout=60)
    with ResultFile(path, settings={}) as results:
        assert results.done == {"a"}
        results.append({"key": "b", "status": "ok"})
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b"]
