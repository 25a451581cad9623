"""Sets with one candidate per row: the candidates of one prompt, and the pairs that their ranks or marks give.

    Row --source.member--> Member --ranked_groups--> [members of one prompt] --pairs_of--> Pair

The members of all prompts are held at once, as paths and marks; images are read pair by pair.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from urt_core.records import Task
from urt_data.sources.folder import Content, InputFolder
from urt_data.sources.pair import Pair, compare
from urt_data.sources.rows import FieldError, Row, RowError


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One candidate with what people said about it alone.

    Member(group="000864-0061", task=Task.IMAGE_GENERATION, text="painting of a holy woman",
    medium="images/train/train_1/0280.webp",
           rank=5, scores={"overall": 4, "fidelity": 4})
    """

    group: str
    """What makes candidates comparable: the prompt, or its id."""
    task: Task
    text: str
    medium: Any
    """What the row says of the file: read when a pair is made."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Marks per dimension, higher is better; their mean decides where there is no rank."""
    rank: float | None = None
    """1 is the best."""
    details: Mapping[str, float] = field(default_factory=dict)
    """Published numbers that do not decide, such as the variance of the marks."""
    model: str | None = None
    split: str | None = None
    under: tuple[str, ...] = ("",)
    """The folders that are tried for the file."""
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """Higher is better."""
        if self.rank is not None:
            return -self.rank
        return sum(self.scores.values()) / len(self.scores)


Located = tuple[Row, Member]


def ranked_groups(members: Iterable[Located | RowError]) -> Iterator[list[Located] | RowError]:
    """Members by group, in order of their first row. Rows about the same file are one member with all their scores."""
    groups: dict[tuple[str | None, str], dict[str, Located]] = {}
    for item in members:
        if isinstance(item, RowError):
            yield item
            continue
        row, member = item
        group = groups.setdefault((member.split, member.group), {})
        name = repr(member.medium)
        if name in group:
            first_row, known = group[name]
            group[name] = (first_row, replace(known, scores={**known.scores, **member.scores}))
        else:
            # Only what is needed later stays in memory: the row's other columns do not.
            group[name] = (Row(file=row.file, number=row.number, values={}), member)
    for key in list(groups):
        yield list(groups.pop(key).values())


def pairs_of(group: list[Located], folder: InputFolder, *, pairing: str) -> Iterator[tuple[Callable[[], Pair], Row]]:
    """The pairs of one prompt as functions that read the images, each with the row it is counted under."""
    if pairing == "extremes" and len(group) > 1:
        ordered = sorted(group, key=lambda located: located[1].value)
        chosen = [(ordered[-1], ordered[0])]
    else:
        chosen = list(combinations(group, 2))
    for first, second in chosen:
        yield (lambda a=first, b=second: _pair(a, b, folder)), first[0]


def _pair(first: Located, second: Located, folder: InputFolder) -> Pair:
    (_, a), (_, b) = first, second
    mine, theirs = {**a.details, **a.scores}, {**b.details, **b.scores}
    scores = {name: (mine[name], theirs[name]) for name in mine if name in theirs}
    if a.rank is not None and b.rank is not None:
        scores["rank"] = (a.rank, b.rank)
    return Pair(
        task=a.task,
        text=a.text,
        first=_content(first, folder),
        second=_content(second, folder),
        preference=compare(a.value, b.value),
        scores=scores,
        models=(a.model, b.model),
        split=a.split,
        notes=a.notes,
    )


class MemberError(FieldError):
    """The file of one member cannot be read; knows the member's row."""

    def __init__(self, error: FieldError, row: Row) -> None:
        super().__init__(error.field, error.reason)
        self.row = row


def _content(located: Located, folder: InputFolder) -> Content:
    row, member = located
    read = folder.video if member.task.is_video else folder.image
    try:
        return read(member.medium, "file", under=member.under)
    except FieldError as error:
        raise MemberError(error, row) from error
