"""What a spec says of itself where it says nothing else."""

import pytest

from urt_core import Dialect
from urt_train.stages import find_stage, known_stages
from urt_train.stages.spec import StageSpec


@pytest.mark.parametrize(
    ("title", "label"), [("cold start", "Cold start"), ("GRPO", "GRPO"), ("dPO of mine", "DPO of mine"), ("x", "X")]
)
def test_a_label_begins_with_a_capital_and_keeps_the_rest(title, label):
    spec = StageSpec(name="x", title=title, config=find_stage("dpo").config, reads="train", build=lambda inputs: None)  # type: ignore
    assert spec.label == label


def test_a_stage_prepares_mixes_and_checks_nothing_unless_it_says_so():
    spec = StageSpec(name="x", title="x", config=find_stage("dpo").config, reads="train", build=lambda inputs: None)  # type: ignore
    assert (spec.prepares_from(None), spec.mixes_in(None), spec.check(None, Dialect.V1), spec.prepare) == (
        (),
        {},
        None,
        None,
    )
    assert not any([spec.by_default, spec.samples, spec.needs_a_winner, spec.writes, spec.starts_from])


def test_each_stage_reads_what_the_teacher_or_another_stage_writes():
    specs = {spec.name: spec for spec in known_stages()}
    written = {"cold_start", *(split for spec in specs.values() for split in spec.writes)}
    assert {spec.reads for spec in specs.values()} <= written
    assert all(spec.starts_from is None or spec.starts_from in specs for spec in specs.values())
