"""A contract of a user's own behaves like a built-in one; what can't be one is refused by path, found and expected."""

import copy
import pickle
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from urt_core import (
    Dialect,
    Judgement,
    Media,
    MediaKind,
    ParseFailure,
    PointContract,
    Preference,
    PreferenceRecord,
    Scorer,
    Task,
    judge_reward,
    parse_judgement,
    render,
    verdict_text,
)
from urt_core import contracts as home
from urt_core.contracts import contract_of, load_contract
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import ConfigError, PromptError
from urt_core.judgement import parse_point

PLUGIN = """
import sys
from dataclasses import replace
from urt_core.contracts import Contract
from urt_core.judgement import FailureKind, Judgement, ParseFailure, PointJudgement
from urt_core.prompts import PointScale
from urt_core.records import Preference, Task

WORDS = {"left": Preference.FIRST, "right": Preference.SECOND}

def read(text, task):
    if "boom" in text: raise ZeroDivisionError("by hand")
    if "none" in text: return None
    verdict = WORDS.get(text.strip().lower())
    return Judgement(verdict=verdict, scores={}) if verdict else ParseFailure.at(FailureKind.UNREADABLE_ANSWER, text)

def write(task, preference):
    return {other: word for word, other in WORDS.items()}[preference]

contract = Contract(
    read=read, verdict=write, has_shape=lambda text, judgement: text == text.strip(), title="Left or right",
    templates={Task.IMAGE_GENERATION: "Left: {first} Right: {second} Which suits {caption}? Say left or right."},
    scales={Task.IMAGE_GENERATION: PointScale(low=1, high=10)},
)
squinting = replace(contract, read=lambda text, task: blind.read(text, task) if text.isspace() and text != " " else read(text, task))
blind = replace(contract, read=lambda text, task: Judgement(verdict=Preference.FIRST, scores={}))
flipped = replace(contract, verdict=lambda task, preference: write(task, preference.swap()))
no_caption = replace(contract, templates={Task.IMAGE_GENERATION: "{first}{second}"})
no_task = replace(contract, scales={})
angry = replace(contract, verdict=lambda task, preference: 1 / 0)
number = 3
leaving = replace(contract, read=lambda text, task: sys.exit(0))
one_place = replace(contract, templates={Task.IMAGE_GENERATION: "{first} {caption}"})
formatted = replace(contract, templates={Task.IMAGE_GENERATION: "{caption:>10}"})
other_task = replace(contract, templates={Task.VIDEO_GENERATION: "{caption}"})
folder_as_text = replace(contract, templates="prompts")
range_as_scale = replace(contract, scales={Task.IMAGE_GENERATION: (1, 10)})
shape_of_one = replace(contract, has_shape=lambda text: True)
shape_as_text = replace(contract, has_shape=lambda text, judgement: "no")
def scoring(scores, totals=None):
    def scored(text, task):
        found = read(text, task)
        return replace(found, scores=scores, totals=totals) if isinstance(found, Judgement) else found
    return replace(contract, read=scored)
no_scores = scoring(None)
flat_scores = scoring({"form": 1.0})
text_scores = scoring({"form": ("1", "2")})
nan_scores = scoring({"form": (float("nan"), 2.0)})
half_totals = scoring({}, totals=(1.0,))
def later(text, task):
    found = read(text.strip("!"), task)
    return replace(found, scores={"form": (float("inf"), 1)}) if "!" in text else found
late = replace(contract, read=later)

SCALE = PointScale(low=0, high=5)
def stars(text, task):
    if set(text) != {"*"}: return ParseFailure.at(FailureKind.MISSING_SCORE, text)
    return PointJudgement(score=len(text), scale=SCALE, scores={})
point = Contract(read=stars, asks="candidate", scales={Task.IMAGE_GENERATION: SCALE},
                 templates={Task.IMAGE_GENERATION: "{media} How many stars for {caption}?"})
"""


IMAGE = Media(kind=MediaKind.IMAGE, files=("a.png",), data=(b"x",))


RECORD = PreferenceRecord(
    key="a", task=Task.IMAGE_GENERATION, text="a cat", first=IMAGE, second=IMAGE, preference=Preference.SECOND
)


@pytest.fixture(autouse=True)
def _plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_contract.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_contract_of_ones_own_is_asked_read_and_paid_like_a_dialect() -> None:
    own = load_contract("own_contract:contract")
    assert isinstance(own, Dialect)
    assert own is Dialect("own_contract:contract") is load_contract("own_contract:contract")
    assert own not in list(Dialect)
    assert str(own) == "own_contract:contract"
    assert contract_of(own).title == "Left or right"
    assert render(RECORD, own).text == "Left:  Right:  Which suits a cat? Say left or right."
    assert verdict_text(Task.IMAGE_GENERATION, Preference.FIRST, dialect=own) == "left"
    read = parse_judgement(" Right ", task=RECORD.task, dialect=own)
    assert isinstance(read, Judgement)
    assert read.verdict is Preference.SECOND
    weights = {"format": 1.0, "accuracy": 1.0}
    assert judge_reward("right", RECORD, own, weights=weights).parts == {"format": 1.0, "accuracy": 1.0}
    assert judge_reward(" right", RECORD, own, weights=weights).parts == {"format": 0.0, "accuracy": 1.0}
    assert judge_reward("left", RECORD, own, weights=weights).parts == {"format": 1.0, "accuracy": 0.0}
    with pytest.raises(PromptError, match="does not cover video_generation; it covers image_generation"):
        contract_of(own).scale(Task.VIDEO_GENERATION, str(own))


def test_a_scorer_takes_its_path() -> None:
    engine = ScriptedEngine(script=lambda prompt, index: "left")
    scorer = Scorer(engine=engine, dialect="own_contract:contract", orders="given")
    comparison = next(iter(scorer.compare_batch([RECORD])))
    assert comparison.preference is Preference.FIRST


def test_a_parser_that_raises_is_a_failure_of_that_text() -> None:
    own = load_contract("own_contract:contract")
    for text, words in (("boom", "raised ZeroDivisionError: by hand"), ("none", "returned a NoneType")):
        failure = parse_judgement(text, task=RECORD.task, dialect=own)
        assert isinstance(failure, ParseFailure)
        assert failure.kind == "contract_error"
        assert words in failure.excerpt
    late = load_contract("own_contract:late")
    assert isinstance(parse_judgement("left", task=RECORD.task, dialect=late), Judgement)
    failure = parse_judgement("left!", task=RECORD.task, dialect=late)
    assert isinstance(failure, ParseFailure)
    assert failure.excerpt == "own_contract:late returned form (inf, 1), which has to be a tuple of two finite numbers"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("own_contract:number", "is a int"),
        ("own_contract:blind", "reads an empty text as Judgement"),
        ("own_contract:squinting", r"reads the blank text '\\n' as Judgement"),
        ("own_contract:flipped", "has to be a Judgement for first"),
        ("own_contract:no_caption", r"missing \['caption'\]"),
        ("own_contract:no_task", "covers no task"),
        ("own_contract:angry", "raised ZeroDivisionError"),
        ("own_contract:point", "asks about a candidate, here one is needed that asks about a pair"),
        ("own_contract:leaving", "raised SystemExit: 0"),
        ("own_contract:one_place", r"places \['first'\] of the media \['first', 'second'\]; place all or none"),
        ("own_contract:formatted", r"a placeholder is its name alone, and {caption} has a format behind it"),
        ("own_contract:other_task", "image_generation is a NoneType; it has to be a text"),
        ("own_contract:folder_as_text", "has a str as templates, which have to be a Path or texts by task"),
        ("own_contract:range_as_scale", "has a tuple as a scale, which has to be a PointScale"),
        ("own_contract:shape_of_one", "raised TypeError: .*takes 1 positional argument but 2 were given"),
        ("own_contract:shape_as_text", "says by has_shape that 'left' is 'no', which has to be true or false"),
        ("own_contract:no_scores", "'left' as a Judgement with scores None"),
        ("own_contract:flat_scores", "form 1.0, which has to be a tuple of two finite numbers"),
        ("own_contract:text_scores", r"form \('1', '2'\), which"),
        ("own_contract:nan_scores", r"form \(nan, 2.0\), which"),
        ("own_contract:half_totals", r"totals \(1.0,\), which"),
        ("own_contract:nothing", "has no 'nothing'"),
        ("nowhere:contract", "does not import"),
        ("v3", "allowed: v1, v2, direct, general"),
    ],
)
def test_what_is_no_contract_is_refused(path: str, found: str) -> None:
    with pytest.raises(ConfigError, match=found) as caught:
        load_contract(path)
    assert repr(path) in str(caught.value)
    assert "urt_core.contracts.Contract" in str(caught.value)


def test_a_name_alone_imports_nothing(tmp_path: Path) -> None:
    """As it may stand in a judge.json or in the metadata of a shard."""
    (tmp_path / "evil.py").write_text("open('evil_ran', 'w')", encoding="utf-8")
    with pytest.raises(ValueError, match="evil:contract"):
        Dialect("evil:contract")
    assert "evil" not in sys.modules


def test_an_installed_contract_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = (EntryPoint(name="sides", value="own_contract:contract", group=home.GROUP),)
    for module in (home, __import__("urt_core.doors", fromlist=["doors"])):
        monkeypatch.setattr(module, "installed", lambda group: declared)
    sides = Dialect("sides")
    assert isinstance(parse_judgement("left", task=RECORD.task, dialect=sides), Judgement)


def test_a_point_contract_of_ones_own() -> None:
    own = load_contract("own_contract:point", PointContract)
    found = parse_point("***", contract=own, task=Task.IMAGE_GENERATION)  # type: ignore[arg-type]
    assert found.fraction == pytest.approx(0.6)  # type: ignore[union-attr]
    scorer = Scorer(engine=ScriptedEngine(script=lambda prompt, index: "****"))
    score = scorer.score(task=Task.IMAGE_GENERATION, text="a cat", candidate=IMAGE, contract="own_contract:point")
    assert (score.score, score.fraction, score.status) == (4, pytest.approx(0.8), "ok")


def test_names_survive_copies_and_processes(tmp_path: Path) -> None:
    own = load_contract("own_contract:contract")
    assert copy.deepcopy(own) is own
    for name in (own, Dialect.V1, Dialect("general"), PointContract.ACS):
        assert pickle.loads(pickle.dumps(name)) is name  # noqa: S301  (bytes of this line)
    (tmp_path / "name.pickle").write_bytes(pickle.dumps(own))
    code = f"import pickle, sys; sys.path.insert(0, {str(tmp_path)!r}); print(pickle.load(open({str(tmp_path / 'name.pickle')!r}, 'rb')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "own_contract:contract"
