"""Builds the input folder of a source from its fixture: rows in the published schema, tiny media from their names.

    fixtures/<source>.json         {"files": {"train.json": [rows], "0.tar": {name: text}}, "media": ["a.jpg"], "archives": {"x.tar": [...]}}
    fixtures/<source>.golden.json  what the conversion must give; URT_WRITE_GOLDEN=1 writes it anew

In rows, "@bytes:name" stands for the bytes of that medium (Parquet holds images inside). In goldens, a candidate's
files are listed by the name of the medium whose bytes they are, so that a mixed-up candidate is seen at once.
"""

import csv
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin

FIXTURES = Path(__file__).parent / "fixtures"


def medium(name: str) -> bytes:
    """The bytes of the medium called `name`: always the same, and different for every name."""
    suffix = name.rpartition(".")[2].lower()
    if suffix in ("mp4", "m4v"):
        return b"\x00\x00\x00\x18ftypisom" + name.encode().ljust(16, b"\0")
    digest = hashlib.sha256(name.encode()).digest()
    image = Image.new("RGB", (4, 4), (digest[0], digest[1], digest[2]))
    buffer = io.BytesIO()
    if suffix in ("jpg", "jpeg"):
        image.save(buffer, "JPEG", comment=name.encode())
    elif suffix == "webp":
        image.save(buffer, "WEBP", lossless=True)
    else:
        info = PngImagePlugin.PngInfo()
        info.add_text("name", name)
        image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def filled(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("@bytes:"):
        return medium(value.removeprefix("@bytes:"))
    if isinstance(value, dict):
        return {name: filled(item) for name, item in value.items()}
    return [filled(item) for item in value] if isinstance(value, list) else value


def write_rows(path: Path, rows: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(rows, str):
        path.write_text(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".tar":
        with tarfile.open(path, "w") as archive:
            for name, content in filled(rows).items():
                data = content if isinstance(content, bytes) else str(content).encode()
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    elif path.suffix == ".parquet":
        names = list(dict.fromkeys(name for row in rows for name in row))
        pq.write_table(pa.table({name: [filled(row.get(name)) for row in rows] for name in names}), path)
    else:
        path.write_text(json.dumps(rows))


def write_archive(path: Path, members: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in members:
                archive.writestr(name, medium(name))
        return
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name in members:
            info = tarfile.TarInfo(name)
            info.size = len(medium(name))
            archive.addfile(info, io.BytesIO(medium(name)))


class Fixture:
    """One fixture, built into a folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.description = json.loads((FIXTURES / f"{name}.json").read_text())
        self.options = self.description.get("options", {})
        self.input = folder / self.description.get("input", ".")
        for file, rows in self.description["files"].items():
            write_rows(folder / file, rows)
        for file in self.description.get("media", []):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(medium(file))
        for file, members in self.description.get("archives", {}).items():
            write_archive(folder / file, members)

    @property
    def media(self) -> dict[bytes, str]:
        """The name of every medium by its bytes."""
        names = {
            *self.description.get("media", []),
            *(m for ms in self.description.get("archives", {}).values() for m in ms),
        }
        text = json.dumps(self.description["files"])
        names |= {part.split('"')[0] for part in text.split("@bytes:")[1:]}
        return {medium(name): name for name in names}


def source_names() -> list[str]:
    return sorted(path.stem for path in FIXTURES.glob("*.json") if not path.stem.endswith(".golden"))


@pytest.fixture(params=source_names())
def fixture(request: pytest.FixtureRequest, tmp_path: Path) -> Fixture:
    return Fixture(request.param, tmp_path)


@pytest.fixture
def fixture_names() -> list[str]:
    return source_names()


@pytest.fixture
def fixture_named(tmp_path: Path) -> Callable[[str], Fixture]:
    return lambda name: Fixture(name, tmp_path)
