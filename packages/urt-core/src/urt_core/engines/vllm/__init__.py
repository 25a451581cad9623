"""vLLM on this machine: the engine, what it is handed and hands back, and how its processes end."""

from urt_core.engines.vllm.engine import VLLMEngine

__all__ = ["VLLMEngine"]
