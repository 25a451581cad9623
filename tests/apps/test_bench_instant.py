"""What the program says of made-up answers, and of a real judge on a few pairs."""

from dataclasses import replace

from bench_instant import auto_rows, calibration_rows, instant_rows, main

from urt_core import Comparison, Preference, PreferenceRecord, Task
from urt_core.comparison import ProbabilityMethod
from urt_core.engines import Status, Usage
from urt_data.sprites.pairs import pairs
from urt_data.sprites.world import Split


def answer(record: PreferenceRecord, probability: float, *, tokens: int) -> Comparison:
    return Comparison(
        key=record.key,
        task=record.task,
        status=Status.OK,
        preference=Preference.FIRST if probability > 0.5 else Preference.SECOND,
        probability_first=probability,
        probability_method=ProbabilityMethod.LOGPROB,
        position_consistent=True,
        calibrated=True,
        usage=Usage(completion_tokens=tokens),
    )


def test_auto_is_read_from_both_ways_of_asking():
    """Labels alternate. At once: sure and right, sure and wrong, unsure and wrong, unsure and right; reasoning is always right."""
    records = list(pairs(Task.IMAGE_GENERATION, 4, split=Split.TEST, seed=0))
    assert [record.preference for record in records] == [Preference.FIRST, Preference.SECOND] * 2
    at_once = [answer(record, p, tokens=4) for record, p in zip(records, (0.97, 0.97, 0.3, 0.4), strict=True)]
    slow = [answer(record, float(record.preference is Preference.FIRST), tokens=100) for record in records]
    everywhere, tightest, *_ = auto_rows(
        list(zip(records, at_once, strict=True)), list(zip(records, slow, strict=True))
    )
    assert everywhere == "| reasoning everywhere | 0 % | - | 100.0% | | 400 |"
    assert tightest.startswith("| auto, bounds 0.05 and 0.95 | 50% | 50.0% | 75.0% | -25.0 (")
    assert tightest.endswith(f"| {4 * 4 + 2 * 100} |")


def test_unread_pairs_are_wrong_and_have_no_probability():
    records = list(pairs(Task.IMAGE_GENERATION, 2, split=Split.TEST, seed=0))
    read = answer(records[0], 0.9, tokens=4)
    unread = replace(read, status=Status.PARSE_ERROR, preference=None, probability_first=None, position_consistent=None)
    *_, whole = instant_rows(Split.TEST, [(records[0], read), (records[1], unread)], seed=0)
    assert whole.startswith("| test | all | 2 | 50.0% (")
    assert "| 50.0% | 0.100 |" in whole  # one pair at 0.9, which was right


def test_maps_fitted_on_more_pairs_leave_less_of_an_overconfident_judge():
    """A judge that says 0.98 and is right in three of four pairs: off by 0.23, and by nothing once that is known."""
    records = list(pairs(Task.IMAGE_GENERATION, 400, split=Split.TEST, seed=0))
    sides = [(record.preference is Preference.FIRST) == (number % 4 != 0) for number, record in enumerate(records)]
    raw = [
        (record, answer(record, 0.98 if side else 0.02, tokens=2)) for record, side in zip(records, sides, strict=True)
    ]
    without, on_eight, on_all = calibration_rows({Split.TEST: raw}, raw, [8, 400])
    assert without == "| none | 0.230 |"
    assert float(on_all.split("|")[2]) < 0.005
    assert float(on_all.split("|")[2]) < float(on_eight.split("|")[2]) < 0.23


def test_of_the_judge_that_ships(capsys):
    main(["--model", "embedded:judge", "--pairs", "2", "--reasoned", "1", "--calibrated-on", "4"])
    said = capsys.readouterr().out
    assert said.count("| test |") == said.count("| test_unseen |") == 5
    assert "| reasoning everywhere | 0 % |" in said
    assert "with reasoning:" in said
    assert "| none | " in said
    assert "\n| 4 | " in said
