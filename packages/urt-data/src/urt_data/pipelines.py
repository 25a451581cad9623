"""Between pipelines of `webdataset` and records, both ways: `pip install "urt-data[webdataset]"`.

dataset = wds.WebDataset("tars/{000000..000009}.tar").compose(
    to_records(task="image_generation", columns={"text": "txt", "preference": "label"}, preferences={0: "first", 1: "second"})
)                                                     # any stage before it, but for .decode(); records behind it
write_webdataset(records, "out", uniform="png")       # plain tars: <key>.json, <key>.first.png, <key>.second.png
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from urt_core.errors import ConfigError, DataError, RecordError
from urt_core.media import decode_image
from urt_core.records import Media, PreferenceRecord
from urt_data.errors import LabelError, SampleError, ShardError
from urt_data.shards.sample import ROLES, from_members, to_members
from urt_data.shards.tar import RECORD_SUFFIX
from urt_data.sources.folder import InputFolder
from urt_data.sources.own.generic import generic_settings
from urt_data.sources.own.label_column import WORDS, Meaning
from urt_data.sources.own.webdataset import columns_of, webdataset
from urt_data.sources.rows import FieldError, Row
from urt_data.sources.source import Conversion

Handler = Callable[[Exception], bool]
UNIFORM = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}


def to_records(
    *, handler: Handler | None = None, **options: Any
) -> Callable[[Iterable[Mapping[str, Any]]], Iterator[PreferenceRecord]]:
    """A stage of a webdataset pipeline: samples in (undecoded members by suffix), records out.

    Samples of our own shards are read as they are; others by `options`, those of the source `webdataset`. A stream
    cannot be looked through beforehand, so that labels that are no plain words need `preferences`, or `larger` with
    `middle`; a `LabelError` says so. `handler` is webdataset's: True goes on behind a sample that cannot be read; by
    default it ends the run with a `SampleError`.
    """
    source = webdataset(**options)
    names, labels = generic_settings(options)
    meaning = Meaning(
        column=labels.column, said=labels.words, words=WORDS, larger=labels.larger, middle=labels.middle or 0.0,
        is_worse=labels.label_is == "worse", by_name=True,
    )  # fmt: skip
    if source.pairs is None or (labels.larger is not None and labels.middle is None):
        raise ConfigError("a stage cannot look at all numbers first; give middle=<number> beside larger")
    pairs = source.pairs if options.get("winner_first") else partial(source.pairs, meaning=meaning)
    # Media lie inside the samples; what a row names as a file is looked for where there is none.
    conversion = Conversion(source=source, folder=InputFolder(__file__), revision=None)

    def records(sample: Mapping[str, Any], number: int) -> Iterator[PreferenceRecord]:
        if own := _own_record(sample):
            yield own
            return
        row = Row(file=str(sample.get("__url__", "stream")), number=number, values=columns_of(sample))
        value = row.get(names["preference"])
        try:
            for place, pair in enumerate(pairs(row, conversion.folder)):
                yield conversion.record(pair, row, place)
        except FieldError as error:
            if error.field == names["preference"] and value is not None:
                raise LabelError(
                    f"label {value!r} of sample {sample.get('__key__')} has no certain meaning here; give preferences={{{value!r}: 'first'}} "
                    "or what it means"
                ) from error
            raise

    def stage(samples: Iterable[Mapping[str, Any]]) -> Iterator[PreferenceRecord]:
        for number, sample in enumerate(samples):
            try:
                yield from list(records(sample, number))
            except (FieldError, RecordError, ShardError) as error:
                named = SampleError(
                    shard=str(sample.get("__url__", "stream")),
                    key=str(sample.get("__key__", number)),
                    reason=str(error),
                )
                if handler is None or not handler(named):
                    raise named from error

    return stage


def _own_record(sample: Mapping[str, Any]) -> PreferenceRecord | None:
    """The record of a sample that our writer made; None where its JSON says something else."""
    content = sample.get(RECORD_SUFFIX)
    if not isinstance(content, bytes) or b'"task"' not in content or b'"files"' not in content:
        return None
    members = {suffix: value for suffix, value in sample.items() if isinstance(value, bytes)}
    return from_members(members, key=str(sample.get("__key__")))


def write_webdataset(
    records: Iterable[PreferenceRecord],
    folder: str | Path,
    *,
    samples_per_shard: int = 1000,
    uniform: str | None = None,
) -> int:
    """Write records as plain webdataset tars with `webdataset.ShardWriter`, and return their number.

    `uniform` (png, jpg, webp) re-encodes the images of other formats, so that every sample has the same members:
    readers that make a table of the tars, such as Hugging Face's `datasets` and the viewer of its hub, ask for that.
    """
    try:
        from webdataset.writer import ShardWriter
    except ImportError as error:
        raise ConfigError("plain webdataset tars need webdataset: pip install 'urt-data[webdataset]'") from error
    if uniform not in (None, *UNIFORM):
        raise ConfigError(f"uniform is {uniform!r}; allowed: {', '.join(UNIFORM)}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("*.tar")):
        raise DataError(f"{folder} holds tar files already; choose another folder")
    number = 0
    with ShardWriter(str(folder / "%06d.tar"), maxcount=samples_per_shard, verbose=0, encoder=False) as sink:
        for record in records:
            record = record if uniform is None else made_uniform(record, uniform)
            sink.write({"__key__": record.key, **dict(to_members(record))})
            number += 1
    return number


def made_uniform(record: PreferenceRecord, suffix: str) -> PreferenceRecord:
    """The record with all images in one format; what has it already keeps its bytes, videos keep theirs."""
    changed: dict[str, Media] = {}
    for role in ROLES:
        media = getattr(record, role)
        if isinstance(media, Media) and not all(name.endswith(f".{suffix}") for name in media.files):
            pairs = [_encoded(name, data, suffix) for name, data in zip(media.files, media.data, strict=True)]
            changed[role] = replace(
                media, files=tuple(name for name, _ in pairs), data=tuple(data for _, data in pairs)
            )
    return replace(record, **changed) if changed else record


def _encoded(name: str, data: bytes, suffix: str) -> tuple[str, bytes]:
    stem, _, old = name.rpartition(".")
    if old in (suffix, "mp4", "webm", "mov", "mkv", "avi", "m4v") or (old == "jpeg" and suffix == "jpg"):
        return (f"{stem}.{suffix}" if old == "jpeg" and suffix == "jpg" else name), data
    buffer = io.BytesIO()
    image: Image.Image = decode_image(data, name=name)
    settings: dict[str, Any] = {"quality": 95} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    image.save(buffer, UNIFORM[suffix], **settings)
    return f"{stem}.{suffix}", buffer.getvalue()
