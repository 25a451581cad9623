"""What a stage learns from: tasks, labels, licences and shares of its parts; where its bad pairs are counted."""

import json
from dataclasses import replace

import pytest

from urt_core import Preference, Task
from urt_core.errors import ConfigError
from urt_data import Mixture, ShardWriter
from urt_data.errors import LicenceError, MixtureError
from urt_train.config import CacheConfig, DataPart, QuarantineConfig
from urt_train.datasets.splits import learning_data, open_quarantine, open_shards, refuse_to_replace

ALL = [str(task) for task in Task]


@pytest.fixture
def write(tmp_path):
    def write_shards(name: str, records, **metadata) -> str:
        with ShardWriter(tmp_path / name, metadata=metadata) as shards:
            for record in records:
                shards.write(replace(record, key=f"{name}-{record.key}"))
        return str(tmp_path / name)

    return write_shards


def learn(*parts: DataPart, tasks=ALL, decided=False, mixed_in=None, allow_noncommercial=False) -> Mixture:
    return learning_data(
        parts,
        cache=CacheConfig(),
        tasks=tasks,
        decided=decided,
        mixed_in=mixed_in or {},
        allow_noncommercial=allow_noncommercial,
        seed=0,
    )


def test_only_the_tasks_of_the_stage_are_drawn(write, records):
    part = DataPart(path=write("pairs", records[:8]))
    data = learn(part, tasks=["video_generation"])
    assert {component.task for component in data.components} == {"video_generation"}
    assert (len(data), len(learn(part))) == (2, 8)


def test_without_a_winner_a_pair_is_left_out_and_counted_and_nothing_left_is_an_error(write, records):
    def labelled(name: str, *labels):
        pairs = [replace(record, preference=label) for record, label in zip(records, labels, strict=False)]
        return DataPart(path=write(name, pairs))

    some = labelled("some", Preference.TIE, Preference.FIRST, None)
    data = learn(some, decided=True)
    assert (len(data), dict(data.left_out)) == (1, {"label is a tie": 1, "no label": 1})
    assert len(learn(some)) == 3
    with pytest.raises(MixtureError, match=r"part of the mixture is empty .*label is a tie: 1"):
        learn(labelled("none", Preference.TIE, None), decided=True)


def test_a_mixture_is_drawn_in_its_shares(write, records):
    heavy = DataPart(path=write("a", records[:6]), weight=3)
    light = DataPart(path=write("b", records[:6]), weight=1, take="first:3")
    assert learn(heavy, light).draws == (6, 2)


def test_shares_of_other_splits_are_of_the_number_of_pairs(write, records):
    part, traces = DataPart(path=write("pairs", records[:8])), write("traces", records[:3])
    assert [len(learn(part, mixed_in={traces: share})) for share in (0.25, 0.75)] == [8 + 2, 8 + 6]
    with pytest.raises(ConfigError, match=r"have weights, and shares of \S+ are to be mixed in as well"):
        learn(replace(part, weight=1.0), mixed_in={traces: 0.5})


def test_a_benchmark_trains_nobody_and_a_licence_has_to_allow_it(write, records):
    bench = DataPart(path=write("bench", records[:1], source="VL-RewardBench"))
    with pytest.raises(LicenceError, match="name of a benchmark; training on them makes the benchmark worthless"):
        learn(bench, allow_noncommercial=True)
    terms = {"source": "a set for research", "licence": "CC-BY-NC-4.0", "commercial_ok": False}
    research = DataPart(path=write("research", [replace(records[0], metadata=terms)]))
    with pytest.raises(LicenceError, match=r"with licence 'CC-BY-NC-4\.0', which does not allow commercial use"):
        learn(research)
    assert len(learn(research, allow_noncommercial=True)) == 1


def test_each_rank_writes_down_its_own_and_knows_what_any_has_met(tmp_path):
    lines = {"quarantine.jsonl": "a", "quarantine.3.jsonl": "b"}
    for name, key in lines.items():
        (tmp_path / name).write_text(json.dumps({"shard": "shard-0", "key": key}) + "\n")
    for rank, name in ((0, "quarantine.jsonl"), (1, "quarantine.1.jsonl")):
        settings = QuarantineConfig(share=0.5, in_a_row=3, grace=7)
        quarantine = open_quarantine(settings, folder=str(tmp_path), rank=rank)
        assert quarantine.samples == {("shard-0", "a"), ("shard-0", "b")}
        assert quarantine._file == tmp_path / name
        assert (quarantine._max_share, quarantine._max_consecutive, quarantine._grace) == (0.5, 3, 7)


def test_pairs_of_the_users_are_not_written_over(write, records, tmp_path):
    refuse_to_replace(tmp_path / "nothing", "train", mark="seed")
    made = write("made", records[:1], seed=0)
    refuse_to_replace(tmp_path / "made", "train", mark="seed")
    assert len(open_shards(made, CacheConfig())) == 1
    write("users", records[:1])
    with pytest.raises(ConfigError, match=r"data\.train is \S+users, whose pairs this step did not write and would"):
        refuse_to_replace(tmp_path / "users", "train", mark="seed")
