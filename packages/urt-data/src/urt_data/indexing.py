"""Index and manifest for tar files that are there already, such as shards that `webdataset` wrote."""

from pathlib import Path

from urt_core.atomic import write_atomically
from urt_data.duplicates.repeats import SeenRecords
from urt_data.errors import SampleError, ShardError
from urt_data.shards.addresses import finish_upload, is_address, local_copy
from urt_data.shards.index import MANIFEST_NAME, Manifest, ShardEntry
from urt_data.shards.open_shard import index_path
from urt_data.shards.sample import from_members
from urt_data.shards.storage import open_regular
from urt_data.shards.summary import ShardSummary
from urt_data.shards.tar import scan_tar


def index_folder(folder: str | Path) -> Manifest:
    """Write `<shard>.idx.json` beside every tar of `folder`, then `manifest.json`. The tars are read strictly and left as they are."""
    with local_copy(folder) as local:
        paths = sorted(local.glob("*.tar"))
        if not paths:
            raise ShardError(f"{folder} holds no .tar file; give the folder of the shards")
        manifest = _index(local, paths)
        if is_address(folder):
            for path in paths:
                path.unlink()  # they lie there already
            finish_upload(local, str(folder))
        return manifest


def _index(folder: Path, paths: list[Path]) -> Manifest:
    seen = SeenRecords()
    entries = [_index_shard(path, seen) for path in paths]
    for (shard, key), (other, _) in seen.repeated_keys():
        raise ShardError(
            f"key {key!r} of {shard} is also in {other}; keys are unique in a data set, rename or drop one"
        )
    manifest = Manifest(shards=tuple(entries), metadata={})
    write_atomically(folder / MANIFEST_NAME, manifest.to_bytes())
    return manifest


def _index_shard(path: Path, seen: SeenRecords) -> ShardEntry:
    summary = ShardSummary(path.name)
    with open(open_regular(path), "rb") as file:
        try:
            for sample in scan_tar(file, file_size=path.stat().st_size):
                try:
                    record = from_members(sample.members, key=sample.key)
                except ShardError as error:
                    raise SampleError(shard=path.name, key=sample.key, reason=str(error)) from error
                file_position = file.tell()
                file.seek(sample.offset)
                summary.add(record, file.read(sample.size))
                file.seek(file_position)
                seen.add(path.name, record.key, 0)
        except SampleError:
            raise
        except ShardError as error:
            raise ShardError(f"{path.name}: {error}") from error
        file.seek(summary.num_bytes)
        index, entry = summary.finish(file.read())
    write_atomically(index_path(path), index)
    return entry
