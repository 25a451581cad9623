"""What is sound of a damaged folder is kept in its order, and a run goes on with it where it stopped."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.urt_data.conftest import answer_record, as_media, image_record, write
from tests.urt_data.stream.test_preference_stream import damage, keys, read_world
from urt_core.records import Preference
from urt_data import Mixture, MixtureItem, PreferenceStream, Quarantine, ShardFolder
from urt_data.errors import ShardError
from urt_data.shards.index import INDEX_SUFFIX, MANIFEST_NAME
from urt_data.upkeep.repair import repair
from urt_data.upkeep.verify import verify


@pytest.fixture
def sound(tmp_path) -> ShardFolder:
    records = [image_record(number) if number % 3 else answer_record(number) for number in range(20)]
    return write(tmp_path / "sound", records, samples_per_shard=4)


@pytest.fixture
def damaged(tmp_path) -> ShardFolder:
    """Forty pairs of two tasks in shards of seven: flipped bits, a page for a picture, a shard that is gone."""
    records = [image_record(number) if number % 3 else answer_record(number) for number in range(40)]
    page = replace(as_media(records[8].first), data=(b"<!doctype html>",))
    records[8] = replace(records[8], first=page)
    folder = write(tmp_path / "damaged", records, samples_per_shard=7)
    for position in (1, 5, 6, 22):
        damage(folder, position)
    Path(folder.folder, "shard-000004.tar").unlink()
    return ShardFolder(folder.folder)


def decoded(record):
    """What a trainer does with a record before it counts as read."""
    from urt_data.upkeep.verify import check_media

    check_media(record)
    return record


def lenient() -> Quarantine:
    return Quarantine(max_share=1.0, max_consecutive=1000)


def mixture(folder: ShardFolder, item: dict) -> Mixture:
    return Mixture([MixtureItem(folder=folder, **item)], allow_noncommercial=True, allow_evaluation=True)


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize(
    "item",
    [{}, {"tasks": ("image_generation",)}, {"take": "random:60%"}, {"decided": True}, {"balance_tasks": True}],
    ids=["all", "one_task", "some", "decided", "balanced"],
)
def test_a_run_resumed_after_repair_goes_on_as_the_straight_one(damaged, tmp_path, world_size, item):
    """The straight run leaves bad samples out as it meets them. Both read the same batches on every rank, of three epochs."""
    report = repair(damaged.folder, tmp_path / "whole")
    assert report.keeps_order
    whole = ShardFolder(tmp_path / "whole")
    assert mixture(whole, item).fingerprint == mixture(damaged, item).fingerprint
    settings = {"world_size": world_size, "batch_size": 3, "epochs": 3, "prepare": decoded}
    straight, _ = read_world(mixture(damaged, item), quarantine=lenient(), **settings)
    before, state = read_world(mixture(damaged, item), quarantine=lenient(), stop_after=4, **settings)
    after, _ = read_world(mixture(whole, item), state=state, **{**settings, "epochs": 3 - state["epoch"]})
    assert [*before, *after] == straight


@pytest.mark.parametrize("world_size", [1, 2])
def test_batches_are_as_long_as_in_the_straight_run(damaged, tmp_path, world_size):
    """Rank by rank, with stand-ins where all samples of a batch are gone."""
    repair(damaged.folder, tmp_path / "whole")
    whole = ShardFolder(tmp_path / "whole")
    for rank in range(world_size):
        settings = {"batch_size": 2, "seed": 5, "rank": rank, "world_size": world_size, "prepare": decoded}
        straight = PreferenceStream(damaged, quarantine=lenient(), **settings)
        resumed = PreferenceStream(whole, **settings)
        assert [keys(batch) for batch in resumed] == [keys(batch) for batch in straight]


def test_contradictions_leave_their_places_empty(tmp_path):
    """They can be read, so that a straight run has them; all others come when they came before."""
    records = [image_record(number) for number in range(20)]
    records[17] = replace(records[16], key="contradiction", preference=Preference.SECOND)
    folder = write(tmp_path / "pairs", records)
    assert records[16].preference is Preference.FIRST
    assert repair(folder.folder, tmp_path / "whole").keeps_order
    whole = ShardFolder(tmp_path / "whole")
    assert {(sample.key, sample.label) for sample in whole.excluded} == {
        ("pair-16", "first"),
        ("contradiction", "second"),
    }
    straight, resumed = (
        [keys(batch) for batch in PreferenceStream(each, batch_size=4, seed=1)] for each in (folder, whole)
    )
    gone = {"pair-16", "contradiction"}
    assert resumed == [[key for key in batch if key not in gone] for batch in straight]


def test_damage_after_a_repair_is_repaired_in_places_of_the_first_folder(damaged, tmp_path):
    repair(damaged.folder, tmp_path / "once")
    once = ShardFolder(tmp_path / "once")
    lost = {once.index(0).keys[1], once.index(2).keys[0]}
    first = [key for batch in PreferenceStream(once, batch_size=3, seed=1) for key in keys(batch)]
    for shard, row in ((0, 1), (2, 0)):
        damage(once, int(once.shard_starts[shard]) + row)
    assert repair(once.folder, tmp_path / "twice").keeps_order
    twice = ShardFolder(tmp_path / "twice")
    assert twice.order_sha256 == once.order_sha256 == damaged.manifest_sha256
    second = [key for batch in PreferenceStream(twice, batch_size=3, seed=1) for key in keys(batch)]
    assert second == [key for key in first if key not in lost]
    left_out = {(sample.shard, sample.row): sample.key for sample in twice.excluded}
    assert left_out.items() >= {(sample.shard, sample.row): sample.key for sample in once.excluded}.items()
    for (shard, row), key in left_out.items():
        assert damaged.index(shard).keys[row] == key


def test_a_repaired_folder_is_sound_and_read_as_it_is(damaged, tmp_path):
    repair(damaged.folder, tmp_path / "whole")
    whole = ShardFolder(tmp_path / "whole")
    assert verify(whole.folder).is_sound
    assert len(list(whole)) == len(whole) == 40 - len(whole.excluded)
    assert len(whole.shards) == len(damaged.shards), "the one that is gone is an empty one"
    assert {sample.key for sample in whole.excluded} >= {"pair-8", "pair-1", "pair-5"}


def test_where_places_are_lost_the_order_is_a_new_one(sound, tmp_path):
    """Neither index nor shard of a shard of two tasks is intact: which task stood where is not known."""
    Path(sound.folder, "shard-000003.tar" + INDEX_SUFFIX).unlink()
    path = Path(sound.folder, "shard-000003.tar")
    path.write_bytes(path.read_bytes()[:-2000])
    report = repair(sound.folder, tmp_path / "whole")
    assert not report.keeps_order
    whole = ShardFolder(tmp_path / "whole")
    assert whole.order_sha256 == whole.manifest_sha256 != sound.manifest_sha256
    assert len(whole) == 16


def test_repair_keeps_what_is_proven(sound, tmp_path):
    path = Path(sound.folder, "shard-000003.tar")
    content = bytearray(path.read_bytes())
    content[1000] ^= 4
    path.write_bytes(content)
    report = repair(sound.folder, tmp_path / "repaired")
    assert (report.num_kept, report.num_unproven) == (19, 0)
    lost = sound.index(3).keys[0]
    repaired = ShardFolder(tmp_path / "repaired")
    assert [record.key for record in repaired] == [
        key for shard in range(5) for key in sound.index(shard).keys if key != lost
    ]
    assert verify(repaired.folder).is_sound
    with pytest.raises(ShardError, match="choose another one"):
        repair(sound.folder, sound.folder)


def test_repair_without_an_index_uses_the_shard_hash(sound, tmp_path):
    Path(sound.folder, "shard-000003.tar.idx.json").unlink()
    assert repair(sound.folder, tmp_path / "repaired").num_kept == 20


def test_repair_of_unproven_samples_is_a_choice(sound, tmp_path):
    Path(sound.folder, MANIFEST_NAME).unlink()
    path = Path(sound.folder, "shard-000003.tar")
    content = bytearray(path.read_bytes())
    content[sound.index(3).offsets[2] + 3] ^= 4  # the name in a header: its checksum fails
    path.write_bytes(content)
    assert repair(sound.folder, tmp_path / "strict").num_kept == 0
    report = repair(sound.folder, tmp_path / "lenient", keep_unproven=True)
    assert (report.num_kept, report.num_unproven) == (19, 19)
