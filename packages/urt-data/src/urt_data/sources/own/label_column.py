"""What the values of a label column mean: the whole column is read before one of its values is believed.

    every row --LabelColumn.add--> values and their counts --meaning--> Meaning, or a LabelError with the readings
    a row's value --Meaning.read--> Preference

A value with one meaning is taken (`first`, `B`, `left`, the name of a candidate, 1 and 2 together). One with two (0 and
1, 1 and -1, true and false, a probability, one number alone) is nobody's to guess: half of all guesses would train on
inverted labels.
"""

import math
import re
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

from urt_core.errors import ConfigError
from urt_core.records import Preference
from urt_data.errors import LabelError
from urt_data.sources.pair import compare
from urt_data.sources.rows import FieldError, as_real

FIRST, SECOND, TIE = Preference.FIRST, Preference.SECOND, Preference.TIE
WORDS: dict[str, Preference] = {
    **dict.fromkeys(("first", "a", "left", "1st", "one", "a>b", "b<a", "1>2", "2<1"), FIRST),
    **dict.fromkeys(("second", "b", "right", "2nd", "two", "b>a", "a<b", "2>1", "1<2"), SECOND),
    **dict.fromkeys(("tie", "tied", "same", "equal", "both", "draw", "neither", "bothbad", "both bad"), TIE),
    **dict.fromkeys(("a=b", "b=a", "1=2", "2=1", "tie (bothbad", "equally good", "both good", "no preference"), TIE),
}
"""Words with one meaning, in lower case."""
SHOWN_WORDS = ("first", "second", "tie", "a", "b", "left", "right")
COUNTED: dict[str, Preference] = {"1": FIRST, "2": SECOND}
"""Clear where both occur and no other number does, or beside words."""
YES = frozenset(("true", "yes", "t", "y", "win", "won", "better", "chosen", "preferred", "good", "+", "positive"))
NO = frozenset(("false", "no", "f", "n", "lose", "lost", "loss", "worse", "rejected", "bad", "-", "negative"))
"""Words about one of the candidates that do not say which."""
LOSER_NAME = re.compile(r"worse|worst|los(?:er|es|ing)|rejected|dispreferred|bad", re.IGNORECASE)
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d{1,3})?", re.IGNORECASE)
NOUN = r"(?:image|img|picture|pic|photo|video|clip|answer|response|candidate|option|choice|model|output|assistant|file|path)"
PLACED = re.compile(rf"(?:the )?(?:{NOUN}[ _-]?\(?(\w+)|(\w+)[ _-]{NOUN})")
COMPARED = re.compile(r"(\w) ?([<>=])\2{0,2} ?(\w)")
VERDICT = re.compile(r"(.+?) (?:is better|is preferred|wins|better)(?: than .+)?")
"""`image 1`, `model_a`, `the left image`, `Image 2 is better`: what is left is the place."""
MIN_ONE_SIDED = 8
"""A fair coin shows one side eight times with probability 1/128; fewer rows prove nothing."""
MAX_WORDS = 1000
SHOWN_VALUES = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelSettings:
    """What the user says of the label column.

    LabelSettings(column="label", words={"0": Preference.FIRST, "1": Preference.SECOND})
    LabelSettings(column="p", larger=Preference.FIRST, middle=0.5)        # a probability that the first one is better
    """

    column: str
    words: Mapping[str, Preference] = field(default_factory=dict)
    """The meaning of single values, by their spelling; what the others mean is found out as always."""
    larger: Preference | None = None
    """Numbers: the side that a larger one prefers. Two numbers in a list: first minus second is the number."""
    middle: float | None = None
    """Numbers: what is neither; 0.5 where all lie in [0, 1], 0 where some are negative or they come in twos."""
    label_is: str | None = None
    """`better` or `worse`: which candidate the column names."""
    one_sided: bool = False
    """The labels may all prefer one side; the order of the candidates is then drawn."""
    is_crossed: bool = False
    """The first candidate stands in a column that is numbered 2, the second in one that is numbered 1."""

    def __post_init__(self) -> None:
        if self.larger is TIE:
            raise ConfigError("larger is 'tie'; allowed: first, second (the side that a larger number prefers)")
        if self.middle is not None and self.larger is None:
            raise ConfigError("middle is given without larger; say which side a larger number prefers: first or second")
        if self.label_is not in (None, "better", "worse"):
            raise ConfigError(f"label_is is {self.label_is!r}; allowed: better, worse")


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """How one value is read.  Meaning(column="label", words={"a": Preference.FIRST, "b": Preference.SECOND})"""

    column: str
    said: Mapping[str, Preference] = field(default_factory=dict)
    """The user's own words, which come first."""
    words: Mapping[str, Preference] = field(default_factory=dict)
    larger: Preference | None = None
    middle: float = 0.0
    is_worse: bool = False
    by_name: bool = False
    """Whether a value may be the name of a candidate."""

    def read(self, value: Any, *, named: Preference | None = None) -> Preference:
        """The preference of one row; `named` is the side whose name the value is."""
        spelling, number = spelled(value)
        if spelling is not None and spelling in self.said:
            return self.said[spelling]
        if self.larger is not None and number is not None:
            side = compare(number, self.middle)
            return side if self.larger is FIRST else side.swap()
        found = named if self.by_name and named is not None else self.words.get(spelling or "")
        if found is None:
            allowed = ", ".join(repr(word) for word in (*self.said, *SHOWN_WORDS))
            raise FieldError(
                self.column,
                f"is {repr(value)[:80]}; allowed: {allowed}. Give your own words as `preferences`, or columns of votes",
            )
        return found.swap() if self.is_worse else found


class LabelColumn:
    """The values of one column with their counts; memory does not grow with the words, and by 8 bytes a number."""

    def __init__(self, settings: LabelSettings) -> None:
        self._settings = settings
        self._words: Counter[str] = Counter()
        self._named: Counter[tuple[str, Preference]] = Counter()
        self._numbers = array("d")
        self._num_twos = 0
        self._elsewhere: Counter[Preference] = Counter()
        self._example = ""

    def add(self, value: Any, *, named: Preference | None, text: Any, number: int) -> None:
        """One row; `named` is the side whose name the value is, `text` helps the user to recognise the row."""
        spelling, amount = spelled(value)
        if spelling is None:
            return
        if spelling in self._settings.words:
            self._elsewhere[self._settings.words[spelling]] += 1
            return
        if not self._example:
            self._example = f"row {number} ({str(text)[:60]!r}) says {str(value)[:60]!r}"
        if named is not None:
            self._named[spelling if spelling in WORDS or NUMBER.fullmatch(spelling) else "", named] += 1
        elif amount is not None:
            self._numbers.append(amount)
            self._num_twos += not isinstance(value, str | int | float)
        elif spelling in self._words or len(self._words) < MAX_WORDS:
            self._words[spelling] += 1

    def add_elsewhere(self, preference: Preference) -> None:
        """A row that something else decides: votes, scores, ranks."""
        self._elsewhere[preference] += 1

    def meaning(self) -> Meaning:
        """What the values mean; a `LabelError` where only their owner can know."""
        meaning = self._said() or self._seen()
        self._check_sides(meaning)
        return meaning

    def _said(self) -> Meaning | None:
        settings = self._settings
        if settings.larger is None:
            return None
        middle = settings.middle if settings.middle is not None else self._middle()
        if middle is None:
            low, high = min(self._numbers), max(self._numbers)
            raise LabelError(
                f"column {settings.column!r} holds numbers from {low:g} to {high:g}; say which of them is neither with middle=<number>"
            )
        ties = {word: side for word, side in WORDS.items() if side is TIE}
        return Meaning(column=settings.column, said=settings.words, words=ties, larger=settings.larger, middle=middle)

    def _seen(self) -> Meaning:
        settings = self._settings
        truths = [word for word in self._words if word in YES | NO]
        # `image1` names a column, but not where `image2` stands beside it and no column is called so.
        if any(
            WORDS.get(word, side) is not side or (word not in WORDS and word and self._numbers)
            for word, side in self._named
        ):
            raise self._asks(
                [],
                "some are the name of one candidate and a word for the other; say what each means (preferences.<value>=first), "
                "or rename the columns or models",
            )
        counts = set(self._numbers)
        # Beside words for both sides even a 1 alone is a place: whoever counts from 0 does not write `second` as well.
        # A word counts as one where it is a column's name, too (`A` beside `image_a`).
        places = {WORDS[word] for word in (*self._words, *(word for word, _ in self._named)) if word in WORDS}
        is_counted = not self._num_twos and (
            counts == {1.0, 2.0} or (counts <= {1.0, 2.0} and {FIRST, SECOND} <= places)
        )
        if self._num_twos or (counts and (settings.is_crossed or not is_counted)):
            raise self._asks(self._number_readings())
        if truths:
            raise self._asks(self._truth_readings(truths))
        if LOSER_NAME.search(settings.column) and settings.label_is is None and (self._words or self._named or counts):
            raise LabelError(
                f"column {settings.column!r}: does it name the better candidate or the worse one? Give label_is=better or label_is=worse "
                f"({self._values()}; {self._example})"
            )
        return Meaning(
            column=settings.column,
            said=settings.words,
            words={**WORDS, **COUNTED} if is_counted or not counts else WORDS,
            is_worse=settings.label_is == "worse",
            by_name=True,
        )

    def _middle(self) -> float | None:
        if self._num_twos or (self._numbers and min(self._numbers) < 0):
            return 0.0
        return 0.5 if all(0 <= number <= 1 for number in self._numbers) else None

    def _number_readings(self) -> list[tuple[str, Counter[Preference]]]:
        counts = Counter(self._numbers)
        values = sorted(counts)
        if self._num_twos or len(values) > 3:
            middle = self._middle()
            middle = (values[0] + values[-1]) / 2 if middle is None else middle
            setting = "" if self._num_twos else f" middle={middle:g}"
            sides = Counter[Preference]()
            for value, count in counts.items():
                sides[compare(value, middle)] += count
            swapped = Counter({side.swap(): count for side, count in sides.items()})
            return [(f"larger=first{setting}", sides), (f"larger=second{setting}", swapped)]
        one, two = [(FIRST,), (SECOND,)], [(FIRST, SECOND), (SECOND, FIRST)]
        if any(word in WORDS for word in self._words):
            one.append((TIE,))
        # The middle one of three numbers is most often the tie, but 1, 2 and -1 are written too.
        three = [sides for at in (1, 0, 2) for sides in permutations((FIRST, SECOND, TIE)) if sides[at] is TIE]
        return [
            _reading(
                {_number(value): side for value, side in zip(values, sides, strict=True)},
                {_number(v): n for v, n in counts.items()},
            )
            for sides in (one, two, three)[len(values) - 1]
        ]

    def _truth_readings(self, truths: list[str]) -> list[tuple[str, Counter[Preference]]]:
        return [
            _reading({word: side if word in YES else side.swap() for word in truths}, self._words)
            for side in (FIRST, SECOND)
        ]

    def _asks(self, readings: list[tuple[str, Counter[Preference]]], reason: str = "") -> LabelError:
        lines = [
            f"the labels in column {self._settings.column!r} have no certain meaning: {self._values()}; {self._example}."
        ]
        if reason:
            lines.append(reason)
        for number, (setting, sides) in enumerate(readings, 1):
            shown = ", ".join(f"{sides[side]:,} {side}" for side in (FIRST, SECOND, TIE) if sides[side])
            lines.append(f"  reading {number}: {setting}   gives {shown}")
        if readings:
            lines.append(
                "Look at the row and give the setting that is right, or say what each value means (preferences.<value>=first, second or tie); "
                "nothing was written."
            )
        return LabelError("\n".join(lines))

    def _values(self) -> str:
        counts = Counter(dict(self._words)) + Counter(_number(value) for value in self._numbers)
        counts += Counter({word or "names of candidates": count for (word, _), count in self._named.items()})
        shown = [f"{value!r} {count:,} times" for value, count in counts.most_common(SHOWN_VALUES)]
        return ", ".join(shown) + (f" and {len(counts) - SHOWN_VALUES:,} more" if len(counts) > SHOWN_VALUES else "")

    def _check_sides(self, meaning: Meaning) -> None:
        sides = Counter(self._elsewhere)
        for word, count in self._words.items():
            if word in meaning.words:
                sides[meaning.read(word)] += count
        for (word, side), count in self._named.items():
            if meaning.by_name:
                sides[meaning.read(word, named=side)] += count
        for number, count in Counter(self._numbers).items():
            if meaning.larger is not None or _number(number) in meaning.words:
                sides[meaning.read(number)] += count
        decided = sides[FIRST] + sides[SECOND]
        if decided < MIN_ONE_SIDED or self._settings.one_sided or (sides[FIRST] and sides[SECOND]):
            return
        side = FIRST if sides[FIRST] else SECOND
        raise LabelError(
            f"all {decided:,} decided labels in column {self._settings.column!r} prefer the {side} candidate ({self._values()}). A judge would learn to "
            f"answer {side!r} always. If the better one is always published there, give one_sided=true and the order is drawn; "
            "otherwise the column means something else: see `preferences`. Nothing was written"
        )


def is_name(value: Any) -> bool:
    """Whether a value may be somebody's name: a bare number or a yes or no is none, whatever the candidates are
    called."""
    return isinstance(value, str) and spelled(value)[0] not in YES | NO and not NUMBER.fullmatch(value.strip())


def spelled(value: Any) -> tuple[str | None, float | None]:
    """One spelling per meaning, and the number where it is one: 1, 1.0, "1" and " 1.0" are "1"; True is "true"; "[[A]]"
    is "a".

    Two numbers in a list or object are one number, the first minus the second. (None, None) where there is no value.
    """
    if isinstance(value, bool):
        return str(value).lower(), None
    if isinstance(value, int | float):
        try:
            return (_number(value), float(value)) if math.isfinite(value) else (None, None)
        except OverflowError:  # an integer that no float holds
            return "a number out of range", None
    if isinstance(value, str):
        word = value.strip().strip("[](){}\"'.*`").strip().casefold() or value.strip()
        if not word:
            return None, None
        word = _place(word)
        if NUMBER.fullmatch(word):
            number = float(word)
            return (_number(number), number) if math.isfinite(number) else (None, None)
        return word, None
    items = list(value.values()) if isinstance(value, Mapping) else value
    if isinstance(items, list | tuple) and len(items) == 2:
        try:
            first, second = (as_real(item, "label") for item in items)
        except FieldError:
            return repr(value)[:80].casefold(), None
        return _number(first - second), first - second
    return (None, None) if value is None else (repr(value)[:80].casefold(), None)


def _place(word: str) -> str:
    """What a label says of a place, without the noun and the verb around it."""
    verdict = VERDICT.fullmatch(word)
    word = verdict[1] if verdict else word
    if (compared := COMPARED.fullmatch(word)) is not None:
        return "".join(compared.groups())
    placed = PLACED.fullmatch(word)
    inner = (placed[1] or placed[2]) if placed else ""
    return inner if inner in WORDS or NUMBER.fullmatch(inner) else word


def _number(value: float) -> str:
    return f"{value:.10g}"


def _reading(meaning: Mapping[str, Preference], counts: Mapping[str, int]) -> tuple[str, Counter[Preference]]:
    sides = Counter[Preference]()
    for word, side in meaning.items():
        sides[side] += counts[word]
    return " ".join(f"preferences.{word}={side}" for word, side in meaning.items()), sides
