"""An estimate as it is read: sizes in GiB, the fullest moments, a verdict and what would help, without computing one."""

from dataclasses import replace

import pytest

from urt_train.cli import compose
from urt_train.experiment.dry_run.estimate import GIB, Estimate, Host, StageEstimate
from urt_train.experiment.dry_run.moments import Moment
from urt_train.experiment.dry_run.shape import shape_of
from urt_train.experiment.dry_run.states import Strategy
from urt_train.experiment.dry_run.tables import estimate_tables, notes, remedies, summary


def stage(*, room: float, refusal: str = "") -> StageEstimate:
    moments = (
        Moment(phase="sampling", name="decoding", holds={"weights": 2.0 * GIB, "key-value cache": 5.5 * GIB}),
        Moment(phase="update", name="loss head", holds={"weights": 2.0 * GIB, "activations": 1.0 * GIB}),
        Moment(phase="update", name="vision tower", holds={"weights": 2.0 * GIB, "pixels": 0.25 * GIB, "none": 0.0}),
    )
    return StageEstimate(
        name="evaluation",
        label="Evaluation",
        learning=None,
        sampling=None,
        moments=moments,
        room=room * GIB,
        host=Host(loading=3 * GIB, pixels=0, states=0),
        model_bytes=2 * GIB,
        checkpoint_bytes=6 * GIB,
        refusal=refusal,
    )


def estimate(*stages: StageEstimate) -> Estimate:
    config = compose(["recipe=tiny", "dry_run.devices=2", "dry_run.device_memory_gib=8"])
    return Estimate(
        config=config,
        shape=shape_of(config.model.base),
        parts=(),
        strategy=Strategy.DDP,
        lengths={},
        stages=stages,
    )


@pytest.mark.parametrize(
    ("stage", "verdict"),
    [
        (stage(room=7.5), "fits"),
        (stage(room=7.4), "does not fit"),
        (stage(room=80, refusal="samples with whole weights"), "is refused"),
    ],
)
def test_the_summary_says_machine_strategy_and_verdict(stage, verdict):
    found = summary(estimate(stage))
    assert found == f"tiny on 2 devices of 8 GiB ({Strategy.DDP}): evaluation {verdict} (7.5 GiB)"


def test_the_memory_table_has_the_fullest_moment_of_each_phase_and_its_items():
    [_, _, memory, storage, verdict] = estimate_tables(estimate(stage(room=7.4)))
    assert memory.columns == ("item", "sampling: decoding", "update: loss head")
    assert memory.rows == (
        ("weights", "2.00", "2.00"),
        ("key-value cache", "5.50", "–"),
        ("activations", "–", "1.00"),
        ("Everything", "7.5", "3.0"),
    )
    assert storage.rows == (("Evaluation", "3.0", "0.0", "0.0", "–", "–"),)
    assert verdict.rows[0][:4] == ("Evaluation", "7.5", "sampling: decoding", "7.4")


def test_only_what_does_not_fit_is_told_what_would_help():
    assert remedies(estimate(stage(room=7.5))) == []
    [line] = remedies(estimate(stage(room=7.4)))
    assert line.startswith("evaluation, decoding: key-value cache 5.5, weights 2.0 GiB; would help: ")


def test_notes_say_what_is_assumed_and_what_was_never_run():
    found = estimate(stage(room=9))
    assert not any("DeepSpeed" in line for line in notes(found))
    deepspeed = replace(found, strategy=Strategy.ZERO2)
    assert any("DeepSpeed has not been run by this project" in line for line in notes(deepspeed))
    [assumed] = [line for line in notes(found) if line.startswith("Assumed")]
    assert f"captions and questions of {found.config.dry_run.caption_tokens} tokens" in assumed
