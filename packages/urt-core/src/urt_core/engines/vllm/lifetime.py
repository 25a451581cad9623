"""vLLM's processes end with the one that opened the engine. vLLM ends its workers with the engine's process, and leaves
that one running for ever, memory and all, where whoever opened it was killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from urt_core.process.lifetime import end_with_parent


@contextmanager
def ending_with_this_process() -> Iterator[None]:
    """Engines that are started within."""
    try:
        from vllm.v1.engine.core import EngineCoreProc
    except ImportError:  # of a vLLM that has no such process
        yield
        return
    own = EngineCoreProc.run_engine_core
    # A forked process finds it here; one that is spawned, where vLLM has it.
    run_engine_core.__wrapped__ = own  # pyright: ignore[reportFunctionMemberAccess]
    EngineCoreProc.run_engine_core = staticmethod(run_engine_core)
    try:
        yield
    finally:
        EngineCoreProc.run_engine_core = staticmethod(own)


def run_engine_core(*args: Any, **kwargs: Any) -> None:
    """In the engine's process: what vLLM runs there."""
    from vllm.v1.engine.core import EngineCoreProc

    end_with_parent()
    getattr(run_engine_core, "__wrapped__", EngineCoreProc.run_engine_core)(*args, **kwargs)
