"""Behind training: instant probabilities of held-out pairs become maps in judge.json."""

import hashlib
import math

import pytest
from rich.console import Console

from urt_core import Completion, Dialect, JudgeSpec, Preference, Task
from urt_core.comparison import Order
from urt_core.engines.model.folder import SUMS
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import DataError
from urt_core.judging.pairs import judged_pair
from urt_data import ShardFolder, ShardWriter
from urt_train.stages import Conclusion
from urt_train.stages.internalise import conclude
from urt_train.stages.internalise.calibrating import instant_rows
from urt_train.stages.internalise.config import CalibrationBy, InternaliseConfig


def answer(noun: str, number: int, probability: float) -> Completion:
    pair = ((str(number), math.log(probability)), (str(3 - number), math.log(1 - probability)))
    return Completion(
        text=f"{noun} {number} is better.",
        token_ids=(1, 2, 3),
        token_texts=(f"{noun} ", str(number), " is better."),
        logprobs=(-0.01, math.log(probability), -0.01),
        top_logprobs=(((f"{noun} ", -0.01),), pair, ((" is better.", -0.01),)),
    )


def judged(record, order: Order, completion: Completion):
    shown = record if order is Order.GIVEN else record.swap()
    return judged_pair(shown, completion, order=order, dialect=Dialect.DIRECT)


def test_a_row_is_the_mean_of_both_orders_of_a_labelled_pair(records):
    record = records[0]
    rows = instant_rows(
        [judged(record, Order.GIVEN, answer("Image", 1, 0.9)), judged(record, Order.SWAPPED, answer("Image", 1, 0.6))]
    )
    assert rows == [(Task.IMAGE_GENERATION, pytest.approx((0.9 + 0.4) / 2), True)]
    unlabelled = [
        judged(PAIR, order, answer("Image", 1, 0.9)) for PAIR in [record.swap().swap()] for order in (Order.GIVEN,)
    ]
    assert instant_rows(unlabelled) == [], "one order alone is no mean of both"
    unread = judged(record, Order.SWAPPED, Completion(text="two cats"))
    assert instant_rows([judged(record, Order.GIVEN, answer("Image", 1, 0.9)), unread]) == []


@pytest.fixture
def conclusion(tmp_path, spec, records):
    """A judge that is right in three pairs of four and says 0.99 of all of them."""
    from dataclasses import replace

    model = tmp_path / "model"
    model.mkdir()
    spec.save(model)
    pairs = [
        replace(records[0], key=f"p-{n}", preference=Preference.FIRST if n % 2 else Preference.SECOND)
        for n in range(40)
    ]
    with ShardWriter(tmp_path / "validation") as shards:
        for pair in pairs:
            shards.write(pair)
    seen = set()

    def script(prompt, number):
        n, is_swapped = int(prompt.key.split("-")[1]), prompt.key in seen
        seen.add(prompt.key)
        says_first = (n % 2 == 1) == (n % 8 < 6)
        return answer("Image", 1 if says_first != is_swapped else 2, 0.99)

    def build(**settings) -> Conclusion:
        return Conclusion(
            settings=InternaliseConfig(**settings),
            model=model,
            open_engine=lambda: ScriptedEngine(script=script),
            open_shards=lambda split: ShardFolder(tmp_path / split),
            console=Console(quiet=True),
        )

    return build


@pytest.mark.parametrize("by", list(CalibrationBy))
def test_judge_json_says_what_the_probability_is_worth(conclusion, by):
    """0.99 of a judge that is right in three of four is worth 0.75; Platt's targets draw it to the middle by 1 of 42."""
    asked = conclusion(calibration=by)
    before = JudgeSpec.load(asked.model)
    conclude(asked)
    after = JudgeSpec.load(asked.model)
    assert after.calibration is not None
    found = after.calibration.of("image_generation")
    assert (str(found.kind), found.num_pairs) == (by.name, 40)
    assert found(0.99) == pytest.approx(0.75, abs=0.02)
    assert found(0.01) == pytest.approx(0.25, abs=0.02)
    assert after.dialect is before.dialect, "the rest stays as it was"
    digest = hashlib.sha256((asked.model / "judge.json").read_bytes()).hexdigest()
    assert f"{digest}  judge.json" in (asked.model / SUMS).read_text(encoding="utf-8"), "the folder still opens"


def test_without_a_set_to_calibrate_on_nothing_is_written(conclusion):
    asked = conclusion(calibrate_on=None)
    conclude(asked)
    assert JudgeSpec.load(asked.model).calibration is None


def test_a_set_with_one_class_ends_with_its_line(conclusion, tmp_path, records):
    from dataclasses import replace

    with ShardWriter(tmp_path / "sorted") as shards:
        for n in range(3):
            shards.write(replace(records[0], key=f"p-{n}", preference=Preference.FIRST))
    with pytest.raises(DataError, match=r"all 3 pairs of image_generation .* first candidate"):
        conclude(conclusion(calibrate_on="sorted"))
