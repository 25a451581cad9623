"""Repeated keys and pairs are found with the record that has them already, contradictions apart."""

from urt_data.duplicates.repeats import SeenRecords


def seen(*rows: tuple[str, str, int, int]) -> SeenRecords:
    found = SeenRecords()
    for shard, key, content, verdict in rows:
        found.add(shard, key, content, verdict)
    return found


def test_repeats_are_named_with_what_they_repeat() -> None:
    found = seen(("s0", "a", 1, 1), ("s0", "b", 2, 1), ("s1", "a", 3, 1), ("s1", "c", 2, 1), ("s2", "d", 4, 0))
    assert list(found.repeated_keys()) == [(("s1", "a"), ("s0", "a"))]
    assert list(found.repeated_contents()) == [(("s1", "c"), ("s0", "b"))]
    assert list(found.contradictions()) == []


def test_the_other_label_is_a_contradiction_and_no_label_is_none() -> None:
    """The sign says which candidate is better, the size which label says so."""
    found = seen(("s0", "a", 1, 1), ("s0", "b", 1, -2), ("s0", "c", 2, 1), ("s0", "d", 2, 0))
    assert list(found.contradictions()) == [(("s0", "b"), "second", ("s0", "a"), "first")]
    assert list(found.repeated_contents()) == [(("s0", "d"), ("s0", "c"))]


def test_nothing_is_no_repeat() -> None:
    assert list(SeenRecords().repeated_keys()) == []
