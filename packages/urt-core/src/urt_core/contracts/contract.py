"""A contract of judging: what is asked, how the answer is read, on which scale, and what counts as a failure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from urt_core.errors import PromptError
from urt_core.judgement.pointwise import PointJudgement
from urt_core.judgement.result import Judgement, ParseFailure
from urt_core.prompts.scale import PointScale
from urt_core.records import Preference, Task

Reading = Judgement | PointJudgement | ParseFailure


def any_shape(text: str, judgement: Judgement) -> bool:
    """Whatever can be read has the right shape."""
    del text, judgement
    return True


def no_verdict(task: Task, preference: Preference) -> str:
    raise PromptError(f"this contract has no words for the verdict {preference} of {task}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """How a judge is asked and read.

    Contract(read=read_stars, templates=Path(__file__).parent / "stars", title="Stars",
             scales={Task.IMAGE_GENERATION: PointScale(low=1, high=5, dimensions=("colour", "form"))},
             verdict=lambda task, preference: f"{task.noun} {1 if preference is Preference.FIRST else 2} wins")
    """

    read: Callable[[str, Task], Reading]
    """The parser, with its rules of failure: a text that can't be read is a ParseFailure, never a guess."""
    templates: Path | Mapping[Task, str]
    """The prompts: a folder of `<task>.txt`, or the texts themselves. Placeholders as in `render` and
    `render_point`."""
    scales: Mapping[Task, PointScale]
    """The tasks it covers, and what it scores in each."""
    asks: Literal["pair", "candidate"] = "pair"
    """Whether two candidates are compared, or one is scored."""
    verdict: Callable[[Task, Preference], str] = no_verdict
    """The shortest completion that states a verdict, of a contract that compares. A PromptError where it has no such
    verdict."""
    has_shape: Callable[[str, Judgement], bool] = any_shape
    """Whether a readable completion has the form that training pays for (the format reward)."""
    reasons: bool = True
    """Whether a completion reasons before it decides; then it is long."""
    title: str = ""
    """What tables call it."""
    label: str = ""
    """The same in two or three words, for figures."""
    edits: bool = False
    """Whether it compares edits of a picture, which is shown beside them."""

    @property
    def states_confidence(self) -> bool:
        """Whether it asks for a stated confidence: its own verdicts, read by itself, then have one."""
        if self.asks != "pair":
            return False
        read = [
            self.read(self.verdict(task, preference), task)
            for task in self.scales
            for preference in (Preference.FIRST, Preference.SECOND)
        ]
        return all(isinstance(found, Judgement) and found.confidence is not None for found in read)

    def scale(self, task: Task, name: str) -> PointScale:
        """The scale of `task`; a PromptError where the contract does not cover it."""
        if task not in self.scales:
            raise PromptError(f"contract {name} does not cover {task}; it covers {', '.join(map(str, self.scales))}")
        return self.scales[task]
