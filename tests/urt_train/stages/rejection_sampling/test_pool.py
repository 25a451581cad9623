"""The pool is judged once, goes on after a kill, and its shards say what they were made of."""

from dataclasses import replace
from functools import partial

import pytest
from rich.console import Console

from urt_core import Completion, Preference
from urt_core.engines.scripted import ScriptedEngine
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply
from urt_core.errors import ConfigError
from urt_data import ShardFolder, ShardWriter
from urt_train.config import JudgeConfig, ModelConfig, TrainConfig, TrainerConfig
from urt_train.runtime.machine import make_trainer
from urt_train.stages import Preparation, train_config
from urt_train.stages.rejection_sampling.config import RejectionSamplingConfig
from urt_train.stages.rejection_sampling.pool import judge_pool, judging_table


@pytest.fixture
def config(tmp_path, tiny_folder, records) -> TrainConfig:
    config = train_config()(
        recipe="test",
        stage="rejection_sampling",
        output_root=str(tmp_path),
        judge=JudgeConfig(min_pixels=32 * 32, max_pixels=48 * 48, num_frames=2),
        model=ModelConfig(base=str(tiny_folder)),
        trainer=TrainerConfig(accelerator="cpu", progress_bar=False),
        rejection_sampling=RejectionSamplingConfig(judge_batch_size=5, num_samples=2),
    )
    with ShardWriter(config.data_dir("train")) as shards:
        for record in records:
            shards.write(record)
    return config


def scripted(records, *, fail_after: int | None = None) -> ScriptedEngine:
    """Right at the first try, wrong at the second; with `fail_after` it dies on the way."""
    by_key = {record.key: record for record in records}
    asked = []

    def answer(prompt, number):
        asked.append(prompt.key)
        if fail_after is not None and len(asked) > fail_after:
            raise KeyboardInterrupt
        record = by_key[prompt.key]
        label = 1 if record.preference is Preference.FIRST else 2
        noun, winner = record.task.noun, label if number == 0 else 3 - label
        scores = (9, 5) if winner == 1 else (5, 9)
        text = (
            f"<think>\n1. Quality: {noun} 1 ({scores[0]}/10) - a; {noun} 2 ({scores[1]}/10) - b\n</think>\n"
            f"<answer>{noun} {winner} is better</answer>"
        )
        return Completion(text=text)

    return ScriptedEngine(script=answer)


def judge(config, policy, engine, *, model_hash="m1", console=None) -> None:
    preparation = Preparation(
        settings=config.rejection_sampling,
        seed=config.seed,
        dialect=policy.spec.dialect,
        is_anew=config.ckpt_path is None,
        initial_hash=model_hash,
        folder=config.stage_dir(),
        shards=config.data_dir,
        open_shards=lambda split: ShardFolder(config.data_dir(split)),
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
    judge_pool(preparation, engine=engine)


def test_the_pool_becomes_two_shards(config, policy, records):
    console = Console(record=True, quiet=True, width=120)
    judge(config, policy, scripted(records), console=console)
    accepted, hard = ShardFolder(config.data_dir("accepted")), ShardFolder(config.data_dir("hard"))
    assert len(accepted) == len(hard) == 12
    assert all("is better</answer>" in (record.completion or "") for record in accepted)
    assert accepted.metadata["counts"]["image_generation"] == {
        "pairs": 3, "judgements": 6, "right": 3, "unreadable": 0, "accepted": 3, "hard": 3, "contrasts": 3, "bad_media": 0,
    }  # fmt: skip


def test_ties_and_unlabelled_pairs_are_counted_and_never_asked_about(config, policy, records):
    labels = {0: Preference.TIE, 4: None, 5: Preference.TIE}
    with ShardWriter(config.data_dir("train"), overwrite=True) as shards:
        for number, record in enumerate(records):
            shards.write(replace(record, preference=labels.get(number, record.preference)))
    console, engine = Console(record=True, quiet=True, width=160), scripted(records)
    judge(config, policy, engine, console=console)
    assert {prompt.key for prompt in engine.prompts} == {record.key for record in records} - {
        *("pair-000", "pair-004", "pair-005")
    }
    accepted, hard = ShardFolder(config.data_dir("accepted")), ShardFolder(config.data_dir("hard"))
    assert len(accepted) == len(hard) == 9
    assert all(record.preference in (Preference.FIRST, Preference.SECOND) for record in [*accepted, *hard])
    left_out = {"image_generation": {"label is a tie": 1, "no label": 1}, "video_generation": {"label is a tie": 1}}
    assert accepted.metadata["left_out"] == hard.metadata["left_out"] == left_out
    assert accepted.metadata["counts"]["image_generation"]["pairs"] == 1
    judge(config, policy, scripted(records, fail_after=0))


def test_pairs_with_a_trace_are_not_judged_where_the_split_is_the_teachers(config, policy, records):
    made_from = ShardFolder(config.data_dir("train")).manifest_sha256
    with ShardWriter(config.data_dir("cold_start"), metadata={"made_from": made_from}) as shards:
        for record in records[:4]:
            shards.write(record)
    engine = scripted(records)
    judge(config, policy, engine)
    assert {prompt.key for prompt in engine.prompts} == {record.key for record in records[4:]}
    assert ShardFolder(config.data_dir("hard")).metadata["left_out"]["video_generation"] == {"has a trace": 1}


def test_the_pool_of_its_own_is_judged(config, policy, records, tmp_path):
    with ShardWriter(tmp_path / "pool") as shards:
        for record in records[6:]:
            shards.write(record)
    config.data.pool = str(tmp_path / "pool")
    judge(config, policy, scripted(records))
    assert {record.key for record in ShardFolder(config.data_dir("hard"))} == {record.key for record in records[6:]}


def test_the_table_shows_what_was_left_out_and_why():
    counts = {"image_generation": {"pairs": 2, "judgements": 4, "right": 3, "unreadable": 0, "accepted": 2, "hard": 1}}
    counts["image_generation"]["contrasts"] = 1
    left_out = {"image_generation": {"no label": 7}, "video_generation": {"label is a tie": 5}}
    table = judging_table(counts, left_out)
    assert table.columns[-3:] == ("contrasts", "left out: label is a tie", "left out: no label")
    assert table.rows == (
        ("Image generation", "2", "4", "3", "0", "2", "1", "1", "0", "7"),
        ("Video generation", "0", "0", "0", "0", "0", "0", "0", "5", "0"),
    )
    assert judging_table(counts, {}).columns[-1] == "contrasts"
    counts["image_generation"]["bad_media"] = 3
    assert judging_table(counts, {}).columns[-1] == "bad media"


def test_a_judged_pool_is_not_judged_again(config, policy, records):
    judge(config, policy, scripted(records))
    judge(config, policy, scripted(records, fail_after=0))
    with pytest.raises(ConfigError, match="was made by another model or with other settings"):
        judge(config, policy, scripted(records), model_hash="m2")
    config.ckpt_path = None
    judge(config, policy, scripted(records), model_hash="m2")


@pytest.mark.parametrize("split", ["accepted", "hard", "contrasts"])
@pytest.mark.parametrize("ckpt_path", ["auto", None])
def test_pairs_of_the_users_are_never_written_over(config, policy, records, tmp_path, split, ckpt_path):
    with ShardWriter(tmp_path / "mine") as shards:
        for record in records:
            shards.write(record)
    before = {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    setattr(config.data, split, str(tmp_path / "mine"))
    config.ckpt_path = ckpt_path
    with pytest.raises(
        ConfigError, match=rf"data\.{split} is \S+/mine, whose pairs .* would replace: leave data\.{split} out"
    ):
        judge(config, policy, scripted(records, fail_after=0))
    assert {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()} == before


def test_killed_judging_goes_on(config, policy, records, tmp_path):
    """Killed in the second batch of five pairs: the first batch is kept, the rest judged."""
    with pytest.raises(SystemExit):
        judge(config, policy, scripted(records, fail_after=13))
    assert not config.data_dir("accepted").exists()
    engine = scripted(records)
    judge(config, policy, engine)
    assert len(engine.prompts) == 7
    assert len(ShardFolder(config.data_dir("accepted"))) == 12


def test_tasks_and_size_of_the_pool(config, policy, records):
    stage = replace(config.rejection_sampling, tasks=["video_generation", "image_understanding"], pool_per_task=2)
    judge(replace(config, rejection_sampling=stage), policy, scripted(records))
    accepted = ShardFolder(config.data_dir("accepted"))
    assert sorted(str(record.task) for record in accepted) == ["image_understanding"] * 2 + ["video_generation"] * 2


def test_an_endpoint_judges_the_pool_and_the_policy_is_not_opened(config, policy, records, monkeypatch):
    """What can't be judged is counted as unreadable; what another engine judged is another pool."""
    first = (
        "<think>\n1. Quality: {noun} 1 (9/10) - a; {noun} 2 (5/10) - b\n</think>\n<answer>{noun} 1 is better</answer>"
    )

    def serve(request):
        words = str(request.json["messages"])
        assert request.json["model"] == "judge"
        noun = next(noun for noun in ("Answer", "Video", "Image") if f"{noun} 1" in words)
        return chat_reply(*[first.format(noun=noun), "no idea"][: request.json.get("n", 1)])

    with ScriptedEndpoint(script=serve) as endpoint:
        config.rejection_sampling = RejectionSamplingConfig(
            engine="openai", base_url=endpoint.base_url, num_samples=2, concurrency=4
        )
        monkeypatch.setattr(policy, "engine", None)
        judge(config, policy, None)
        judge(config, policy, None)
        assert endpoint.num_requests == len(records)
    accepted = ShardFolder(config.data_dir("accepted"))
    counts = list(accepted.metadata["counts"].values())
    assert sum(of_task["unreadable"] for of_task in counts) == sum(of_task["pairs"] for of_task in counts) == 12
    config.rejection_sampling = RejectionSamplingConfig(num_samples=2)
    with pytest.raises(ConfigError, match="was made by another model or with other settings"):
        judge(config, policy, scripted(records))
