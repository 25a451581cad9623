"""References by prompt, anchors for the rest, and lists that name what is wrong with them."""

import json
from pathlib import Path

import pytest

from urt_core.adapters.references import ReferencePool
from urt_core.errors import ConfigError


def test_a_prompt_has_its_own_or_the_anchors(tmp_path: Path) -> None:
    for name in ("car", "cat", "average"):
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    rows = [
        {"text": "a car", "references": ["car.png"]},
        {"text": "a car", "references": ["cat.png"]},
        {"references": ["average.png"]},
    ]
    path = tmp_path / "references.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    pool = ReferencePool.from_jsonl(path)
    assert pool.of("a car") == (b"car", b"cat")
    assert pool.of("a dog") == (b"average",)


@pytest.mark.parametrize("line", ["[]", "{}", '{"references": ["gone.png"]}', "{", '{"references": 3}'])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "references.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(ConfigError, match=r"references\.jsonl, line 2: .*a line is"):
        ReferencePool.from_jsonl(path)
