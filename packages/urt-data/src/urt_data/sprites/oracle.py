"""The oracle teacher: judgements written from the known scene, true by construction.

It looks up a record's truth by `Prompt.key`, so the one `distill` code serves it and a remote teacher alike. The scores
are fixed: what is as asked scores high, and each kind of error has its own loss (`*_SCORES`).
"""

from collections.abc import Iterable, Sequence

from urt_core import Completion, Dialect, FinishReason, PreferenceRecord, SamplingParams
from urt_core.errors import EngineError
from urt_core.prompts import Prompt, verdict_text
from urt_data.sprites.pairs import View
from urt_data.sprites.world import AESTHETIC_FLAWS, AUTHENTICITY_FLAWS, TEMPORAL_FLAWS, Scene

SEMANTIC_SCORES = {0: (9, "as asked"), 1: (5, "one part is wrong"), 2: (2, "both parts are wrong")}
LOOK_SCORES = {True: 8, False: 4}
AUTHENTICITY_SCORES = {True: 9, False: 3}
ANSWER_SCORES = {  # semantic accuracy, correctness, clarity
    "ok": ((9, "right"), (9, "right"), (8, "clear")),
    "wrong": ((3, "wrong"), (2, "wrong"), (8, "clear")),
    "vague": ((8, "partly right"), (7, "partly right"), (3, "vague")),
}
Line = tuple[tuple[int, str], ...]
"""The score and the reason of each dimension, for one candidate."""


def look_of(view: View) -> tuple[str, str]:
    """The words for how a view looks (or moves) and whether its things are whole: `("blurred", "whole")`."""
    looks = TEMPORAL_FLAWS if view.scene.is_clip else AESTHETIC_FLAWS
    good = "steady" if view.scene.is_clip else "clean"
    look = next((str(flaw) for flaw in looks if flaw in view.flaws), good)
    body = next((str(flaw) for flaw in AUTHENTICITY_FLAWS if flaw in view.flaws), "whole")
    return look, body


def describe(view: View) -> str:
    """`one red star, two green fish, clean, whole.`"""
    return ", ".join((str(view.scene.left), str(view.scene.right), *look_of(view))) + "."


def check(view: View, asked: Scene) -> str:
    """What was asked beside what a view shows, word by word: `asked/shown: two/two blue/green fish/fish (wrong), ...`

    Both words of a pair stand in one token of the tiny model, so that seeing and reading meet where they are compared.
    """
    marked = []
    for wanted, shown in zip(asked.groups, view.scene.groups, strict=True):
        words = f"{wanted.lead}/{shown.lead} {wanted.colour}/{shown.colour} {wanted.shape}/{shown.shape}"
        marked.append(f"{words} ({'ok' if shown == wanted else 'wrong'})")
    return "asked/shown: " + ", ".join((*marked, *look_of(view))) + "."


def held_against(truth: str, said: str) -> str:
    """The true word beside the one that an answer says: `true/said: red/blue (wrong)`"""
    return f"true/said: {truth}/{'vague' if ' or ' in said else said} ({mark(said, truth)})."


def mark(word: str, truth: str) -> str:
    """ok, wrong or vague: an answer's word against the truth."""
    return "ok" if word == truth else "vague" if " or " in word else "wrong"


def _view_line(view: View, asked: Scene) -> Line:
    errors = sum(shown != wanted for shown, wanted in zip(view.scene.groups, asked.groups, strict=True))
    look, body = look_of(view)
    good_look = look in ("clean", "steady")
    return SEMANTIC_SCORES[errors], (LOOK_SCORES[good_look], look), (AUTHENTICITY_SCORES[body == "whole"], body)


def _right_word(truth: dict) -> str:
    """The one word that answers a question, read off the scene."""
    scene = Scene.from_json(truth["view"]["scene"])
    return getattr(scene.left if truth["side"] == "left" else scene.right, truth["about"])


def observations(record: PreferenceRecord) -> str:
    """The opening lines of a judgement: what each candidate shows or says, and whether that is as asked."""
    truth = record.metadata["truth"]
    if record.task.is_generation:
        asked = Scene.from_json(truth["asked"])
        views = [View.from_json(truth[name]) for name in ("first", "second")]
        return "\n".join(f"{record.task.noun} {i}, {check(view, asked)}" for i, view in enumerate(views, start=1))
    view = View.from_json(truth["view"])
    right = _right_word(truth)
    shown = f"The {record.task.media_kind} shows {view.scene.left}, {view.scene.right}. The answer is {right}."
    said = [f"Answer {i}, {held_against(right, truth[name])}" for i, name in ((1, "first"), (2, "second"))]
    return "\n".join((shown, *said))


def _lines(record: PreferenceRecord) -> tuple[Line, Line]:
    truth = record.metadata["truth"]
    if record.task.is_generation:
        asked = Scene.from_json(truth["asked"])
        first, second = (_view_line(View.from_json(truth[name]), asked) for name in ("first", "second"))
    else:
        right = _right_word(truth)
        first, second = (ANSWER_SCORES[mark(truth[name], right)] for name in ("first", "second"))
    return first, second


def judgement_text(record: PreferenceRecord, dialect: Dialect) -> str:
    """The judgement of `record` as the oracle writes it in `dialect`."""
    assert record.preference is not None  # sprites pairs are labelled
    if dialect is Dialect.DIRECT:
        return verdict_text(record.task, record.preference, dialect=dialect)
    noun, lines = record.task.noun, _lines(record)
    inline = dialect is Dialect.V1
    dimensions = []
    for number, dimension in enumerate(record.task.dimensions, start=1):
        marks = [f"{noun} {i} ({line[number - 1][0]}/10) - {line[number - 1][1]}" for i, line in enumerate(lines, 1)]
        body = " " + "; ".join(marks) if inline else "\n    " + ";\n    ".join(marks)
        dimensions.append(f"{number}. {dimension.capitalize()}:{body}")
    totals = []
    for i, line in enumerate(lines, start=1):
        scores = [score for score, _ in line]
        totals.append(f"{noun} {i}: {'+'.join(map(str, scores))}={sum(scores)}")
    thought = "\n".join((observations(record), *dimensions, "Total score:", *totals))
    return f"<think>\n{thought}\n</think>\n<answer>{verdict_text(record.task, record.preference)}</answer>"


class OracleTeacher:
    """An engine that answers from the truth of `records`:
    `OracleTeacher(records).generate([prompt], SamplingParams())`."""

    model = "oracle"

    def __init__(self, records: Iterable[PreferenceRecord]) -> None:
        self._records = {record.key: record for record in records}

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        return [[self._judge(prompt)] * sampling.num_completions for prompt in prompts]

    def _judge(self, prompt: Prompt) -> Completion:
        record = self._records.get(prompt.key)
        if record is None or "truth" not in record.metadata or prompt.dialect is None:
            raise EngineError(
                f"the oracle knows no truth for the prompt with key {prompt.key!r}; it judges rendered sprites pairs only, "
                "use teacher=openai for other data"
            )
        return Completion(text=judgement_text(record, prompt.dialect), finish_reason=FinishReason.STOP)
