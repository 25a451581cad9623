"""The other processes of an evaluation: each judges its share, the first has the same result as one alone."""

import shutil

import pytest

from urt_data import ShardWriter
from urt_train.cli import compose
from urt_train.experiment import assessment
from urt_train.experiment.assessment import assess, assess_suites


@pytest.mark.slow
def test_two_processes_find_what_one_finds(tmp_path, tiny_folder, spec, records):
    judge = str(shutil.copytree(tiny_folder, tmp_path / "judge"))
    spec.save(judge)
    with ShardWriter(tmp_path / "test") as shards:
        for record in records:
            shards.write(record)
    files, reports = [], []
    for num in (1, 2):
        config = compose(
            [
                f"output_root={tmp_path / str(num)}",
                f"checkpoint={judge}",
                f"data.test={tmp_path / 'test'}",
                f"judge.dialect={spec.dialect}",
                f"evaluation.workers={num}",
                "evaluation.batch_size=2",
                "evaluation.suites=3",
                "evaluation.max_completion_tokens=8",
                "evaluation.dialects=[judge]",
                "trainer.accelerator=cpu",
                "trainer.num_threads=1",
            ]
        )
        assess(config, judge)
        reports.append(assess_suites(config, judge))
        folder = assessment.evaluation_folder(config, judge, "test")
        files.append([(folder / name).read_bytes() for name in ("judgements.jsonl", "result.json", "tables.md")])
        assert not (folder / assessment.JUDGED).exists()
    assert files[0] == files[1]
    assert reports[0] == reports[1]
    assert reports[0].num_pairs == 3
