"""`urt bench suites` against an endpoint that prefers the redder image."""

import json

from tests.urt_core.cli.bench.test_run import labelled_pairs
from urt_core.cli import main


def test_the_redder_picture_wins_whatever_stands_beside_it(endpoint, picture, tmp_path, capsys) -> None:
    asked = ["--base-url", endpoint.base_url, "--model", "judge", "--dialect", "v1"]
    data = labelled_pairs(picture, tmp_path)
    assert main(["bench", "suites", *asked, "--data", data, "--output", str(tmp_path / "run"), "--pairs", "8"]) == 0
    assert "What moves the judge (8 pairs)" in capsys.readouterr().out
    report = json.loads((tmp_path / "run" / "suites.json").read_text())
    found = {(one["suite"], one["variant"]): one["rate"] for one in report["findings"]}
    assert found["position", "pictures"]["successes"] == 0
    assert report["num_pairs"] == 8
    assert "position" in (tmp_path / "run" / "suites.md").read_text()
