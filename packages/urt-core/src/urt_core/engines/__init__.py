"""Engines turn prompts into completions. Here is what every engine shares; each engine has its own file.

openai, servers      over HTTP: `endpoint` speaks the wire format
transformers, vllm   on this machine: `model` opens folders, encodes and decodes; `image_slots` tells model families apart
scripted             from a script
wrappers             an engine around another: batches of several callers, a bound on prompts, a cache
"""

from urt_core.engines.completion import Completion, FinishReason, SamplingParams, Status, Usage
from urt_core.engines.protocol import AsyncEngine, Engine, Traits, awaitable, checked, close_engine, honoured, traits

__all__ = [
    "AsyncEngine",
    "Completion",
    "Engine",
    "FinishReason",
    "SamplingParams",
    "Status",
    "Traits",
    "Usage",
    "awaitable",
    "checked",
    "close_engine",
    "honoured",
    "traits",
]
