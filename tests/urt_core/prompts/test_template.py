"""Templates are cut at their placeholders, and checked when they are loaded."""

from pathlib import Path

import pytest

from urt_core.errors import TemplateError
from urt_core.prompts.template import load_template, template_of


def test_the_text_is_kept_between_placeholders() -> None:
    template = template_of("One {first}, {{two}} {caption}.", "mine", ("caption",), ("first",))
    assert template.pieces == (("One ", "first"), (", {", None), ("two}", None), (" ", "caption"), (".", None))
    assert "".join(literal for literal, _ in template.pieces) == "One , {two} ."
    assert template.fields == ("first", "caption")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{caption} {caption}", r"repeated \['caption'\]"),
        ("nothing", r"missing \['caption'\]"),
        ("{caption} {other}", r"unknown placeholders \['other'\]"),
        ("{caption", "write literal braces twice"),
        ("{caption} {}", "unknown placeholders"),
    ],
)
def test_what_is_wrong_is_named(text: str, what: str) -> None:
    with pytest.raises(TemplateError, match=what):
        template_of(text, "mine", ("caption",), ())


@pytest.mark.parametrize(("written", "kept"), [(" b", " b"), (" b\n", " b"), (" b\r\n", " b"), (" b\n\n", " b\n")])
def test_one_line_end_at_the_end_of_a_file_is_the_editors(tmp_path: Path, written: str, kept: str) -> None:
    file = tmp_path / "mine.txt"
    file.write_bytes(f"a {{caption}}{written}".encode())
    assert load_template("mine", file=file, required=("caption",), optional=()).pieces[-1] == (kept, None)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"gone\.txt cannot be read"):
        load_template("mine", file=tmp_path / "gone.txt", required=(), optional=())
