"""Kill tiny runs with SIGKILL at random moments and inside of saves, resume each, and compare with the straight run, bit for bit.

python tests/urt_train/kill_runs.py <model folder> <shards> <empty folder> [--first 0] [--runs 50] [--seed 0]

One process imports everything once; each run is one or two forks of it. Some runs are cold starts, some rejection sampling with its
pool, some GRPO over the live weights and some GRPO that hands its weights to a server in another process; a third goes on with another
number of processes (then it has to be whole, not the same). Of each form, half are killed after a random time and half at a random one of
the calls that make a save, a hand-over, the pool's shards or the exported judge durable (fsync, rename).
"""

import argparse
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tests.meeting import meeting
from tests.urt_train.fake_vllm import FakeVLLM
from urt_core import Completion, Dialect, JudgeSpec
from urt_core.engines.scripted import ScriptedEngine
from urt_core.engines.scripted_endpoint import ScriptedEndpoint
from urt_train.config import DataConfig, JudgeConfig, ModelConfig, RolloutEngine, TrainConfig, TrainerConfig
from urt_train.experiment.run import run_stage
from urt_train.model.policy import Policy
from urt_train.runtime.callbacks import read_rows
from urt_train.runtime.checkpoints.checkpoint import is_complete
from urt_train.runtime.machine import make_trainer
from urt_train.stages import train_config
from urt_train.stages.cold_start.config import ColdStartConfig
from urt_train.stages.grpo import module as grpo
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.rejection_sampling import pool
from urt_train.stages.rejection_sampling.config import RejectionSamplingConfig

DURABLE = ("fsync", "replace")


DDP = {"_target_": "lightning.pytorch.strategies.DDPStrategy", "process_group_backend": "gloo"}
SERVED = "served"
"""GRPO whose rollouts a server samples."""
FORMS = (
    ("cold_start", 1, 1),
    ("grpo", 2, 2),
    (SERVED, 1, 1),
    ("rejection_sampling", 1, 1),
    ("cold_start", 1, 2),
    ("grpo", 2, 1),
    ("grpo", 1, 1),
    ("cold_start", 2, 2),
    ("rejection_sampling", 2, 2),
    (SERVED, 2, 2),
    ("rejection_sampling", 1, 2),
    (SERVED, 2, 1),
)
"""(what runs, processes until the kill, processes behind it)"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "shards", "output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="number of the first kill, to go on with a count")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # a fork has no other threads
    import_all(tiny(arguments, "cold_start", "imports"))
    server, arguments.server = serve(arguments.model)
    try:
        return kill_all(arguments)
    finally:
        os.kill(server, signal.SIGKILL)
        wait(server)


def kill_all(arguments: argparse.Namespace) -> int:
    straight, seconds, calls = {}, {}, {}
    numbers = range(arguments.first, arguments.first + arguments.runs)
    for stage, ranks in sorted({FORMS[number % len(FORMS)][:2] for number in numbers}):
        config = on_ranks(of_form(arguments, stage, f"straight_{stage}_{ranks}"), ranks)
        started = time.monotonic()
        counter = config.output_dir.parent / f"calls_{stage}_{ranks}"
        code = together(lambda config=config, counter=counter: count_calls(config, counter), ranks)
        assert code == 0, f"the straight run of {stage} with {ranks} processes"
        seconds[stage, ranks], calls[stage, ranks] = time.monotonic() - started, int(counter.read_text())
        straight[stage, ranks] = outcome(config)
    good = same = 0
    for number in numbers:
        stage, ranks, then = FORMS[number % len(FORMS)]
        rng = random.Random(f"{arguments.seed}:{number}")
        config = on_ranks(of_form(arguments, stage, f"run_{number:03d}"), ranks)
        if number // len(FORMS) % 2:
            where = kill_inside_a_save(config, rng, ranks, num_calls=calls[stage, ranks])
        else:
            where = kill_after_a_while(config, rng, ranks, seconds=seconds[stage, ranks])
        saved = sorted(path for path in (config.stage_dir() / "checkpoints").glob("step_*") if path.name[5:].isdigit())
        halves = [path.name for path in saved if not is_complete(path)]
        config = on_ranks(config, then)
        code = together(lambda config=config: run_stage(config), then)
        is_whole = code == 0 and not halves and steps(config) == [row["step"] for row in straight[stage, ranks][0]]
        is_same = is_whole and (ranks != then or outcome(config) == straight[stage, ranks])
        good, same = good + is_whole, same + is_same
        newest = saved[-1].name if saved else "no checkpoint"
        said = ("whole" if ranks != then else "same") if is_same else f"WRONG (exit {code}, half {halves})"
        print(f"{number:3d} {stage}, {ranks} processes: killed {where}, {then} from {newest}: {said}", flush=True)
        if is_same:
            shutil.rmtree(config.output_dir)
    print(f"{good} of {arguments.runs} resumed runs are whole")
    print(
        f"{same} of {arguments.runs} resumed runs equal the straight run, bit for bit where the processes are as many as before"
    )
    return int(same != arguments.runs)


def on_ranks(config: TrainConfig, ranks: int) -> TrainConfig:
    """The same run with so many processes; that it may have had another number of them is said."""
    changes = ["processes", "strategy", *(f"strategy.{name}" for name in DDP)]
    trainer = replace(config.trainer, devices=str(ranks), timeout_s=1200.0)
    return replace(config, strategy=DDP if ranks > 1 else {}, trainer=trainer, go_on_with=changes)


def steps(config: TrainConfig) -> list[float]:
    return [row["step"] for row in read_rows(config.stage_dir() / "metrics.csv")]


def tiny(arguments: argparse.Namespace, stage: str, name: str) -> TrainConfig:
    shards = str(arguments.shards)
    return train_config()(
        recipe=name,
        output_root=str(arguments.output),
        stage=stage,
        judge=JudgeConfig(min_pixels=32 * 32, max_pixels=48 * 48, num_frames=2),
        model=ModelConfig(base=str(arguments.model), train_vision=True, train_projector=True),
        data=DataConfig(train=shards, cold_start=shards, hard=shards),
        trainer=TrainerConfig(accelerator="cpu", progress_bar=False, num_threads=1),
        cold_start=ColdStartConfig(
            max_completion_tokens=160, micro_batch_size=3, batch_size=6, learning_rate=1e-3, save_every=2, epochs=3.0
        ),
        rejection_sampling=RejectionSamplingConfig(
            max_completion_tokens=160, micro_batch_size=2, batch_size=2, learning_rate=1e-3, save_every=2, epochs=2.0,
            judge_batch_size=2, initial=str(arguments.model),
        ),
        grpo=GRPOConfig(
            prompts_per_rollout=4, group_size=2, steps_per_rollout=2, micro_batch_size=2, max_completion_tokens=8,
            max_steps=8, learning_rate=1e-3, save_every=2, initial=str(arguments.model),
        ),
    )  # fmt: skip


def of_form(arguments: argparse.Namespace, form: str, name: str) -> TrainConfig:
    if form != SERVED:
        config = tiny(arguments, form, name)
        return replace(config, data=DataConfig(pool=str(arguments.shards))) if form == "rejection_sampling" else config
    config = tiny(arguments, "grpo", name)
    settings = replace(
        config.grpo, engine=RolloutEngine.vllm_server, vllm_servers=[arguments.server], max_prompt_tokens=1000
    )
    return replace(config, grpo=settings)


def serve(model: Path) -> tuple[int, str]:
    """A stand-in for a vLLM server in a process of its own: (that process, its address)."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        spec = JudgeSpec(
            dialect=Dialect.V1, dimensions={}, min_pixels=1024, max_pixels=2304, num_frames=2, stage="base", base="tiny"
        )
        with ScriptedEndpoint(script=FakeVLLM(Policy.from_pretrained(model, spec=spec))) as endpoint:
            os.write(theirs, endpoint.base_url.removesuffix("/v1").encode())
            os.close(theirs)
            signal.pause()
    os.close(theirs)
    with os.fdopen(ours) as said:
        return child, said.read()


def import_all(config: TrainConfig) -> None:
    """What a run imports on its way (a trainer's connectors, the saving of a model), once for all forks."""
    make_trainer(config.trainer, strategy=config.strategy)
    spec = JudgeSpec(
        dialect=Dialect.V1, dimensions={}, min_pixels=1024, max_pixels=2304, num_frames=2, stage="base", base="tiny"
    )
    Policy.from_pretrained(config.model.base, spec=spec).model.save_pretrained(config.output_dir)


def reward_by_tokens() -> None:
    """A random model earns nothing, and would learn nothing: give it something that depends on what it sampled."""
    score = grpo.score

    def scored(records: Any, groups: Any, functions: Any, **options: Any) -> Any:
        rewards = score(records, groups, functions, **options)
        for prompt, group in enumerate(groups):
            for number, completion in enumerate(group):
                rewards.values[prompt, number, 0] = sum(completion.token_ids) % 7
        return rewards

    grpo.score = scored


def judge_by_keys() -> None:
    """A random model judges nothing; this judge names the first candidate, which is the better one of every second pair."""
    judge_pool = pool.judge_pool

    def answer(prompt: Any, number: int) -> Completion:
        time.sleep(0.02)  # a kill may find it at work
        noun = "Video" if "Video 1" in str(prompt.parts) else "Answer" if "Answer 1" in str(prompt.parts) else "Image"
        return Completion(text=f"<think>\n{prompt.key}\n</think>\n<answer>{noun} 1 is better</answer>")

    pool.judge_pool = lambda preparation: judge_pool(preparation, engine=ScriptedEngine(script=answer))


def fork(work: Callable[[], object]) -> int:
    """Do `work` in a child, silently unless it fails; its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  the child ends with it
        reward_by_tokens()
        judge_by_keys()
        work()
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        raise
    finally:
        os._exit(code)


def wait(child: int) -> int:
    """Exit status; minus the signal's number where one killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def start(work: Callable[[], object], ranks: int) -> list[int]:
    """So many processes, as torchrun starts them."""
    if ranks == 1:
        return [fork(work)]
    shared = {"TORCHELASTIC_RUN_ID": "test", "GROUP_RANK": "0"}
    sizes = {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
    children = []
    with meeting() as place:
        for rank in range(ranks):

            def of_rank(rank: int = rank) -> None:
                os.environ |= {**shared, **sizes, "RANK": str(rank), "LOCAL_RANK": str(rank)}
                place.join(rank=rank, num_ranks=ranks)
                work()

            children.append(fork(of_rank))
    return children


def together(work: Callable[[], object], ranks: int) -> int:
    """The exit status of all of them: that of the first that fails, behind which a launcher ends the others."""
    children = start(work, ranks)
    status = 0
    while children:
        child, found = os.waitpid(-1, 0)
        children.remove(child)
        code = os.waitstatus_to_exitcode(found)
        if code and not status:
            status = code
            for other in children:
                os.kill(other, signal.SIGKILL)
    return status


def kill_after_a_while(config: TrainConfig, rng: random.Random, ranks: int, *, seconds: float) -> str:
    """Draws again where the run was done before it could be killed."""
    while True:
        delay = rng.uniform(0, seconds)
        children = start(lambda: run_stage(config), ranks)
        time.sleep(delay)
        for child in children:
            os.kill(child, signal.SIGKILL)
        if {wait(child) for child in children} == {-signal.SIGKILL}:
            return f"after {delay:.2f} s"
        shutil.rmtree(config.output_dir)


def kill_inside_a_save(config: TrainConfig, rng: random.Random, ranks: int, *, num_calls: int) -> str:
    """Rank 0 dies in front of one of its calls, and the launcher ends the others."""
    fatal = rng.randint(1, num_calls)

    def before(number: int) -> None:
        if number == fatal and os.environ.get("RANK", "0") == "0":
            os.kill(os.getpid(), signal.SIGKILL)

    assert together(lambda: watched(config, before), ranks) == -signal.SIGKILL
    return f"before call {fatal} of {num_calls} to {' or '.join(DURABLE)}"


def count_calls(config: TrainConfig, counter: Path) -> None:
    numbers: list[int] = []
    watched(config, numbers.append)
    if os.environ.get("RANK", "0") == "0":
        counter.write_text(str(len(numbers)))


def watched(config: TrainConfig, before: Callable[[int], object]) -> None:
    """The run, with `before` called in front of each call that makes something durable."""
    before_durable(before)
    run_stage(config)


def before_durable(before: Callable[[int], object]) -> None:
    """In this process, from now on: `before` gets the number of the call, from 1."""
    number = 0

    def watch(name: str) -> None:
        original = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal number
            number += 1
            before(number)
            return original(*args, **kwargs)

        setattr(os, name, call)

    for name in DURABLE:
        watch(name)


def outcome(config: TrainConfig) -> tuple[Any, ...]:
    """All that a run leaves and that does not depend on the clock."""
    folder = config.stage_dir()
    rows = [
        {name: value for name, value in row.items() if "time" not in name and "second" not in name}
        for row in read_rows(folder / "metrics.csv")
    ]
    weights = {name: tensor.numpy().tobytes() for name, tensor in load_file(folder / "model/model.safetensors").items()}
    rollouts = folder / "rollouts.jsonl"
    return rows, weights, rollouts.read_text() if rollouts.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
