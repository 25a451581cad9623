"""Prompts that ask for scores instead of a verdict: of one candidate, or of both on a common scale."""

from os import PathLike

from urt_core.errors import PromptError
from urt_core.prompts.names import ContractName, contract_of
from urt_core.prompts.pairwise import contract_template, fill
from urt_core.prompts.prompt import Prompt
from urt_core.prompts.scale import PointScale
from urt_core.records import Candidate, Media, PreferenceRecord, Task


class PointContract(ContractName):
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


def point_scale(contract: PointContract, task: Task) -> PointScale:
    """The scale of `contract` in `task`; a PromptError where the contract does not cover the task."""
    return contract_of(PointContract(contract)).scale(Task(task), str(contract))


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
    """The prompt that asks for the scores of one candidate. `templates` is a folder of
    `point/<contract>/<task>.txt`."""
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
    return _render(contract, {"media": shown}, texts, task=task, key=key, templates=templates)


def render_pair_score(record: PreferenceRecord, *, templates: str | PathLike[str] | None = None) -> Prompt:
    """The prompt that asks for both candidates' shares of each dimension (UnifiedReward 2.0 pair score)."""
    point_scale(PointContract.PAIR_SCORE, record.task)
    return _render(
        PointContract.PAIR_SCORE,
        record.all_media,
        {"caption": record.text},
        task=record.task,
        key=record.key,
        templates=templates,
    )


def _render(
    contract: PointContract,
    media: dict[str, Media],
    texts: dict[str, str],
    *,
    task: Task,
    key: str,
    templates: str | PathLike[str] | None,
) -> Prompt:
    template = contract_template(
        contract, f"point/{contract}", task, folder=templates, required=tuple(texts), optional=tuple(media)
    )
    return Prompt(parts=fill(template, media=media, texts=texts), task=task, key=key)
