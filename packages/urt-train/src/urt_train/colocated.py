"""vLLM in the trainer's own process: it sleeps while the policy learns, and gets the policy's weights before each rollout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch

from urt_core import Completion, Prompt, SamplingParams
from urt_core.engines import Engine
from urt_core.engines.vllm import VLLMEngine
from urt_train.config import GRPOConfig
from urt_train.hand_over import CANARY, CANARY_SAMPLING, check_canary
from urt_train.policy import Policy


class ColocatedVLLM:
    """An engine over a copy of the policy's weights in vLLM's own layout; one request for a whole group (n = G).

    engine = ColocatedVLLM.open("outputs/tiny/rejection_sampling/model", policy, config.grpo)
    engine.wake(policy)
    groups = engine.generate(prompts, sampling)
    engine.sleep()
    """

    def __init__(self, engine: Engine, llm: Any, *, can_sleep: bool, parity_limit: float) -> None:
        self.engine, self.llm = engine, llm
        self.can_sleep, self.parity_limit = can_sleep, parity_limit
        self.model = engine.model

    @classmethod
    def open(cls, folder: str, policy: Policy, config: GRPOConfig, *, dtype: str = "float32") -> ColocatedVLLM:
        """vLLM on the folder that the policy was opened from, in this process; only CUDA can free memory by sleeping."""
        # The weights are handed over as tensors of this process.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        can_sleep = torch.cuda.is_available()
        engine = VLLMEngine.from_pretrained(
            folder,
            policy=policy.media_policy,
            max_images=2 * policy.spec.num_frames,
            dtype=dtype,
            max_model_len=config.max_prompt_tokens + config.max_completion_tokens,
            max_num_seqs=config.generation_batch_size * config.group_size,
            kv_cache_memory_bytes=int(config.vllm_cache_gib * 2**30),
            enable_sleep_mode=can_sleep,
            seed=0,
        )
        return cls(engine, engine.llm, can_sleep=can_sleep, parity_limit=config.parity_limit)

    def wake(self, policy: Policy) -> None:
        """Take the policy's weights and forget all that was computed with older ones. Every rank of the policy takes part."""
        if self.can_sleep:
            self.llm.wake_up()
        # A model's own `load_weights` fails where vLLM has packed the weights for the CPU; this undoes and redoes the packing.
        self.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(policy.whole_state().items())})
        self.llm.llm_engine.reset_encoder_cache()
        self.llm.reset_prefix_cache()
        [[answer]] = self.engine.generate([CANARY], CANARY_SAMPLING)
        check_canary(policy, {"vLLM": answer}, limit=self.parity_limit)

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        return self.engine.generate(prompts, sampling)

    def sleep(self) -> None:
        """Level 1: the weights wait in main memory. Level 2 drops them, and what is not handed over again stays lost."""
        if self.can_sleep:
            self.llm.sleep(level=1)
