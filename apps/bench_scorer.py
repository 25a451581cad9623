"""How much the library costs beside the judge: parsing, asking an endpoint, keeping memory flat.

python apps/bench_scorer.py                          # all, as a Markdown table
python apps/bench_scorer.py --only client --requests 4000

The endpoint is scripted: it answers after 50 ms in a process of its own, so that what is measured is the client alone.
"""

import argparse
import asyncio
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

from urt_core import Dialect, PreferenceRecord, SamplingParams, Scorer, Task, parse_judgement
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint, chat_reply
from urt_core.prompts import Prompt
from urt_core.records import Media, MediaKind

ANSWER_S = 0.05
JUDGEMENT = """<think>
1. Semantic accuracy: Answer 1 (9/10) - names both cars and their colour; Answer 2 (4/10) - misses one of the two cars
2. Correctness: Answer 1 (8/10) - nothing in it is wrong; Answer 2 (6/10) - the place is wrong
3. Clarity: Answer 1 (8/10) - short and clear; Answer 2 (8/10) - short and clear
Total score:
Answer 1: 9+8+8=25
Answer 2: 4+6+8=18
</think>
<answer>Answer 1 is better</answer>"""
PIXEL = Media(
    kind=MediaKind.IMAGE,
    files=("a.gif",),
    data=(bytes.fromhex("47494638376101000100f00000ff00000000002c00000000010001000002024401003b"),),
)


def parse_rate(options: argparse.Namespace) -> list[str]:
    """Best of several short windows: other work on the machine does not count."""
    best = 0.0
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(500):
            parse_judgement(JUDGEMENT, task=Task.IMAGE_UNDERSTANDING)
        best = max(best, 500 / (time.perf_counter() - began))
    return [f"parse | {best:,.0f} judgements a second | at least 20,000"]


def client_rate(options: argparse.Namespace) -> list[str]:
    """Text prompts, so that neither decoding nor encoding of images is part of it."""
    rows = []
    prompts = [Prompt(parts=(f"which is better, {index}?",)) for index in range(options.requests)]
    for concurrency in options.concurrency:
        with endpoint_process() as base_url:
            rate, cpu_s = asyncio.run(measure(base_url, prompts, concurrency))
        ideal = concurrency / ANSWER_S
        rows.append(
            f"requests at concurrency {concurrency} | {rate:,.0f} a second, {rate / ideal:.0%} of {ideal:,.0f}; "
            f"{1000 * cpu_s / len(prompts):.2f} ms of CPU each | at least 90 %"
        )
    return rows


async def measure(base_url: str, prompts: list[Prompt], concurrency: int) -> tuple[float, float]:
    """Requests a second, and seconds of CPU in this process."""
    async with OpenAIEngine(base_url=base_url, model="judge", concurrency=concurrency) as engine:
        await engine.agenerate(prompts[: 2 * concurrency], SamplingParams())  # connections are made
        began, cpu = time.perf_counter(), time.process_time()
        groups = await engine.agenerate(prompts, SamplingParams())
        elapsed, used = time.perf_counter() - began, time.process_time() - cpu
    assert all(group[0].text for group in groups)
    return len(prompts) / elapsed, used


def memory_growth(options: argparse.Namespace) -> list[str]:
    """Peak memory after a tenth of the comparisons, and how much the rest adds to it."""
    with endpoint_process(delay_s=0.0) as base_url:
        engine = OpenAIEngine(base_url=base_url, model="judge", concurrency=64)
        peaks = []
        with engine:
            scorer = Scorer(engine=engine, dialect=Dialect.V1, orders="given")
            for number, comparison in enumerate(scorer.compare_batch(records(options.comparisons)), start=1):
                assert comparison.status == "ok"
                if number in (options.comparisons // 10, options.comparisons):
                    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return [
        f"memory over {options.comparisons:,} comparisons | {peaks[0]:.0f} MiB after a tenth, {peaks[1] - peaks[0]:+.1f} MiB after the rest | flat"
    ]


def records(number: int) -> Iterator[PreferenceRecord]:
    task = Task.IMAGE_UNDERSTANDING
    for index in range(number):
        yield PreferenceRecord(key=f"r-{index}", task=task, text=f"q {index}", first="a", second="b", media=PIXEL)


class endpoint_process:
    """A scripted endpoint in a process of its own: `with endpoint_process() as base_url`."""

    def __init__(self, delay_s: float = ANSWER_S) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.ours, theirs = spawn.Pipe()
        self.process = spawn.Process(target=run_endpoint, args=(theirs, delay_s))

    def __enter__(self) -> str:
        self.process.start()
        return self.ours.recv()

    def __exit__(self, *error: object) -> None:
        self.ours.send(None)
        self.process.join()


def run_endpoint(theirs: Connection, delay_s: float) -> None:
    reply = Reply(body=chat_reply(JUDGEMENT).body, delay_s=delay_s)
    with ScriptedEndpoint(script=lambda request: reply) as endpoint:
        theirs.send(endpoint.base_url)
        theirs.recv()


MEASUREMENTS: dict[str, Callable[[argparse.Namespace], list[str]]] = {
    "parse": parse_rate,
    "client": client_rate,
    "memory": memory_growth,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="may be given several times")
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--comparisons", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[16, 64])
    options = parser.parse_args()
    print("| what | measured | target |\n| --- | --- | --- |")
    for name in options.only or MEASUREMENTS:
        for row in MEASUREMENTS[name](options):
            print(f"| {row} |", flush=True)


if __name__ == "__main__":
    main()
