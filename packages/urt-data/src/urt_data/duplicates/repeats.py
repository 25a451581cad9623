"""Find records that a data set holds twice, at seventeen bytes and a key per record."""

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
        self._verdicts = array("b")

    def add(self, shard: str, key: str, content_digest: int, verdict: int = 0) -> None:
        """`verdict` is that of `urt_data.duplicates.fingerprints`: its sign says which candidate is better, its size which label
        says so."""
        if not self._shards or self._shards[-1] != shard:
            self._shards.append(shard)
            self._starts.append(len(self._key_digests))
            self._keys.append(bytearray())
        # One string per shard instead of one object per key.
        self._keys[-1] += key.encode() + b"\n"
        self._key_digests.append(short_digest(key))
        self._content_digests.append(content_digest)
        self._verdicts.append(verdict)

    def repeated_keys(self) -> Iterator[tuple[Name, Name]]:
        """Each repeat of a key with the record that has it already."""
        return ((self._name(repeat), self._name(known)) for repeat, known in _repeated(self._key_digests))

    def repeated_contents(self) -> Iterator[tuple[Name, Name]]:
        """Each repeat of a pair, in either order, whose label does not contradict the one before it."""
        return ((self._name(repeat), self._name(known)) for repeat, known, against in self._contents() if not against)

    def contradictions(self) -> Iterator[tuple[Name, str, Name, str]]:
        """Each repeat of a pair that calls the other candidate the better one: both names, each with its label."""
        for repeat, known, against in self._contents():
            if against:
                yield self._name(repeat), self._label(repeat), self._name(known), self._label(known)

    def _label(self, position: int) -> str:
        return "first" if abs(self._verdicts[position]) == 1 else "second"

    def _contents(self) -> Iterator[tuple[int, int, bool]]:
        for repeat, known in _repeated(self._content_digests):
            yield repeat, known, self._verdicts[repeat] * self._verdicts[known] < 0

    def _name(self, position: int) -> Name:
        shard = int(np.searchsorted(self._starts, position, side="right")) - 1
        return self._shards[shard], self._keys[shard].decode().split("\n")[position - self._starts[shard]]


def _repeated(digests: "array[int]") -> Iterator[tuple[int, int]]:
    """The position of each repeat, and of what it repeats."""
    values = np.frombuffer(digests, dtype=np.uint64) if digests else np.zeros(0, dtype=np.uint64)
    order = np.argsort(values, kind="stable")
    same = np.flatnonzero(values[order[1:]] == values[order[:-1]])
    return ((int(order[place + 1]), int(order[place])) for place in same)
