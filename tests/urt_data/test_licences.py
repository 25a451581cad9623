"""What a manifest says against training, by its own words and by the names of public benchmarks."""

from dataclasses import replace

import pytest

from tests.urt_data.conftest import image_record, write
from urt_data import ShardFolder
from urt_data.errors import LicenceError
from urt_data.licences import BENCHMARKS, RestrictionKind, check_licences, is_benchmark, restrictions
from urt_data.sources import SOURCES, get


def folder(path, *metadata: dict, **settings) -> ShardFolder:
    return write(path, [replace(image_record(n), metadata=said) for n, said in enumerate(metadata)], **settings)


def test_what_records_say_themselves(tmp_path):
    said = {"source": "mmrb2", "licence": "CC-BY-NC-4.0", "commercial_ok": False, "evaluation_only": True}
    own = {"source": "mine"}
    found = restrictions(folder(tmp_path / "a", said, said, own))
    assert [(item.kind, item.source, item.num_samples) for item in found] == [
        (RestrictionKind.EVALUATION_ONLY, "mmrb2", 2),
        (RestrictionKind.NONCOMMERCIAL, "mmrb2", 2),
    ]
    assert "2 records of mmrb2 with licence 'CC-BY-NC-4.0', which does not allow commercial use" in str(found[1])
    assert restrictions(folder(tmp_path / "b", own, {})) == []


@pytest.mark.parametrize(
    "name", ["MMRB2", "MMInstruction/VL-RewardBench", "genai_bench_video", "MJ-Bench", "reward_bench"]
)
def test_benchmarks_are_known_by_name(tmp_path, name):
    by_record = folder(tmp_path / "record", {"source": name, "evaluation_only": False})
    by_folder = folder(tmp_path / "folder", {}, metadata={"name": name})
    for shards in (by_record, by_folder):
        (found,) = restrictions(shards)
        assert (found.kind, found.source, found.num_samples) == (RestrictionKind.BENCHMARK, name, 1)
        with pytest.raises(LicenceError, match=r"1 records of .* the name of a benchmark; .*allow_evaluation=True"):
            check_licences([shards], allow_noncommercial=True, allow_evaluation=False)
        check_licences([shards], allow_noncommercial=True, allow_evaluation=True)


def test_names_of_sources_agree_with_what_they_state():
    """Every benchmark source is known by its name alone, and no training set is taken for one."""
    assert {name for name in SOURCES if is_benchmark(name)} == {name for name in SOURCES if get(name).evaluation_only}
    assert not any(is_benchmark(name) for name in ("", None, "my rewards", "bench photos", "hpdv2", "sprites"))
    assert all(is_benchmark(name) for name in BENCHMARKS)
