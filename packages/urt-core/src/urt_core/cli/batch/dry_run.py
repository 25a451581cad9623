"""`--dry-run`: the first prompt as it would be sent, and how many calls the whole would make."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from urt_core.cli.batch.inputs import Requests
from urt_core.cli.batch.requests import one_request, row_request
from urt_core.cli.judge import build_scorer, how_to_ask
from urt_core.errors import DataError, MediaError
from urt_core.instant.modes import Mode, one_pass_sampling
from urt_core.judging.asking import Question
from urt_core.media import MediaPolicy, load_frames, preprocessing_id
from urt_core.prompts import Prompt
from urt_core.records import Media


def show_first_prompt(
    options: argparse.Namespace, fields: Sequence[str], *, num_calls: Callable[[dict[str, Any]], int] | None = None
) -> int:
    """`num_calls` prompts of a request, or else as many as its question has; those of the first one stand for all. In mode auto the first
    prompt is that of the instant question, and the numbers are those of every pair reasoned about as well."""
    scorer = build_scorer(options)
    request, count = first_request(options, fields)
    calls = num_calls(request) if num_calls else None
    if "candidates" in request:
        request["first"], request["second"] = request.pop("candidates")[:2]
    if "candidate" in request:
        asked: Any = scorer.point_request(contract=options.contract, **request)
        ask, sampling = scorer.point_questions(options.contract, options.against)
        question, samplings = ask(asked), [sampling]
    else:
        modes = [Mode.INSTANT, Mode.REASON] if scorer.mode is Mode.AUTO else [scorer.mode]
        question = scorer.pair_question(scorer.record(**request), mode=modes[0])
        samplings = [one_pass_sampling(mode, scorer.sampling) for mode in modes]
    if not isinstance(question, Question):
        raise MediaError(f"the first request can't be shown: {question.detail}")
    _, policy, _ = how_to_ask(options)
    num_prompts = count * (len(question.prompts) if calls is None else calls)
    num_completions = num_prompts * sum(sampling.num_completions for sampling in samplings)
    num_tokens = num_prompts * sum(sampling.num_completions * sampling.max_tokens for sampling in samplings)
    up_to = "at most " if len(samplings) > 1 else ""
    print(f"{count:,} requests, {up_to}{num_completions:,} completions, at most {num_tokens:,} tokens")
    print(f"preprocessing {preprocessing_id(policy)}\n\n{describe(question.prompts[0], policy)}")
    return 0


def first_request(options: argparse.Namespace, fields: Sequence[str]) -> tuple[dict[str, Any], int]:
    if not options.input:
        return one_request(options, fields), 1
    requests = Requests(options.input)
    for key, row in requests:
        return row_request(row, fields, key), len(requests)
    raise DataError(f"{options.input} holds no request")


def describe(prompt: Prompt, policy: MediaPolicy) -> str:
    """The prompt's text with each medium as what the judge is shown of it."""
    shown = []
    for part in prompt.parts:
        if isinstance(part, Media):
            frames = load_frames(part, policy)
            width, height = frames[0].size
            number = f"{len(frames)} frames of " if len(frames) > 1 else ""
            shown.append(f"[{part.kind} {part.files[0]}: {number}{width}x{height}]")
        else:
            shown.append(part)
    return "".join(shown)
