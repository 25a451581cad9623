"""A page that shows a few records of a folder as a judge would see them; one file, nothing loaded from elsewhere."""

import base64
import io
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from urt_core.errors import MediaError
from urt_core.media import MediaPolicy, load_frames
from urt_core.records import Media, PreferenceRecord
from urt_data.errors import SampleError
from urt_data.shards import ShardFolder
from urt_data.stream.permutation import permutation

THUMBNAIL_POLICY = MediaPolicy(min_pixels=1, max_pixels=256 * 256, num_frames=8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One record on the page; `sides` are (title, text or None, images as data URIs)."""

    title: str
    text: str
    label: str
    sides: list[tuple[str, str | None, list[str]]]
    completion: str | None
    metadata: str
    problem: str | None = None


def inspect(folder: ShardFolder, output: str | Path, *, num_records: int = 24, seed: int = 0) -> Path:
    """Write a contact sheet of `num_records` records, drawn by `seed`, to `output` (an HTML file)."""
    positions = sorted(permutation(len(folder), seed, "inspect")[:num_records].tolist())
    cards = [_card(folder, position) for position in positions]
    # Captions, answers and completions are other people's text: everything is escaped, and the page may run or load
    # nothing.
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(resources.files("urt_data").joinpath("inspection.html.jinja").read_text())
    page = template.render(folder=folder.folder, manifest=folder.manifest, sha256=folder.manifest_sha256, cards=cards)
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page, encoding="utf-8")
    return output


def _card(folder: ShardFolder, position: int) -> Card:
    try:
        record = folder[position]
        sides = [_side(record, role) for role in ("media", "first", "second") if getattr(record, role) is not None]
    except (SampleError, MediaError) as error:
        return Card(
            title=f"record {position}", text="", label="", sides=[], completion=None, metadata="", problem=str(error)
        )
    return Card(
        title=f"{record.key} · {record.task}",
        text=record.text,
        label=str(record.preference) if record.preference else "unlabelled",
        sides=sides,
        completion=record.completion,
        metadata=json.dumps(dict(record.metadata), ensure_ascii=False, indent=1, sort_keys=True),
    )


def _side(record: PreferenceRecord, role: str) -> tuple[str, str | None, list[str]]:
    value: Any = getattr(record, role)
    if not isinstance(value, Media):
        return role, value, []
    return role, None, [_data_uri(frame) for frame in load_frames(value, THUMBNAIL_POLICY)]


def _data_uri(image: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
