"""Pictures in the wire format, each decoded, scaled and encoded once, however many prompts show it at a time."""

import asyncio
import os
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from urt_core.engines import chat
from urt_core.media import MediaPolicy
from urt_core.records import Media

MAX_BYTES = 128 << 20
# An entry costs some memory of its own, however small its picture is.
MAX_ENTRIES = 256


@dataclass(slots=True)
class Entry:
    media: Media
    """Held, so that no other bytes get the identity that the key is made of."""
    task: asyncio.Task[tuple[bytes, ...]]
    num_bytes: int = 0


class Pictures:
    """Of one event loop and one engine. The first who asks for a medium starts its task, everybody else awaits the same
    one.

    What was used last is kept, at most `max_bytes` of encoded pictures; what somebody waits for is never let go. A
    medium that carries its bytes is known by the identity of these, one on disk by name, size and time of its files.

        parts = await Pictures(policy=policy, image_format="png").parts(media)
    """

    def __init__(self, *, policy: MediaPolicy, image_format: str, max_bytes: int = MAX_BYTES) -> None:
        self.policy, self.image_format, self.max_bytes = policy, image_format, max_bytes
        self.num_bytes = 0
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()

    async def parts(self, media: Media) -> tuple[bytes, ...]:
        """`chat.picture_parts` of the medium; raises its `MediaError` to everybody who waits for it, and forgets it."""
        key = identity(media)
        entry = self._entries.get(key)
        if entry is None:
            # Decoding and encoding release the interpreter's lock; other requests go on meanwhile.
            encoding = asyncio.to_thread(chat.picture_parts, media, policy=self.policy, image_format=self.image_format)
            entry = self._entries[key] = Entry(media, asyncio.ensure_future(encoding))
            entry.task.add_done_callback(lambda task: self._encoded(key, entry))
        self._entries.move_to_end(key)
        # Who gives up waiting must not take the picture from the others.
        return await asyncio.shield(entry.task)

    def _encoded(self, key: Hashable, entry: Entry) -> None:
        if entry.task.cancelled() or entry.task.exception() is not None:
            del self._entries[key]
            return
        entry.num_bytes = sum(map(len, entry.task.result()))
        self.num_bytes += entry.num_bytes
        for oldest in [key for key, entry in self._entries.items() if entry.task.done()]:
            if self.num_bytes <= self.max_bytes and len(self._entries) <= MAX_ENTRIES:
                break
            self.num_bytes -= self._entries.pop(oldest).num_bytes


def identity(media: Media) -> Hashable:
    if media.data:
        return media.kind, media.files, tuple(map(id, media.data))
    return media.kind, media.files, tuple(map(stamp, media.files))


def stamp(name: str) -> tuple[int, int] | None:
    """Of a file that is not there: None; reading it says why."""
    try:
        found = os.stat(name)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size
