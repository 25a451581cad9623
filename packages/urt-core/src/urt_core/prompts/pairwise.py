"""Renders a pair for judging. Distillation, sampling, training, evaluation and serving all come through `render`."""

from os import PathLike
from pathlib import Path

from urt_core.errors import PromptError
from urt_core.prompts.names import ContractName, contract_of
from urt_core.prompts.prompt import Dialect, Prompt
from urt_core.prompts.sanitise import sanitise
from urt_core.prompts.template import Template, check_places, load_template, template_of
from urt_core.records import Media, Preference, PreferenceRecord, Task


def render(record: PreferenceRecord, dialect: Dialect, *, templates: str | PathLike[str] | None = None) -> Prompt:
    """The prompt that asks for a judgement of `record` in `dialect`.

    `templates` is a folder of `<dialect>/<task>.txt` files that replace the built-in wording, for example to serve the
    released UnifiedReward weights with the wording they were trained on. A template holds `{caption}` (generation) or
    `{question}`, `{answer_1}` and `{answer_2}` (understanding). It may place the media with `{first}` and `{second}`, or
    `{media}`; without them the media come before the text, unlabelled. Edits of a source have templates of their own,
    `<dialect>/<task>_edit.txt`, with `{source}` beside `{first}` and `{second}`.
    """
    dialect = Dialect(dialect)
    media, texts = record.all_media, _texts(record)
    template = contract_template(
        dialect,
        str(dialect),
        record.task,
        folder=templates,
        required=tuple(texts),
        optional=tuple(media),
        is_edit=record.is_edit,
    )
    return Prompt(parts=fill(template, media=media, texts=texts), task=record.task, dialect=dialect, key=record.key)


def contract_template(
    name: ContractName,
    path: str,
    task: Task,
    *,
    folder: str | PathLike[str] | None,
    required: tuple[str, ...],
    optional: tuple[str, ...],
    is_edit: bool = False,
) -> Template:
    """The template of a contract for `task`: `<folder>/<path>/<task>.txt` where the caller brings his own wording."""
    contract = contract_of(name)
    contract.scale(task, str(name))
    if contract.edits and not is_edit:
        raise PromptError(f"contract {name} compares edits of a picture; give the picture as the record's source")
    file_name = f"{task}_edit" if is_edit and not contract.edits else str(task)
    if folder is not None:
        return load_template(
            f"{path}/{file_name}", file=Path(folder) / path / f"{file_name}.txt", required=required, optional=optional
        )
    if not isinstance(contract.templates, Path):
        if is_edit and not contract.edits:
            raise PromptError(
                f"contract {name} has no prompt for edits of a source; use another, such as v1 or edit_pair"
            )
        return template_of(contract.templates[task], f"{name}/{task}", required, optional)
    file = contract.templates / f"{file_name}.txt"
    if is_edit and not file.exists():
        raise PromptError(
            f"contract {name} has no prompt for edits of a source in {task}; use v1, v2, direct, general or edit_pair on images"
        )
    return load_template(f"{path}/{file_name}", file=file, required=required, optional=optional)


def _texts(record: PreferenceRecord) -> dict[str, str]:
    if record.task.is_generation:
        return {"caption": record.text}
    return {"question": record.text, "answer_1": str(record.first), "answer_2": str(record.second)}


def fill(template: Template, *, media: dict[str, Media], texts: dict[str, str]) -> tuple[str | Media, ...]:
    """The template's text with media in their places (in front, if it names none) and user text sanitised."""
    placed = check_places(template, media)
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
    return contract_of(Dialect(dialect)).verdict(Task(task), Preference(preference))
