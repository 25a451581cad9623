"""Prompts that ask for scores instead of a verdict: of one candidate, or of both on a common scale."""

from dataclasses import dataclass
from enum import StrEnum
from os import PathLike
from pathlib import Path

from urt_core.errors import PromptError
from urt_core.prompts.pairwise import fill
from urt_core.prompts.prompt import Prompt
from urt_core.prompts.template import load_template
from urt_core.records import Candidate, Media, PreferenceRecord, Task


class PointContract(StrEnum):
    """What a scoring model is asked to write. All but THINK are those of released UnifiedReward weights."""

    FINAL_SCORE = "final_score"
    """UnifiedReward 1.0: remarks, then `Final Score: s`."""
    ACS = "acs"
    """UnifiedReward 2.0, images: alignment, coherence and style."""
    APS = "aps"
    """UnifiedReward 2.0, videos: alignment, physics and style."""
    PAIR_SCORE = "pair_score"
    """UnifiedReward 2.0: both candidates' share of alignment, coherence and style."""
    THINK = "think"
    """Our own: a chain of thought that scores the core dimensions, then the mean in an answer block."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PointScale:
    """What a contract scores in a task: PointScale(low=1.0, high=5.0, dimensions=("alignment", "coherence", "style"))."""

    low: float
    high: float
    dimensions: tuple[str, ...] = ()
    """Dimensions that must be scored on this scale, in lower case."""


_ACS = ("alignment", "coherence", "style")
# Scales as the released weights were trained (UnifiedReward 1.0, arXiv 2503.05236, and the 2.0 scripts). The final score
# of 1.0 for videos was never trained: it is the base model's own idea of a number from 1 to 10.
_SCALES: dict[tuple[PointContract, Task], PointScale] = {
    (PointContract.FINAL_SCORE, Task.IMAGE_GENERATION): PointScale(low=1, high=5),
    (PointContract.FINAL_SCORE, Task.VIDEO_GENERATION): PointScale(low=1, high=10),
    (PointContract.FINAL_SCORE, Task.IMAGE_UNDERSTANDING): PointScale(low=0, high=100),
    (PointContract.FINAL_SCORE, Task.VIDEO_UNDERSTANDING): PointScale(low=1, high=5),
    (PointContract.ACS, Task.IMAGE_GENERATION): PointScale(low=1, high=5, dimensions=_ACS),
    (PointContract.APS, Task.VIDEO_GENERATION): PointScale(low=1, high=5, dimensions=("alignment", "physics", "style")),
    (PointContract.PAIR_SCORE, Task.IMAGE_GENERATION): PointScale(low=0, high=1, dimensions=_ACS),
    (PointContract.PAIR_SCORE, Task.VIDEO_GENERATION): PointScale(low=0, high=1, dimensions=_ACS),
} | {(PointContract.THINK, task): PointScale(low=1, high=10, dimensions=task.dimensions) for task in Task}


def point_scale(contract: PointContract, task: Task) -> PointScale:
    """The scale of `contract` in `task`; a PromptError where the contract does not cover the task."""
    scale = _SCALES.get((PointContract(contract), Task(task)))
    if scale is None:
        covered = ", ".join(str(other) for name, other in _SCALES if name is contract)
        raise PromptError(f"contract {contract} does not cover {task}; it covers {covered}")
    return scale


def render_point(
    *,
    contract: PointContract,
    task: Task,
    text: str,
    candidate: Candidate,
    media: Media | None = None,
    key: str = "",
    templates: str | PathLike[str] | None = None,
) -> Prompt:
    """The prompt that asks for the scores of one candidate. `templates` is a folder of `point/<contract>/<task>.txt`."""
    contract, task = PointContract(contract), Task(task)
    if contract is PointContract.PAIR_SCORE:
        raise PromptError("contract pair_score scores two candidates; use render_pair_score with a record")
    point_scale(contract, task)
    shown, texts = (candidate, {"caption": text}) if task.is_generation else (media, {"question": text})
    if not isinstance(shown, Media) or shown.kind is not task.media_kind:
        raise PromptError(f"{task} needs Media of kind {task.media_kind} to look at; got {shown!r}")
    if not task.is_generation:
        if not isinstance(candidate, str):
            raise PromptError(f"the candidate of {task} is an answer's text; got {type(candidate).__name__}")
        texts["answer"] = candidate
    return _render(f"{contract}/{task}", {"media": shown}, texts, task=task, key=key, templates=templates)


def render_pair_score(record: PreferenceRecord, *, templates: str | PathLike[str] | None = None) -> Prompt:
    """The prompt that asks for both candidates' shares of each dimension (UnifiedReward 2.0 pair score)."""
    point_scale(PointContract.PAIR_SCORE, record.task)
    name, texts = f"{PointContract.PAIR_SCORE}/{record.task}", {"caption": record.text}
    return _render(name, record.all_media, texts, task=record.task, key=record.key, templates=templates)


def _render(
    name: str,
    media: dict[str, Media],
    texts: dict[str, str],
    *,
    task: Task,
    key: str,
    templates: str | PathLike[str] | None,
) -> Prompt:
    folder = Path(templates) if templates is not None else None
    template = load_template(f"point/{name}", folder=folder, required=tuple(texts), optional=tuple(media))
    return Prompt(parts=fill(template, media=media, texts=texts), task=task, key=key)
