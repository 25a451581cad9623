"""The only parser of judgements: a model's text becomes a `Judgement` or a `ParseFailure`, never a guess.

    text ── signs ── blocks ──┬─ verdict   the last <answer> outside <think>, or a sentence of its own: it alone decides
                              └─ scores    per dimension, and totals: read beside the verdict, and compared with it

`pointwise` reads the contracts that ask for scores instead. The shapes are those of the released UnifiedReward weights.
Everything here is linear in the length of the text.
"""

from urt_core.judgement.pairwise import parse_judgement
from urt_core.judgement.pointwise import PairScores, PointJudgement, parse_pair_score, parse_point
from urt_core.judgement.result import FailureKind, Judgement, ParseFailure

__all__ = [
    "FailureKind",
    "Judgement",
    "PairScores",
    "ParseFailure",
    "PointJudgement",
    "parse_judgement",
    "parse_pair_score",
    "parse_point",
]
