"""Measure urt-data beside plain webdataset on the same shards: python apps/bench_data.py [samples=2000] [size=256]
[repeats=5] [only=read]

Prints one line per figure. Shards and pictures are made in a temporary folder; everything is read from the page cache,
so that the figures compare software and not disks. Each figure is the median of `repeats` alternating runs.
"""

import io
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import default_collate

from benchmarks.program import run_script
from urt_core.media import MediaPolicy, load_frames
from urt_core.records import Media, MediaKind, Preference, PreferenceRecord, Task
from urt_data import Check, PreferenceStream, ShardFolder, ShardWriter
from urt_data.prepare import parse_values, prepare
from urt_data.shards.index import MANIFEST_NAME, Manifest, sha256
from urt_data.shards.open_shard import index_path
from urt_data.shards.writer import shard_name

NATIVE = MediaPolicy(min_pixels=1, max_pixels=2**40)


def main(arguments: list[str]) -> None:
    settings = {"samples": 2000, "size": 256, "repeats": 5, "only": "", "million": 1_000_000, **parse_values(arguments)}
    with tempfile.TemporaryDirectory() as folder:
        for name, bench in BENCHES.items():
            if settings["only"] in ("", name):
                for line in bench(Path(folder, name), settings):
                    print(f"{name}: {line}", flush=True)


def pictures(size: int, count: int = 64) -> list[bytes]:
    """JPEG pictures with the detail of photographs, so that decoding costs what it costs in use."""
    rng = np.random.default_rng(0)
    encoded = []
    for _ in range(count):
        rough = Image.fromarray(rng.integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        rough.resize((size, size), Image.Resampling.BICUBIC).save(buffer, "jpeg", quality=95)
        encoded.append(buffer.getvalue())
    return encoded


def records(count: int, media: list[bytes]) -> Iterator[PreferenceRecord]:
    for number in range(count):
        first, second = (
            Media(kind=MediaKind.IMAGE, files=(f"{side}.jpg",), data=(media[(2 * number + side) % len(media)],))
            for side in range(2)
        )
        yield PreferenceRecord(
            key=f"bench-{number:07d}",
            task=Task.IMAGE_GENERATION,
            text="a red car to the left of two dogs, in the style of a photograph",
            first=first,
            second=second,
            preference=Preference.FIRST,
            metadata={"source": "bench", "licence": "CC0-1.0", "commercial_ok": True},
        )


def bench_convert(folder: Path, settings: dict) -> Iterator[str]:
    """Encoded pictures -> finished shards: from records in memory, and from a table and files on disk."""
    media = pictures(settings["size"])
    count, size = settings["samples"], 2 * sum(map(len, media)) // len(media)

    def from_memory(output: Path, count: int) -> None:
        with ShardWriter(output) as shards:
            for record in records(count, media):
                shards.write(record)

    def from_table(output: Path, count: int) -> None:
        columns = ["columns.text=prompt", "columns.first=left", "columns.second=right", "columns.preference=label"]
        prepare(["data=generic", f"input={folder / str(count)}.csv", f"output={output}", *columns])

    for number, picture in enumerate(media):
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(picture)
    for length in (count // 4, count):
        rows = (f"a red car,{2 * row % 64}.jpg,{(2 * row + 1) % 64}.jpg,first\n" for row in range(length))
        (folder / f"{length}.csv").write_text("prompt,left,right,label\n" + "".join(rows))
    for name, make in {"records in memory": from_memory, "a table and files": from_table}.items():
        rates, peaks = [], []
        for length in (count // 4, count):
            for repeat in range(settings["repeats"]):
                started, used = time.perf_counter(), time.process_time()
                make(folder / f"{name}-{length}-{repeat}", length)
                rates.append((length / (time.process_time() - used), length / (time.perf_counter() - started)))
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        cpu, wall = (statistics.median(column) for column in zip(*rates, strict=True))
        yield f"{name}: {cpu:,.0f} image pairs/s of one core ({wall:,.0f} of wall clock, with fsync), {size / 1000:.0f} kB a pair"
        yield f"{name}: peak memory {peaks[0]:.0f} MB after {count // 4:,} pairs, {peaks[1]:.0f} MB after {count:,}"


def bench_read(folder: Path, settings: dict) -> Iterator[str]:
    """Samples per second of both libraries, in one process, without and with decoding."""
    from webdataset import WebDataset  # type: ignore[attr-defined]  # found at run time

    with ShardWriter(folder, samples_per_shard=500) as shards:
        for record in records(settings["samples"], pictures(settings["size"])):
            shards.write(record)
    urls = [str(path) for path in sorted(folder.glob("*.tar"))]

    def plain() -> int:
        return sum(1 for _ in WebDataset(urls, shardshuffle=False))

    def plain_json() -> int:
        return sum(bool(json.loads(sample["json"])) for sample in WebDataset(urls, shardshuffle=False))

    def plain_decoded() -> int:
        return sum(1 for _ in WebDataset(urls, shardshuffle=False).decode("pil"))

    def ours_raw(check: Check) -> Callable[[], int]:
        shards = ShardFolder(folder, check=check)
        rows = [(number, row) for number, entry in enumerate(shards.shards) for row in range(entry.num_samples)]
        return lambda: sum(1 for number, row in rows if shards.read_members(number, row))

    def ours(check: Check, *, shuffle: bool = True) -> Callable[[], int]:
        shards = ShardFolder(folder, check=check)
        return lambda: sum(map(len, PreferenceStream(shards, batch_size=32, seed=0, shuffle=shuffle)))

    def ours_decoded() -> int:
        stream = PreferenceStream(ShardFolder(folder), batch_size=32, seed=0, transform=decode)
        return sum(map(len, stream))

    comparisons = {
        "bytes of the members": (ours_raw(Check.CRC32), plain),
        "bytes of the members, sha256": (ours_raw(Check.SHA256), plain),
        "bytes of the members, unchecked": (ours_raw(Check.NONE), plain),
        "records in stored order": (ours(Check.CRC32, shuffle=False), plain_json),
        "shuffled records": (ours(Check.CRC32), plain_json),
        "shuffled records, sha256": (ours(Check.SHA256), plain_json),
        "shuffled records, images decoded": (ours_decoded, plain_decoded),
    }
    for name, (mine, theirs) in comparisons.items():
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(settings["repeats"]):
            for run, taken in zip((mine, theirs), times, strict=True):
                started = time.process_time()
                assert run() == settings["samples"]
                taken.append(time.process_time() - started)
        rates = [settings["samples"] / statistics.median(taken) for taken in times]
        yield f"{name}: {rates[0]:,.0f} samples/s, webdataset {rates[1]:,.0f}, ratio {rates[0] / rates[1]:.2f}"


def decode(batch: list[PreferenceRecord]) -> list:
    return [
        [load_frames(media, NATIVE)[0] for media in (record.first, record.second) if isinstance(media, Media)]
        for record in batch
    ]


def bench_loader(folder: Path, settings: dict) -> Iterator[str]:
    """Decoded pairs a second by the clock, two reading processes each: the stream that training reads, shuffled and with
    its checks, and webdataset in stored order with its own decoder of pictures as bytes. Both hand over a batch as one
    tensor of uint8, by shared memory."""
    from webdataset import WebDataset, WebLoader  # type: ignore[attr-defined]  # found at run time

    with ShardWriter(folder, samples_per_shard=100) as shards:
        for record in records(settings["samples"], pictures(settings["size"])):
            shards.write(record)
    urls = [str(path) for path in sorted(folder.glob("*.tar"))]

    def ours() -> int:
        stream = PreferenceStream(ShardFolder(folder), batch_size=32, seed=0, transform=as_tensor, num_workers=2)
        return sum(len(batch) for batch in stream) // 2

    def theirs() -> int:
        pairs = WebDataset(urls, shardshuffle=False).decode("torchrgb8").map(images_of)
        loader = WebLoader(pairs.batched(32, collation_fn=as_one), batch_size=None, num_workers=2)
        return sum(len(batch) for batch in loader) // 2

    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(settings["repeats"]):
        for run, taken in zip((ours, theirs), times, strict=True):
            started = time.perf_counter()
            assert run() == settings["samples"]
            taken.append(time.perf_counter() - started)
    rates = [settings["samples"] / statistics.median(taken) for taken in times]
    yield f"two workers, pictures decoded: {rates[0]:,.0f} pairs/s, webdataset {rates[1]:,.0f}, ratio {rates[0] / rates[1]:.2f}"


def as_tensor(batch: list[PreferenceRecord]) -> torch.Tensor:
    """[2 x pairs, height, width, 3], in shared memory; each picture is let go before the next is decoded."""
    media = [media for record in batch for media in (record.first, record.second) if isinstance(media, Media)]
    width, height = load_frames(media[0], NATIVE)[0].size
    shared = torch.UntypedStorage._new_shared(len(media) * height * width * 3)  # what default_collate does in a worker
    tensor = torch.empty(0, dtype=torch.uint8).set_(shared).view(len(media), height, width, 3)
    for number, medium in enumerate(media):
        tensor[number] = torch.from_numpy(np.asarray(load_frames(medium, NATIVE)[0]))
    return tensor


def images_of(sample: dict[str, Any]) -> list[torch.Tensor]:
    return [value for name, value in sample.items() if name.endswith(".jpg")]


def as_one(pairs: list[list[torch.Tensor]]) -> torch.Tensor:
    """[2 x pairs, 3, height, width], in shared memory"""
    return default_collate([picture for pair in pairs for picture in pair])


def bench_resume(folder: Path, settings: dict) -> Iterator[str]:
    """First batch of a fresh epoch and after resuming anywhere, over a million tiny samples in 100 shards."""
    count = settings["million"]
    write_hundredfold(folder, records(count // 100, [b"tiny"]))
    rng = np.random.default_rng(0)
    for position in (0, *sorted(rng.integers(0, 3 * count, 10).tolist())):
        started, used = time.perf_counter(), time.process_time()
        stream = PreferenceStream(ShardFolder(folder), batch_size=32, seed=0, rank=1, world_size=2)
        state = stream.state_dict() | {"epoch": position // count, "position": position}
        stream.load_state_dict(state)
        next(iter(stream))
        yield (
            f"first batch at position {position:,} after {time.perf_counter() - started:.3f} s, "
            f"{time.process_time() - used:.3f} s of processor time, state of {len(json.dumps(state))} bytes"
        )


def write_hundredfold(folder: Path, samples: Iterator[PreferenceRecord]) -> None:
    """One shard under a hundred names: as much for a reader to look up as a hundred shards, in a hundredth of the time
    to write."""
    with ShardWriter(folder, samples_per_shard=10**9) as shards:
        for record in samples:
            shards.write(record)
    written = ShardFolder(folder)
    (entry,), index = written.shards, written.index(0)
    entries = []
    for name in map(shard_name, range(100)):
        if name != entry.name:
            os.link(folder / entry.name, folder / name)
        content = replace(index, shard=name).to_bytes()
        index_path(folder / name).write_bytes(content)
        entries.append(replace(entry, name=name, index_sha256=sha256(content)))
    (folder / MANIFEST_NAME).write_bytes(Manifest(shards=tuple(entries), metadata={}).to_bytes())


BENCHES = {"convert": bench_convert, "read": bench_read, "loader": bench_loader, "resume": bench_resume}

if __name__ == "__main__":
    run_script(main, text=__doc__)
