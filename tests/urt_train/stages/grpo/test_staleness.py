"""With grpo.staleness=1 servers sample the next rollout while the policy learns: of which weights, with what weight in the
loss, and what a run that goes on draws."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace

import pytest
import torch

from tests.urt_train.fake_vllm import CHAT, FakeVLLM
from urt_core.engines.scripted_endpoint import Reply, Request, ScriptedEndpoint
from urt_core.errors import ConfigError
from urt_data import ShardWriter
from urt_train.config import DataConfig, JudgeConfig, ModelConfig, RolloutEngine, TrainerConfig
from urt_train.errors import StaleError
from urt_train.experiment.run import run_stage
from urt_train.model.policy import Policy
from urt_train.rollouts.hand_over import EngineBeside
from urt_train.rollouts.rollout import Begun
from urt_train.runtime.callbacks import read_rows
from urt_train.stages import train_config
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.grpo.engine import open_served
from urt_train.stages.grpo.module import GRPO

WAIT_S = 120.0


@pytest.fixture
def fake(tiny_folder, spec) -> FakeVLLM:
    return FakeVLLM(Policy.from_pretrained(tiny_folder, spec=spec))


@pytest.fixture
def config(fake) -> Iterator[GRPOConfig]:
    with ScriptedEndpoint(script=fake) as endpoint:
        yield GRPOConfig(
            engine=RolloutEngine.vllm_server,
            vllm_servers=[endpoint.base_url.removesuffix("/v1")],
            staleness=1,
            importance_cap=2.0,
            kl_coef=0.0,
            prompts_per_rollout=2,
            group_size=2,
            micro_batch_size=4,
            max_completion_tokens=6,
            max_prompt_tokens=1000,
        )


@pytest.fixture
def module(policy, config, tmp_path) -> GRPO:
    return module_of(policy, config, tmp_path, num_steps=4)


def module_of(policy, config, tmp_path, *, num_steps: int) -> GRPO:
    engine = open_served(config, policy, folder=tmp_path / "weights")
    plan = config.plan(num_ranks=1)
    module = GRPO(policy, config, engine=engine, reference=None, plan=plan, num_steps=num_steps, seed=0)
    # A random model earns nothing, and what earns nothing is not computed.
    module.advantages = lambda rewards: torch.tensor([[1.0, -1.0]] * len(rewards.values))
    return module


def test_the_next_rollout_is_sampled_with_the_weights_of_before_and_weighed(
    module, policy, fake, records, tiny_folder, spec
):
    may_answer, is_asked = threading.Event(), threading.Event()
    first = module.make_round(lambda: records[:2], 0)

    def waits(path: str, request: Request) -> Reply | None:
        if path == CHAT and request.json["n"] == 2:
            is_asked.set()
            assert may_answer.wait(WAIT_S)
        return None

    assert module.begun.weights_of == 0
    module.begun.groups.result(WAIT_S)
    fake.fault = waits
    module.make_round(lambda: records[2:4], 1)
    assert is_asked.wait(WAIT_S), "the server samples rollout 2 while rollout 1 is learned from"
    assert not module.begun.groups.done()
    with torch.no_grad():  # it learns
        for parameter in policy.parameters():
            parameter.mul_(1.05)
    may_answer.set()
    [batch] = module.make_round(lambda: records[4:6], 2)
    old = Policy.from_pretrained(tiny_folder, spec=spec, batching=policy.batching)
    mask = batch.completion_mask
    with torch.no_grad():
        before, now = (each.token_logprobs(batch).logprobs[mask] for each in (old, policy))
    torch.testing.assert_close(batch.rollout_logprobs[mask], before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(batch.old_logprobs[mask], now, rtol=1e-4, atol=1e-4)
    assert (before - now).abs().max() > 1e-2, "the weights of both differ"
    assert module.sums["age"] == 0 + 1 + 1
    assert module.sums["parity"] == pytest.approx(1.0, abs=1e-4), "of the first rollout alone, which is of one age"
    torch.testing.assert_close(first[0].rollout_logprobs, first[0].old_logprobs, rtol=1e-4, atol=1e-4)


def test_weights_are_handed_over_once_a_rollout_and_nothing_is_begun_behind_the_last(module, fake, records):
    fake.calls.clear()
    for number in range(4):
        module.make_round(lambda: records[:2], number)
    assert fake.calls.count("/collective_rpc") == 3, "in front of rollouts 0 and 1, then 2, then 3"
    assert module.begun is None
    phases = [(span.phase, span.rollout) for span in module.timeline.spans]
    assert sorted(phases) == sorted(
        [("sampling", number) for number in range(4)]
        + [("hand-over", number) for number in range(3)]
        + [("learning", number) for number in range(3)]
    )


def test_a_rollout_that_is_too_old_stops_the_run(module, records):
    assert isinstance(module.engine, EngineBeside)
    groups: Future = Future()
    groups.set_result([])
    module.begun = Begun(asked=module.ask(records[:2], seed=0), groups=groups, weights_of=1)
    with pytest.raises(StaleError, match=r"rollout 3 was sampled 2 rollouts ago; allowed is grpo\.staleness \(1\)"):
        module.make_round(lambda: records[:2], 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine": RolloutEngine.transformers}, r"grpo\.staleness is 1; allowed: 0, or with engine=vllm_server"),
        ({"engine": RolloutEngine.vllm}, r"grpo\.staleness is 1; allowed: 0, or with engine=vllm_server"),
        ({"importance_cap": None}, r"grpo\.staleness is 1; .* grpo\.importance_cap set"),
        ({"staleness": 2}, r"grpo\.staleness is 2; allowed: 0 to 1"),
        ({"resample_rounds": 1}, r"grpo\.staleness is 1; allowed: 0 with grpo\.resample_rounds"),
    ],
)
def test_settings_that_can_not_be_are_named(config, changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(config, **changes)


def test_a_run_that_goes_on_draws_again_what_was_begun(config, records, spec, tiny_folder, tmp_path):
    with ShardWriter(tmp_path / "hard") as shards:
        for record in records:
            shards.write(record)

    def run(name: str, steps: int, *, staleness: int = 1):
        settings = replace(
            config, initial=str(tiny_folder), max_steps=steps, save_every=1, staleness=staleness, learning_rate=1e-3
        )
        config_of_run = train_config()(
            recipe=name,
            stage="grpo",
            output_root=str(tmp_path / "out"),
            judge=JudgeConfig(min_pixels=spec.min_pixels, max_pixels=spec.max_pixels, num_frames=spec.num_frames),
            model=ModelConfig(base=str(tiny_folder)),
            data=DataConfig(hard=str(tmp_path / "hard")),
            trainer=TrainerConfig(accelerator="cpu", progress_bar=False),
            grpo=settings,
            go_on_with=["grpo.max_steps"],
        )
        run_stage(config_of_run)
        return config_of_run.stage_dir()

    def keys(folder):
        lines = [json.loads(line) for line in (folder / "rollouts.jsonl").read_text().splitlines()]
        return {line["step"]: line["key"] for line in lines}

    straight = run("straight", 4, staleness=0)
    ahead = run("ahead", 4)
    run("stopped", 2)
    resumed = run("stopped", 4)
    assert keys(straight) == keys(ahead) == keys(resumed)
    assert [row["age"] for row in read_rows(ahead / "metrics.csv")] == [0, 1, 1, 1]
    assert [row["age"] for row in read_rows(resumed / "metrics.csv")] == [0, 1, 0, 1]
    assert "age" not in read_rows(straight / "metrics.csv")[0]
    for folder, is_ahead in ((straight, False), (ahead, True)):
        lines = [json.loads(line) for line in (folder / "timeline.jsonl").read_text().splitlines()]
        spans = {(line["phase"], line["step"]): (line["start"], line["end"]) for line in lines}
        assert {step for _, step in spans} == {1, 2, 3, 4}
        for step in (2, 3, 4):
            began, learned = spans["sampling", step][0], spans["learning", step - 1][1]
            assert (began < learned) == is_ahead
