"""How probable the judge found the candidate number that it wrote into its answer."""

import math
import re

from urt_core.engines import Completion
from urt_core.engines.completion import is_logprob

# The last number behind a noun: the parser has already accepted the text, so this is the number of the verdict.
_NUMBER = re.compile(r"\b(?:image|video|answer) ([12]) is better", re.IGNORECASE)


def verdict_share(completion: Completion) -> float | None:
    """`verdict_probability` where the likeliest tokens of the number's position are known, so that it is a share of the
    two numbers: what instant answers are decided and calibrated by. None where they are not."""
    found = _found(completion)
    return found[0] if found and found[1] else None


def verdict_probability(completion: Completion) -> float | None:
    """Product of the probabilities of the tokens that spell the number; None where the engine gave no tokens, or numbers
    that are no log-probabilities.

    Where the likeliest tokens of its position are known and the other number is among them, its share of the two: their
    softmax.
    """
    found = _found(completion)
    return found[0] if found else None


def _found(completion: Completion) -> tuple[float, bool] | None:
    """The probability, and whether the likeliest tokens of the number's position are known."""
    tokens = completion.token_logprobs
    text = "".join(token for token, _ in tokens)
    numbers = list(_NUMBER.finditer(text))
    if not numbers:
        return None
    start, end = numbers[-1].span(1)
    position, logprob = 0, 0.0
    other: float | None = None
    is_known = False
    for index, (token, token_logprob) in enumerate(tokens):
        if position < end and position + len(token) > start:
            logprob += token_logprob
            place = start - position
            swapped = token[:place] + ("2" if token[place] == "1" else "1") + token[place + 1 :]
            at = completion.top_logprobs[index] if index < len(completion.top_logprobs) else ()
            if not all(is_logprob(number) for _, number in at):
                return None
            other = dict(at).get(swapped)
            is_known = bool(at)
        position += len(token)
    if math.isinf(logprob):
        return None  # no token that was sampled had the probability 0
    if is_known and other is None and math.exp(logprob) < 0.5:
        return None  # a share among more than the two numbers, of which the other one's is not known
    if other is None:
        return math.exp(logprob), is_known
    return 1 / (1 + math.exp(min(other - logprob, 700.0))), is_known
