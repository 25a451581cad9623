"""Judge pairs in processes that are killed with -9 at random points, and compare the lines with those of a straight run.

    python apps/bench_kills.py                                 the demo's 400 test pairs, by the judge that ships with urt
    python apps/bench_kills.py engines=transformers kills=3 processes=2 data=pairs.jsonl output=/tmp/kills

Each engine judges the pairs once undisturbed. Then `urt bench run --workers N` judges them again: as soon as something
new is on disk and up to `delay_ms` later, one of its processes, drawn at random, is killed, and everything that it started has to end by itself;
the same command goes on, until it has been killed `kills` times and may finish. One row per engine and number of
processes says whether the sorted lines are the same bytes, how many questions have more than one line, and how many
processes were left behind; the last row how often the verdicts of the engines agree. The exit code is 1 where anything
but that of the engines is not as it should be.
"""

import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.program import run_script
from urt_core.errors import ConfigError
from urt_core.example import JUDGE
from urt_core.judging.journal import parts_of
from urt_core.judging.pairs import JudgedPair, read_judged_pairs
from urt_data.prepare import parse_values

DEFAULTS = {
    "data": "outputs/tiny/data/test",
    "model": str(JUDGE),
    "engines": "transformers,vllm",
    "processes": "1,2,3",
    "kills": 20,
    "batch_size": 8,
    "delay_ms": 250,
    "output": "outputs/kills",
    "seed": 0,
}
OPTIONS = {
    "transformers": [],
    "vllm": [
        *("--engine-option", "dtype=float32", "--engine-option", "concurrency=8"),
        *("--engine-option", "max_model_len=1024", "--engine-option", "gpu_memory_utilization=0.05"),
    ],
}
PATIENCE_S = 120.0
"""For what a killed process has started to end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Killed:
    """What became of one run: Killed(kills=20, same=True, twice=0, left=0)"""

    kills: int
    same: bool
    twice: int
    """Questions with more than one line."""
    left: int
    """Processes that outlived the one that was killed."""

    @property
    def is_right(self) -> bool:
        return self.same and not self.twice and not self.left


def main(arguments: list[str]) -> int:
    given = parse_values(arguments)
    if unknown := given.keys() - DEFAULTS.keys():
        raise ConfigError(f"there is no setting {', '.join(sorted(unknown))}; allowed: {', '.join(DEFAULTS)}")
    settings = {**DEFAULTS, **given}
    if not Path(settings["data"]).exists():
        raise ConfigError(
            f"data is {settings['data']}, which is not there; make it: python apps/prepare_data.py data=sprites"
        )
    engines, processes = (str(settings[name]).split(",") for name in ("engines", "processes"))
    if unknown := set(engines) - OPTIONS.keys():
        raise ConfigError(f"engines hold {', '.join(sorted(unknown))}; allowed: {', '.join(OPTIONS)}")
    output = Path(settings["output"])
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    judged, is_right = {}, True
    print("| engine | processes | killed | lines | asked twice | left behind |\n| --- | --- | --- | --- | --- | --- |")
    for engine in engines:
        command = bench_command(engine, settings)
        straight = output / f"{engine}-straight"
        subprocess.run([*command, "--output", str(straight)], check=True, stdout=subprocess.DEVNULL)
        judged[engine] = read_judged_pairs(straight / "judgements.jsonl")
        for num in processes:
            folder = output / f"{engine}-{num}"
            found = judge_killed(
                [*command, "--workers", num],
                folder,
                straight,
                kills=settings["kills"],
                delay_s=settings["delay_ms"] / 1000,
                rng=random.Random(f"{settings['seed']} {engine} {num}"),
            )
            same = f"{len(judged[engine]):,}, the same bytes" if found.same else "DIFFERENT"
            print(f"| {engine} | {num} | {found.kills} | {same} | {found.twice} | {found.left} |", flush=True)
            is_right = is_right and found.is_right
    if len(judged) > 1:
        print(agreement(*judged.values()))
    return 0 if is_right else 1


def bench_command(engine: str, settings: Mapping[str, Any]) -> list[str]:
    """Of a local engine in small blocks, so that there are many points between them."""
    judge = ["--model", settings["model"], "--engine", engine, "--batch-size", str(settings["batch_size"])]
    run = ["bench", "run", "--benchmark", "pairs", "--data", settings["data"], "--max-failures", "1"]
    return [sys.executable, "-m", "urt_core.cli", *run, *judge, *OPTIONS[engine]]


def judge_killed(
    command: list[str], folder: Path, straight: Path, *, kills: int, delay_s: float, rng: random.Random
) -> Killed:
    num_killed = left = 0
    log = folder.with_suffix(".log").open("ab")
    with log:
        while num_killed < kills:
            on_disk = size_of(folder)
            process = subprocess.Popen(
                [*command, "--output", str(folder)], start_new_session=True, stdout=log, stderr=log
            )
            while process.poll() is None and size_of(folder) == on_disk:
                time.sleep(0.005)
            time.sleep(rng.random() * delay_s)
            if process.poll() is not None:
                break
            victim = rng.choice(judging_processes(process.pid))
            subprocess.run(["kill", "-9", str(victim)], check=True)
            num_killed += 1
            left += len(still_there(process))
        subprocess.run([*command, "--output", str(folder)], check=True, stdout=log, stderr=log)
    lines = [json.loads(line)["question"] for part in parts_of(folder) for line in part.read_bytes().splitlines()]
    same = (folder / "judgements.jsonl").read_bytes() == (straight / "judgements.jsonl").read_bytes()
    return Killed(kills=num_killed, same=same, twice=sum(num > 1 for num in Counter(lines).values()), left=left)


def size_of(folder: Path) -> int:
    return sum(part.stat().st_size for part in parts_of(folder))


def judging_processes(session: int) -> list[int]:
    """The command's own process and its workers."""
    own = b"urt_core.cli"
    return [pid for pid in session_members(session) if own in Path(f"/proc/{pid}/cmdline").read_bytes()]


def still_there(process: subprocess.Popen[bytes]) -> list[int]:
    """Of the session of `process`, after some time to end; whoever is named is ended."""
    deadline = time.monotonic() + PATIENCE_S
    while members := list(session_members(process.pid)):
        process.poll()
        if time.monotonic() > deadline:
            subprocess.run(["kill", "-9", *map(str, members)], check=False)
            return members
        time.sleep(0.02)
    process.wait()
    return []


def session_members(session: int) -> Iterator[int]:
    """Processes that run, of what one command has started (proc(5))."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, found = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # ended meanwhile
            continue
        if int(found) == session and state != "Z":
            yield int(path.parent.name)


def agreement(first: list[JudgedPair], second: list[JudgedPair]) -> str:
    verdicts = [{(pair.key, pair.order): pair.verdict for pair in pairs} for pairs in (first, second)]
    texts = [{(pair.key, pair.order): pair.text for pair in pairs} for pairs in (first, second)]
    same = sum(verdict == verdicts[1][place] for place, verdict in verdicts[0].items())
    alike = sum(text == texts[1][place] for place, text in texts[0].items())
    num = len(verdicts[0])
    return f"\nThe engines give the same verdict on {same:,} of {num:,} ({same / num:.2%}), and the same text on {alike:,}."


if __name__ == "__main__":
    run_script(main, text=__doc__)
