"""vLLM in the trainer's own process: it sleeps while the policy learns, and gets the policy's weights before each
rollout.

With several training devices each process has an engine of its own on its device, with a whole copy of the weights, or
`tensor_parallel` neighbouring processes have one together: then each holds its part of the weights, and all of them
sample the prompts of all of them in one call. vLLM joins the trainer's process group (its "external launcher", which
takes neighbouring ranks for a group), so it starts at the first rollout, when that group is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import distributed

from urt_core import Completion, Prompt, SamplingParams
from urt_core.engines import Engine
from urt_core.engines.vllm.requests import REFUSALS, Requests, bad_media, no_room, refused, vllm_settings
from urt_core.errors import ConfigError, MediaError
from urt_core.media import MediaPolicy, prompt_frames
from urt_train.model.policy import Policy
from urt_train.rollouts.hand_over import CANARY, CANARY_SAMPLING, check_canary
from urt_train.runtime.ranks import world


class ColocatedVLLM:
    """An engine over a copy of the policy's weights in vLLM's own layout; one request for a whole group (n = G).

    engine = ColocatedVLLM.of(
        "outputs/tiny/rejection_sampling/model", policy, max_tokens=640, max_sequences=256, cache_gib=4.0, parity_limit=1.02
    )
    engine.wake(policy)
    groups = engine.generate(prompts, sampling)
    engine.sleep()
    """

    def __init__(
        self,
        start: Callable[[], Engine],
        *,
        model: str,
        can_sleep: bool,
        parity_limit: float,
        tensor_parallel: int = 1,
    ) -> None:
        self.start, self.model, self.tensor_parallel = start, model, tensor_parallel
        self.neighbours: Any = None
        """The processes that share this engine."""
        self.can_sleep, self.parity_limit = can_sleep, parity_limit
        self.engine: Any = None

    @classmethod
    def of(
        cls,
        folder: str,
        policy: Policy,
        *,
        max_tokens: int,
        max_sequences: int,
        cache_gib: float,
        parity_limit: float,
        tensor_parallel: int = 1,
        dtype: str = "float32",
    ) -> ColocatedVLLM:
        """vLLM on the folder that the policy was opened from, for sequences of `max_tokens`; only CUDA can free memory
        by sleeping."""
        can_sleep = torch.cuda.is_available()

        def start() -> Engine:
            os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
            # The weights are handed over as tensors of this process.
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
            return InStep.from_pretrained(
                folder,
                policy=policy.media_policy,
                max_images=2 * policy.spec.num_frames,
                dtype=dtype,
                max_model_len=max_tokens,
                max_num_seqs=max_sequences * tensor_parallel,
                kv_cache_memory_bytes=int(cache_gib * 2**30),
                # The cache has its size from the line above; this share only has to be free, and the policy has most of
                # the device.
                gpu_memory_utilization=0.01,
                enable_sleep_mode=can_sleep,
                seed=0,
                **_beside_other_ranks(tensor_parallel),
            )

        return cls(
            start,
            model=f"vLLM on {folder}",
            can_sleep=can_sleep,
            parity_limit=parity_limit,
            tensor_parallel=tensor_parallel,
        )

    def wake(self, policy: Policy) -> None:
        """Take the policy's weights and forget all that was computed with older ones. Every rank of the policy takes
        part."""
        if self.engine is None:
            self.neighbours = _neighbours(self.tensor_parallel)
            self.engine = self.start()
        elif self.can_sleep:
            self.engine.llm.wake_up()
        llm = self.engine.llm
        # A model's own `load_weights` fails where vLLM has packed the weights for the CPU; this undoes and redoes the
        # packing.
        llm.collective_rpc("reload_weights", kwargs={"weights_iterator": policy.whole_weights()})
        llm.llm_engine.reset_encoder_cache()
        llm.reset_prefix_cache()
        [[answer]] = self.engine.generate([CANARY], CANARY_SAMPLING)
        check_canary(policy, {"vLLM": answer}, limit=self.parity_limit)

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        """Where processes share an engine, each takes part with prompts of its own, of any number. Samples follow from the
        seed of the first of them."""
        if self.neighbours is None:
            return self.engine.generate(prompts, sampling)
        shares: list[Any] = [None] * self.tensor_parallel
        distributed.all_gather_object(shares, (list(prompts), sampling.seed), group=self.neighbours)
        together = [prompt for share, _ in shares for prompt in share]
        if not together:
            return []
        groups = self.engine.generate(together, replace(sampling, seed=shares[0][1]))
        place = world()[0] % self.tensor_parallel
        first = sum(len(share) for share, _ in shares[:place])
        return groups[first : first + len(prompts)]

    def sleep(self) -> None:
        """Level 1: the weights wait in main memory. Level 2 drops them, and what is not handed over again stays
        lost."""
        if self.can_sleep:
            self.engine.llm.sleep(level=1)


class InStep:
    """vLLM as a part of this process, whose weights can be exchanged between two calls: `InStep(vllm.LLM(...), tokenizer,
    policy=MediaPolicy(), model="outputs/tiny/grpo/model")`"""

    def __init__(self, llm: Any, tokenizer: Any, *, policy: MediaPolicy, model: str) -> None:
        self.llm, self.policy, self.model = llm, policy, model
        self.requests = Requests(tokenizer, model_config=llm.llm_engine.model_config)

    @classmethod
    def from_pretrained(cls, path: str, *, policy: MediaPolicy, max_images: int, **settings: Any) -> InStep:
        complete, tokenizer = vllm_settings(path, policy=policy, max_images=max_images, **settings)
        from vllm import LLM

        try:
            llm = LLM(**complete)
        except REFUSALS as error:
            raise refused(path, settings, error) from error
        return cls(llm, tokenizer, policy=policy, model=path)

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        groups: list[list[Completion]] = [[] for _ in prompts]
        readable, requests = [], []
        for index, prompt in enumerate(prompts):
            try:
                requests.append(self.requests.prompt(prompt, prompt_frames(prompt, policy=self.policy)))
                readable.append(index)
            except MediaError as error:
                groups[index] = bad_media(error, sampling)
        settings = [self.requests.sampling(sampling, index) for index in readable]
        for index, group in zip(readable, self._groups(requests, settings, sampling), strict=True):
            groups[index] = group
        return groups

    def _groups(
        self, requests: Sequence[dict[str, Any]], settings: Sequence[Any], sampling: SamplingParams
    ) -> list[list[Completion]]:
        """vLLM refuses all for the sake of one that leaves no room for a judgement; that one is found by halves."""
        from vllm.exceptions import VLLMClientError

        if not requests:
            return []
        try:
            outputs = self.llm.generate(requests, settings, use_tqdm=False)
            return [self.requests.completions(output, sampling) for output in outputs]
        except (ValueError, VLLMClientError) as error:
            if len(requests) == 1:
                return [no_room(error, sampling)]
        half = len(requests) // 2
        return self._groups(requests[:half], settings[:half], sampling) + self._groups(
            requests[half:], settings[half:], sampling
        )


def _neighbours(number: int) -> Any:
    """The group of so many processes that this one is in; None for one alone. Every rank takes part."""
    rank, num_ranks = world()
    if num_ranks % number:
        raise ConfigError(f"grpo.vllm_tensor_parallel is {number}; allowed: a divisor of the {num_ranks} processes")
    if number == 1:
        return None
    groups = [
        distributed.new_group(list(range(first, first + number)), backend="gloo")
        for first in range(0, num_ranks, number)
    ]
    return groups[rank // number]


def _beside_other_ranks(tensor_parallel: int) -> dict[str, Any]:
    """Of several processes each has an engine or its part of one; vLLM asks the environment which one it is."""
    rank, num_ranks = world()
    if num_ranks == 1:
        return {}
    os.environ.setdefault("RANK", str(rank))  # torchrun says both; under SLURM Lightning knows them
    os.environ.setdefault("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))
    return {"distributed_executor_backend": "external_launcher", "tensor_parallel_size": tensor_parallel}
