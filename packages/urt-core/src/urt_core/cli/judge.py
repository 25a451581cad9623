"""Command-line options -> a `Scorer`."""

import argparse
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from urt_core.calibration import Calibration
from urt_core.engines import AsyncEngine, Engine, SamplingParams
from urt_core.errors import ConfigError
from urt_core.media import MediaPolicy
from urt_core.prompts import Dialect
from urt_core.scorer import Scorer


@contextmanager
def open_scorer(options: argparse.Namespace) -> Iterator[Scorer]:
    """The scorer for one command; connections to an endpoint are closed behind it."""
    scorer = build_scorer(options)
    try:
        yield scorer
    finally:
        if isinstance(scorer.engine, AbstractContextManager):
            scorer.engine.__exit__(None, None, None)


def build_scorer(options: argparse.Namespace, *, engine: Engine | AsyncEngine | None = None) -> Scorer:
    """`engine` stands in for the one the options describe: a dry run has none."""
    dialect, policy = dialect_and_policy(options)
    download = None
    if options.allow_downloads:
        from urt_core.media.download import Downloader

        download = Downloader()
    temperature = options.temperature if options.temperature is not None else (0.7 if options.votes > 1 else 0.0)
    sampling = SamplingParams(
        temperature=temperature, top_p=options.top_p, max_tokens=options.max_tokens, seed=options.seed
    )
    calibration = getattr(options, "calibration", None)
    return Scorer(
        engine=engine or build_engine(options, policy),
        dialect=dialect,
        orders=getattr(options, "orders", "both"),
        votes=options.votes,
        sampling=sampling,
        probability=getattr(options, "probability", "votes"),
        calibration=Calibration.load(calibration) if calibration else None,
        templates=options.templates,
        download=download,
    )


def dialect_and_policy(options: argparse.Namespace) -> tuple[Dialect, MediaPolicy]:
    from urt_core.pretrained import load_spec

    # Scoring single candidates has a contract and no dialect.
    asked = getattr(options, "dialect", Dialect.V1)
    dialect, policy = load_spec(options.model, dialect=asked, policy=None)
    shown = MediaPolicy(
        min_pixels=options.min_pixels or min(policy.min_pixels, options.max_pixels or policy.min_pixels),
        max_pixels=options.max_pixels or max(policy.max_pixels, options.min_pixels or policy.max_pixels),
        num_frames=options.num_frames or policy.num_frames,
    )
    return dialect, shown


def build_engine(options: argparse.Namespace, policy: MediaPolicy) -> Engine:
    from urt_core.pretrained import load_engine

    if not options.base_url:
        if options.budget_tokens or options.budget_cost:
            raise ConfigError(
                "--budget-tokens and --budget-cost are for endpoints; a local judge costs nothing per token"
            )
        return load_engine(
            options.model, kind=options.engine, policy=policy, batch_size=options.batch_size, device=options.device
        )
    from urt_core.engines.budget import Budget
    from urt_core.engines.retrying import RetryPolicy

    budget = None
    if options.budget_tokens is not None or options.budget_cost is not None:
        budget = Budget(
            max_tokens=options.budget_tokens,
            max_cost=options.budget_cost,
            prompt_price=options.prompt_price,
            completion_price=options.completion_price,
        )
    settings = {
        "api_key": os.environ.get(options.api_key_env),
        "concurrency": options.concurrency,
        "retry": RetryPolicy(attempt_timeout_s=options.timeout),
        "budget": budget,
    }
    return load_engine(options.model, kind=options.engine, policy=policy, base_url=options.base_url, options=settings)
