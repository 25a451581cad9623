"""The tables of a recipe: a column for each stage that was judged, and one for a judge of another recipe beside them."""

import shutil

from tests.urt_train.experiment.test_pipeline import started, tiny
from urt_train.experiment import pipeline
from urt_train.experiment.results import write_results

__all__ = ["started"]  # the fixture


def test_a_judge_of_another_recipe_stands_beside_the_stages(tmp_path, started):
    config = tiny(tmp_path, "evaluation.splits=[test]", "evaluation.dialects=[judge]", "evaluation.suites=0")
    pipeline.run_pipeline(config)
    alone = write_results(config)
    text = alone.page.read_text(encoding="utf-8")
    assert text == (tmp_path / "tiny" / "results.md").read_text(encoding="utf-8")
    assert "Recipe tiny, judged on the split test." in text
    accuracy, *_ = alone.tables
    assert accuracy.columns[1:] == ("Base", "Cold start", "Rejection sampling", "GRPO")
    [overall] = [row for row in accuracy.rows if row[0] == "All tasks"]
    assert overall[1].startswith("0.0 %")
    assert overall[4].startswith("100.0 %")

    shutil.copytree(tmp_path / "tiny" / "evaluation" / "cold_start", tmp_path / "other" / "evaluation" / "dpo")
    config.evaluation.beside = {"Other": "other/dpo", "Never run": "nowhere/dpo", "Its own": "tiny/cold_start"}
    beside, *_ = write_results(config).tables
    assert beside.columns == (*accuracy.columns, "Other")
    [with_other] = [row for row in beside.rows if row[0] == "All tasks"]
    assert with_other == (*overall, overall[2])
