"""Crowd answers to several questions about one pair: which columns are there, and which question decides."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from urt_data.sources.pair import Votes
from urt_data.sources.rows import FieldError, Row

Answers = dict[str, tuple[float, float]]


def shares(row: Row, columns: Mapping[str, tuple[str, str]]) -> Answers:
    """(votes or share for the first, for the second) of each question that was asked; data sets ask different ones."""
    answers = {
        name: (row.real(first), row.real(second))
        for name, (first, second) in columns.items()
        if first in row or second in row
    }
    if not answers:
        raise FieldError(
            next(iter(columns.values()))[0], f"is missing, and so are all of {[pair[0] for pair in columns.values()]}"
        )
    for name, (first, second) in answers.items():
        if first < 0 or second < 0 or first + second == 0:
            raise FieldError(columns[name][0], f"and {columns[name][1]} are {first:g} and {second:g}; nobody voted")
    return answers


def preference_votes(answers: Answers, *, deciding: Sequence[str]) -> Votes:
    """The votes of the first deciding question that was asked, else the mean share over all questions."""
    for name in deciding:
        if name in answers:
            return Votes(first=answers[name][0], second=answers[name][1])
    first = fmean(first / (first + second) for first, second in answers.values())
    return Votes(first=first, second=1 - first)
