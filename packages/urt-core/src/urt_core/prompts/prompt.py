"""The prompt: a user turn of text and media, whatever was said before it, and the dialect its answer is expected in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from urt_core.errors import PromptError
from urt_core.prompts.names import ContractName
from urt_core.prompts.sanitise import find_special_token
from urt_core.records import Media, Task


class Dialect(ContractName):
    """The contract a pair is judged by; these are the shapes of the released UnifiedReward-Think weights.

    Further ones by name: "general", "edit_pair", "flex", "pair_score", and those that `load_contract` adds.
    """

    V1 = "v1"
    """Inline chain of thought: one line per dimension scores both candidates."""
    V2 = "v2"
    """Block chain of thought: each candidate has its own line under the dimension."""
    DIRECT = "direct"
    """The verdict sentence alone; ties are allowed."""


Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What one side says: Turn(role="system", parts=("You compare pictures.",))"""

    role: Role
    parts: tuple[str | Media, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """The user turn that is to be answered: text and media in the order the model sees them.

    Prompt(parts=("Image 1:", Media(kind="image", files=("first.png",)), "\\nImage 2:", Media(...), "\\nDecide ..."),
           task=Task.IMAGE_GENERATION, dialect=Dialect.V1, key="sprites-train-000017")
    """

    parts: tuple[str | Media, ...]
    task: Task | None = None
    dialect: Dialect | None = None
    key: str = ""
    """The key of the record it was rendered from, if any."""
    before: tuple[Turn, ...] = ()
    """Earlier turns of a conversation, the system's among them. What urt renders itself has none."""

    def __post_init__(self) -> None:
        for turn in self.turns:
            check_parts(turn.parts, key=self.key)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All turns in order, the one to be answered last."""
        return (*self.before, Turn(role="user", parts=self.parts))

    @property
    def media(self) -> tuple[Media, ...]:
        """Of all turns, in the order the model sees them."""
        return tuple(part for turn in self.turns for part in turn.parts if isinstance(part, Media))

    @property
    def text(self) -> str:
        """The text alone, media left out."""
        return "".join(part for turn in self.turns for part in turn.parts if isinstance(part, str))


def check_parts(parts: Sequence[str | Media], *, key: str) -> None:
    if not parts or not all(isinstance(part, str | Media) and part for part in parts):
        raise PromptError(f"prompt {key!r}: parts must be non-empty strings and Media, at least one")
    # Media travel as parts. A token spelled out in text would open a further slot or turn in the model's input.
    for part in parts:
        if isinstance(part, str) and (token := find_special_token(part)):
            raise PromptError(
                f"prompt {key!r}: the text spells the special token {token!r}; "
                "media are given as parts, and text of users passes sanitise() first"
            )
