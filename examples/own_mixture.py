"""A mixture of two sets of your own: a table of pictures on this disk, and folders of photos that go to a bucket.

python own_mixture.py pairs.csv photos s3://bucket/photos

Keys and endpoint of the bucket come from fsspec's configuration: FSSPEC_S3_KEY, FSSPEC_S3_SECRET and
FSSPEC_S3_ENDPOINT_URL, or ~/.config/fsspec/s3.json. What is printed is the `data:` section of a run.
"""

import sys

import yaml

from urt_data import Mixture, MixtureItem, PreferenceStream, ShardCache, ShardFolder
from urt_data.prepare import prepare

LICENCE = ("licence=CC0-1.0", "commercial_ok=true")
WEIGHTS = (3, 1)
"""Of an epoch three quarters come from the table."""


def own_mixture(table: str, photos: str, address: str) -> dict:
    """Write both sets as shards, the second to the address, and say how a run mixes them."""
    columns = ("columns.text=prompt", "columns.first=image_a", "columns.second=image_b", "columns.preference=label")
    prepare(["data=generic", f"input={table}", "output=data/table", *LICENCE, *columns])
    prepare(["data=folders", f"input={photos}", f"output={address}", *LICENCE])
    return {"hard": [{"path": "data/table", "weight": WEIGHTS[0]}, {"path": address, "weight": WEIGHTS[1]}]}


def first_keys(data: dict, number: int) -> list[str]:
    """What a run reads first, in the order of seed 0."""
    cache = ShardCache(folder="outputs/cache/shards", max_bytes=2**30)
    parts = [MixtureItem(folder=ShardFolder(part["path"], cache=cache), weight=part["weight"]) for part in data["hard"]]
    return [record.key for record in next(iter(PreferenceStream(Mixture(parts), batch_size=number, seed=0)))]


def main(table: str, photos: str, address: str) -> None:
    data = own_mixture(table, photos, address)
    print(yaml.safe_dump({"data": data}, sort_keys=False))
    print("first pairs:", ", ".join(first_keys(data, 4)))


if __name__ == "__main__":
    main(*sys.argv[1:])
