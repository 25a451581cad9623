"""Prompt templates: text files with placeholders, one per dialect and task, checked when they are loaded."""

import string
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from urt_core.errors import TemplateError

BUILT_IN = Path(__file__).parent / "templates"
"""Folder of the built-in wording: `<dialect>/<task>.txt`, and `point/<contract>/<task>.txt`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """A text cut at its placeholders.

    Template(name="direct/image_generation", pieces=(("Image 1:", "first"), ("\\nCaption: ", "caption"), ("", None)))
    """

    name: str
    pieces: tuple[tuple[str, str | None], ...]
    """Pairs of literal text and the placeholder behind it; None behind the last text."""

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(name for _, name in self.pieces if name is not None)


def load_template(name: str, *, file: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> Template:
    """Reads a template file and checks its placeholders.

    The text is kept byte for byte, but for one line end at the end of the file, which editors add. A literal brace is
    written twice.
    """
    return _load(file, name, required, optional)


@lru_cache(maxsize=256)
def _load(path: Path, name: str, required: tuple[str, ...], optional: tuple[str, ...]) -> Template:
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(
            f"template {name}: {path} cannot be read ({error}); each dialect and task has its own file"
        ) from error
    return template_of(text.removesuffix("\n").removesuffix("\r"), name, required, optional, file=str(path))


@lru_cache(maxsize=256)
def template_of(text: str, name: str, required: tuple[str, ...], optional: tuple[str, ...], file: str = "") -> Template:
    """`text` cut at its placeholders, each of `required` once and each of `optional` at most once."""
    path = file or name
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise TemplateError(f"template {path}: {error}; write literal braces twice, {{{{ and }}}}") from error
    template = Template(name=name, pieces=tuple((literal, field) for literal, field, _, _ in parsed))
    allowed = (*required, *optional)
    unknown = [field for field in template.fields if field not in allowed]
    wrong = [field for field in allowed if template.fields.count(field) > 1]
    missing = [field for field in required if field not in template.fields]
    if unknown or wrong or missing:
        raise TemplateError(
            f"template {path}: unknown placeholders {unknown}, repeated {wrong}, missing {missing}; "
            f"it needs each of {list(required)} once and may hold {list(optional)}; literal braces are written twice"
        )
    if formatted := [f"{{{field}}}" for _, field, spec, conversion in parsed if spec or conversion]:
        raise TemplateError(
            f"template {path}: a placeholder is its name alone, and {formatted[0]} has a format behind it"
        )
    return template


def check_places(template: Template, media: Collection[str]) -> list[str]:
    """Those of `media` that a template places: all of them, or none, which stands for all in front."""
    placed = [name for name in template.fields if name in media]
    if placed and len(placed) != len(media):
        raise TemplateError(f"template {template.name} places {placed} of the media {list(media)}; place all or none")
    return placed
