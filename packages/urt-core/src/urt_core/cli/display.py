"""Results for people: what was decided first, then why."""

from collections.abc import Mapping, Sequence

from urt_core.cli.terminal import Style, shown, styled, table, wrapped
from urt_core.comparison import Comparison, Order, Vote
from urt_core.engines import Status, Usage
from urt_core.judgement import Judgement, ParseFailure
from urt_core.points import PointScore
from urt_core.ranking import Ranking
from urt_core.records import Preference, Task

INDENT = "  "


def print_comparison(comparison: Comparison, *, text: str) -> None:
    noun = noun_of(comparison)
    print(styled(wrapped(text), Style.BOLD), end="\n\n")
    if comparison.status is not Status.OK:
        print(styled(f"not judged: {comparison.status}", Style.BAD))
        print(wrapped(comparison.detail, indent=INDENT))
    else:
        print(styled(verdict_text(comparison.preference, noun), Style.GOOD))
        print(wrapped(verdict_line(comparison), indent=INDENT), end="\n\n")
        print(scores_table(comparison.scores, noun=noun, margin=comparison.margin))
    for vote in comparison.votes:
        print(f"\n{styled(vote_title(vote, noun), Style.DIM)}")
        print(wrapped(vote.completion.text.strip() or vote.completion.detail, indent=INDENT))
    print(f"\n{footer(comparison.model, comparison.preprocessing, comparison.usage)}")


def noun_of(comparison: Comparison) -> str:
    return comparison.task.noun if comparison.task else "Candidate"


def verdict_text(preference: Preference | None, noun: str) -> str:
    winners = {Preference.FIRST: f"{noun} 1 is better", Preference.SECOND: f"{noun} 2 is better"}
    return winners.get(preference or Preference.TIE, "a tie")


def verdict_line(comparison: Comparison) -> str:
    agreement = {None: "asked in one order", True: "both orders agree", False: "the orders disagree"}
    probability = f"P({noun_of(comparison)} 1) = {comparison.probability_first:.2f} by {comparison.probability_method}"
    how = f", {mode_line(comparison)}" if comparison.mode else ""
    return f"{probability}, {agreement[comparison.position_consistent]}{how}"


def mode_line(comparison: Comparison) -> str:
    """Whether it was reasoned about, and what was known before."""
    if comparison.mode == "instant":
        return "answered at once" + ("" if comparison.calibrated else " (not calibrated)")
    before = comparison.instant_probability
    return "reasoned about" + ("" if before is None else f" (at once: {before:.2f})")


def vote_title(vote: Vote, noun: str) -> str:
    state = str(vote.status)
    if isinstance(vote.judgement, ParseFailure):
        state = f"{state}, {vote.judgement.kind}"
    if vote.order is Order.GIVEN:
        return f"as given: {state}"
    return f"swapped, so that its {noun} 1 is {noun} 2 above: {state}"


def scores_table(scores: Mapping[str, tuple[float, float]], *, noun: str, margin: float | None = None) -> str:
    if not scores:
        return "no scores stated"
    rows = [["", f"{noun} 1", f"{noun} 2", "difference"]]
    rows += [[name, f"{first:g}", f"{second:g}", f"{first - second:+g}"] for name, (first, second) in scores.items()]
    if margin is not None:
        rows.append(["total", "", "", f"{margin:+g}"])
    return table(rows)


def print_score(score: PointScore) -> None:
    if score.score is None or score.fraction is None:
        print(styled(f"not scored: {score.status}", Style.BAD))
        print(wrapped(score.detail, indent=INDENT))
    elif score.interval:
        low, high = score.interval
        how = "calibrated" if score.calibrated else "not calibrated"
        print(f"{styled(f'{score.score:.2f}', Style.GOOD)}  ({low:.2f} to {high:.2f}) against anchors, {how}")
    else:
        print(f"{styled(f'{score.score:g}', Style.GOOD)}  {score.fraction:.0%} of the scale of {score.contract}")
        if score.scores:
            print(table([["", "score"], *([name, f"{value:g}"] for name, value in score.scores.items())]))
    for text in score.texts if not score.against else ():  # verdicts alone, which the score holds
        print(f"\n{wrapped(text.strip(), indent=INDENT)}")
    print(f"\n{footer(score.model, score.preprocessing, score.usage)}")


def print_ranking(ranking: Ranking, *, names: Sequence[object]) -> None:
    rows = [["candidate", "place", "win rate", "strength"]]
    for place, index in enumerate(ranking.order, start=1):
        rate = ranking.win_rates[index]
        won = "not judged" if rate != rate else f"{rate:.2f}"
        rows.append([str(names[index]), str(place), won, f"{ranking.strengths[index]:+.2f}"])
    print(table(rows))
    print(f"\n{len(ranking.comparisons)} comparisons, {ranking.num_failed} failed")
    if ranking.num_failed:
        print(wrapped(ranking.detail, indent=INDENT))


def print_judgement(judgement: Judgement | ParseFailure, *, task: Task, title: str) -> None:
    if isinstance(judgement, ParseFailure):
        print(f"{shown(title)}: {styled(judgement.kind, Style.BAD)}")
        print(wrapped(judgement.excerpt, indent=INDENT))
        return
    print(f"{shown(title)}: {styled(verdict_text(judgement.verdict, task.noun), Style.GOOD)}")
    print(scores_table(judgement.scores, noun=task.noun, margin=judgement.margin))
    answers = {None: "not stated", True: "yes", False: "no"}
    print(f"sums add up: {answers[judgement.sums_consistent]}")
    print(f"verdict follows totals: {answers[judgement.answer_matches_totals]}")
    if judgement.confidence is not None:
        print(f"stated confidence: {judgement.confidence:g}")


def footer(model: str, preprocessing: str, usage: Usage) -> str:
    tokens = f"{usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens"
    return styled(wrapped("  ".join(filter(None, (model, preprocessing, tokens)))), Style.DIM)
