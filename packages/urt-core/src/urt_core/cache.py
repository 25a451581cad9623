"""Completions that were paid for once are never paid for again: a content-addressed cache in one SQLite file.

The key is a SHA-256 over the model's identity, the preprocessing, the prompt's text and media bytes in their order, and
the sampling parameters. Values are JSON. Several processes may share the file: a missing key is claimed before its
request is sent, everybody else waits for the result, and a claim whose process has died expires.
"""

import hashlib
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from urt_core.engines import Completion, FinishReason, SamplingParams, Usage
from urt_core.errors import DataError
from urt_core.media import media_digest
from urt_core.prompts import Prompt
from urt_core.records import Media

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

    cache = CompletionCache("judgements.sqlite")
    scorer = Scorer(engine=CachedEngine(OpenAIEngine(...), cache=cache))
    """

    def __init__(self, path: str | PathLike[str], *, lease_s: float = 60.0) -> None:
        self.path = Path(path).absolute()  # each thread opens it, whatever the working directory is by then
        self.lease_s = lease_s
        """A claim of a process that died is free again after this time; a living one renews its claims."""
        self._local = threading.local()
        self._owned: set[str] = set()
        self._owned_lock = threading.Lock()
        self._renewing: threading.Thread | None = None
        self._closed = threading.Event()
        self._owner, self._owner_pid = "", 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._connect()

    def _connect(self) -> sqlite3.Connection:
        """One connection per thread and process, one owner per process: none of them survives a fork."""
        with self._owned_lock:
            if self._owner_pid != os.getpid():
                self._owner, self._owner_pid = f"{os.getpid()}-{uuid.uuid4().hex}", os.getpid()
                self._owned, self._renewing = set(), None
        if getattr(self._local, "pid", None) != os.getpid():
            try:
                connection = sqlite3.connect(self.path, timeout=30.0, isolation_level=None)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                [version] = connection.execute("PRAGMA user_version").fetchone()
                if version not in (0, SCHEMA_VERSION):
                    raise DataError(
                        f"{self.path} is a cache of version {version}, this is {SCHEMA_VERSION}; use a new file"
                    )
                if version == 0:
                    connection.executescript(_SCHEMA)
            except sqlite3.DatabaseError as error:
                raise DataError(f"{self.path} cannot be used as a cache ({error}); use a new file") from error
            self._local.connection, self._local.pid = connection, os.getpid()
        return self._local.connection

    def get(self, keys: Iterable[str]) -> dict[str, list[Completion]]:
        """The stored ones among `keys`."""
        connection = self._connect()
        found = {}
        for key in keys:
            row = connection.execute("SELECT value FROM completions WHERE key = ?", (key,)).fetchone()
            if row is not None:
                found[key] = [completion_from_json(value) for value in json.loads(row[0])]
        return found

    def claim(self, keys: Sequence[str]) -> list[str]:
        """Reserve those of `keys` that are neither stored nor claimed by somebody else; the caller now has to settle
        them."""
        connection, now = self._connect(), time.time()
        claimed = []
        connection.execute("BEGIN IMMEDIATE")
        try:
            for key in keys:
                if connection.execute("SELECT 1 FROM completions WHERE key = ?", (key,)).fetchone():
                    continue
                taken = connection.execute(
                    "INSERT INTO claims VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE "
                    "SET owner = ?2, expires = ?3 WHERE expires < ?4",
                    (key, self._owner, now + self.lease_s, now),
                )
                if taken.rowcount:
                    claimed.append(key)
        finally:
            connection.execute("COMMIT")
        with self._owned_lock:
            self._owned.update(claimed)
            if claimed and self._renewing is None:
                self._renewing = threading.Thread(target=self._renew, name="urt-cache-lease", daemon=True)
                self._renewing.start()
        return claimed

    def settle(self, results: dict[str, list[Completion] | None]) -> None:
        """Store what was computed and give the claims back; None, or an answer not worth keeping, only gives back."""
        connection = self._connect()
        connection.execute("BEGIN IMMEDIATE")
        try:
            for key, completions in results.items():
                if completions is not None and all(completion.finish_reason in KEPT for completion in completions):
                    value = json.dumps([completion_to_json(completion) for completion in completions])
                    connection.execute("INSERT OR REPLACE INTO completions VALUES (?, ?, ?)", (key, value, time.time()))
                connection.execute("DELETE FROM claims WHERE key = ? AND owner = ?", (key, self._owner))
        finally:
            connection.execute("COMMIT")
        with self._owned_lock:
            self._owned.difference_update(results)

    def is_claimed(self, key: str) -> bool:
        query = "SELECT 1 FROM claims WHERE key = ? AND expires >= ?"
        return self._connect().execute(query, (key, time.time())).fetchone() is not None

    def __len__(self) -> int:
        return self._connect().execute("SELECT COUNT(*) FROM completions").fetchone()[0]

    def close(self) -> None:
        self._closed.set()
        if getattr(self._local, "pid", None) == os.getpid():
            self._local.connection.close()
            del self._local.pid

    def _renew(self) -> None:
        while not self._closed.wait(self.lease_s / 3):
            with self._owned_lock:
                owned = list(self._owned)
            connection = self._connect()
            for key in owned:
                connection.execute(
                    "UPDATE claims SET expires = ? WHERE key = ? AND owner = ?",
                    (time.time() + self.lease_s, key, self._owner),
                )
        self._connect().close()


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


def completion_from_json(value: dict[str, Any]) -> Completion:
    prompt_tokens, completion_tokens = value["usage"]
    return Completion(
        text=value["text"],
        finish_reason=FinishReason(value["finish_reason"]),
        token_ids=tuple(value["token_ids"]),
        logprobs=tuple(value["logprobs"]),
        token_texts=tuple(value["token_texts"]),
        top_logprobs=tuple(tuple((text, number) for text, number in at) for at in value.get("top_logprobs", ())),
        usage=Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens),
        detail=value["detail"],
    )
