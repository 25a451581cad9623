"""Engines turn prompts into completions. This package holds what every engine shares; each engine has its own file."""

from urt_core.engines.completion import Completion, FinishReason, SamplingParams, Status, Usage
from urt_core.engines.protocol import AsyncEngine, Engine, Traits, close_engine, honoured, traits

__all__ = [
    "AsyncEngine",
    "Completion",
    "Engine",
    "FinishReason",
    "SamplingParams",
    "Status",
    "Traits",
    "Usage",
    "close_engine",
    "honoured",
    "traits",
]
