"""`urt serve`"""

import argparse
import os

from urt_core.adapters.references import ReferencePool
from urt_core.cli.judge import build_scorer
from urt_core.engines.unopened import opened
from urt_core.errors import ConfigError

try:
    from urt_core.server import ServerSettings, serve
except ModuleNotFoundError as error:
    raise ConfigError(f'a server needs {error.name}, which is not installed: pip install "urt-core[serve]"') from error


def run_serve(options: argparse.Namespace) -> int:
    settings = ServerSettings(
        host=options.host,
        port=options.port,
        token=os.environ.get(options.token_env) or None,
        max_body_bytes=int(options.max_body_mb * 2**20),
        max_bodies_bytes=int(options.max_bodies_mb * 2**20),
        max_requests=options.max_requests,
        max_queue=options.max_queue,
        max_candidates=options.max_candidates,
        max_connections=options.max_connections,
        max_connections_per_address=options.max_connections_per_address,
        max_prompt_tokens=options.max_prompt_tokens,
        answer_timeout_s=options.answer_timeout,
        group_timeout_s=options.group_timeout,
        allowed_hosts=tuple(options.allow_host),
        references=ReferencePool.from_jsonl(options.references) if options.references else None,
        reward=options.reward,
        contract=options.contract,
        on_failure=options.on_failure,
    )
    scorer = build_scorer(options)
    scorer = scorer.with_engine(opened(scorer.engine))
    scorer.allow_paths = False  # a request must not name files of this machine
    serve(scorer, settings)
    return 0
