"""`urt serve`"""

import argparse
import os
import signal

from urt_core.cli.judge import build_scorer
from urt_core.server import ServerSettings, serve


def run_serve(options: argparse.Namespace) -> int:
    settings = ServerSettings(
        host=options.host,
        port=options.port,
        token=os.environ.get(options.token_env) or None,
        max_body_bytes=int(options.max_body_mb * 2**20),
        max_requests=options.max_requests,
        max_queue=options.max_queue,
        reward=options.reward,
        contract=options.contract,
        on_failure=options.on_failure,
    )
    scorer = build_scorer(options)
    scorer.allow_paths = False  # a request must not name files of this machine
    for number in (signal.SIGTERM, signal.SIGINT):
        # The server drains and then raises the signal once more; ending as told is no failure.
        signal.signal(number, lambda *_: None)
    serve(scorer, settings)
    return 0
