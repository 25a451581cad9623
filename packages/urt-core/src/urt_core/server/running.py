"""A server process: it answers until SIGTERM, finishes what is under way, and ends."""

from urt_core.scorer import Scorer
from urt_core.server.app import create_app
from urt_core.server.settings import ServerSettings


def serve(scorer: Scorer, settings: ServerSettings | None = None) -> None:
    """Blocks until the process is told to end."""
    import uvicorn

    settings = settings or ServerSettings()
    uvicorn.run(
        create_app(scorer, settings),
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=int(settings.drain_s),
        timeout_keep_alive=30,
        limit_concurrency=4 * (settings.max_requests + settings.max_queue),
        server_header=False,
        access_log=False,
        log_level="info",
    )
