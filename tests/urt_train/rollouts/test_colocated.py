"""vLLM beside the trainer: what is done at each hand-over and in which order (here with a stand-in), and a real run on
the embedded base."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from urt_core import SamplingParams, Task, render
from urt_core.errors import ConfigError
from urt_data import ShardWriter
from urt_data.sprites import Split, pairs
from urt_train.errors import ParityError
from urt_train.model.policy import Policy
from urt_train.rollouts.colocated import ColocatedVLLM
from urt_train.runtime.callbacks import read_rows
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.grpo.module import GRPO

REPOSITORY = Path(__file__).parents[3]
NUM_STEPS = 20
needs_vllm = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vllm (make test installs it)")


class Options:
    """In the place of vLLM: notes what it is started with."""

    def __init__(self, policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
        self.policy, self.given = policy, {}

        def from_pretrained(folder, **given):
            self.given = given
            return StandIn(policy)

        monkeypatch.setattr("urt_train.rollouts.colocated.InStep.from_pretrained", from_pretrained)


def test_neighbours_share_an_engine_and_what_it_samples(policy, tiny_folder, spec, records, monkeypatch):
    """This process as the fourth of four, in pairs; the third asks about one prompt more than it."""
    groups: list[list[int]] = []
    prompts = [render(record, spec.dialect) for record in records[:3]]
    theirs, own = prompts[:2], prompts[2:]
    sampling = SamplingParams(temperature=1.0, max_tokens=4, num_completions=2, seed=11, logprobs=True)

    def gathered(shares, share, *, group):
        assert group == groups[1]
        shares[:] = [(theirs if share[0] else [], 7), share]

    def new_group(ranks, *, backend):
        groups.append(ranks)
        return ranks

    monkeypatch.setattr("urt_train.rollouts.colocated.world", lambda: (3, 4))
    monkeypatch.setattr("urt_train.rollouts.colocated.distributed.new_group", new_group)
    monkeypatch.setattr("urt_train.rollouts.colocated.distributed.all_gather_object", gathered)
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "3")
    options = Options(Policy.from_pretrained(tiny_folder, spec=spec), monkeypatch)
    engine = ColocatedVLLM.of(
        "folder", policy, max_tokens=640, max_sequences=16, cache_gib=1.0, parity_limit=1.02, tensor_parallel=2
    )
    engine.wake(policy)
    assert groups == [[0, 1], [2, 3]], "as vLLM's external launcher takes neighbouring ranks for a group"
    wanted = {"tensor_parallel_size": 2, "distributed_executor_backend": "external_launcher", "max_num_seqs": 32}
    assert options.given | wanted == options.given
    found = engine.generate(own, sampling)
    together = policy.engine().generate(prompts, replace(sampling, seed=7))
    assert [[answer.token_ids for answer in group] for group in found] == [
        [answer.token_ids for answer in group] for group in together[2:]
    ]
    assert engine.generate([], sampling) == []


def test_one_device_has_an_engine_of_its_own(policy, tiny_folder, spec, monkeypatch):
    options = Options(Policy.from_pretrained(tiny_folder, spec=spec), monkeypatch)
    ColocatedVLLM.of(
        "folder", policy, max_tokens=640, max_sequences=16, cache_gib=1.0, parity_limit=1.02
    ).wake(policy)  # fmt: skip
    assert "tensor_parallel_size" not in options.given


def test_processes_that_do_not_divide_are_named(policy, monkeypatch):
    monkeypatch.setattr("urt_train.rollouts.colocated.world", lambda: (0, 3))
    engine = ColocatedVLLM.of(
        "folder", policy, max_tokens=640, max_sequences=16, cache_gib=1.0, parity_limit=1.02, tensor_parallel=2
    )
    with pytest.raises(ConfigError, match=r"grpo\.vllm_tensor_parallel is 2; allowed: a divisor of the 3 processes"):
        engine.wake(policy)


class StandIn:
    """Has vLLM's interface and notes its calls; samples with a policy of its own, which takes weights as vLLM does or
    loses them."""

    model = "stand-in"

    def __init__(self, policy: Policy, *, loses_weights: bool = False) -> None:
        self.policy, self.loses_weights = policy, loses_weights
        self.calls: list[str] = []
        self.llm = self
        self.llm_engine = SimpleNamespace(reset_encoder_cache=lambda: self.calls.append("reset_encoder_cache"))

    def collective_rpc(self, method, kwargs) -> None:
        self.calls.append(method)
        weights = dict(kwargs["weights_iterator"])
        if not self.loses_weights:
            self.policy.model.load_state_dict(weights)

    def reset_prefix_cache(self) -> None:
        self.calls.append("reset_prefix_cache")

    def wake_up(self) -> None:
        self.calls.append("wake_up")

    def sleep(self, *, level: int) -> None:
        self.calls.append(f"sleep {level}")

    def generate(self, prompts, sampling: SamplingParams):
        self.calls.append(f"generate {len(prompts)} x {sampling.num_completions}")
        return self.policy.engine().generate(prompts, sampling)


@pytest.fixture
def others(tiny_folder, spec):
    """The policy after some steps, and the weights that vLLM still has."""
    policy, stale = (Policy.from_pretrained(tiny_folder, spec=spec) for _ in range(2))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.1)
    return policy, stale


def beside(engine: StandIn, *, can_sleep: bool = False) -> ColocatedVLLM:
    return ColocatedVLLM(lambda: engine, model="stand-in", can_sleep=can_sleep, parity_limit=1.02)


def test_a_rollout_wakes_hands_over_forgets_checks_samples_and_sleeps(others, records):
    policy, stale = others
    engine = StandIn(stale)
    colocated = beside(engine, can_sleep=True)
    config = GRPOConfig(
        prompts_per_rollout=2, group_size=4, micro_batch_size=4, max_completion_tokens=6, parity_every=1
    )
    plan = config.plan(num_ranks=1)
    module = GRPO(policy, config, engine=colocated, reference=None, plan=plan, num_steps=1, seed=0)
    module.make_round(lambda: records[:2], 0)
    assert engine.calls[0] == "reload_weights", "an engine that has just started is awake"
    engine.calls.clear()
    module.make_round(lambda: records[:2], 1)
    assert engine.calls == [
        "wake_up",
        "reload_weights",
        "reset_encoder_cache",
        "reset_prefix_cache",
        "generate 1 x 1",
        "generate 2 x 4",
        "sleep 1",
    ]
    assert module.sums["parity"] == pytest.approx(2 * 1.0, abs=1e-4)
    assert module.sums["time/hand_over"] > 0


def test_without_cuda_nothing_sleeps(others):
    policy, stale = others
    engine = StandIn(stale)
    colocated = beside(engine)
    for _ in range(2):
        colocated.wake(policy)
        colocated.sleep()
    assert not {"wake_up", "sleep 1"} & set(engine.calls)


def test_weights_that_get_lost_are_found_out_before_anything_is_sampled(others):
    policy, stale = others
    engine = StandIn(stale, loses_weights=True)
    colocated = beside(engine)
    with pytest.raises(ParityError, match=r"vLLM and the policy disagree on a fixed prompt: mean exp\|difference\|"):
        colocated.wake(policy)


def test_groups_come_back_in_the_order_of_the_prompts(others, records):
    policy, stale = others
    colocated = beside(StandIn(stale))
    colocated.wake(policy)
    prompts = [render(record, policy.spec.dialect) for record in records[:3]]
    sampling = SamplingParams(temperature=1.0, max_tokens=4, seed=1, num_completions=2)
    assert colocated.generate(prompts, sampling) == policy.engine().generate(prompts, sampling)


@pytest.mark.slow
@needs_vllm
def test_twenty_steps_with_vllm_stay_in_parity_and_earn_more(tmp_path):
    """Short answers are rewarded, which the embedded base learns in a few steps; after each step vLLM has the new
    weights."""
    with ShardWriter(tmp_path / "hard") as shards:
        for record in pairs(Task.IMAGE_GENERATION, 16, split=Split.TRAIN, seed=0):
            shards.write(record)
    rows = trained(
        tmp_path,
        [sys.executable, "-W", "ignore", "apps/train.py"],
        [f"grpo.max_steps={NUM_STEPS}", "grpo.prompts_per_rollout=4"],
    )
    assert [row["step"] for row in rows] == list(range(1, NUM_STEPS + 1))
    worst = max(row["parity"] for row in rows)
    assert worst < 1.02, f"after every hand-over; the worst is {worst}"
    first, last = ([row["reward"] for row in part] for part in (rows[:3], rows[-3:]))
    assert sum(last) / 3 > sum(first) / 3 + 0.05


@pytest.mark.slow
@needs_vllm
def test_each_of_two_processes_has_an_engine_of_its_own_and_sharded_weights_reach_both(tmp_path):
    with ShardWriter(tmp_path / "hard") as shards:
        for record in pairs(Task.IMAGE_GENERATION, 8, split=Split.TRAIN, seed=0):
            shards.write(record)
    rows = trained(
        tmp_path,
        [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--nproc-per-node", "2", "apps/train.py"],
        ["grpo.max_steps=3", "grpo.prompts_per_rollout=8", "strategy=fsdp2", "trainer.accelerator=cpu"],
    )
    assert len(rows) == 3
    assert max(row["parity"] for row in rows) < 1.02, "the mean of both processes"
    assert all(row["grad_norm"] > 0 for row in rows), "weights changed between the hand-overs"


def trained(folder: Path, program: list[str], settings: list[str]) -> list[dict[str, Any]]:
    """The metrics of a short GRPO run with engine=vllm."""
    with_vllm = ["stage=grpo", "engine=vllm", "logger=[]", f"output_root={folder}", f"data.hard={folder / 'hard'}"]
    short = ["grpo.initial=embedded:tiny", "trainer.num_threads=1", "grpo.epochs=100", "grpo.group_size=4"]
    batches = ["grpo.micro_batch_size=16", "grpo.generation_batch_size=4", "grpo.max_completion_tokens=64"]
    # At temperature 1 the answers of the base hardly differ in length, which is what earns.
    learning = ["grpo.overlong_share=1.0", "grpo.temperature=1.5", "grpo.learning_rate=1e-3", "grpo.schedule=constant"]
    run = subprocess.run(
        [
            *program,
            *with_vllm,
            *short,
            *batches,
            *learning,
            "grpo.warmup_ratio=0",
            "grpo.vllm_cache_gib=0.5",
            *settings,
        ],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return read_rows(folder / "tiny" / "grpo" / "metrics.csv")
