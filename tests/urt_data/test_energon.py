"""Megatron-Energon prepares and loads our shards, and leaves them sound."""

import dataclasses

import pytest

from tests.urt_data.conftest import image_record, write
from urt_data.upkeep.verify import verify

energon = pytest.importorskip(
    "megatron.energon", reason="megatron-energon is not installed (no part of the tested set)"
)
pytestmark = pytest.mark.filterwarnings("ignore")


def test_energon_prepares_and_loads_our_shards(tmp_path):
    from click.testing import CliRunner

    command = pytest.importorskip(
        "megatron.energon.tools.prepare", reason="megatron-energon has another layout"
    ).command
    write(tmp_path / "pairs", [image_record(number) for number in range(6)], samples_per_shard=3)
    settings = ["--non-interactive", "--split-ratio", "1,0,0", "--sample-type", "CrudeWebdataset", "--num-workers", "1"]
    result = CliRunner().invoke(command, [*settings, str(tmp_path / "pairs")])
    assert result.exit_code == 0, result.output

    @dataclasses.dataclass
    class Pair(energon.Sample):
        record: dict
        first: object

    class Encoder(energon.DefaultTaskEncoder):
        @energon.stateless
        def pair(sample: dict) -> Pair:  # a cooker takes the sample alone
            return Pair(**energon.basic_sample_keys(sample), record=sample["json"], first=sample["first.png"])

        cookers = [energon.Cooker(pair)]  # noqa: RUF012

    dataset = energon.get_train_dataset(
        str(tmp_path / "pairs"),
        batch_size=None,
        shuffle_buffer_size=None,
        max_samples_per_sequence=None,
        worker_config=energon.WorkerConfig(rank=0, world_size=1, num_workers=0),
        task_encoder=Encoder(),
        repeat=False,
    )
    loaded = {sample.record["key"]: sample for sample in energon.get_loader(dataset)}
    assert sorted(loaded) == [f"pair-{number}" for number in range(6)]
    assert loaded["pair-4"].record["text"] == "scene 4"
    assert tuple(loaded["pair-4"].first.shape) == (3, 8, 8)
    assert verify(tmp_path / "pairs").is_sound
