"""Judgements on disk as soon as they are made: one growing file per process, and one sorted file when all are there.

A line answers one question: the judge, everything its prompt shows, and how it was sampled. A run that goes on reads
the files of all processes, however many there were, and asks only what has no answer.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from urt_core.atomic import publish, temporary_path, write_whole
from urt_core.engines import Status
from urt_core.errors import DataError
from urt_core.judging.pairs import JudgedPair
from urt_core.judging.spending import Spending

try:
    import fcntl
except ImportError:  # where files can't be locked, nothing keeps two processes from one file
    fcntl = None

PATIENCE_S = 300.0
ABOUT, LINES, TIMINGS = "about.json", "judgements.jsonl", "timings.jsonl"
ANSWERED = frozenset(
    {Status.OK, Status.PARSE_ERROR, Status.TRUNCATED, Status.REFUSED, Status.BAD_MEDIA, Status.BAD_RECORD}
)
"""How an answer can end. Everything else is a request that failed: a run that goes on asks it again."""


class Journal:
    """The judgements of one run, in a folder.

    with Journal("outputs/bench/run", about={"model": "...", "data": "..."}) as journal:
        for pair in judge(records, engine=engine, asked=asked, journal=journal): ...
    journal.finish()
    """

    def __init__(self, folder: str | Path, *, about: Mapping[str, Any], rank: int = 0) -> None:
        self.folder = Path(folder)
        self.rank = rank
        self.about: dict[str, Any] = json.loads(json.dumps(about, default=str))
        self.own = self.folder / "parts" / f"rank-{rank:04d}.jsonl"
        self.answered: dict[str, tuple[Path, int]] = {}
        """Question that has an answer, by any process, when this one began -> where it stands."""
        self.lines: dict[str, tuple[Path, int]] = {}
        """As `look_again` found them."""
        self._read_to: dict[Path, int] = {}

    def __enter__(self) -> Self:
        self._check_about()
        self.own.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            # Unbuffered: what is appended in one piece reaches the file in one piece.
            self._file = stack.enter_context(self.own.open("ab", buffering=0))
            self._lock()
            mend(self.own)
            mend(timings_of(self.own))
            self._seconds = stack.enter_context(timings_of(self.own).open("ab", buffering=0))
            mend(spent_of(self.own))
            self.spending = Spending(spent_of(self.own))
            self._find_answers()
            self._open_files = stack.pop_all()
        return self

    @classmethod
    def left_by(cls, folder: str | Path, *, about: Mapping[str, Any], rank: int = 0) -> Self | None:
        """What earlier runs of the same have answered, to read alone; None where there was none, `DataError` where it
        was of another judge, other data or other settings."""
        journal = cls(folder, about=about, rank=rank)
        if not (journal.folder / ABOUT).exists():
            return None
        journal._check_about()
        journal._find_answers()
        return journal

    def append(self, pairs: Iterable[JudgedPair], *, seconds: float) -> None:
        """Write what was judged together, in one piece; `seconds` is the time of each, beside the lines: lines are a
        function of what was asked, times are not."""
        pairs = list(pairs)
        times = [json.dumps({**pair.place, "question": pair.question, "seconds": round(seconds, 4)}) for pair in pairs]
        try:
            self._seconds.write("".join(f"{line}\n" for line in times).encode())
            self._file.write("".join(f"{pair.to_line()}\n" for pair in pairs).encode())
        except OSError as error:
            raise DataError(
                f"{self.own} can't be written ({error.strerror or error}); stopped before anything else is asked: make room, then run "
                "the same command again"
            ) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.fsync(self._file.fileno())
        self._open_files.close()

    def look_again(self) -> Mapping[str, tuple[Path, int]]:
        """Every question that has a line by now, by any process, rather its answer than its failure -> where it
        stands."""
        for path in self.parts:
            for offset, line in placed(path, start=self._read_to.get(path, 0)):
                self._read_to[path] = offset
                if line["question"] not in self.lines or is_answered(line):
                    self.lines[line["question"]] = (path, offset)
        return self.lines

    def read(self, question: str) -> JudgedPair:
        """What was said to a question of `answered`, or of `lines`."""
        path, offset = self.lines.get(question) or self.answered[question]
        with path.open("rb") as file:
            file.seek(offset)
            return JudgedPair.from_json(json.loads(file.readline()))

    @property
    def parts(self) -> list[Path]:
        return parts_of(self.folder)

    def num_judged(self) -> int:
        """Questions with a line, answered or failed, by now."""
        return len({line["question"] for path in self.parts for _, line in placed(path)})

    def judged(self) -> list[JudgedPair]:
        """One judgement for each question, sorted as in the finished file."""
        return [JudgedPair.from_json(line) for line in newest_lines(self.parts)]

    def finish(self) -> Path:
        """Write `judgements.jsonl`: one line for each question, sorted, whole or not at all. Call it once, when all
        processes are done."""
        path = self.folder / LINES
        temporary = temporary_path(path)
        with temporary.open("wb") as file:
            for line in newest_lines(self.parts):
                file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        publish(temporary, path)
        times = [line for part in self.parts for _, line in placed(timings_of(part))]
        newest = {time["question"]: time for time in times}
        write_whole(
            self.folder / TIMINGS, "".join(f"{json.dumps(time)}\n" for time in sorted(newest.values(), key=sort_key))
        )
        return path

    def _find_answers(self) -> None:
        for path in self.parts:
            for offset, line in placed(path):
                if is_answered(line):
                    self.answered[line["question"]] = (path, offset)

    def _check_about(self) -> None:
        path = self.folder / ABOUT
        if self.rank:
            self._wait_for(path)
        elif not path.exists():
            if (self.folder / LINES).exists() or list(self.own.parent.glob("*.jsonl")):
                raise DataError(
                    f"{self.folder} holds judgements without {ABOUT}, which says whose they are; name another folder"
                )
            write_whole(path, json.dumps(self.about, indent=2, ensure_ascii=False) + "\n")
            return
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path} is not JSON ({error}); name another folder to start anew") from error
        if not isinstance(before, dict):
            raise DataError(
                f"{path} is a JSON {type(before).__name__}, and no object; name another folder to start anew"
            )
        if before != self.about:
            was, now = dict(leaves(before)), dict(leaves(self.about))
            changed = [name for name in {**was, **now} if was.get(name) != now.get(name)]
            shown = "; ".join(f"{name} was {was.get(name)!r}, is {now.get(name)!r}" for name in changed)
            raise DataError(
                f"{path} is of another judge, other data or other settings ({shown}); name another folder to start anew"
            )

    def _wait_for(self, path: Path) -> None:
        """The first process writes it."""
        deadline = time.monotonic() + PATIENCE_S
        while not path.exists():
            if time.monotonic() > deadline:
                raise DataError(
                    f"{path} was not written within {PATIENCE_S:.0f} s by the first process; see why it did not start"
                )
            time.sleep(0.05)

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise DataError(
                f"{self.own} is being written by another process; wait for it, or name another folder"
            ) from None


def parts_of(folder: Path) -> list[Path]:
    return sorted((folder / "parts").glob("rank-????.jsonl"))


def newest_lines(parts: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """One line for each question, sorted: an answer rather than a failure, else the latest. Texts are read back from
    their places; only keys and places are held."""
    places: dict[str, tuple[tuple, bool, Path, int]] = {}
    for path in parts:
        for offset, line in placed(path):
            is_answer = is_answered(line)
            known = places.get(line["question"])
            if known is None or is_answer or not known[1]:
                places[line["question"]] = (sort_key(line), is_answer, path, offset)
    with ExitStack() as stack:
        files = {path: stack.enter_context(path.open("rb")) for path in parts}
        for _, _, path, offset in sorted(places.values(), key=lambda place: place[0]):
            files[path].seek(offset)
            yield json.loads(files[path].readline())


def placed(path: Path, *, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """(offset, object) of each whole line; what a process that was killed left of a line is not read."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(start)
        offset = start
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                value = json.loads(line)
                check_fields(value)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise DataError(
                    f"{path}, line {number}: is no judgement ({error}); remove the line, and the same command asks it again"
                ) from error
            yield offset, value
            offset += len(line)


def is_answered(line: Mapping[str, Any]) -> bool:
    """A line of before there was a status is an answer: requests that failed had none."""
    return Status(line.get("status", Status.OK)) in ANSWERED


def check_fields(line: Mapping[str, Any]) -> None:
    """That what lines are found and sorted by is there; `KeyError`, `TypeError` or `ValueError` where it is not."""
    for name, kind in (("question", str), ("key", str), ("dialect", str), ("order", str), ("vote_index", int)):
        if not isinstance(line[name], kind):
            raise TypeError(f"{name} is {line[name]!r:.60}")
    Status(line.get("status", Status.OK))


def leaves(about: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """
    >>> list(leaves({"asked": {"votes": 3, "sampling": {"seed": 0}}}))
    [('asked.votes', 3), ('asked.sampling.seed', 0)]
    """
    for name, value in about.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value


def mend(path: Path) -> None:
    """Cut a half line off the end of a file that this process goes on with."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = whole = file.seek(0, os.SEEK_END)
        tail = b""
        while whole and b"\n" not in tail:
            whole = max(0, whole - 65536)
            file.seek(whole)
            tail = file.read(end - whole)
        file.truncate(whole + tail.rfind(b"\n") + 1)


def timings_of(part: Path) -> Path:
    return part.with_suffix(".seconds")


def spent_of(part: Path) -> Path:
    return part.with_suffix(".spent")


def sort_key(line: Mapping[str, Any]) -> tuple:
    return (line["key"], line["dialect"], line["order"], line["vote_index"])
