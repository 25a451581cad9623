"""Stages between webdataset and records, and plain tars that Hugging Face's reader takes."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.urt_data.conftest import answer_record, as_media, image_record, png, write
from urt_core.errors import ConfigError, DataError
from urt_core.media import decode_image
from urt_core.records import Media, MediaKind, Preference, PreferenceRecord, Task
from urt_data import ShardFolder
from urt_data.cli import main
from urt_data.errors import LabelError, SampleError
from urt_data.indexing import index_folder
from urt_data.pipelines import made_uniform, to_records, write_webdataset

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
wds = pytest.importorskip("webdataset", reason="webdataset is not installed")
OWN: dict[str, Any] = {"columns": {"text": "txt", "preference": "label"}, "preferences": {0: "first", 1: "second"}}


def theirs(folder: Path, count: int = 4, **more: Any) -> str:
    with wds.TarWriter(str(folder / "theirs.tar"), encoder=False) as sink:
        for number in range(count):
            label = json.dumps({"label": number % 2, **more}).encode()
            media = {"first.png": png(number), "second.png": png(number, 2)}
            sink.write({"__key__": f"Photos/No_{number}", "json": label, "txt": b"a scene", **media})
    return str(folder / "theirs.tar")


def test_records_come_out_of_a_pipeline(tmp_path):
    url = theirs(tmp_path)
    pipeline = wds.WebDataset(url, shardshuffle=False).compose(to_records(**OWN))
    records = list(pipeline)
    assert [record.preference for record in records] == [Preference.FIRST, Preference.SECOND] * 2
    assert as_media(records[2].first).data == (png(2),)
    assert len({record.key for record in records}) == 4
    shuffled = (
        wds.WebDataset(url, shardshuffle=False).shuffle(10).compose(to_records(**OWN)).batched(2, collation_fn=None)
    )
    assert [len(batch) for batch in shuffled] == [2, 2]


def test_our_own_shards_come_out_as_they_went_in(tmp_path):
    records = [image_record(0), answer_record(1)]
    write(tmp_path / "pairs", records)
    url = str(tmp_path / "pairs" / "shard-000000.tar")
    found = list(wds.WebDataset(url, shardshuffle=False).compose(to_records()))
    assert found == list(ShardFolder(tmp_path / "pairs"))


def test_a_stream_never_guesses_a_label(tmp_path):
    stage = to_records(columns=OWN["columns"])
    with pytest.raises(
        LabelError, match=r"label 0 of sample Photos/No_0 has no certain meaning here; give preferences=\{0: 'first'\}"
    ):
        list(wds.WebDataset(theirs(tmp_path), shardshuffle=False).compose(stage))
    with pytest.raises(ConfigError, match="give middle=<number> beside larger"):
        to_records(columns=OWN["columns"], larger="first")
    larger = to_records(columns=OWN["columns"], larger="second", middle=0.5)
    records = list(wds.WebDataset(theirs(tmp_path), shardshuffle=False).compose(larger))
    assert [record.preference for record in records] == [Preference.FIRST, Preference.SECOND] * 2


def test_a_handler_goes_on_behind_what_cannot_be_read():
    good = {"__key__": "b", "json": b'{"label": 1}', "txt": b"t", "first.png": png(1), "second.png": png(2)}
    bad = {**good, "__key__": "a", "__url__": "x.tar", "first.png": b"no picture"}
    seen: list[Exception] = []
    stage = to_records(handler=lambda error: seen.append(error) or True, **OWN)
    assert [record.preference for record in stage([bad, good])] == [Preference.SECOND]
    assert isinstance(seen[0], SampleError)
    assert (seen[0].shard, seen[0].key) == ("x.tar", "a")
    with pytest.raises(SampleError, match=r"shard x\.tar, sample a: "):
        list(to_records(**OWN)([bad]))


def jpeg(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "jpeg")
    return buffer.getvalue()


def mixed() -> Iterator[PreferenceRecord]:
    for number, (first, second) in enumerate([("png", "jpg"), ("jpg", "png"), ("png", "png")]):
        media = [
            Media(kind=MediaKind.IMAGE, files=(f"x.{suffix}",), data=(png(number) if suffix == "png" else jpeg("red"),))
            for suffix in (first, second)
        ]
        yield PreferenceRecord(
            key=f"mixed-{number}", task=Task.IMAGE_GENERATION, text="t", first=media[0], second=media[1], preference=Preference.FIRST
        )  # fmt: skip


def test_uniform_tars_are_read_by_hugging_face(tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    write(tmp_path / "pairs", mixed())
    assert main(["export", str(tmp_path / "pairs"), str(tmp_path / "plain"), "--uniform", "png"]) == 0
    loaded = datasets.load_dataset(
        "webdataset", data_files={"train": str(tmp_path / "plain" / "*.tar")}, split="train", cache_dir=str(tmp_path / "cache")
    )  # fmt: skip
    assert loaded["__key__"][:] == ["mixed-0", "mixed-1", "mixed-2"]
    assert [row["first.png"].size for row in loaded] == [(8, 8)] * 3
    assert loaded[1]["json"]["preference"] == "first"
    index_folder(tmp_path / "plain")
    again = ShardFolder(tmp_path / "plain")
    assert as_media(again[0].first).data == (png(0),)
    turned = decode_image(as_media(again[0].second).data[0])
    assert turned.getpixel((3, 3)) == decode_image(jpeg("red")).getpixel((3, 3))


def test_what_is_uniform_already_keeps_its_bytes():
    record = image_record(0)
    assert made_uniform(record, "png") == record
    assert as_media(made_uniform(record, "webp").first).files == ("left.webp",)
    clip = answer_record(1)
    assert made_uniform(clip, "png") == clip


def test_exports_say_what_they_cannot(tmp_path):
    write(tmp_path / "pairs", mixed())
    with pytest.raises(ConfigError, match="uniform is 'tiff'; allowed: png, jpg, webp"):
        write_webdataset([], tmp_path / "x", uniform="tiff")
    assert (
        main(["export", str(tmp_path / "pairs"), str(tmp_path / "y"), "--format", "parquet", "--uniform", "png"]) == 2
    )
    assert main(["export", str(tmp_path / "pairs"), str(tmp_path / "plain")]) == 0
    with pytest.raises(DataError, match="holds tar files already"):
        write_webdataset([], tmp_path / "plain")
    assert main(["export", str(tmp_path / "pairs"), str(tmp_path / "one.parquet"), "--format", "parquet"]) == 0
