"""Votes of both orders become what is taught: counts, symmetry, what is left out, and a run that goes on."""

from dataclasses import replace
from functools import partial

import pytest
from rich.console import Console

from urt_core import Completion, Dialect, Preference, Task
from urt_core.comparison import Order
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import ConfigError, DataError
from urt_core.judging.pairs import judged_pair
from urt_data import ShardFolder, ShardWriter
from urt_train.config import JudgeConfig, ModelConfig, TrainConfig, TrainerConfig
from urt_train.runtime.machine import make_trainer
from urt_train.stages import Preparation, train_config
from urt_train.stages.internalise.config import InternaliseConfig, Targets
from urt_train.stages.internalise.votes import SHARE, Votes, judge_unlabelled, votes_of

UNREADABLE = Completion(text="I see two cats.")


def judgement(noun: str, winner: int) -> Completion:
    return Completion(
        text=f"<think>\n1. Quality: {noun} 1 ({9 if winner == 1 else 5}/10) - a; {noun} 2 ({5 if winner == 1 else 9}/10) - b\n"
        f"</think>\n<answer>{noun} {winner} is better</answer>"
    )  # fmt: skip


def judged(record, *winners: tuple[Order, int | None]):
    """Judgements of one record: the number that is named in each order, None for an unreadable one."""
    noun = record.task.noun
    return [
        judged_pair(
            record if order is Order.GIVEN else record.swap(),
            UNREADABLE if winner is None else judgement(noun, winner),
            order=order,
            dialect=Dialect.V1,
        )
        for order, winner in winners
    ]


GIVEN, SWAPPED = Order.GIVEN, Order.SWAPPED


@pytest.mark.parametrize(
    ("winners", "share", "is_unanimous"),
    [
        ([(GIVEN, 1), (SWAPPED, 2)], 1.0, True),
        ([(GIVEN, 2), (SWAPPED, 1)], 0.0, True),
        ([(GIVEN, 1), (SWAPPED, 1)], 0.5, False),
        ([(GIVEN, 1), (GIVEN, 1), (SWAPPED, 2), (SWAPPED, 1)], 0.75, False),
        ([(GIVEN, 1), (GIVEN, None), (SWAPPED, 2), (SWAPPED, 1)], 0.75, False),
        ([(GIVEN, 1), (GIVEN, 1), (SWAPPED, None)], None, False),
    ],
)
def test_each_order_counts_the_same(records, winners, share, is_unanimous):
    found = votes_of(judged(records[0], *winners))
    assert (found.share, found.is_unanimous) == (share, is_unanimous)
    mirrored = [(SWAPPED if order is GIVEN else GIVEN, winner) for order, winner in winners]
    swapped = votes_of(judged(records[0], *mirrored))
    assert swapped.share == (None if share is None else 1 - share), "exchanged candidates, exchanged votes"


def test_a_reasoning_is_one_that_leads_to_what_most_votes_name(records):
    found = votes_of(judged(records[0], (GIVEN, 2), (GIVEN, 1), (GIVEN, 1), (SWAPPED, 2)))
    assert found.share is not None
    assert found.share > 0.5
    assert "<answer>Image 1" in found.reasons[GIVEN]
    assert "<answer>Image 2" in found.reasons[SWAPPED]
    assert votes_of(judged(records[0], (GIVEN, 1), (SWAPPED, 1))).reasons == {}, "a tie has no reasoning to show"


def test_hard_targets_have_no_tie():
    def fates(share, targets):
        votes = Votes(task=Task.IMAGE_GENERATION, share=share, reasons={}, is_unanimous=False)
        return votes.fate(targets), None if votes.fate(targets) != "taught" else votes.taught_share(targets)

    assert [fates(share, Targets.soft) for share in (0.75, 0.5, None)] == [
        ("taught", 0.75), ("taught", 0.5), ("unreadable", None),
    ]  # fmt: skip
    assert [fates(share, Targets.hard) for share in (0.75, 0.25, 0.5)] == [
        ("taught", 1.0), ("taught", 0.0), ("undecided", None),
    ]  # fmt: skip


@pytest.fixture
def config(tmp_path, tiny_folder, records) -> TrainConfig:
    config = train_config()(
        recipe="test",
        stage="internalise",
        output_root=str(tmp_path),
        judge=JudgeConfig(min_pixels=32 * 32, max_pixels=48 * 48, num_frames=2),
        model=ModelConfig(base=str(tiny_folder)),
        trainer=TrainerConfig(accelerator="cpu", progress_bar=False),
        internalise=InternaliseConfig(judge_batch_size=5, num_samples=1, temperature=0.0),
    )
    with ShardWriter(config.data_dir("train")) as shards:
        for record in records:
            shards.write(record)
    return config


def engine_of(records, *, fail_after: int | None = None) -> ScriptedEngine:
    """Right in both orders, but of the third pair nothing can be read, and of the fourth the first shown is always the better one."""
    by_key, seen, asked = {record.key: record for record in records}, set(), []

    def answer(prompt, number):
        asked.append(prompt.key)
        if fail_after is not None and len(asked) > fail_after:
            raise KeyboardInterrupt
        record, is_swapped = by_key[prompt.key], prompt.key in seen
        seen.add(prompt.key)
        if record.key == "pair-002":
            return UNREADABLE
        if record.key == "pair-003":
            return judgement(record.task.noun, 1)
        return judgement(record.task.noun, 1 if (record.preference is Preference.FIRST) != is_swapped else 2)

    return ScriptedEngine(script=answer)


def _shown(side) -> object:
    """An answer, or the bytes of a picture, whatever its file is called."""
    return side if isinstance(side, str) else side.data


def run(config, policy, engine, *, console=None) -> None:
    preparation = Preparation(
        settings=config.internalise,
        seed=config.seed,
        dialect=Dialect(config.judge.dialect),
        is_anew=config.ckpt_path is None,
        initial_hash="m1",
        folder=config.stage_dir(),
        shards=config.data_dir,
        open_shards=lambda split: ShardFolder(config.data_place(split)),
        allow_noncommercial=False,
        is_given=lambda split: False,
        initial="judge",
        judge=config.judge,
        served_dtype="float32",
        open_policy=lambda: policy,
        make_trainer=partial(make_trainer, config.trainer, strategy=config.strategy),
        console=console or Console(quiet=True),
        has_progress_bar=False,
    )
    judge_unlabelled(preparation, engine=engine)


def test_unlabelled_pairs_become_votes_and_reasonings_without_labels(config, policy, records):
    console = Console(record=True, quiet=True, width=140)
    run(config, policy, engine_of(records), console=console)
    taught, reasoned = (ShardFolder(config.data_dir(split)) for split in ("internalised", "reasoned"))
    by_key = {record.key: record for record in taught}
    assert len(by_key) == 2 * 11, "the unreadable pair is left out"
    assert not [record for record in [*taught, *reasoned] if record.preference is not None]
    for record in records:
        given, swapped = by_key.get(f"{record.key}-g"), by_key.get(f"{record.key}-s")
        if record.key == "pair-002":
            assert given is swapped is None
            continue
        assert given is not None
        assert swapped is not None
        assert given.metadata[SHARE] + swapped.metadata[SHARE] == 1
        assert _shown(given.first) == _shown(swapped.second) == _shown(record.first)
        assert _shown(given.second) == _shown(swapped.first) == _shown(record.second)
        if record.key != "pair-003":
            assert given.metadata[SHARE] == float(record.preference is Preference.FIRST)
    assert by_key["pair-003-g"].metadata[SHARE] == 0.5
    assert by_key["pair-003-g"].completion is None
    assert len(reasoned) == 2 * 10, "the pair that depends on the order teaches no reasoning"
    assert all(SHARE not in record.metadata and "<think>" in (record.completion or "") for record in reasoned)
    counts = taught.metadata["counts"]
    assert counts["image_understanding"] == {"pairs": 3, "taught": 2, "unreadable": 1, "unanimous": 2}
    assert counts["video_understanding"] == {"pairs": 3, "taught": 3, "unanimous": 2}
    run(config, policy, engine_of(records, fail_after=0))  # nothing is asked again


def test_an_interrupted_run_asks_only_what_has_no_answer(config, policy, records):
    with pytest.raises(SystemExit):  # what Lightning makes of Ctrl-C
        run(config, policy, engine_of(records, fail_after=15))
    assert not (config.data_dir("internalised") / "manifest.json").exists()
    engine = engine_of(records)
    run(config, policy, engine)
    assert len(engine.prompts) == 24 - 10, "the first block of five pairs is in the journal"
    straight = ShardFolder(config.data_dir("internalised")).manifest_sha256
    config.output_root = f"{config.output_root}/again"
    with ShardWriter(config.data_dir("train")) as shards:
        for record in records:
            shards.write(record)
    run(config, policy, engine_of(records))
    assert ShardFolder(config.data_dir("internalised")).manifest_sha256 == straight


@pytest.mark.parametrize(
    "changes", [{"targets": Targets.hard}, {"max_completion_tokens": 99}, {"tasks": ["image_generation"]}]
)
def test_what_was_made_with_other_settings_is_not_taken(config, policy, records, changes):
    run(config, policy, engine_of(records))
    config.internalise = replace(config.internalise, **changes)
    with pytest.raises(ConfigError, match=r"was made by another judge or with other settings; .*ckpt_path=null"):
        run(config, policy, engine_of(records))
    config.ckpt_path = None
    run(config, policy, engine_of(records))
    counts = ShardFolder(config.data_dir("internalised")).metadata["counts"]
    if "targets" in changes:
        assert counts["video_understanding"] == {"pairs": 3, "taught": 2, "undecided": 1, "unanimous": 2}
    assert len(counts) == (1 if "tasks" in changes else 4)


def test_a_judge_that_can_read_nothing_is_one_line(config, policy, records):
    with pytest.raises(
        DataError, match=r"^of 12 unlabelled pairs none could be judged in both orders .*'unreadable': 12"
    ) as error:
        run(config, policy, ScriptedEngine(script=lambda prompt, number: UNREADABLE))
    assert "\n" not in str(error.value)


def test_a_judge_that_goes_by_the_order_has_no_reasoning_to_keep(config, policy):
    with pytest.raises(DataError, match="the same candidate in all votes of none"):
        run(
            config,
            policy,
            ScriptedEngine(script=lambda prompt, number: judgement(prompt.task.noun if prompt.task else "Image", 1)),
        )


def by_the_order(prompt, number):
    """The candidate that is shown first."""
    return judgement(prompt.task.noun if prompt.task else "Image", 1)


def test_without_replay_a_judge_that_goes_by_the_order_has_its_votes(config, policy, records):
    config.internalise = replace(config.internalise, replay=0.0)
    run(config, policy, ScriptedEngine(script=by_the_order))
    taught = list(ShardFolder(config.data_dir("internalised")))
    assert [record.metadata[SHARE] for record in taught] == [0.5] * 2 * len(records)


def test_hard_targets_of_ties_alone_are_one_line(config, policy):
    config.internalise = replace(config.internalise, targets=Targets.hard)
    with pytest.raises(
        DataError, match=r"^of 12 unlabelled pairs the votes name a winner in none .*'undecided': 12"
    ) as error:
        run(config, policy, ScriptedEngine(script=by_the_order))
    assert str(error.value).endswith("start from a better judge, or take internalise.targets=soft")


def test_pairs_whose_long_keys_differ_at_their_end_stay_apart(config, policy, records):
    """Keys have at most 64 characters, of which the order takes two."""
    long = [replace(record, key=f"{'k' * 61}{number:03d}") for number, record in enumerate(records)]
    with ShardWriter(config.data_dir("train"), overwrite=True) as shards:
        for record in long:
            shards.write(record)
    run(config, policy, engine_of(long))
    taught = [record.key for record in ShardFolder(config.data_dir("internalised"))]
    assert len(set(taught)) == len(taught) == 2 * len(records)


def test_a_judge_that_answers_at_once_has_nothing_to_internalise(config, policy, records):
    config.judge = replace(config.judge, dialect="direct")
    with pytest.raises(ConfigError, match=r"^judge\.dialect is direct: this judge answers at once already"):
        run(config, policy, engine_of(records))
