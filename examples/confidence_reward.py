"""A judge that says how sure it is: the wording and the reading of v1, and one line more, behind the answer.

urt-train stage=grpo judge.dialect=confidence_reward:CONFIDENT 'grpo.rewards={format: 1, confidence: 1}'

The built-in reward `confidence` makes stating the truth pay most. A judge that has never been asked for its confidence
seldom states one, and GRPO can only reinforce what is sampled: apps/state_confidence.py writes the traces it learns from.
"""

import re
from dataclasses import replace

from urt_core import Contract, Dialect, Judgement, ParseFailure, Preference, Task, parse_judgement
from urt_core.contracts import contract_of
from urt_core.prompts.template import BUILT_IN

REQUEST = (
    " Then state, from 0 to 1, how likely it is that you are right, in a last line of its own:"
    " <confidence>0.8</confidence>."
)
BEHIND = "whichever total is higher."
"""What v1 closes its request with, in every task."""
LINE = re.compile(r"\n<confidence>(0(?:\.\d{1,6})?|1(?:\.0{1,6})?)</confidence>\s*\Z")


def template(task: Task) -> str:
    """Every word of v1, and the request."""
    text = (BUILT_IN / Dialect.V1 / f"{task}.txt").read_text(encoding="utf-8").removesuffix("\n")
    before, behind, after = text.partition(BEHIND)
    return before + behind + REQUEST + after


def read(text: str, task: Task) -> Judgement | ParseFailure:
    """As v1 reads what stands in front of the last line. Without that line, or with a number outside of 0 to 1, the
    verdict stands and no confidence is stated."""
    found = LINE.search(text)
    judgement = parse_judgement(text[: found.start()] if found else text, task=task, dialect=Dialect.V1)
    if found is None or isinstance(judgement, ParseFailure):
        return judgement
    return replace(judgement, confidence=float(found.group(1)))


def verdict(task: Task, preference: Preference) -> str:
    return f"<answer>{contract_of(Dialect.V1).verdict(task, preference)}</answer>\n<confidence>1</confidence>"


def has_shape(text: str, judgement: Judgement) -> bool:
    """That of v1, and the last line."""
    found = LINE.search(text)
    return found is not None and contract_of(Dialect.V1).has_shape(text[: found.start()], judgement)


CONFIDENT = Contract(
    title="With reasoning and a stated confidence",
    label="reasoning, confidence",
    templates={task: template(task) for task in Task},
    scales=contract_of(Dialect.V1).scales,
    read=read,
    verdict=verdict,
    has_shape=has_shape,
)
