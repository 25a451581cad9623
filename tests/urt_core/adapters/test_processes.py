"""Four and eight processes of each trainer, with the samples that its own sampler gives each of them: the win rates of one
process."""

import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from urt_core import Dialect, Scorer
from urt_core.adapters.processes import GroupNames
from urt_core.server import ServerSettings
from urt_core.server.running import listening_server

WORLD = 4
RUNS = itertools.count(1)


@pytest.fixture(scope="module")
def served(judging_engine):
    """The real server in a thread."""
    scorer = Scorer(engine=judging_engine, dialect=Dialect.DIRECT, allow_paths=False)
    server, listener = listening_server(scorer, ServerSettings(port=0, group_timeout_s=20, contract="final_score"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


def run_processes(trainer, calls, **asked) -> list[Any]:
    """The rewards [process][step][sample] of `calls`, as deep and as long; None for a process that died."""
    script = Path(__file__).with_name("process_of_a_trainer.py")
    processes, number = [], next(RUNS)
    for rank, own in enumerate(calls):
        environment = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": len(calls),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": number,  # told apart by it; nobody listens there
        }
        process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {name: str(value) for name, value in environment.items()},
        )
        processes.append((process, json.dumps({"trainer": trainer, "calls": own} | asked)))
    answers = [""] * len(calls)

    def talk(rank):
        process, text = processes[rank]
        answers[rank] = process.communicate(text)[0]

    threads = [threading.Thread(target=talk, args=[rank]) for rank in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [
        json.loads(answer) if process.returncode == 0 else None
        for answer, (process, _) in zip(answers, processes, strict=True)
    ]


def rates(samples):
    """What one process with all samples [(prompt, size), ...] of a step gets: the share of its prompt's others that
    each is larger than."""
    of_prompt = {}
    for prompt, size in samples:
        of_prompt.setdefault(prompt, []).append(size)
    return {
        (prompt, size): sum(size > other for other in of_prompt[prompt]) / (len(of_prompt[prompt]) - 1)
        for prompt, size in samples
    }


def check(calls, answers):
    for step in range(len(calls[0])):
        expected = rates([sample for own in calls for sample in own[step]])
        for own, answer in zip(calls, answers, strict=True):
            assert answer[step] == pytest.approx([expected[tuple(sample)] for sample in own[step]], abs=1e-9)


# How each trainer deals its samples out; every sample of a step has a size of its own, so that the right rates are
# known.


def flow_grpo_sampler(*, batch, k, steps, seed=0, world=WORLD):
    """Each step draws processes * batch / k prompts, repeats each k times, shuffles all of them, and gives each process
    its slice."""
    calls = [[] for _ in range(world)]
    for step in range(steps):
        shared = random.Random(seed + step)
        prompts = shared.sample(range(100), world * batch // k)
        drawn = [prompt for prompt in prompts for _ in range(k)]
        shared.shuffle(drawn)
        sizes = shared.sample(range(1, 240), len(drawn))
        for rank in range(world):
            part = slice(rank * batch, (rank + 1) * batch)
            calls[rank].append(
                [(f"prompt {prompt}", size) for prompt, size in zip(drawn[part], sizes[part], strict=True)]
            )
    return calls


def trl_sampler(*, per_device, num_generations, steps, world=WORLD):
    """TRL's own sampler, sharded over processes by accelerate's own class."""
    from accelerate.data_loader import BatchSamplerShard
    from torch.utils.data import BatchSampler
    from trl.trainer.utils import RepeatSampler

    data = list(range(steps * world * per_device // num_generations))
    sizes = list(range(1, 500))
    random.Random(0).shuffle(sizes)
    dealt = []
    for rank in range(world):
        sampler = RepeatSampler(data, num_generations, batch_size=world * per_device // num_generations, seed=1)
        shard = BatchSamplerShard(BatchSampler(sampler, per_device, drop_last=False), world, rank)
        dealt.append(list(shard))
    return [[[(f"prompt {prompt}", sizes.pop()) for prompt in batch] for batch in own] for own in dealt]


def verl_sampler(*, prompts, n, steps, world=WORLD):
    """Each prompt n times in a row, cut into one part for each worker."""
    calls = [[] for _ in range(world)]
    for step in range(steps):
        shared = random.Random(step)
        drawn = [f"prompt {step}-{prompt}" for prompt in range(prompts) for _ in range(n)]
        samples = list(zip(drawn, shared.sample(range(1, 240), len(drawn)), strict=True))
        length = len(samples) // world
        for rank in range(world):
            calls[rank].append(samples[rank * length : (rank + 1) * length])
    return calls


def whole_groups(*, groups, n, world=WORLD):
    """Each process holds groups of its own."""
    shared = random.Random(0)
    return [
        [[(f"prompt {rank}-{group}", size) for size in shared.sample(range(1, 240), n)] for group in range(groups)]
        for rank in range(world)
    ]


SLOW = pytest.mark.slow  # processes that start take their time


# Four processes and eight: each sampler on either number at least once.
@pytest.mark.parametrize(
    ("batch", "k", "world"), [(9, 12, 4), pytest.param(4, 8, 4, marks=SLOW), pytest.param(9, 24, 8, marks=SLOW)]
)
def test_flow_grpo(served, batch, k, world):
    calls = flow_grpo_sampler(batch=batch, k=k, steps=2, world=world)
    assert any(len({prompt for prompt, _ in call}) > 1 for own in calls for call in own)
    check(calls, run_processes("flow_grpo", calls, url=served, group_size=k))


@SLOW
def test_flow_grpo_with_a_judge_in_each_process(tmp_path):
    calls = flow_grpo_sampler(batch=9, k=12, steps=3)
    answers = run_processes("flow_grpo_gathered", calls, meeting=f"file://{tmp_path}/meeting")
    check(calls, [answer[:-1] for answer in answers])
    assert sum(answer[-1][0] for answer in answers) == 3 * 3 * 12 * 11


@SLOW
@pytest.mark.parametrize(("trainer", "world"), [("verl", 4), ("verl_omni", 8)])
def test_verl_and_verl_omni(served, trainer, world):
    calls = verl_sampler(prompts=3, n=8, steps=2, world=world)
    assert {len({sample[0] for own in calls for sample in own[0]})} == {3}
    check(calls, run_processes(trainer, calls, url=served, group_size=8))


@SLOW
@pytest.mark.parametrize(("trainer", "world"), [("flow_factory", 4), ("nemo_gym", 8)])
def test_trainers_whose_calls_hold_whole_groups(served, trainer, world):
    calls = whole_groups(groups=2, n=5, world=world)
    check(calls, run_processes(trainer, calls, url=served))


@SLOW
def test_unirl(served):
    """Scores need no company: a sample gets the same one from whichever process."""
    calls = flow_grpo_sampler(batch=6, k=12, steps=2)
    answers = run_processes("unirl", calls, url=served)
    for own, answer in zip(calls, answers, strict=True):
        for call, scores in zip(own, answer, strict=True):
            assert scores == pytest.approx([shade / 255 for _, shade in call], abs=1e-9)


@SLOW
@pytest.mark.parametrize(("per_device", "num_generations", "world"), [(4, 8, 8), (1, 4, 4), (6, 8, 4)])
def test_trl(per_device, num_generations, world, tmp_path):
    calls = trl_sampler(per_device=per_device, num_generations=num_generations, steps=2, world=world)
    answers = run_processes("trl", calls, group_size=num_generations, meeting=f"file://{tmp_path}/meeting")
    check(calls, [answer[:-1] for answer in answers])
    # The judging is shared out: together as many questions as one process would have asked.
    num_groups = 2 * world * per_device // num_generations
    assert sum(answer[-1][0] for answer in answers) == num_groups * num_generations * (num_generations - 1)


@SLOW
def test_a_process_that_dies_stops_nobody(served):
    calls = flow_grpo_sampler(batch=4, k=8, steps=1)
    began = time.monotonic()
    answers = run_processes("flow_grpo", calls, url=served, group_size=8, dies=True)
    assert answers[3] is None
    missed = {prompt for prompt, _ in calls[3][0]}
    for own, answer in zip(calls[:3], answers[:3], strict=True):
        for (prompt, _), reward in zip(own[0], answer[0], strict=True):
            assert (reward != reward) == (prompt in missed)  # NaN: its group never filled
    assert time.monotonic() - began < 60


def test_names_of_groups_are_the_same_on_every_process_and_new_in_every_call(monkeypatch):
    one, other = GroupNames(), GroupNames()
    first = one.of_call(["a", "b", "a"])
    assert first == other.of_call(["a", "b", "a"])
    assert (first[0] == first[2], first[0] == first[1]) == (True, False)
    assert not set(first) & set(one.of_call(["a", "b"]))
    monkeypatch.setenv("MASTER_PORT", "12345")
    assert not set(first) & set(GroupNames().of_call(["a", "b"]))
