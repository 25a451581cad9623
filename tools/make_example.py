"""Fill urt_core/example from a finished run of the demo: python tools/make_example.py outputs/tiny

The judge is the run's last stage. The pairs are of the test split, whose scenes no stage has seen; they were chosen by
hand, to show different mistakes, and one of them because this judge contradicts itself on it.
"""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from urt_core import JudgeSpec, Media, MediaKind, PreferenceRecord
from urt_core.engines.model.folder import write_sums
from urt_core.example import FOLDER, JUDGE
from urt_data import ShardFolder

PREFIX = "sprites-test-"
CHOSEN = (
    "image-generation-00003",  # the things have changed places
    "image-generation-00002",  # one picture is blurred, noisy or tinted
    "image-generation-00001",  # the thing in front is another: the judge answers by the order
    "video-generation-00000",  # a thing is torn
    "image-understanding-00000",  # a wrong answer
    "video-understanding-00002",  # a vague answer
)


def chosen(test: ShardFolder) -> list[PreferenceRecord]:
    found = {record.key.removeprefix(PREFIX): record for record in test}
    return [replace(found[key], key=key) for key in CHOSEN]


def row(record: PreferenceRecord, *, pictures: Path) -> dict[str, Any]:
    """The record as a line of `urt compare --input`; its pictures are written beside the file of the pairs."""

    def stored(side: str, value: Media | str) -> Any:
        if isinstance(value, str):
            return value
        names = [f"{record.key}.{side}{Path(name).suffix}" for name in value.files]
        if value.kind is MediaKind.VIDEO:
            names = [f"{record.key}.{side}.f{number:02d}.png" for number in range(len(value.files))]
        for name, content in zip(names, value.data, strict=True):
            (pictures / name).write_bytes(content)
        files = [f"{pictures.name}/{name}" for name in names]
        return files if value.kind is MediaKind.VIDEO else files[0]

    sides = {"first": record.first, "second": record.second} | ({"media": record.media} if record.media else {})
    return {
        "key": record.key,
        "task": record.task.value,
        "text": record.text,
        **{side: stored(side, value) for side, value in sides.items() if value is not None},
        "preference": str(record.preference),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    options = parser.parse_args()
    pictures = FOLDER / "pictures"
    for folder in (JUDGE, pictures):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(options.run / "grpo" / "model", JUDGE)
    replace(JudgeSpec.load(JUDGE), base="embedded:tiny").save(JUDGE)
    write_sums(JUDGE)
    pictures.mkdir()
    rows = [row(record, pictures=pictures) for record in chosen(ShardFolder(options.run / "data" / "test"))]
    (FOLDER / "pairs.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
