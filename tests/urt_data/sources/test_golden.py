"""Every source on a few rows of its published schema: the records and errors it must give."""

import json
import os
from pathlib import Path
from typing import Any

from urt_core.records import Media, PreferenceRecord
from urt_data import sources


def shown(record: PreferenceRecord, names: dict[bytes, str]) -> dict[str, Any]:
    """The record with its files replaced by the names of the media whose bytes they hold."""
    document = record.to_json()
    for role in ("first", "second", "media"):
        media = getattr(record, role)
        if isinstance(media, Media):
            document[role] = {f: names[data] for f, data in zip(media.files, media.data, strict=True)}
    return {name: value for name, value in document.items() if value is not None}


def converted(fixture) -> dict[str, Any]:
    conversion = sources.get(fixture.name, **fixture.options).records(fixture.input)
    results = list(conversion)
    return {
        "counts": dict(conversion.counts),
        "records": [shown(result, fixture.media) for result in results if isinstance(result, PreferenceRecord)],
        "errors": [result.to_json() for result in results if isinstance(result, sources.RowError)],
    }


def test_source_gives_the_golden_records(fixture) -> None:
    golden = Path(__file__).parent / "fixtures" / f"{fixture.name}.golden.json"
    found = converted(fixture)
    if os.environ.get("URT_WRITE_GOLDEN"):
        golden.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert found == json.loads(golden.read_text())
