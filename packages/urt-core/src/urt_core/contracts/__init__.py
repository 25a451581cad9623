"""Contracts of judging: prompts, parser, scale and failure rules as one object, by name.

    contract_of(Dialect.V1)                       built in
    Dialect("general"), Dialect("edit_pair")      built in, beside the members
    load_contract("my_package.stars:contract")    a user's own; its name is a `Dialect` from then on
    entry point of the group urt.contracts        one that an installed package declares, found by its name

`judge.json` records the name. Whoever loads such a judge names an import path again: a file can't make us import a module.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar, overload

from urt_core.contracts.built_in import dialects, point_contracts
from urt_core.contracts.contract import Contract, Reading
from urt_core.doors import IMPORT_PATH, installed, load_door, what_was_raised
from urt_core.errors import ConfigError, TemplateError, UrtError
from urt_core.judgement.pointwise import PointJudgement
from urt_core.judgement.result import FailureKind, Judgement, ParseFailure
from urt_core.prompts.names import ContractName, contract_of
from urt_core.prompts.pointwise import PointContract
from urt_core.prompts.prompt import Dialect
from urt_core.prompts.scale import PointScale
from urt_core.prompts.template import check_places, load_template, template_of
from urt_core.records import Preference, Task

__all__ = ["CONTRACTS", "GROUP", "Contract", "contract_of", "find_contract", "load_contract"]

GROUP = "urt.contracts"
"""The group of entry points that installs contracts."""
EXPECTED = "a urt_core.contracts.Contract"
CONTRACTS: dict[type[ContractName], dict[str, Contract]] = {Dialect: dialects(), PointContract: point_contracts()}
"""By kind of name and name: a pair and a single candidate may be asked about under one name."""
for _name in CONTRACTS[Dialect]:
    Dialect.add(_name)


N = TypeVar("N", bound=ContractName)


@overload
def load_contract(name: str) -> Dialect: ...
@overload
def load_contract(name: str, kind: type[N]) -> N: ...
def load_contract(name: str, kind: Any = Dialect) -> Any:
    """The name of a contract as a `Dialect` (or a `PointContract`); an import path is imported, and what it holds is checked.

    A ConfigError names path, expected and found where there is no contract, or one that can't read its own verdicts.
    """
    name = str(name)
    try:
        return kind(name)
    except ValueError:
        known = list(CONTRACTS[kind])
    return _add(name, kind, known=known)


def find_contract(kind: type[ContractName], name: str) -> None:
    """Makes a name known that may be found without the user's word: built in, or declared by an installed package."""
    for point in installed(GROUP):
        if point.name == name and not IMPORT_PATH.fullmatch(name):
            _add(name, kind)


def _add(name: str, kind: type[ContractName], *, known: Sequence[str] = ()) -> ContractName:
    contract = load_door(
        name,
        kind="dialect" if kind is Dialect else "contract",
        group=GROUP,
        built_in=dict.fromkeys(known),
        expected=EXPECTED,
    )
    checked = check_contract(contract, name, asks="pair" if kind is Dialect else "candidate")
    value = kind.add(name)
    CONTRACTS[kind][name] = checked
    return value


def check_contract(contract: object, name: str, *, asks: str) -> Contract:
    """The contract with its parser behind a wall, once it has read its own verdicts and its templates."""
    if not isinstance(contract, Contract):
        raise ConfigError(f"contract {name!r} is a {type(contract).__name__}; expected: {EXPECTED}")
    problem = None
    try:
        if contract.asks != asks:
            problem = f"asks about a {contract.asks}, here one is needed that asks about a {asks}"
        elif not contract.scales or not all(isinstance(task, Task) for task in contract.scales):
            problem = "covers no task (Contract.scales)"
        elif wrong := [scale for scale in contract.scales.values() if not isinstance(scale, PointScale)]:
            problem = f"has a {type(wrong[0]).__name__} as a scale, which has to be a PointScale"
        elif not isinstance(contract.templates, Path | Mapping):
            problem = (
                f"has a {type(contract.templates).__name__} as templates, which have to be a Path or texts by task"
            )
        else:
            problem = _templates(contract, name) or _reads(contract)
    except UrtError as error:
        problem = str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001  (code of a user's may raise anything)
        problem = f"raised {what_was_raised(error)}"
    if problem:
        raise ConfigError(f"contract {name!r}: {problem}; expected: {EXPECTED} that reads what its `verdict` writes")
    return replace(contract, read=walled(contract, name), title=contract.title or name)


def _templates(contract: Contract, name: str) -> None:
    for task in contract.scales:
        if contract.asks == "pair":
            texts = ("caption",) if task.is_generation else ("question", "answer_1", "answer_2")
            media = ("first", "second", *(("source",) if contract.edits else ())) if task.is_generation else ("media",)
        else:
            texts, media = (("caption",) if task.is_generation else ("question", "answer")), ("media",)
        if isinstance(contract.templates, Path):
            file = contract.templates / f"{task}.txt"
            template = load_template(f"{name}/{task}", file=file, required=texts, optional=media)
        elif isinstance(text := contract.templates.get(task), str):
            template = template_of(text, f"{name}/{task}", texts, media)
        else:
            raise TemplateError(f"template {name}/{task} is a {type(text).__name__}; it has to be a text")
        check_places(template, media)


def _reads(contract: Contract) -> str | None:
    for task in contract.scales:
        for blank in ("", " ", "\n", " \n\t\n"):
            nothing = contract.read(blank, task)
            if not isinstance(nothing, ParseFailure):
                return f"reads {f'the blank text {blank!r}' if blank else 'an empty text'} as {nothing!r}, which has to be a ParseFailure"
        for preference in (Preference.FIRST, Preference.SECOND) if contract.asks == "pair" else ():
            text = contract.verdict(task, preference)
            found = contract.read(text, task)
            if not isinstance(found, Judgement) or found.verdict is not preference:
                return f"reads {text!r} as {found!r}, which has to be a Judgement for {preference} in {task}"
            if problem := _wrong_scores(found):
                return f"reads {text!r} as a Judgement with {problem}"
            if not isinstance(fits := contract.has_shape(text, found), bool):
                return f"says by has_shape that {text!r} is {fits!r}, which has to be true or false"
    return None


def _wrong_scores(judgement: Judgement) -> str | None:
    """What makes scores or totals of a user's parser unusable: everything behind it takes two finite numbers."""
    if not isinstance(judgement.scores, Mapping):
        return f"scores {judgement.scores!r}, which have to be two numbers by dimension"
    totals = {} if judgement.totals is None else {"totals": judgement.totals}
    for name, pair in (*judgement.scores.items(), *totals.items()):
        is_pair = isinstance(pair, tuple) and len(pair) == 2
        if not is_pair or not all(isinstance(value, Real) and math.isfinite(value) for value in pair):
            return f"{name} {pair!r}, which has to be a tuple of two finite numbers"
    return None


def walled(contract: Contract, name: str) -> Callable[[str, Task], Reading]:
    """A parser never raises and returns nothing else than a reading: one bad text is one failure."""
    allowed = (Judgement, ParseFailure) if contract.asks == "pair" else (PointJudgement, ParseFailure)

    def read(text: str, task: Task) -> Reading:
        try:
            found = contract.read(text, task)
        except (Exception, SystemExit) as error:  # noqa: BLE001  (code of a user's may raise anything)
            return ParseFailure(
                kind=FailureKind.CONTRACT_ERROR, excerpt=f"{name} raised {what_was_raised(error)}"[:160]
            )
        problem = _wrong_scores(found) if isinstance(found, Judgement) else None
        if problem:
            return ParseFailure(kind=FailureKind.CONTRACT_ERROR, excerpt=f"{name} returned {problem}"[:160])
        if isinstance(found, allowed):
            return found
        return ParseFailure(kind=FailureKind.CONTRACT_ERROR, excerpt=f"{name} returned a {type(found).__name__}"[:160])

    return read
