"""Preference records in plain tar files that prove their own integrity.

tar.py      bytes of one sample, packed canonically and read strictly
sample.py   record <-> members of a sample
index.py    side index of a shard, manifest of a folder
writer.py   ShardWriter: atomic, same input same bytes
storage.py  where shards lie: a local folder, or a remote one behind a bounded cache
reader.py   ShardFolder: a verified sequence of records
"""

from urt_data.shards.reader import Check, ShardFolder
from urt_data.shards.storage import ShardCache
from urt_data.shards.writer import ShardWriter

__all__ = ["Check", "ShardCache", "ShardFolder", "ShardWriter"]
