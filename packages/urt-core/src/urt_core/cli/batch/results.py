"""The output of a batch: one JSON line per result, appended as it comes, and a manifest that says what they mean."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from urt_core.atomic import cannot_write, write_atomically
from urt_core.engines import Status
from urt_core.errors import DataError
from urt_core.redaction import redacted

try:
    import fcntl
except ImportError:  # where files can't be locked, nothing keeps two processes from one file
    fcntl = None

# What a run that continues asks again. The others are answers, if not always verdicts, and may have been paid for.
ASKED_AGAIN = (Status.TIMEOUT, Status.HTTP_ERROR, Status.BUDGET, Status.BAD_MEDIA)


def without_secrets(value: Any) -> Any:
    """JSON with every text in it `redacted`."""
    if isinstance(value, dict):
        return {name: without_secrets(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_secrets(inner) for inner in value]
    return redacted(value) if isinstance(value, str) else value


class ResultFile:
    """Opens or continues `path`; `path.manifest.json` beside it holds the settings, which must be the same to continue.

    with ResultFile("results.jsonl", settings={...}) as results:
        if "pair-17" not in results.done: results.append(comparison.to_json())
    """

    def __init__(self, path: str | Path, *, settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.manifest_path = self.path.with_name(self.path.name + ".manifest.json")
        # Addresses may hold passwords and keys; the file is passed around with the results.
        self.settings = without_secrets(json.loads(json.dumps(settings, default=str)))
        self.statuses: dict[str, Status] = {}
        """Key -> status of its last line."""

    @property
    def done(self) -> set[str]:
        return {key for key, status in self.statuses.items() if status not in ASKED_AGAIN}

    def read(self) -> set[str]:
        """What is `done` in the file as it lies there; nothing is written."""
        self._check_settings()
        self.statuses = {key: status for key, status, _ in self._lines()}
        return self.done

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._check_settings()
        # Unbuffered: what a full disk did not take is not tried again when the file is closed.
        self._file = self.path.open("ab", buffering=0)
        try:
            self._lock()
            complete = 0
            for key, status, end in self._lines():
                self.statuses[key] = status
                complete = end
            # A process that was killed can leave half a line behind.
            self._file.truncate(complete)
            self._write_manifest(finished=False)
        except OSError as full:
            self._file.close()
            raise cannot_write(self.path, full) from full
        except BaseException:
            self._file.close()
            raise
        return self

    def append(self, result: Mapping[str, Any]) -> None:
        line = json.dumps(result, ensure_ascii=False).encode() + b"\n"
        try:
            written = 0
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.statuses[result["key"]] = Status(result["status"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            self._write_manifest(finished=error is None)
        except OSError as full:
            self._file.close()
            if error is None:
                raise cannot_write(self.path, full) from full

    def _lock(self) -> None:
        """Two processes on one output would both write a line for each key."""
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(
                f"{self.path} is being written by another process; wait for it, or name another --output"
            ) from None

    @property
    def failure_rate(self) -> float:
        failed = sum(status is not Status.OK for status in self.statuses.values())
        return failed / len(self.statuses) if self.statuses else 0.0

    def _check_settings(self) -> None:
        # An empty file holds nothing that other settings could have made: it was left before its manifest was written.
        if not self.path.exists() or self.path.stat().st_size == 0:
            return
        try:
            before = json.loads(self.manifest_path.read_text(encoding="utf-8"))["settings"]
            if not isinstance(before, dict):
                raise TypeError("its settings are no object")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f"{self.path} exists and has no readable manifest beside it; name another --output, or remove it"
            ) from error
        changed = sorted(name for name in {*before, *self.settings} if before.get(name) != self.settings.get(name))
        if changed:
            shown = "; ".join(f"{name} was {before.get(name)!r}, is {self.settings.get(name)!r}" for name in changed)
            raise DataError(f"{self.path} was made with other settings ({shown}); name another --output to start anew")

    def _lines(self) -> Iterator[tuple[str, Status, int]]:
        """(key, status, offset of the end) of each complete line."""
        if not self.path.exists():
            return
        end = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                end += len(line)
                try:
                    result = json.loads(line)
                    key, status = result["key"], Status(result["status"])
                    if not isinstance(key, str):
                        raise TypeError(f"key is {key!r:.60}")
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    raise DataError(
                        f"{self.path}, line {number}: no result ({error}); name another --output"
                    ) from error
                yield key, status, end

    def _write_manifest(self, *, finished: bool) -> None:
        counts = Counter(map(str, self.statuses.values()))
        manifest = {"settings": self.settings, "finished": finished, "num_results": len(self.statuses)}
        manifest |= {"statuses": dict(sorted(counts.items())), "failure_rate": self.failure_rate}
        write_atomically(self.manifest_path, (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())
