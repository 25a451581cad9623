"""How much the library costs beside the judge: parsing, asking an endpoint (beside a client written by hand in the same
run), pictures, rankings, going away, keeping memory flat.

python apps/bench_scorer.py                          # all, as a Markdown table
python apps/bench_scorer.py --only client --requests 4000

The endpoint is scripted: it answers after 50 ms in a process of its own, so that what is measured is the client alone.
"""

import argparse
import asyncio
import io
import multiprocessing
import resource
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from PIL import Image

from urt_core import Dialect, PreferenceRecord, SamplingParams, Scorer, Task, parse_judgement
from urt_core.engines import Completion
from urt_core.engines.chat import request_body
from urt_core.engines.endpoint.answers import read_answer
from urt_core.engines.endpoint.profile import load_profile
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint, chat_reply
from urt_core.process.pipes import reader_may_leave
from urt_core.prompts import Prompt
from urt_core.ranking import bradley_terry, num_comparisons
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
PICTURE_JUDGEMENT = JUDGEMENT.replace("Answer ", "Image ")
PROFILE, PATH = load_profile("openai"), b"/v1"
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
    """Text prompts, so that neither decoding nor encoding of images is part of it; in turns with the floor, to one
    endpoint."""
    rows = []
    prompts = [Prompt(parts=(f"which is better, {index}?",)) for index in range(options.requests)]
    for concurrency in options.concurrency:
        with endpoint_process() as base_url:
            turns = [asyncio.run(measure_in_turn(base_url, prompts, concurrency)) for _ in range(options.turns)]
        floor, urt = (median_of(turn[who] for turn in turns) for who in (0, 1))
        share = statistics.median(turn[1].rate / turn[0].rate for turn in turns)
        rows.append(
            f"requests at concurrency {concurrency} | {urt.rate:,.0f} a second, {share:.0%} of the floor's {floor.rate:,.0f} "
            f"({concurrency / ANSWER_S:,.0f} would be ideal) | at least 85 % of the floor"
        )
        rows.append(
            f"CPU of a text request at concurrency {concurrency} | {urt.cpu_ms:.2f} ms (floor {floor.cpu_ms:.2f} ms) | 0.3 ms"
        )
    return rows


class Cost(NamedTuple):
    rate: float
    """Requests a second."""
    cpu_ms: float
    """CPU of this process a request."""


def median_of(costs: Iterable[Cost]) -> Cost:
    rates, cpu = zip(*costs, strict=True)
    return Cost(statistics.median(rates), statistics.median(cpu))


async def measure_in_turn(base_url: str, prompts: list[Prompt], concurrency: int) -> tuple[Cost, Cost]:
    """The floor, then urt."""
    floor = Floor(base_url, concurrency)
    await floor.open()
    first = await measure(floor.agenerate, prompts, concurrency)
    floor.close()
    async with OpenAIEngine(base_url=base_url, model="judge", concurrency=concurrency) as engine:
        return first, await measure(engine.agenerate, prompts, concurrency)


async def measure(
    ask: Callable[[list[Prompt], SamplingParams], Awaitable[list[Any]]], prompts: list[Prompt], concurrency: int
) -> Cost:
    await ask(prompts[: 2 * concurrency], SamplingParams())  # connections are made
    began, cpu = time.perf_counter(), time.process_time()
    groups = await ask(prompts, SamplingParams())
    elapsed, used = time.perf_counter() - began, time.process_time() - cpu
    assert all(group[0].text for group in groups)
    return Cost(len(prompts) / elapsed, 1000 * used / len(prompts))


class Floor:
    """What a client can't go below: HTTP/1.1 written by hand on connections that stay open, with urt's bodies and urt's
    reader, and nothing else (no retries, no deadline, no budget, no headers that are looked at)."""

    def __init__(self, base_url: str, concurrency: int) -> None:
        self.address = urlsplit(base_url)
        self.concurrency = concurrency

    async def open(self) -> None:
        to = (self.address.hostname, self.address.port)
        self.connections = [await asyncio.open_connection(*to) for _ in range(self.concurrency)]

    def close(self) -> None:
        for _, writer in self.connections:
            writer.close()

    async def agenerate(self, prompts: list[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        answers: list[list[Completion]] = [[]] * len(prompts)
        remaining = iter(enumerate(prompts))

        async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for index, prompt in remaining:
                body = request_body(prompt, [], sampling, model="judge", profile=PROFILE)
                writer.write(
                    b"POST %s/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" % PATH
                )
                writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                content = await reader.readexactly(length)
                answers[index] = read_answer(content, sampling=sampling, asked_model="judge", accepted_models=())

        await asyncio.gather(*(work(*connection) for connection in self.connections))
        return answers


def ranking_cost(options: argparse.Namespace) -> list[str]:
    """Eight pictures, each against each in both orders: what decoding, encoding and sending them costs."""
    rows = []
    pictures = [picture(number, size=512) for number in range(8)]
    for image_format in ("png", "jpeg"):
        with endpoint_process(text=PICTURE_JUDGEMENT) as base_url:
            engine = OpenAIEngine(base_url=base_url, model="judge", concurrency=16, image_format=image_format)
            with engine:
                scorer = Scorer(engine=engine)
                began, cpu = time.perf_counter(), time.process_time()
                ranking = scorer.rank(task="image_generation", text="a landscape", candidates=pictures)
                elapsed, used = time.perf_counter() - began, time.process_time() - cpu
            assert (ranking.num_failed, engine.num_attempts) == (0, 56)
        rows.append(
            f"ranking of 8 pictures of 512 px, {image_format} | {1000 * used / 56:.1f} ms of CPU a request, {elapsed:.1f} s for 56 | "
            "12 ms"
        )
    return rows


def rank_rounds(options: argparse.Namespace) -> list[str]:
    """A hundred answers in Swiss rounds: the time of so many requests, and that of the fit."""
    rows = []
    answers = [f"answer {number}" for number in range(100)]
    question = {"task": "image_understanding", "text": "q", "media": PIXEL}
    for concurrency in options.concurrency:
        with endpoint_process() as base_url:
            with OpenAIEngine(base_url=base_url, model="judge", concurrency=concurrency) as engine:
                scorer = Scorer(engine=engine)
                prompts = [Prompt(parts=(f"which, {index}?",)) for index in range(2 * num_comparisons(100, "swiss"))]
                engine.generate(prompts[: 2 * concurrency], SamplingParams())  # connections are made
                before, began, used = engine.num_attempts, time.perf_counter(), time.process_time()
                ranking = scorer.rank(candidates=answers, method="swiss", **question)
                elapsed, used = time.perf_counter() - began, time.process_time() - used
                num = engine.num_attempts - before
                began, alone_used = time.perf_counter(), time.process_time()
                engine.generate(prompts, SamplingParams())
                alone, alone_used = time.perf_counter() - began, time.process_time() - alone_used
        rows.append(
            f"Swiss ranking of 100 at concurrency {concurrency} | {num} requests ({len(prompts)} said) in {elapsed:.1f} s, "
            f"{elapsed / alone:.2f} of these requests without rounds; {used:.2f} s of CPU, {alone_used:.2f} without | 1.1"
        )
    wins = [[1.0 if i < j else 0.0 for j in range(100)] for i in range(100)]
    fits = []
    for _ in range(5):
        began = time.process_time()
        bradley_terry(wins)
        fits.append(time.process_time() - began)
    assert not ranking.num_failed
    rows.append(f"Bradley-Terry fit of 100 | {1000 * statistics.median(fits):.0f} ms of CPU | 50 ms")
    return rows


def cancellation(options: argparse.Namespace) -> list[str]:
    """A caller goes away while 64 of 256 requests are under way: what still arrives, and what is answered to nobody."""
    with ScriptedEndpoint(script=lambda request: Reply(body=chat_reply(JUDGEMENT).body, delay_s=1.0)) as endpoint:

        async def leave() -> tuple[int, float]:
            async with OpenAIEngine(base_url=endpoint.base_url, model="judge", concurrency=64) as engine:
                prompts = [Prompt(parts=(f"which, {index}?",)) for index in range(256)]
                asking = asyncio.ensure_future(engine.agenerate(prompts, SamplingParams()))
                while endpoint.num_requests < 64:
                    await asyncio.sleep(0.01)
                asking.cancel()
                began = time.perf_counter()
                await asyncio.wait([asking])
                ended = time.perf_counter() - began
                arrived = endpoint.num_requests
                await asyncio.sleep(1.5)
                return endpoint.num_requests - arrived, ended

        after, ended = asyncio.run(leave())
        abandoned = endpoint.num_abandoned
    return [
        f"cancelled with 64 of 256 requests under way | ended in {1000 * ended:.0f} ms; {after} requests sent after it, "
        f"{abandoned} of 64 connections closed before their answer | 0 after it, all closed"
    ]


def picture(number: int, *, size: int) -> Media:
    """Smooth shades with some noise, as photographs have; about 400 kB as PNG."""
    random = Random(number)
    base = Image.new("RGB", (4, 4))
    base.putdata([tuple(random.randrange(256) for _ in range(3)) for _ in range(16)])
    noise = Image.frombytes("RGB", (size, size), random.randbytes(3 * size * size))
    mixed = Image.blend(base.resize((size, size), Image.Resampling.BICUBIC), noise, 0.06)
    buffer = io.BytesIO()
    mixed.save(buffer, "PNG")
    return Media(kind=MediaKind.IMAGE, files=(f"{number}.png",), data=(buffer.getvalue(),))


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

    def __init__(self, delay_s: float = ANSWER_S, text: str = JUDGEMENT) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.ours, theirs = spawn.Pipe()
        self.process = spawn.Process(target=run_endpoint, args=(theirs, delay_s, text))

    def __enter__(self) -> str:
        self.process.start()
        return self.ours.recv()

    def __exit__(self, *error: object) -> None:
        self.ours.send(None)
        self.process.join()


def run_endpoint(theirs: Connection, delay_s: float, text: str) -> None:
    reply = Reply(body=chat_reply(text).body, delay_s=delay_s)
    with ScriptedEndpoint(script=lambda request: reply) as endpoint:
        theirs.send(endpoint.base_url)
        theirs.recv()


MEASUREMENTS: dict[str, Callable[[argparse.Namespace], list[str]]] = {
    "parse": parse_rate,
    "client": client_rate,
    "ranking": ranking_cost,
    "rounds": rank_rounds,
    "cancellation": cancellation,
    "memory": memory_growth,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="may be given several times")
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--turns", type=int, default=3, help="of the floor and urt, by which rates are compared")
    parser.add_argument("--comparisons", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[16, 64])
    options = parser.parse_args()
    print("| what | measured | target |\n| --- | --- | --- |")
    for name in options.only or MEASUREMENTS:
        for row in MEASUREMENTS[name](options):
            print(f"| {row} |", flush=True)


if __name__ == "__main__":
    with reader_may_leave():
        main()
