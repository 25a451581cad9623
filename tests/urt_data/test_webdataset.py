"""webdataset reads our shards, and we read what its writer makes."""

import json

import pytest

from tests.urt_data.conftest import answer_record, as_media, image_record, write
from urt_data import ShardFolder
from urt_data.indexing import index_folder
from urt_data.shards.sample import to_members

# webdataset leaves closing its files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")


def test_webdataset_reads_our_shards(tmp_path):
    records = [image_record(0), answer_record(1), image_record(2)]
    write(tmp_path / "pairs", records, samples_per_shard=2)
    urls = [str(path) for path in sorted((tmp_path / "pairs").glob("*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["pair-0", "clip-1", "pair-2"]
    for sample, record in zip(samples, records, strict=True):
        assert {name: value for name, value in sample.items() if not name.startswith("__")} == dict(to_members(record))
    assert samples[1]["media.f02.png"] == as_media(records[1].media).data[2]
    decoded, *_ = webdataset.WebDataset(urls, shardshuffle=False).decode("pil")
    assert decoded["json"]["text"] == "scene 0"
    assert decoded["first.png"].size == (8, 8)


def test_we_index_what_webdataset_wrote(tmp_path):
    records = [image_record(number) for number in range(5)]
    with webdataset.ShardWriter(str(tmp_path / "%06d.tar"), maxcount=2, verbose=0, encoder=False) as sink:
        for record in records:
            sink.write({"__key__": record.key, **dict(to_members(record))})
    index_folder(tmp_path)
    folder = ShardFolder(tmp_path)
    assert [record.key for record in folder] == [record.key for record in records]
    assert folder[3].second.data == as_media(records[3].second).data
    assert json.loads(folder.read_members(0, 0)["json"])["key"] == "pair-0"
