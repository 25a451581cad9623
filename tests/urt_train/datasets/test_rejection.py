"""Judged pairs become an accepted and a hard shard, with counts."""

import pytest

from urt_core import Completion, Dialect, Preference
from urt_core.engines import FinishReason
from urt_core.errors import DataError
from urt_data import ShardFolder
from urt_train.datasets.rejection import JudgedRecord, accepted_texts, judged_record, write_shards


def judged_pairs(records) -> list[JudgedRecord]:
    """Twelve pairs judged twice: four always right (alike), four once, four never (of those two unreadable)."""
    pairs = []
    for number, record in enumerate(records):
        right = {0: (True, True), 1: (False, True), 2: (False, False)}[number % 3]
        texts = {0: ("same", "same"), 1: ("bad", "good"), 2: ("bad", "worse")}[number % 3]
        readable = (True, number % 6 != 2)
        pairs.append(JudgedRecord(key=record.key, task=record.task, texts=texts, right=right, readable=readable))
    return pairs


def split(tmp_path, records, **settings):
    by_key = {record.key: record for record in records}
    counts = write_shards(
        judged_pairs(records),
        by_key.__getitem__,
        accepted=tmp_path / "accepted",
        hard=tmp_path / "hard",
        contrasts=tmp_path / "contrasts",
        about={"judged": "here"},
        **{"accept_per_pair": 1, "hard_below": 1.0, **settings},
    )
    return counts, ShardFolder(tmp_path / "accepted"), ShardFolder(tmp_path / "hard")


def test_right_ones_are_accepted_and_wrong_ones_are_hard(tmp_path, records):
    counts, accepted, hard = split(tmp_path, records)
    assert {record.key: record.completion for record in accepted} == {
        record.key: ("same" if number % 3 == 0 else "good") for number, record in enumerate(records) if number % 3 < 2
    }
    assert [record.key for record in hard] == [record.key for number, record in enumerate(records) if number % 3]
    assert all(record.completion is None for record in hard)
    assert next(iter(hard)).metadata["judgements"] == {"right": 1, "total": 2}
    assert hard.metadata["counts"] == counts == accepted.metadata["counts"]
    total = {name: sum(of_task[name] for of_task in counts.values()) for name in next(iter(counts.values()))}
    assert total == {
        "pairs": 12, "judgements": 24, "right": 12, "unreadable": 2, "accepted": 8, "hard": 8, "contrasts": 4, "bad_media": 0,
    }  # fmt: skip
    assert len(counts) == 4


def test_what_could_not_be_decoded_is_not_practised_on(tmp_path, records):
    """No later step could read it either."""
    bad = Completion(text="", finish_reason=FinishReason.BAD_MEDIA, detail="first.png is truncated")
    undecoded = judged_record(records[1], [bad, bad], dialect=Dialect.V1)
    pairs = [undecoded, *judged_pairs(records)[2:], judged_pairs(records)[0]]
    by_key = {record.key: record for record in records}
    counts = write_shards(
        pairs,
        by_key.__getitem__,
        accepted=tmp_path / "a",
        hard=tmp_path / "h",
        contrasts=tmp_path / "contrasts",
        accept_per_pair=1,
        hard_below=1.0,
        about={},
    )
    assert records[1].key not in {record.key for record in ShardFolder(tmp_path / "h")}
    assert sum(of_task["bad_media"] for of_task in counts.values()) == 1


def test_only_pairs_below_the_bar_are_hard(tmp_path, records):
    _, _, hard = split(tmp_path, records, hard_below=0.5)
    assert [record.key for record in hard] == [record.key for number, record in enumerate(records) if number % 3 == 2]


def test_several_judgements_of_a_pair_have_keys_of_their_own(tmp_path, records):
    pair = JudgedRecord(
        key=records[0].key, task=records[0].task, texts=("a", "b", "a"), right=(True,) * 3, readable=(True,) * 3
    )
    assert accepted_texts(pair, at_most=3) == ["a", "b"], "each text once"
    wrong = JudgedRecord(key=records[1].key, task=records[1].task, texts=("x",), right=(False,), readable=(True,))
    by_key = {record.key: record for record in records}
    write_shards(
        [pair, wrong],
        by_key.__getitem__,
        accepted=tmp_path / "a",
        hard=tmp_path / "h",
        contrasts=tmp_path / "contrasts",
        accept_per_pair=3,
        hard_below=1.0,
        about={},
    )
    assert [record.key for record in ShardFolder(tmp_path / "a")] == ["pair-000", "pair-000-a1"]


@pytest.mark.parametrize(
    ("right", "message"), [(False, "no judgement of 12 pairs was right"), (True, "no judgement of 12 pairs was wrong")]
)
def test_nothing_to_split_is_an_error_and_writes_nothing(tmp_path, records, right, message):
    pairs = [
        JudgedRecord(key=record.key, task=record.task, texts=("t",), right=(right,), readable=(True,))
        for record in records
    ]
    with pytest.raises(DataError, match=message):
        write_shards(
            pairs,
            {record.key: record for record in records}.__getitem__,
            accepted=tmp_path / "a",
            hard=tmp_path / "h",
            contrasts=tmp_path / "contrasts",
            accept_per_pair=1,
            hard_below=1.0,
            about={},
        )
    assert not list(tmp_path.iterdir())


def test_a_verdict_is_right_unreadable_or_cut_off(records):
    record = next(record for record in records if record.preference is Preference.FIRST)
    noun = record.task.noun

    def text(winner):
        return f"<think>\n1. Quality: {noun} 1 (7/10) - a; {noun} 2 (6/10) - b\n</think>\n<answer>{noun} {winner} is better</answer>"

    completions = [
        Completion(text=text(1)),
        Completion(text=text(2)),
        Completion(text="?"),
        Completion(text=text(1), finish_reason=FinishReason.LENGTH),
    ]
    judged = judged_record(record, completions, dialect=Dialect.V1)
    assert judged.right == (True, False, False, False)
    assert judged.readable == (True, True, False, False)
    assert judged.pass_rate == 0.25


def test_a_guess_is_not_right_where_the_table_has_to_lead_to_the_verdict(records):
    record = next(record for record in records if record.preference is Preference.FIRST)
    noun, dimensions = record.task.noun, record.task.dimensions

    def text(first, second, totals):
        table = "\n".join(
            f"{i}. {d}: {noun} 1 ({first}/10) - a; {noun} 2 ({second}/10) - b" for i, d in enumerate(dimensions, 1)
        )
        sums = "\n".join(
            f"{noun} {n}: {score}+{score}+{score}={total}"
            for n, score, total in zip((1, 2), (first, second), totals, strict=True)
        )
        return f"<think>\n{table}\nTotal score:\n{sums}\n</think>\n<answer>{noun} 1 is better</answer>"

    texts = [text(8, 7, (24, 21)), text(8, 8, (24, 24)), text(7, 8, (21, 24)), text(8, 7, (25, 21))]
    completions = [Completion(text=written) for written in texts]
    assert judged_record(record, completions, dialect=Dialect.V1).right == (True, True, True, True)
    strict = judged_record(record, completions, dialect=Dialect.V1, only_consistent=True)
    assert strict.right == (True, False, False, False)
    assert strict.readable == (True, True, True, True)
