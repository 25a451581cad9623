"""The contracts that are built in: those of the released UnifiedReward weights, two of our own, and a general
reading."""

import re
from collections.abc import Mapping
from functools import partial

from urt_core.contracts.contract import Contract
from urt_core.errors import PromptError
from urt_core.judgement.edit import parse_edit
from urt_core.judgement.flex import parse_flex
from urt_core.judgement.general import parse_general
from urt_core.judgement.pairwise import read_pair
from urt_core.judgement.pointwise import read_final_score, read_named_scores, read_pair_scores, read_think
from urt_core.judgement.result import Judgement
from urt_core.prompts.pointwise import PointContract
from urt_core.prompts.prompt import Dialect
from urt_core.prompts.scale import PointScale
from urt_core.prompts.template import BUILT_IN as TEMPLATES
from urt_core.records import Preference, Task

_TAGGED_SHAPE = re.compile(r"\s*<think>(?P<think>.*?)</think>\s*<answer>(?P<answer>.*?)</answer>\s*", re.DOTALL)
_TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def tagged_shape(text: str, judgement: Judgement) -> bool:
    """One think block, one answer block, and nothing else."""
    del judgement
    return all(text.count(tag) == 1 for tag in _TAGS) and _TAGGED_SHAPE.fullmatch(text) is not None


def one_sentence(text: str, judgement: Judgement) -> bool:
    """One line without tags."""
    return "<" not in text and "\n" not in text.strip() and not judgement.reasoning


def better(task: Task, preference: Preference) -> str:
    """`Image 1 is better`: what a chain of thought ends with; there is no tie."""
    if preference is Preference.TIE:
        raise PromptError("this dialect has no tie answer; use Dialect.DIRECT or leave tied pairs out")
    return f"{task.noun} {1 if preference is Preference.FIRST else 2} is better"


def better_or_tie(task: Task, preference: Preference) -> str:
    if preference is Preference.TIE:
        return f"Both {task.noun.lower()}s are equally good."
    return better(task, preference) + "."


def edit_better(task: Task, preference: Preference) -> str:
    return "Edited image" + better(task, preference).removeprefix("Image")


POINT = TEMPLATES / "point"
_ACS = ("alignment", "coherence", "style")
_CORE = {task: PointScale(low=1, high=10, dimensions=task.dimensions) for task in Task}
_SHARES = PointScale(low=0, high=1, dimensions=_ACS)
_GENERATED = (Task.IMAGE_GENERATION, Task.VIDEO_GENERATION)

# Scales as the released weights were trained (UnifiedReward 1.0, arXiv 2503.05236, and the 2.0 scripts). The final
# score of 1.0 for videos was never trained: it is the base model's own idea of a number from 1 to 10.
_FINAL_SCORES = {
    Task.IMAGE_GENERATION: PointScale(low=1, high=5),
    Task.VIDEO_GENERATION: PointScale(low=1, high=10),
    Task.IMAGE_UNDERSTANDING: PointScale(low=0, high=100),
    Task.VIDEO_UNDERSTANDING: PointScale(low=1, high=5),
}


def _dialect(name: Dialect, title: str, label: str) -> Contract:
    return Contract(
        read=partial(read_pair, dialect=name), templates=TEMPLATES / name, scales=_CORE, verdict=better,
        has_shape=tagged_shape, title=title, label=label,
    )  # fmt: skip


def _named_scores(name: PointContract, scales: Mapping[Task, PointScale]) -> Contract:
    read = partial(read_named_scores, contract=name)
    return Contract(read=read, templates=POINT / name, scales=scales, asks="candidate")


def dialects() -> dict[str, Contract]:
    """How two candidates are compared."""
    return {
        Dialect.V1: _dialect(Dialect.V1, "With reasoning (dialect v1)", "reasoning first"),
        Dialect.V2: _dialect(Dialect.V2, "With reasoning (dialect v2)", "reasoning first (v2)"),
        Dialect.DIRECT: Contract(
            read=partial(read_pair, dialect=Dialect.DIRECT), templates=TEMPLATES / "direct", scales=_CORE, verdict=better_or_tie,
            has_shape=one_sentence, reasons=False, title="Direct answer, without reasoning", label="direct answer",
        ),
        "general": Contract(
            read=parse_general, templates=TEMPLATES / "general", scales=_CORE, verdict=better_or_tie, title="General reading"
        ),
        "edit_pair": Contract(
            read=parse_edit, templates=TEMPLATES / "edit_pair", scales={Task.IMAGE_GENERATION: PointScale(low=1, high=10)},
            verdict=edit_better, reasons=False, edits=True, title="Edits of a picture (UnifiedReward-Edit)",
        ),
        "flex": Contract(
            read=parse_flex, templates=TEMPLATES / "flex", scales=dict.fromkeys(_GENERATED, PointScale(low=0, high=10)),
            verdict=lambda task, preference: f'{{"winner": "{better(task, preference).removesuffix(" is better")}"}}',
            title="Categories of its own choice (UnifiedReward-Flex)",
        ),
        "pair_score": Contract(
            read=read_pair_scores, templates=POINT / "pair_score", scales=dict.fromkeys(_GENERATED, _SHARES),
            verdict=_shares, reasons=False, title="Shares of both (UnifiedReward 2.0)",
        ),
    }  # fmt: skip


def point_contracts() -> dict[str, Contract]:
    """How one candidate is scored."""
    return {
        PointContract.FINAL_SCORE: Contract(
            read=read_final_score, templates=POINT / "final_score", scales=_FINAL_SCORES, asks="candidate"
        ),
        PointContract.ACS: _named_scores(
            PointContract.ACS, {Task.IMAGE_GENERATION: PointScale(low=1, high=5, dimensions=_ACS)}
        ),
        PointContract.APS: _named_scores(
            PointContract.APS,
            {Task.VIDEO_GENERATION: PointScale(low=1, high=5, dimensions=("alignment", "physics", "style"))},
        ),
        PointContract.PAIR_SCORE: Contract(
            read=read_pair_scores, templates=POINT / "pair_score", scales=dict.fromkeys(_GENERATED, _SHARES)
        ),
        PointContract.THINK: Contract(read=read_think, templates=POINT / "think", scales=_CORE, asks="candidate"),
    }  # fmt: skip


def _shares(task: Task, preference: Preference) -> str:
    first, second = {"first": ("0.6", "0.4"), "second": ("0.4", "0.6"), "tie": ("0.5", "0.5")}[preference]
    return "\n".join(f"{name.capitalize()} Score:\n {task.noun} 1: {first}\n {task.noun} 2: {second}" for name in _ACS)
