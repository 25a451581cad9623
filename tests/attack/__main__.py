"""Everything that has ever broken a judge, tried against this one, on the loopback alone; then a table with counts.

    python -m tests.attack            all of it: about three minutes on two idle cores
    python -m tests.attack --short    a minute: the doors, some media, the server

First the structural cases of every door, then media that cost more than they weigh, then `urt serve` under attack, then
the tests of the twenty threats (`matrix`), counted. Ends with 1 where anything failed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.attack.fuzzers import Found, fuzz, truncations
from tests.attack.matrix import ROWS, Row
from tests.attack.media import MAX_MB, MAX_SECONDS_OF_SMALL, SMALL_BYTES, Cost, measured
from tests.attack.readers import READERS
from tests.attack.server import Held, held

CASES, SHORT_CASES = 1_600, 60
"""Of each door; more than 20,000 of all."""
WIDTH = 118


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=16)
    options = parser.parse_args()
    began = time.monotonic()
    found = doors(SHORT_CASES if options.short else CASES, seed=options.seed)
    with tempfile.TemporaryDirectory() as folder:
        costs = media(Path(folder), is_short=options.short)
    servers = server(is_short=options.short)
    failed = (
        sum(bool(one.faults) for one in found)
        + sum(cost.is_fault for cost in costs)
        + sum(bool(one.faults) for one in servers)
    )
    if not options.short:
        failed += matrix({one.door: one for one in found})
    print(f"\n{'FAILED: ' + str(failed) if failed else 'nothing failed'}, {time.monotonic() - began:,.0f} s")
    return 1 if failed else 0


def headed(title: str) -> None:
    print(f"\n{title}\n{'-' * WIDTH}", flush=True)


def doors(cases: int, *, seed: int) -> list[Found]:
    headed(
        f"{'structural cases, by door':30} {'cases':>8} {'results':>8} {'errors of ours':>15} {'slowest, s':>11} {'failed':>7}"
    )
    all_found = []
    for door in (*READERS, ""):
        found = fuzz(door, cases, seed=seed) if door else truncations(seed)
        all_found.append(found)
        print(
            f"{found.door:30} {found.cases:>8,} {found.results:>8,} {found.typed:>15,} {found.slowest:>11.2f} {len(found.faults):>7}",
            flush=True,
        )
        print(*(f"    {fault}" for fault in found.faults[:5]), sep="\n", end="\n" * bool(found.faults))
    total = Found(
        "all",
        sum(one.cases for one in all_found),
        sum(one.results for one in all_found),
        sum(one.typed for one in all_found),
    )
    print(
        f"{'all':30} {total.cases:>8,} {total.results:>8,} {total.typed:>15,} {'':>11} {sum(len(one.faults) for one in all_found):>7}"
    )
    return all_found


def media(folder: Path, *, is_short: bool) -> list[Cost]:
    headed(f"{'media':50} {'bytes':>10} {'MB over start':>14} {'s of CPU':>9}   what came of it")
    costs = []
    for cost in measured(folder, is_short=is_short):
        costs.append(cost)
        print(
            f"{cost.name:50} {cost.bytes:>10,} {cost.mb:>14.0f} {cost.seconds:>9.1f}   {'FAULT ' if cost.is_fault else ''}{cost.found[:32]}",
            flush=True,
        )
    small = [cost.seconds for cost in costs if cost.bytes <= SMALL_BYTES]
    worst = max(cost.mb for cost in costs)
    print(
        f"{'worst (bounds)':50} {'':>10} {worst:>8.0f} ({MAX_MB}) {max(small):>4.1f} ({MAX_SECONDS_OF_SMALL:.0f}, of at most 1 MB)"
    )
    return costs


def server(*, is_short: bool) -> list[Held]:
    headed(f"{'urt serve':50} {'cases':>8} {'honest, s':>10} {'/health, s':>11} {'4xx, bytes':>11} {'failed':>7}")
    found = []
    for one in held(is_short=is_short):
        found.append(one)
        print(
            f"{one.what:50} {one.cases:>8,} {one.seconds:>10.2f} {one.health:>11.3f} {one.largest:>11,} {len(one.faults):>7}",
            flush=True,
        )
        print(*(f"    {fault}" for fault in one.faults[:5]), sep="\n", end="\n" * bool(one.faults))
    return found


def matrix(fuzzed: dict[str, Found]) -> int:
    headed(f"{'the twenty threats':40} {'tried':58} {'cases':>8} {'failed':>8}")
    counts = counted([test for row in ROWS for test in row.tests])
    failed = 0
    for row in ROWS:
        cases, faults, skipped = tally(row, counts, fuzzed)
        failed += bool(faults) or not cases
        note = f"   ({skipped} skipped here)" if skipped else ""
        print(f"{row.number:2} {row.threat:37} {row.tried:58} {cases:>8,} {len(faults):>8}{note}")
        print(*(f"    {fault}" for fault in faults[:5]), sep="\n", end="\n" * bool(faults))
    print(f"{len(ROWS) - failed} of {len(ROWS)} hold")
    return failed


def tally(row: Row, counts: dict[str, tuple[int, str]], fuzzed: dict[str, Found]) -> tuple[int, list[str], int]:
    """(cases, what failed, tests that this machine can't run)"""
    own = {
        name: one
        for name, one in counts.items()
        if any(name == test or name.startswith((f"{test}::", f"{test}[", f"{test}/")) for test in row.tests)
    }
    faults = [f"{name}: {outcome}" for name, (_, outcome) in own.items() if outcome == "failed"]
    faults += [f"{test}: no test of that name" for test in row.tests if not any(name.startswith(test) for name in own)]
    cases = sum(number for number, outcome in own.values() if outcome != "skipped")
    for door in row.fuzzers:
        cases += fuzzed[door].cases
        faults += fuzzed[door].faults
    return cases, faults, sum(outcome == "skipped" for _, outcome in own.values())


def counted(tests: list[str]) -> dict[str, tuple[int, str]]:
    """{node id: (cases, outcome)} of the tests, run by two processes."""
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder, "counts.json")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "tests.attack.collector",
            "--counts",
            str(counts),
            "--numprocesses=2",
            "--dist=loadfile",
        ]
        done = subprocess.run([*command, "-p", "no:cacheprovider", *dict.fromkeys(tests)], capture_output=True, text=True, check=False,
                              env=os.environ | {"OMP_NUM_THREADS": "1"})  # fmt: skip
        if not counts.exists():
            print(done.stdout[-3000:], done.stderr[-2000:])
            return {}
        return {name: (number, outcome) for name, (number, outcome) in json.loads(counts.read_text()).items()}


if __name__ == "__main__":
    sys.exit(main())
