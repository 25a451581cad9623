"""Who samples the rollouts of GRPO."""

from __future__ import annotations

from pathlib import Path

from urt_core.engines import Engine
from urt_core.engines.image_slots import require_vllm
from urt_train.config import RolloutEngine
from urt_train.model.policy import Policy
from urt_train.rollouts.colocated import ColocatedVLLM
from urt_train.rollouts.served import ServedVLLM
from urt_train.stages.grpo.config import GRPOConfig

SERVED_WEIGHTS = "served_weights"
"""Folder of a run through which vLLM servers get weights."""


def rollout_engine(settings: GRPOConfig, policy: Policy, *, initial: str, folder: Path, dtype: str) -> Engine:
    """What `grpo.engine` names: `initial` is the folder that the policy was opened from, `folder` that of the run."""
    if settings.engine is RolloutEngine.transformers:
        return policy.engine(batch_size=settings.generation_batch_size * settings.group_size)
    require_vllm(policy.slots)
    if settings.engine is RolloutEngine.vllm_server:
        return open_served(settings, policy, folder=folder / SERVED_WEIGHTS, dtype=dtype)
    return open_colocated(settings, policy, initial=initial, dtype=dtype)


def open_served(settings: GRPOConfig, policy: Policy, *, folder: Path, dtype: str = "float32") -> ServedVLLM:
    return ServedVLLM.open(
        policy,
        settings.vllm_servers,
        max_tokens=settings.max_prompt_tokens + settings.max_completion_tokens,
        in_flight=settings.generation_batch_size,
        timeout_s=settings.vllm_timeout_s,
        transfer=settings.weight_transfer,
        parity_limit=settings.parity_limit,
        folder=folder,
        dtype=dtype,
    )


def open_colocated(settings: GRPOConfig, policy: Policy, *, initial: str, dtype: str = "float32") -> ColocatedVLLM:
    return ColocatedVLLM.of(
        initial,
        policy,
        max_tokens=settings.max_prompt_tokens + settings.max_completion_tokens,
        max_sequences=settings.generation_batch_size * settings.group_size,
        cache_gib=settings.vllm_cache_gib,
        tensor_parallel=settings.vllm_tensor_parallel,
        parity_limit=settings.parity_limit,
        dtype=dtype,
    )
