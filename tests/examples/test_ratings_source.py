"""A source of a user's own, converted by the command of the package."""

import json
from pathlib import Path

from tests.urt_data.conftest import png
from urt_data import ShardFolder
from urt_data.cli import main


def test_ratings_become_labelled_pairs(copied, tmp_path: Path, capsys) -> None:
    copied("ratings_source")
    (tmp_path / "ratings").mkdir()
    for name in ("a", "b"):
        (tmp_path / "ratings" / f"{name}.png").write_bytes(png(1, name))
    rows = [
        {"caption": "a car", "left": "a.png", "right": "b.png", "ratings_left": [4, 5], "ratings_right": [2, 3]},
        {"caption": "a dog", "left": "a.png", "right": "b.png", "ratings_left": [1], "ratings_right": [2, 5]},
        {"caption": "a cat", "left": "a.png", "right": "b.png", "ratings_left": [3, 4], "ratings_right": [3, 4]},
        {"caption": "a fox", "left": "a.png", "right": "b.png", "ratings_left": "good", "ratings_right": [3]},
    ]
    (tmp_path / "ratings" / "ratings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["convert", "data=ratings_source:RATINGS", "input=ratings", "output=shards", "max_rejected=0.5"])
    assert "3 pairs" in capsys.readouterr().out
    records = {record.text: record for record in ShardFolder(tmp_path / "shards")}
    assert {text: str(record.preference) for text, record in records.items()} == {
        "a car": "first",
        "a dog": "second",
        "a cat": "tie",
    }
    assert records["a car"].metadata["scores"] == {"rating": {"first": 4.5, "second": 2.5}}
    rejected = json.loads((tmp_path / "shards" / "rejected.jsonl").read_text())
    assert rejected["field"] == "ratings_left"
