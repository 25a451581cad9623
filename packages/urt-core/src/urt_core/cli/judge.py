"""Command-line options -> a `Scorer`."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from urt_core.calibration import Calibration
from urt_core.comparison import ProbabilityMethod
from urt_core.engines import close_engine
from urt_core.engines.endpoint.budget import Budget
from urt_core.engines.endpoint.retrying import RetryPolicy
from urt_core.engines.unopened import UnopenedEngine, opened
from urt_core.errors import ConfigError
from urt_core.instant.modes import Mode
from urt_core.judges.released import wording_of
from urt_core.judging.votes import default_sampling
from urt_core.media import MediaPolicy
from urt_core.prompts import Dialect
from urt_core.scorer import Scorer


@contextmanager
def opened_scorer(scorer: Scorer) -> Iterator[Scorer]:
    """The same with its engine opened; weights and connections are let go of behind it."""
    engine = opened(scorer.engine)
    try:
        yield scorer.with_engine(engine)
    finally:
        close_engine(engine)


def build_scorer(options: argparse.Namespace) -> Scorer:
    """What the options describe. Its engine is not open yet: what is asked is known without it."""
    from urt_core.judges.pretrained import load_scale

    refuse_two_engines(options)
    dialect, policy, max_tokens = how_to_ask(options)
    download = None
    if options.allow_downloads:
        from urt_core.media.download import Downloader

        download = Downloader()
    sampling = replace(default_sampling(options.votes, max_tokens=max_tokens), top_p=options.top_p, seed=options.seed)
    if options.temperature is not None:
        sampling = replace(sampling, temperature=options.temperature)
    calibration = getattr(options, "calibration", None)
    scorer = Scorer(
        engine=build_engine(options, policy),
        dialect=dialect,
        orders=getattr(options, "orders", "both"),
        votes=options.votes,
        sampling=sampling,
        probability=getattr(options, "probability", "votes"),
        calibration=Calibration.load(calibration) if calibration else None,
        templates=options.templates,
        download=download,
        mode=getattr(options, "mode", "reason"),
        bounds=getattr(options, "bounds", (0.1, 0.9)),
        **load_scale(options.model, policy=policy),
    )
    scorer.wording = wording_of(options.model, templates=options.templates)
    if scorer.wording:
        print(f"urt: {options.model} is {scorer.wording}", file=sys.stderr)
    return scorer


def how_to_ask(options: argparse.Namespace) -> tuple[Dialect, MediaPolicy, int | None]:
    """What was typed; for the rest, what `judge.json` says."""
    from urt_core.judges.pretrained import load_spec

    # Scoring single candidates has a contract and no dialect.
    asked = getattr(options, "dialect", Dialect.V1)
    dialect, policy, max_tokens = load_spec(options.model, dialect=asked, policy=None)
    shown = MediaPolicy(
        min_pixels=options.min_pixels or min(policy.min_pixels, options.max_pixels or policy.min_pixels),
        max_pixels=options.max_pixels or max(policy.max_pixels, options.min_pixels or policy.max_pixels),
        num_frames=options.num_frames or policy.num_frames,
    )
    return dialect, shown, options.max_tokens if options.max_tokens is not None else max_tokens


def build_engine(options: argparse.Namespace, policy: MediaPolicy) -> UnopenedEngine:
    from urt_core.engines.endpoint.transport import read_key
    from urt_core.judges.pretrained import find_engine

    kind = options.engine or "transformers"
    if (kind == "vllm_server") != bool(options.vllm_servers):
        raise ConfigError(
            f"--engine is {kind} and --vllm-servers is {' '.join(options.vllm_servers) or 'not given'}; allowed: vllm_server "
            "with addresses such as http://gpu-1:8000, the others without"
        )
    if not options.base_url:
        if options.budget_tokens or options.budget_cost:
            raise ConfigError(
                "--budget-tokens and --budget-cost are for endpoints; a judge of your own costs nothing per token"
            )
        return find_engine(
            options.model,
            kind=kind,
            policy=policy,
            batch_size=options.batch_size,
            device=options.device,
            options=read_servers(options) | dict(options.engine_option),
        )
    settings = {
        "api_key": read_key(options.api_key_env),
        "profile": options.profile or "openai",
        "image_format": options.image_format,
        "concurrency": options.concurrency,
        "retry": RetryPolicy(attempt_timeout_s=options.timeout),
        "budget": Budget.of(options),
        **dict(options.engine_option),
    }
    return find_engine(options.model, kind=kind, policy=policy, base_url=options.base_url, options=settings)


def refuse_two_engines(options: argparse.Namespace) -> None:
    """What says who computes here has no part in what an endpoint computes."""
    given = {"--engine": options.engine, "--vllm-servers": " ".join(options.vllm_servers), "--device": options.device}
    if options.base_url and (beside := [f"{name} {value}" for name, value in given.items() if value]):
        raise ConfigError(
            f"--base-url is {options.base_url}, an endpoint that computes by itself, and {' '.join(beside)} is for a judge without one;"
            " leave one of the two out"
        )


def refuse_beside_instant(options: argparse.Namespace) -> None:
    """An instant answer has the verdict's own probability, and the judge's own calibration: a pair that is asked in no
    other way has no use for others."""
    given = f"--calibration {options.calibration}" if options.calibration else ""
    if not given and options.probability == ProbabilityMethod.MARGIN:
        given = f"--probability {options.probability}"
    if given and options.mode == Mode.INSTANT:
        raise ConfigError(
            f"--mode is instant, whose probability is that of the verdict's number by the calibration in judge.json, and {given} has no"
            " part in it; leave it out, or ask with --mode reason or auto"
        )


def is_served(options: argparse.Namespace) -> bool:
    """Whether somebody else computes: weights and GPUs of this machine have no part in it."""
    return bool(options.base_url) or options.engine == "vllm_server"


def read_servers(options: argparse.Namespace) -> dict[str, Any]:
    if options.engine != "vllm_server":
        return {}
    from urt_core.engines.endpoint.transport import read_key

    return {
        "vllm_servers": options.vllm_servers,
        "api_key": read_key(options.api_key_env),
        "in_flight": options.concurrency,
        "timeout_s": options.timeout,
    }
