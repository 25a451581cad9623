"""What holds for every string: no exception, no invented verdict, linear time; and exact values for every good
judgement."""

import random
import re
import time
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from urt_core import Dialect, Judgement, ParseFailure, Preference, Task, parse_judgement
from urt_core.judgement import FailureKind, PairScores, PointJudgement, parse_pair_score, parse_point
from urt_core.judgement.signs import plain_signs
from urt_core.prompts import PointContract, point_scale

QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
FRAGMENTS = (
    *("<think>", "</think>", "<answer>", "</answer>", "<answer >", "</", "<", ">", "\n", "\r\n", " ", ";", ":", "."),
    *("Image 1 is better", "Image 2 is better.", "Video 1 is better", "Answer 2 is better than Answer 1"),
    *(
        "Both images are equally good.",
        "Image 1 (9/10) - good; Image 2 (7/10) - bad",
        "Image 2 (nan/10)",
        "Answer 1: 8/10",
    ),
    *("1. Semantic consistency:", "[Mood]:", "**Clarity**", "Total score:", "Image 1: 9+8+9=26", "Image 2: 7+8", "=21"),
    *(
        "Final Score: 3.5",
        "Alignment Score (1-5): 2",
        "Overall judgment: ",
        "9",
        "/10",
        "1e400",
        "\uff0e",
        "\uff1canswer\uff1e",
        "\ud800",
    ),
)
WORDS = st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=12))
STRINGS = st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=25).map("".join))


TAG = re.compile(r"</?(think|answer)[ \t\u3000\u00a0\u202f]*>", re.IGNORECASE)


def states(text: str, verdict: Preference, *, noun: str) -> bool:
    """Whether the text holds this verdict where a verdict may stand: alone in an answer block if there are tags, at the
    start of a sentence otherwise. Written without the parser's own patterns."""
    plain = " ".join(plain_signs(text).lower().split())
    number = {Preference.FIRST: "1", Preference.SECOND: "2"}.get(verdict)
    noun = noun.lower()
    phrase = rf"both {noun}s are equally good" if number is None else rf"{noun} {number} is better( than {noun} [12])?"
    if TAG.search(text):
        return re.search(rf"<answer ?> ?{phrase}\.? ?</answer ?>", plain) is not None
    return re.search(rf"(^|[^a-z0-9]){phrase}([^a-z0-9]|$)", plain) is not None


def check_judgement(text: str, *, task: Task, dialect: Dialect | None) -> None:
    result = parse_judgement(text, task=task, dialect=dialect)
    if isinstance(result, ParseFailure):
        assert result.kind in FailureKind
        assert len(result.excerpt) <= 160
        return
    assert states(text, result.verdict, noun=task.noun)
    if result.verdict is Preference.TIE:
        assert dialect is Dialect.DIRECT or not TAG.search(text)
    assert all(1 <= score <= 10 for pair in result.scores.values() for score in pair)
    assert all(name == name.lower().strip() for name in result.scores)
    if result.totals is None:
        assert result.sums_consistent is None
        assert result.answer_matches_totals is None
    else:
        assert all(0 <= total < 1e9 for total in result.totals)
        assert isinstance(result.answer_matches_totals, bool)


@settings(QUICK, max_examples=1000)
@given(texts=st.lists(STRINGS, min_size=10, max_size=10), task=st.sampled_from(Task))
def test_arbitrary_strings(texts: list[str], task: Task) -> None:
    """10,000 strings, plain and pieced together from what judgements are made of."""
    for index, text in enumerate(texts):
        check_judgement(text, task=task, dialect=(None, *Dialect)[index % 4])


@settings(QUICK, max_examples=100)
@given(texts=st.lists(STRINGS, min_size=10, max_size=10))
def test_arbitrary_strings_have_no_invented_points(texts: list[str]) -> None:
    for text in texts:
        for task in Task:
            for contract in (PointContract.FINAL_SCORE, PointContract.THINK):
                result = parse_point(text, contract=contract, task=task)
                if isinstance(result, PointJudgement):
                    scale = point_scale(contract, task)
                    assert scale.low <= result.score <= scale.high
        shares = parse_pair_score(text, task=Task.IMAGE_GENERATION)
        if isinstance(shares, PairScores):
            assert all(0 <= share <= 1 for pair in shares.scores.values() for share in pair)


GOOD = {
    "v1": """<think>
The caption says that Image 2 is better.
1. Semantic consistency: Image 1 (9/10) - all there; Image 2 (7/10) - no hat
2. Aesthetics: Image 2 (8/10) - warm; Image 1 (8/10) - calm
3. Authenticity: Image 1 (9/10) - natural; Image 2 (6/10) - fused paws
Total score:
Image 1: 9+8+9=26
Image 2: 7+8+6=21
</think>
<answer>Image 1 is better</answer>""",
    "v2": """<think>
1. Semantic consistency:
    Image 1 (9/10) - All there. Image 2 is better in colour;
    Image 2 (7/10) - No hat.
2. Aesthetics:
    Image 1 (8/10) - Calm;
    Image 2 (8/10) - Warm.
Total score:
Image 1: 9+8=17
Image 2: 7+8=15
</think>
<answer>Image 1 is better</answer>""",
    "bare": "<answer>Image 1 is better.</answer>",
    "direct": "Image 1 is better.",
}


def mutate(text: str, draw: random.Random) -> str:
    """One to four random edits: cut, repeat, move or replace a piece, insert a fragment, change the case of a
    letter."""
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(text) + 1)
        end = min(len(text), start + draw.choice((1, 1, 2, 5, 20, 100)))
        piece = text[start:end]
        match draw.randrange(7):
            case 0:
                text = text[:start] + text[end:]
            case 1:
                text = text[:end] + piece + text[end:]
            case 2:
                rest = text[:start] + text[end:]
                position = draw.randrange(len(rest) + 1)
                text = rest[:position] + piece + rest[position:]
            case 3:
                text = text[:start] + draw.choice(FRAGMENTS) + text[start:]
            case 4:
                text = text[:start] + chr(draw.randrange(32, 127)) + text[end:]
            case 5:
                text = text[:start] + piece.swapcase() + text[end:]
            case _:
                text = text[: max(start, len(text) - start)]
    return text


@settings(QUICK, max_examples=200)
@given(seed=st.integers(min_value=0, max_value=2**32), base=st.sampled_from(sorted(GOOD)))
def test_mutations_of_good_judgements(seed: int, base: str) -> None:
    """10,000 mutations: each is read as a verdict it states, or not at all."""
    draw = random.Random(seed)
    for index in range(50):
        text = mutate(GOOD[base], draw)
        check_judgement(text, task=Task.IMAGE_GENERATION, dialect=(None, *Dialect)[index % 4])


@pytest.mark.parametrize("base", ["v1", "v2", "bare"])
def test_no_prefix_of_a_judgement_is_one(base: str) -> None:
    text = GOOD[base]
    for length in range(len(text)):
        assert isinstance(parse_judgement(text[:length], task=Task.IMAGE_GENERATION, dialect=Dialect.V1), ParseFailure)


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A judgement's content and one way of writing it down."""

    scores: dict[str, tuple[float, float]]
    flipped: list[bool]
    block: bool
    bullet: str
    sign: str
    numbered: bool
    line_end: str

    def text(self, noun: str) -> str:
        lines = ["<think>", f"{noun} 1 shows a cat: a red one.", f"{noun} 2 shows a dog."]
        for number, ((name, pair), flipped) in enumerate(zip(self.scores.items(), self.flipped, strict=True), start=1):
            marks = [f"{noun} {k} ({score:g}/10){self.sign} {noun} {k} has it" for k, score in enumerate(pair, start=1)]
            if flipped:
                marks.reverse()
            head = f"{number}. {name.title()}:" if self.numbered else f"{name.title()}:"
            lines += [head, *(self.bullet + mark for mark in marks)] if self.block else [f"{head} {'; '.join(marks)}"]
        lines.append("Total score:")
        for k in (0, 1):
            column = [pair[k] for pair in self.scores.values()]
            lines.append(f"{noun} {k + 1}: {'+'.join(f'{score:g}' for score in column)}={sum(column):g}")
        lines += ["</think>", f"<answer>{noun} {1 if self.totals[0] >= self.totals[1] else 2} is better</answer>"]
        return self.line_end.join(lines)

    @property
    def totals(self) -> tuple[float, float]:
        return sum(pair[0] for pair in self.scores.values()), sum(pair[1] for pair in self.scores.values())


SCORES = st.one_of(st.integers(min_value=1, max_value=10).map(float), st.sampled_from([1.5, 7.5, 8.25, 9.75]))
NAMES = st.sampled_from(["lighting", "text rendering", "colour harmony", "depth-of-field", "mood & tone"])


@st.composite
def written(draw: st.DrawFn, task: Task) -> Written:
    names = [*task.dimensions, *draw(st.lists(NAMES, max_size=2, unique=True))]
    return Written(
        scores={name: (draw(SCORES), draw(SCORES)) for name in names},
        flipped=draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names))),
        block=draw(st.booleans()),
        bullet=draw(st.sampled_from(["    ", "- ", "* ", "\t", "  - "])),
        sign=draw(st.sampled_from([" -", ":", " –", ""])),
        numbered=draw(st.booleans()),
        line_end=draw(st.sampled_from(["\n", "\r\n"])),
    )


@settings(QUICK, max_examples=300)
@given(data=st.data(), task=st.sampled_from(Task))
def test_what_is_written_is_read(data: st.DataObject, task: Task) -> None:
    judgement = data.draw(written(task))
    text = judgement.text(task.noun)
    result = parse_judgement(text, task=task)
    assert isinstance(result, Judgement)
    assert result.scores == judgement.scores
    assert result.totals == pytest.approx(judgement.totals)
    assert result.sums_consistent is True
    assert result.answer_matches_totals is (judgement.totals[0] != judgement.totals[1])
    assert result.margin == pytest.approx(judgement.totals[0] - judgement.totals[1])

    exchanged = {"1": "2", "2": "1"}
    relabelled = re.sub(rf"({task.noun} )([12])", lambda match: match[1] + exchanged[match[2]], text)
    mirror = parse_judgement(relabelled, task=task)
    assert isinstance(mirror, Judgement)
    assert mirror.verdict is result.verdict.swap()
    assert mirror.scores == {name: (second, first) for name, (first, second) in result.scores.items()}
    assert mirror.totals == (result.totals or ())[::-1]


MEGABYTE = 1_000_000
HOSTILE = (
    *("<", "<think>", "</think>", "<answer>", "<answer   ", "<answer>Image 1 is better</answer>", "<think></think>"),
    *("\n", "\r", " ", "\n- ", "\n**", "\n1. a b c", "\na-", "\n(1", "\ntotal", "Total score:\nImage 1: 1+1\n"),
    *(
        "image 1 ",
        "image 1 (9/10)",
        "image 1: 1+1+",
        "[",
        "*",
        "_",
        "1+",
        "0",
        "9.9",
        "。",
        "Image 1 is better.\n",
        "a (b",
    ),
)


@pytest.mark.parametrize("unit", HOSTILE, ids=repr)
def test_time_is_linear_in_hostile_text(unit: str) -> None:
    """1 MB takes under a second. The bound is on this thread's processor time for a tenth of it: neither a busy machine
    nor what another test has left running is a failure."""
    size = MEGABYTE // 10
    run = (unit * (size // len(unit) + 1))[:size]
    for text in (
        run,
        f"<think>{run}</think><answer>Image 1 is better</answer>",
        f"Image 1 is better\n{run}\nImage 1 is better",
    ):
        started = time.thread_time()
        parse_judgement(text, task=Task.IMAGE_GENERATION)
        assert time.thread_time() - started < 0.1


@pytest.mark.parametrize("unit", ["\n", "image 1 (9/10)", "<answer>Image 1 is better</answer>"], ids=repr)
def test_a_megabyte_of_hostile_text(unit: str) -> None:
    text = f"<think>{unit * (MEGABYTE // len(unit))}</think><answer>Image 1 is better</answer>"
    started = time.thread_time()
    parse_judgement(text, task=Task.IMAGE_GENERATION)
    assert time.thread_time() - started < 1.0


DECORATED = st.sampled_from(
    ("**", "*", "`", '"', "\\boxed{", "}", "[[", "]]", "[", "]", "Verdict: ", "Overall judgement: ", " is slightly better", " is not better",
     " because ", "<thinking>", "</thinking>", '{"winner": "', '"}', "A", "B", "1", "2", "```json\n", "```", "Image1", "rank", ", ")
)  # fmt: skip


@settings(QUICK, max_examples=200)
@given(texts=st.lists(st.lists(st.one_of(WORDS, DECORATED), max_size=14).map("".join), min_size=10, max_size=10))
@pytest.mark.parametrize("name", ["general", "edit_pair", "flex", "pair_score"])
def test_the_other_readings_raise_nothing_and_invent_no_candidate(name: str, texts: list[str]) -> None:
    """A verdict names a candidate that the text names: its number, or the letter of a marked choice."""
    for text in texts:
        result = parse_judgement(text, task=Task.IMAGE_GENERATION, dialect=Dialect(name))
        if isinstance(result, Judgement) and result.verdict is not Preference.TIE:
            number, letter = ("1", "a") if result.verdict is Preference.FIRST else ("2", "b")
            assert number in plain_signs(text) or (name == "general" and letter in text.lower()), text


@pytest.mark.parametrize("noun", ["Image", "Video", "Answer"])
@pytest.mark.parametrize(
    "wrap", ["{}", "**{}**", '"{}"', "[{}]", "\\boxed{{{}}}", "<answer>{}</answer>", "Verdict: {}", "x\n{}"]
)
def test_a_negation_is_no_verdict_in_any_dress(noun: str, wrap: str) -> None:
    task = {"Image": Task.IMAGE_GENERATION, "Video": Task.VIDEO_GENERATION, "Answer": Task.IMAGE_UNDERSTANDING}[noun]
    good = parse_judgement(wrap.format(f"{noun} 1 is better"), task=task, dialect=Dialect("general"))
    assert isinstance(good, Judgement)
    assert good.verdict is Preference.FIRST
    for words in (f"{noun} 1 is not better", f"{noun} 1 isn't better", f"neither {noun} 1 is better", f"{noun} 1 or {noun} 2 is better",
                  f"{noun} 1 is better than {noun} 1", f"if {noun} 1 is better", f"{noun} 3 is better"):  # fmt: skip
        for dialect in (Dialect("general"), Dialect.V1, Dialect.DIRECT, None):
            assert isinstance(parse_judgement(wrap.format(words), task=task, dialect=dialect), ParseFailure), words
