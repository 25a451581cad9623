"""Two sets of a user's own, one of them at an S3 server on loopback, mixed as a run would read them."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.s3 import s3_on_loopback
from tests.urt_data.conftest import png
from urt_data import ShardFolder

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch):
    with s3_on_loopback() as address:
        settings = {"key": "k", "secret": "s", "client_kwargs": {"endpoint_url": address, "region_name": "us-west-2"}}
        monkeypatch.setitem(fsspec.config.conf, "s3", settings)
        fsspec.filesystem("s3").mkdir("photos-of-mine")
        yield "s3://photos-of-mine/pairs"


def make_inputs(folder: Path) -> None:
    """Nine rows of a table, and four folders of photos."""
    rows = ["prompt,image_a,image_b,label"]
    for number in range(9):
        for side in "ab":
            (folder / f"{number}{side}.png").write_bytes(png("table", number, side))
        rows.append(f"scene {number},{number}a.png,{number}b.png,{('A', 'B', 'tie')[number % 3]}")
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    for number in range(4):
        scene = folder / "photos" / f"{number:04d}"
        scene.mkdir(parents=True)
        (scene / "caption.txt").write_text(f"photo {number}")
        for side in ("better", "worse"):
            (scene / f"{side}.png").write_bytes(png("photo", number, side))


def test_a_table_and_folders_in_a_bucket_are_mixed(copied, bucket: str, tmp_path: Path, capsys) -> None:
    example = copied("own_mixture")
    make_inputs(tmp_path)
    example.main("pairs.csv", "photos", bucket)
    printed = capsys.readouterr().out
    data = yaml.safe_load(printed.partition("first pairs:")[0])["data"]
    assert data["hard"] == [{"path": "data/table", "weight": 3}, {"path": bucket, "weight": 1}]
    assert len(ShardFolder("data/table")) == 9
    assert not list(tmp_path.glob("s3:*")), "an address is no folder"

    pytest.importorskip("torch")
    from urt_data import PreferenceStream
    from urt_train.config import CacheConfig, DataConfig
    from urt_train.datasets.splits import learning_data

    config = DataConfig(**data, cache=CacheConfig(folder=str(tmp_path / "cache")))
    mixture = learning_data(
        config.parts("hard"),
        cache=config.cache,
        tasks=["image_generation"],
        decided=True,
        mixed_in={},
        allow_noncommercial=False,
        seed=0,
    )
    assert mixture.left_out == Counter({"label is a tie": 3})
    keys = [record.key for batch in PreferenceStream(mixture, batch_size=4, seed=0) for record in batch]
    assert Counter(key.partition("-")[0] for key in keys) == {"generic": 6, "folders": 2}
