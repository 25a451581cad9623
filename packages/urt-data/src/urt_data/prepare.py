"""`urt-data convert`: `data=<source> input=<path> [output=<folder>] [settings] [options of the source]`.

data=hpdv3 input=downloads/HPDv3 output=data/hpdv3 split=train
data=generic input=pairs.csv output=data/mine licence=CC0-1.0 columns.text=prompt columns.first=image_a columns.second=image_b
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from urt_core.errors import ConfigError
from urt_data.convert import MAX_REJECTED, ConversionReport, convert
from urt_data.shards.addresses import local_copy
from urt_data.sources import Conversion, Source, get

REPORT_EVERY = 1000
NAMES = ("columns", "ignore", "input", "output")
"""Settings whose values are names, even where they look like numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversionSettings:
    """ConversionSettings(input="downloads/HPDv3", output="data/hpdv3", split="train", decode=True)"""

    input: str
    """The folder of the downloaded set, or one annotation file of it; or its address, which is copied for the time of the conversion."""
    output: str
    """The folder to write the shards to, or an address such as s3://bucket/pairs."""
    media: str | None = None
    """The folder that file names start from, where it is not the input folder."""
    revision: str | None = None
    """The commit that was downloaded, where the download did not note it."""
    split: str | None = None
    """Keep the records of one split: train, validation or test."""
    decode: bool = False
    """Decode every image once, to reject damaged ones now instead of in training."""
    samples_per_shard: int = 1000
    """Records per tar file."""
    overwrite: bool = False
    """Replace a finished data set in the output folder."""
    num_threads: int = 1
    """Threads that hash and write beside the one that reads."""
    max_rejected: float | str = MAX_REJECTED
    """The share of rows that may be rejected; above it the exit code is 1."""


def prepare(arguments: Sequence[str], *, progress: Callable[[str], None] | None = None) -> ConversionReport:
    """Convert as the command line says."""
    values = parse_values(arguments)
    name = values.pop("data", None)
    if name is None or "input" not in values:
        raise ConfigError("a conversion needs data=<source> and input=<path>, such as data=hpdv3 input=downloads/HPDv3")
    names = inspect.signature(ConversionSettings).parameters
    source = _source(name, {key: value for key, value in values.items() if key not in names})
    values.setdefault("output", f"outputs/data/{source.name}")
    settings = ConversionSettings(**{key: value for key, value in values.items() if key in names})
    with local_copy(settings.input) as path, local_copy(settings.media or ".") as media:
        conversion = source.records(
            path,
            media=media if settings.media else None,
            revision=settings.revision,
            decode=settings.decode,
        )
        return _converted(source, settings, conversion, progress)


def _converted(
    source: Source, settings: ConversionSettings, conversion: Conversion, progress: Callable[[str], None] | None
) -> ConversionReport:

    def tell(report: ConversionReport) -> None:
        if progress is not None and report.num_records % REPORT_EVERY == 0:
            progress(f"{report.num_records:,} records, {report.num_rejected:,} rows rejected")

    return convert(
        conversion,
        settings.output,
        metadata=source.provenance,
        split=settings.split,
        samples_per_shard=settings.samples_per_shard,
        overwrite=settings.overwrite,
        num_threads=settings.num_threads,
        max_rejected=_share(settings.max_rejected),
        progress=tell,
    )


def parse_values(arguments: Sequence[str]) -> dict[str, Any]:
    """`a=1 b.c=x columns.first=0` -> {"a": 1, "b": {"c": "x"}, "columns": {"first": "0"}}"""
    values: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not name:
            raise ConfigError(f"{argument!r} is no setting; write name=value")
        group, dot, inner = name.partition(".")
        place = values.setdefault(group, {}) if dot else values
        if not isinstance(place, dict) or (inner or name) in place:
            raise ConfigError(f"{name} is set twice; keep one")
        place[inner if dot else name] = text if group in NAMES else parse_value(text)
    return values


def parse_value(text: str) -> Any:
    """true, false, null and whole numbers mean themselves; all else is text."""
    words = {"true": True, "false": False, "null": None}
    if text in words:
        return words[text]
    return int(text) if text.isascii() and text.isdigit() else text


def _share(value: float | str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError(f"max_rejected is {value!r}; it must be a share from 0 to 1, such as 0.02")
    return share


def _source(name: str, options: dict[str, Any]) -> Any:
    try:
        return get(name, **options)
    except TypeError as error:
        settings = ", ".join(inspect.signature(ConversionSettings).parameters)
        raise ConfigError(f"data={name}: {error}; settings of every conversion: {settings}") from error
