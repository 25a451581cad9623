"""Renders a pair for judging. Distillation, sampling, training, evaluation and serving all come through `render`."""

from os import PathLike
from pathlib import Path

from urt_core.errors import PromptError
from urt_core.prompts.prompt import Dialect, Prompt
from urt_core.prompts.sanitise import sanitise
from urt_core.prompts.template import Template, load_template
from urt_core.records import Media, Preference, PreferenceRecord, Task


def render(record: PreferenceRecord, dialect: Dialect, *, templates: str | PathLike[str] | None = None) -> Prompt:
    """The prompt that asks for a judgement of `record` in `dialect`.

    `templates` is a folder of `<dialect>/<task>.txt` files that replace the built-in wording, for example to serve the
    released UnifiedReward weights with the wording they were trained on. A template holds `{caption}` (generation) or
    `{question}`, `{answer_1}` and `{answer_2}` (understanding). It may place the media with `{first}` and `{second}`, or
    `{media}`; without them the media come before the text, unlabelled.
    """
    dialect = Dialect(dialect)
    media, texts = record.all_media, _texts(record)
    template = load_template(
        f"{dialect}/{record.task}",
        folder=Path(templates) if templates is not None else None,
        required=tuple(texts),
        optional=tuple(media),
    )
    return Prompt(parts=fill(template, media=media, texts=texts), task=record.task, dialect=dialect, key=record.key)


def _texts(record: PreferenceRecord) -> dict[str, str]:
    if record.task.is_generation:
        return {"caption": record.text}
    return {"question": record.text, "answer_1": str(record.first), "answer_2": str(record.second)}


def fill(template: Template, *, media: dict[str, Media], texts: dict[str, str]) -> tuple[str | Media, ...]:
    """The template's text with media in their places (in front, if it names none) and user text sanitised."""
    placed = [name for name in template.fields if name in media]
    if placed and len(placed) != len(media):
        raise PromptError(f"template {template.name} places {placed} of the media {list(media)}; place all or none")
    parts: list[str | Media] = [] if placed else list(media.values())
    text = ""
    for literal, field in template.pieces:
        text += literal
        if field in media:
            parts += [text, media[field]] if text else [media[field]]
            text = ""
        elif field is not None:
            text += _quoted(sanitise(texts[field])) if literal.endswith("「") else sanitise(texts[field])
    if text:
        parts.append(text)
    return tuple(parts)


def _quoted(text: str) -> str:
    """User text between corner brackets cannot close them."""
    return text.replace("「", "『").replace("」", "』")


def verdict_text(task: Task, preference: Preference, *, dialect: Dialect = Dialect.V1) -> str:
    """The verdict as a model writes it: `Image 1 is better`; a direct answer ends with a full stop and may be a tie."""
    preference = Preference(preference)
    if preference is Preference.TIE:
        if dialect != Dialect.DIRECT:
            raise PromptError(f"dialect {dialect} has no tie answer; use Dialect.DIRECT or leave tied pairs out")
        return f"Both {task.noun.lower()}s are equally good."
    number = 1 if preference is Preference.FIRST else 2
    return f"{task.noun} {number} is better" + ("." if dialect == Dialect.DIRECT else "")
