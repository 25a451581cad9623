"""The only parser of judgements: a model's text becomes a `Judgement` or a `ParseFailure`, never a guess.

    text ── signs ── blocks ──┬─ verdict   the last <answer> outside <think>, or a sentence of its own: it alone decides
                              └─ scores    per dimension, and totals: read beside the verdict, and compared with it

The shapes are those of the released UnifiedReward weights. Everything here is linear in the length of the text.
"""

from urt_core.judgement.pairwise import parse_judgement
from urt_core.judgement.result import FAILURE_KINDS, Judgement, ParseFailure

__all__ = ["FAILURE_KINDS", "Judgement", "ParseFailure", "parse_judgement"]
