"""Every published set on twenty rows of its true shape: each pair as it was made, none lost."""

import json

import pytest

from tests.urt_data.sources.conftest import medium, write_rows
from tests.urt_data.sources.recordings import RECORDINGS, record
from urt_core.records import Media, Preference, PreferenceRecord
from urt_data import sources

NOT_RECORDED = {"generic", "webdataset", "folders", "official_mixture"}
"""Shapes of a user's own, and a list of files of the other official sets."""


def test_every_published_set_is_recorded():
    assert set(sources.SOURCES) - NOT_RECORDED == set(RECORDINGS)


@pytest.mark.parametrize("name", sorted(RECORDINGS))
def test_twenty_rows_give_the_pairs_that_they_were_made_from(name, tmp_path):
    recording = record(name)
    for file, rows in recording.files.items():
        write_rows(tmp_path / file, rows)
    for place in recording.media:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(medium(place))
    inside = {part.split('"')[0] for part in json.dumps(recording.files).split("@bytes:")[1:]}
    names = {medium(each): each for each in (*recording.media, *inside)}

    def named(candidate):
        return tuple(names[data] for data in candidate.data) if isinstance(candidate, Media) else candidate

    conversion = sources.get(name, **recording.options).records(tmp_path)
    results = list(conversion)
    pairs = [result for result in results if isinstance(result, PreferenceRecord)]
    assert pairs == results, "no row is lost"
    found = set()
    for result in pairs:
        first, second = named(result.first), named(result.second)
        if result.preference is Preference.TIE:
            found.add((result.text, None, *sorted((first, second))))
        else:
            found.add((result.text, *((first, second) if result.preference is Preference.FIRST else (second, first))))
    assert found == recording.expected
    assert len(pairs) == len(recording.expected)
    assert conversion.counts["left_out"] == 0
    if sources.get(name).winner_first:
        decided = [result.preference for result in pairs if result.preference is not Preference.TIE]
        assert set(decided) == {Preference.FIRST, Preference.SECOND}, "the order is drawn"
