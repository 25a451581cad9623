"""A judge and a benchmark in, a folder out: one line per judgement, what they depend on, and the table."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from urt_core.atomic import write_whole
from urt_core.bench.files import numbered_lines
from urt_core.bench.overview import behaviour_table, result_table
from urt_core.bench.rescoring import find_benchmark, rescore_numbered
from urt_core.bench.result import BenchResult
from urt_core.engines import AsyncEngine, Engine
from urt_core.engines.unopened import without_opening
from urt_core.errors import DataError
from urt_core.judging.journal import LINES, Journal
from urt_core.judging.judge import Asked, Limits, judge
from urt_core.judging.pairs import JudgedPair
from urt_core.judging.share import Share
from urt_core.media import preprocessing_id
from urt_core.records import PreferenceRecord

RESULT, TABLE, VERSIONS = "result.json", "table.md", "versions.json"
SCHEMA = 1
NAMED = ("urt-core", "urt-data", "torch", "transformers", "vllm", "openai", "pillow", "numpy")
WAIT_S, SAY_EVERY_S = 0.5, 30.0


def what_it_depends_on(
    *,
    benchmark: str,
    engine: Engine | AsyncEngine,
    asked: Asked,
    data: Mapping[str, Any],
    judge_identity: Mapping[str, Any],
    block: int | None,
) -> dict[str, Any]:
    """What has to be equal for a run to go on: the judge, the pairs, and how they are asked."""
    policy = getattr(engine, "policy", None)
    return {
        "schema": SCHEMA,
        "benchmark": find_benchmark(benchmark).name,
        "judge": {"model": engine.model, **judge_identity},
        "data": dict(data),
        "asked": {
            "dialect": str(asked.dialect),
            "orders": asked.orders,
            "votes": asked.votes,
            "seed": asked.seed,
            "sampling": asdict(asked.sampling),
            "templates": None if asked.templates is None else str(asked.templates),
        },
        "preprocessing": preprocessing_id(policy) if policy else "",
        "block": block,
    }


def answered_share(
    folder: Path,
    records: Iterable[PreferenceRecord],
    *,
    engine: Engine | AsyncEngine,
    num_records: int,
    asked: Asked,
    about: Mapping[str, Any],
    share: Share,
    block: int,
) -> Journal | None:
    """The journal of `folder` where earlier runs have answered all that this process would ask an `engine` that is not
    open yet; None where anything is left. `DataError` where they were of another judge, other data or other settings."""
    journal = Journal.left_by(folder, about=about, rank=share.rank)
    own = sum(map(len, share.blocks(range(num_records), block))) * asked.num_per_pair
    if journal is None or len(journal.answered) < own:
        return None
    judging = judge(records, engine=engine, asked=asked, journal=journal, share=share, block=block)
    return None if without_opening(lambda: list(judging)) is None else journal


def run_share(
    folder: Path,
    records: Iterable[PreferenceRecord],
    *,
    engine: Engine | AsyncEngine,
    asked: Asked,
    about: Mapping[str, Any],
    share: Share,
    block: int | None = None,
    limits: Limits | None = None,
    seen: Callable[[JudgedPair], None] = lambda pair: None,
) -> Journal:
    """Judge this process's share into the journal of `folder`; `seen` hears of every new judgement."""
    with Journal(folder, about=about, rank=share.rank) as journal:
        for pair in judge(
            records, engine=engine, asked=asked, journal=journal, share=share, block=block, limits=limits
        ):
            seen(pair)
    return journal


def wait_for_all(
    journal: Journal,
    expected: int,
    *,
    check: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Until the other processes have judged their shares; `check` raises where one of them has failed."""
    announced = time.monotonic()
    while (found := journal.num_judged()) < expected:
        check()
        if time.monotonic() - announced > SAY_EVERY_S:
            announced = time.monotonic()
            say(f"waiting for the other processes: {found:,} of {expected:,} judgements")
        time.sleep(WAIT_S)


def finish_run(folder: Path, journal: Journal, *, rule: str = "official") -> BenchResult:
    """The sorted lines, the numbers by `rule`, the table, and the versions that made them."""
    journal.finish()
    result = rescore_run(folder, rule=rule)
    write_whole(folder / RESULT, json.dumps(result.to_json(), indent=2, ensure_ascii=False) + "\n")
    tables = [result_table({folder.name: result}), behaviour_table({folder.name: result})]
    write_whole(folder / TABLE, "\n".join(table.markdown() for table in tables))
    write_whole(folder / VERSIONS, json.dumps(versions(), indent=2) + "\n")
    return result


def rescore_run(folder: Path, *, rule: str = "official") -> BenchResult:
    """By the benchmark that the folder names, with the number of pairs it began with."""
    about = read_about(folder)
    return rescore_numbered(
        numbered_lines(folder),
        source=str(folder / LINES),
        benchmark=about["benchmark"],
        rule=rule,
        expected=about["data"]["num_in_set"],
    )


def read_about(folder: Path) -> dict[str, Any]:
    path = folder / "about.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        _ = about["benchmark"], about["data"]["num_in_set"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder} is no folder of `urt bench run` ({path.name}: {error}); name the file of lines and --benchmark"
        ) from None
    return about


def versions() -> dict[str, str]:
    found = {}
    for name in NAMED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
