"""Find records that a data set holds twice, at sixteen bytes and a key per record."""

import hashlib
from array import array
from collections.abc import Iterator

import numpy as np

Name = tuple[str, str]  # shard, key


def short_digest(text: str) -> int:
    """Eight bytes that tell texts apart: two of a billion different ones agree with probability 0.03."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class SeenRecords:
    """Digests of keys and contents in the order they were added, shard by shard."""

    def __init__(self) -> None:
        self._shards: list[str] = []
        self._starts: list[int] = []
        self._keys: list[bytearray] = []
        self._key_digests = array("Q")
        self._content_digests = array("Q")

    def add(self, shard: str, key: str, content_digest: int) -> None:
        if not self._shards or self._shards[-1] != shard:
            self._shards.append(shard)
            self._starts.append(len(self._key_digests))
            self._keys.append(bytearray())
        # One string per shard instead of one object per key.
        self._keys[-1] += key.encode() + b"\n"
        self._key_digests.append(short_digest(key))
        self._content_digests.append(content_digest)

    def repeated_keys(self) -> Iterator[tuple[Name, Name]]:
        return self._repeated(self._key_digests)

    def repeated_contents(self) -> Iterator[tuple[Name, Name]]:
        return self._repeated(self._content_digests)

    def _repeated(self, digests: "array[int]") -> Iterator[tuple[Name, Name]]:
        """Each repeat with the record it repeats."""
        values = np.frombuffer(digests, dtype=np.uint64) if digests else np.zeros(0, dtype=np.uint64)
        order = np.argsort(values, kind="stable")
        same = np.flatnonzero(values[order[1:]] == values[order[:-1]])
        for place in same:
            yield self._name(int(order[place + 1])), self._name(int(order[place]))

    def _name(self, position: int) -> Name:
        shard = int(np.searchsorted(self._starts, position, side="right")) - 1
        return self._shards[shard], self._keys[shard].decode().split("\n")[position - self._starts[shard]]
