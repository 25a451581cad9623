"""Completions that were paid for once are never paid for again: a content-addressed cache in one SQLite file.

The key is a SHA-256 over the model's identity, the preprocessing, the prompt's text and media bytes in their order, and
the sampling parameters. Values are JSON. Several processes may share the file: a missing key is claimed before its
request is sent, everybody else waits for the result, and what a process had claimed is free as soon as it ends.
"""

import hashlib
import json
import logging
import math
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from urt_core.engines import Completion, FinishReason, SamplingParams, Usage
from urt_core.engines.completion import is_logprob
from urt_core.engines.endpoint.answers import safe_text
from urt_core.errors import DataError
from urt_core.media import media_digest
from urt_core.process.ownership import Owner, is_alive
from urt_core.prompts import Prompt
from urt_core.records import Media

R = TypeVar("R")
LOG = logging.getLogger(__name__)
SQLITE_MAGIC = b"SQLite format 3\0"
SCHEMA_VERSION = 1
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS completions (key TEXT PRIMARY KEY, value TEXT NOT NULL, created REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {SCHEMA_VERSION};
"""
# Completions of these kinds answer the question for good; an endpoint that was down may be up the next time.
KEPT = (FinishReason.STOP, FinishReason.LENGTH, FinishReason.REFUSED)


def cache_key(prompt: Prompt, sampling: SamplingParams, *, model: str, preprocessing: str) -> str:
    """Two requests share a key only if everything that can change the answer is equal."""
    identity: dict[str, Any] = {
        "model": model,
        "preprocessing": preprocessing,
        "parts": identity_of_parts(prompt.parts),
        "sampling": sampling.to_json(),
    }
    if prompt.before:
        identity["before"] = [[turn.role, identity_of_parts(turn.parts)] for turn in prompt.before]
    return hashlib.sha256(json.dumps(identity, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def identity_of_parts(parts: Sequence[str | Media]) -> list[Any]:
    return [part if isinstance(part, str) else {"media": media_digest(part)} for part in parts]


class CompletionCache:
    """The store. Safe to use from several threads and processes of one machine (SQLite must not lie on a network
    drive).

    What is damaged is set aside with one line in the log and asked again: an answer by itself, a file that can't be read any more under
    another name.

        cache = CompletionCache("judgements.sqlite")
        scorer = Scorer(engine=CachedEngine(OpenAIEngine(...), cache=cache))
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path).absolute()  # each thread opens it, whatever the working directory is by then
        self._local = threading.local()
        self._lock = threading.Lock()
        self._owner: Owner | None = None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._do(lambda connection: None)

    def get(self, keys: Iterable[str]) -> dict[str, list[Completion]]:
        """The stored ones among `keys`."""

        def read(connection: sqlite3.Connection) -> dict[str, list[Completion]]:
            found = {}
            for key in keys:
                row = connection.execute("SELECT value FROM completions WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    try:
                        found[key] = completions_from_json(row[0])
                    except DataError as error:
                        connection.execute("DELETE FROM completions WHERE key = ?", (key,))
                        LOG.warning("%s: the answer %s is damaged (%s) and is asked again", self.path, key[:12], error)
            return found

        keys = list(keys)
        return self._do(read)

    def claim(self, keys: Sequence[str]) -> list[str]:
        """Reserve those of `keys` that are neither stored nor claimed by a living process; the caller now has to settle
        them."""

        def take(connection: sqlite3.Connection) -> list[str]:
            own, alive, claimed = self._own_name(), {}, []
            with transaction(connection):
                for key in keys:
                    if connection.execute("SELECT 1 FROM completions WHERE key = ?", (key,)).fetchone():
                        continue
                    row = connection.execute("SELECT owner FROM claims WHERE key = ?", (key,)).fetchone()
                    if row is not None and row[0] not in alive:
                        alive[row[0]] = row[0] == own or is_alive(self.path, str(row[0]))
                    if row is None or not alive[row[0]]:
                        connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, 0)", (key, own))
                        claimed.append(key)
            return claimed

        return self._do(take)

    def settle(self, results: dict[str, list[Completion] | None]) -> None:
        """Store what was computed and give the claims back; None, or an answer not worth keeping, only gives back."""

        def store(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                for key, completions in results.items():
                    if completions is not None and all(each.finish_reason in KEPT for each in completions):
                        value = json.dumps([completion_to_json(completion) for completion in completions])
                        connection.execute(
                            "INSERT OR REPLACE INTO completions VALUES (?, ?, ?)", (key, value, time.time())
                        )
                    connection.execute("DELETE FROM claims WHERE key = ? AND owner = ?", (key, self._own_name()))

        self._do(store)

    def __len__(self) -> int:
        return self._do(lambda connection: connection.execute("SELECT COUNT(*) FROM completions").fetchone()[0])

    def close(self) -> None:
        """Nothing is claimed any more, and the connection of this thread is closed."""
        with self._lock:
            if self._owner is not None and self._owner.pid == os.getpid():
                self._owner.release()
            self._owner = None
        self._disconnect()

    def _own_name(self) -> str:
        """One owner a process: none survives a fork."""
        with self._lock:
            if self._owner is None or self._owner.pid != os.getpid():
                self._owner = Owner(self.path)
            return self._owner.name

    def _do(self, action: Callable[[sqlite3.Connection], R]) -> R:
        """`action` on a connection of this thread and process; on a new file where the old one turns out to be damaged."""
        try:
            try:
                return action(self._connect())
            except sqlite3.OperationalError:
                raise  # the disk, not the file
            except sqlite3.DatabaseError as error:
                self._set_aside(error)
                return action(self._connect())
        except (sqlite3.Error, OSError) as error:
            raise DataError(
                f"{self.path} cannot be used as a cache ({error}); make room and rights, or use a new file"
            ) from error

    def _connect(self) -> sqlite3.Connection:
        if getattr(self._local, "pid", None) != os.getpid():
            connection = sqlite3.connect(self.path, timeout=30.0, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            [version] = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, SCHEMA_VERSION):
                connection.close()
                raise DataError(
                    f"{self.path} is a cache of version {version}, this is {SCHEMA_VERSION}; use a new file"
                )
            if version == 0:
                connection.executescript(_SCHEMA)
            self._local.connection, self._local.pid = connection, os.getpid()
        return self._local.connection

    def _disconnect(self) -> None:
        if getattr(self._local, "pid", None) == os.getpid():
            self._local.connection.close()
            del self._local.pid

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        """Under another name, if it ever was a database; somebody's other file stays where it is."""
        self._disconnect()
        with self.path.open("rb") as file:
            if file.read(len(SQLITE_MAGIC)) != SQLITE_MAGIC:
                raise error
        aside = self.path.with_name(f"{self.path.name}.damaged-{uuid.uuid4().hex[:8]}")
        self.path.rename(aside)
        for beside in ("-wal", "-shm"):
            Path(f"{self.path}{beside}").unlink(missing_ok=True)
        LOG.warning("%s is damaged (%s); it is now %s, and a new cache is begun", self.path, error, aside.name)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def completion_to_json(completion: Completion) -> dict[str, Any]:
    return {
        "text": completion.text,
        "finish_reason": str(completion.finish_reason),
        "token_ids": list(completion.token_ids),
        "logprobs": list(completion.logprobs),
        "token_texts": list(completion.token_texts),
        **({"top_logprobs": completion.top_logprobs} if completion.top_logprobs else {}),
        "usage": [completion.usage.prompt_tokens, completion.usage.completion_tokens],
        "detail": completion.detail,
    }


def completions_from_json(text: object) -> list[Completion]:
    """`DataError` where it is not what `completion_to_json` wrote."""
    try:
        values = json.loads(text) if isinstance(text, str) else None
        completions = [completion_from_json(value) for value in values or ()]
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise DataError(f"{type(error).__name__}") from error
    if not completions:
        raise DataError("no completions")
    return completions


def completion_from_json(value: dict[str, Any]) -> Completion:
    prompt_tokens, completion_tokens = map(int, value["usage"])
    if not all(isinstance(value[name], str) for name in ("text", "detail")):
        raise TypeError("text and detail are strings")
    tops = [number for at in value.get("top_logprobs", ()) for _, number in at]
    if not all(is_logprob(each) and each > -math.inf for each in (*value["logprobs"], *tops)):
        raise ValueError("a log-probability is finite and at most 0")
    return Completion(
        text=safe_text(value["text"]),
        finish_reason=FinishReason(value["finish_reason"]),
        token_ids=tuple(value["token_ids"]),
        logprobs=tuple(map(float, value["logprobs"])),
        token_texts=tuple(map(safe_text, value["token_texts"])),
        top_logprobs=tuple(tuple((text, number) for text, number in at) for at in value.get("top_logprobs", ())),
        usage=Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens),
        detail=value["detail"],
    )
