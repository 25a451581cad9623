"""A file of requests: results as they come, continued without paying twice, and an exit code."""

import errno
import json

import pytest

from tests.urt_core.cli.batch.conftest import results_of
from urt_core.cli.batch import results as module
from urt_core.cli.batch.results import ResultFile
from urt_core.errors import DataError


def test_results_and_manifest(urt, rows, tmp_path):
    output = tmp_path / "out" / "results.jsonl"
    done = urt("compare", "--input", rows([(200, 100), (10, 20), (5, 13)]), "--output", output, "--max-failures", 0.5)
    assert done.code == 0
    assert done.out == ""
    assert done.err.splitlines()[0].startswith("3/3, 1 failed, ")
    assert done.err.splitlines()[-1] == f"3 results in {output}, 1 failed (33.33%)"
    results = results_of(output)
    assert {key: row["preference"] for key, row in results.items()} == {
        "pair-0": "first",
        "pair-1": "second",
        "pair-2": None,
    }
    manifest = json.loads((tmp_path / "out" / "results.jsonl.manifest.json").read_text())
    assert manifest["statuses"] == {"ok": 2, "parse_error": 1}
    assert (manifest["finished"], manifest["num_results"]) == (True, 3)
    settings = manifest["settings"]
    assert (settings["model"], settings["dialect"], settings["orders"]) == ("judge", "v1", "both")
    assert settings["max_tokens"] == 1024
    assert settings["input"].startswith("sha256:")


def test_other_settings_need_another_output(urt, rows, tmp_path):
    output, pairs = tmp_path / "results.jsonl", rows([(200, 100)])
    urt("compare", "--input", pairs, "--output", output)
    other = urt("compare", "--input", pairs, "--output", output, "--orders", "given")
    assert other.code == 1
    assert "orders was 'both', is 'given'" in other.err
    rows([(200, 100), (1, 2)])
    assert "input was 'sha256:" in urt("compare", "--input", pairs, "--output", output).err
    assert urt("compare", "--input", pairs, "--output", tmp_path / "new.jsonl", "--concurrency", 2).code == 0


def test_where_the_manifest_found_no_room_the_same_command_goes_on(tmp_path, monkeypatch):
    output = tmp_path / "results.jsonl"

    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_atomically", full)
        with pytest.raises(DataError, match=r"results\.jsonl can't be written \(No space"):
            ResultFile(output, settings={"orders": "both"}).__enter__()
    assert output.read_bytes() == b""
    with ResultFile(output, settings={"orders": "both"}) as again:
        again.append({"key": "pair-0", "status": "ok"})
    with pytest.raises(DataError, match="orders was 'both', is 'given'"):
        ResultFile(output, settings={"orders": "given"}).__enter__()
    (tmp_path / "results.jsonl.manifest.json").unlink()
    with pytest.raises(DataError, match="has no readable manifest beside it"):
        ResultFile(output, settings={"orders": "both"}).__enter__()


@pytest.mark.parametrize("manifest", ["[]", '{"settings": [1]}', '{"settings": null}', "{}", "[" * 20_000])
def test_a_manifest_without_settings_is_not_readable(tmp_path, manifest):
    (tmp_path / "results.jsonl").write_text('{"key": "pair-0", "status": "ok"}\n')
    (tmp_path / "results.jsonl.manifest.json").write_text(manifest)
    with pytest.raises(DataError, match="has no readable manifest beside it"):
        ResultFile(tmp_path / "results.jsonl", settings={}).read()


@pytest.mark.parametrize("line", ['{"key": [1], "status": "ok"}', '{"key": null, "status": "ok"}', "[" * 20_000])
def test_a_line_that_is_no_result_is_named(tmp_path, line):
    (tmp_path / "results.jsonl").write_text(f"{line}\n")
    (tmp_path / "results.jsonl.manifest.json").write_text('{"settings": {}}')
    with pytest.raises(DataError, match=r"results\.jsonl, line 1: no result \("):
        ResultFile(tmp_path / "results.jsonl", settings={}).read()
