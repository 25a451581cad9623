"""vLLM servers that sample the rollouts: any number of them, on any machine, beside any number of training ranks."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from urt_core import Completion, Prompt, SamplingParams
from urt_core.engines import FinishReason, Usage
from urt_core.engines.chat import frame_parts, request_body
from urt_core.engines.endpoint.answers import FINISH_REASONS
from urt_core.engines.endpoint.pool import ServerPool
from urt_core.engines.endpoint.profile import Profile
from urt_core.engines.model.encoding import IMAGE_TOKEN, chat_text, check_special_tokens, expand_image_tokens
from urt_core.engines.vllm.requests import request_seed
from urt_core.errors import EngineError, ServerError
from urt_core.media import PromptFrames, prompt_frames
from urt_core.streaming import BACKGROUND, stream_map
from urt_train.config import WeightTransfer
from urt_train.model.policy import Policy
from urt_train.rollouts.hand_over import CANARY, CANARY_SAMPLING, check_canary
from urt_train.rollouts.servers import REMEDY, VLLMServer
from urt_train.rollouts.weight_transfer import WeightChannel, open_channel
from urt_train.runtime.ranks import all_sum, wait_for_all, world

GO_ON = f"{REMEDY}; the last checkpoint is good, and the same command goes on from it"
NOT_SAMPLED = -9999.0
"""What vLLM's API sends for a log-prob that is missing or no number."""


class ServedVLLM:
    """An engine over copies of the policy's weights in vLLM servers; one request for a whole group (n = G).

    engine = ServedVLLM.open(policy, ["http://gpu-1:8000"], max_tokens=10240, ...,
    folder=Path("outputs/tiny/grpo/served_weights")) engine.wake(policy) groups = engine.generate(prompts, sampling)
    """

    def __init__(
        self, policy: Policy, pool: ServerPool[VLLMServer], channel: WeightChannel, *, parity_limit: float
    ) -> None:
        self.pool, self.channel, self.parity_limit = pool, channel, parity_limit
        self.tokenizer, self.image_processor = policy.tokenizer, policy.image_processor
        self.media_policy = policy.media_policy
        self.in_flight = pool.in_flight
        """Groups that one server samples at a time, over all ranks."""
        self.model = "vLLM at " + ", ".join(map(str, pool.servers))
        forbidden = policy.engine().forbidden_token_ids
        settings = {
            "return_token_ids": True,
            "logit_bias": {str(token): -100 for token in sorted(forbidden)},
            # As `chat_text` renders it.
            "chat_template_kwargs": {"enable_thinking": False},
            # What is left out, a server fills in from the model's generation config.
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
        }
        self.profile = Profile(name="rollouts", max_tokens_name="max_completion_tokens", extra_body=settings)

    @classmethod
    def open(
        cls,
        policy: Policy,
        addresses: Sequence[str],
        *,
        max_tokens: int,
        in_flight: int,
        timeout_s: float,
        transfer: WeightTransfer,
        parity_limit: float,
        folder: Path,
        dtype: str = "float32",
    ) -> ServedVLLM:
        """Every server must be there and fit before the run; one that is lost later, the run can do without."""
        key = os.environ.get("VLLM_API_KEY", "").strip()
        servers = [VLLMServer(address, api_key=key, timeout_s=timeout_s) for address in addresses]
        pool = ServerPool(servers, in_flight=in_flight, setting="grpo.vllm_servers", remedy=GO_ON)
        rare = policy.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        pool.on_each(lambda server: server.check_settings(num_tokens=max_tokens, rare_token=rare))
        if pool.failures:
            said = "; ".join(map(str, pool.failures.values()))
            raise EngineError(
                f"{len(pool.failures)} of {len(servers)} vLLM servers (grpo.vllm_servers) can't be used: {said}. {REMEDY}"
            )
        channel = open_channel(transfer, folder=folder, dtype=dtype)
        return cls(policy, pool, channel, parity_limit=parity_limit)

    def wake(self, policy: Policy) -> None:
        """Hand the policy's weights to every healthy server and let each answer a canary. Every rank of the policy
        takes part."""
        weights = policy.whole_state(dtype=self.channel.dtype)
        self.pool.in_flight = max(1, self.in_flight // world()[1])
        self.pool.revive()
        if world()[0] == 0:
            self.pool.on_each(lambda server: server.pause())
            self.channel.send(policy, weights, self.pool)
            self.pool.on_each(lambda server: server.forget_and_resume())
        wait_for_all()
        self._agree(policy)  # a server that the first rank has lost is still paused
        answers = self.pool.on_each(lambda server: self._complete(server, CANARY, CANARY_SAMPLING))
        self._agree(policy)
        check_canary(policy, {str(server): answers[server][0] for server in self.pool.usable}, limit=self.parity_limit)

    def sleep(self) -> None:
        """Servers have devices of their own."""

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        return BACKGROUND.run(self._generate(prompts, sampling))

    def begin(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> Future[list[list[Completion]]]:
        return BACKGROUND.start(self._generate(prompts, sampling))

    async def _generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        async def group(item: tuple[int, Prompt]) -> list[Completion]:
            index, prompt = item
            return await self.pool.ask(lambda server: self._complete(server, prompt, sampling, index=index))

        window = max(1, len(prompts))
        return [answer async for answer in stream_map(group, enumerate(prompts), window=window, ordered=True)]

    async def _complete(
        self, server: VLLMServer, prompt: Prompt, sampling: SamplingParams, *, index: int = 0
    ) -> list[Completion]:
        frames = await asyncio.to_thread(prompt_frames, prompt, policy=self.media_policy)
        pictures = await asyncio.to_thread(lambda: [frame_parts(images, image_format="png") for images in frames])
        asked = sampling if sampling.seed is None else replace(sampling, seed=request_seed(sampling, index))
        body = request_body(prompt, pictures, asked, model=server.model, profile=self.profile)
        answer = await server.call("POST", "/v1/chat/completions", body=body)
        check_prompt(answer, self._prompt_ids(prompt, frames), where=f"{server}: prompt {prompt.key!r}")
        choices = read_choices(answer, num_completions=sampling.num_completions, where=str(server))
        return [self._completion(choice, answer) for choice in choices]

    def _prompt_ids(self, prompt: Prompt, frames: PromptFrames) -> list[int]:
        """The tokens that the trainer will compute for this prompt."""
        num_frames = [len(images) for images in frames]
        row = self.tokenizer(chat_text(self.tokenizer, prompt, num_frames=num_frames), add_special_tokens=False)
        check_special_tokens(self.tokenizer, prompt, row["input_ids"], num_frames=num_frames)
        limits = {"min_pixels": self.media_policy.min_pixels, "max_pixels": self.media_policy.max_pixels}
        num_tokens = [
            self.image_processor.get_number_of_image_patches(image.height, image.width, limits)
            // self.image_processor.merge_size**2
            for images in frames
            for image in images
        ]
        image_token = self.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        return expand_image_tokens([row["input_ids"]], num_tokens, image_token_id=image_token)[0]

    def _completion(self, choice: Mapping[str, Any], answer: Mapping[str, Any]) -> Completion:
        token_ids = tuple(choice["token_ids"])
        num_prompt = len(answer["prompt_token_ids"]) if choice["index"] == 0 else 0
        return Completion(
            text=self.tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False),
            finish_reason=FINISH_REASONS[choice["finish_reason"]],
            token_ids=token_ids,
            logprobs=tuple(float(entry["logprob"]) for entry in choice["logprobs"]["content"]),
            usage=Usage(prompt_tokens=num_prompt, completion_tokens=len(token_ids)),
        )

    def _agree(self, policy: Policy) -> None:
        """A server that some rank can't use, no rank uses: it may not have the weights."""
        usable = all_sum([float(server in self.pool.usable) for server in self.pool.servers], device=policy.device)
        num_ranks = world()[1]
        self.pool.usable = [server for server, n in zip(self.pool.servers, usable, strict=True) if n == num_ranks]
        if not self.pool.usable:
            raise self.pool.none_left()


def check_prompt(answer: Mapping[str, Any], expected: Sequence[int], *, where: str) -> None:
    """Another chat template, tokenizer or image size on the server would train on tokens that nobody sampled from."""
    found = answer.get("prompt_token_ids")
    if not isinstance(found, list):
        raise ServerError(f"{where}: an answer without prompt_token_ids; vLLM 0.32 has them", is_final=True)
    more = found[len(expected) :]
    if more and found[: len(expected)] == list(expected):
        raise ServerError(
            f"{where}: the server's chat template goes on behind the trainer's prompt, by {len(more)} tokens. One that opens <think> is cut"
            " there in training, so that the judge writes both tags: start the server with --chat-template and a copy of the model"
            " folder's template without the opening tag",
            is_final=True,
        )
    if found != list(expected):
        raise ServerError(
            f"{where}: the server made {len(found)} tokens of it and the trainer {len(expected)}, or others. Start it from the model"
            " folder that training starts from, with the pixel limits of judge in --mm-processor-kwargs",
            is_final=True,
        )


def read_choices(answer: Mapping[str, Any], *, num_completions: int, where: str) -> list[dict[str, Any]]:
    """The choices of an answer in their order, each with as many log-probs as tokens."""
    choices = answer.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise ServerError(f"{where}: an answer without choices")
    numbers = sorted(str(choice.get("index")) for choice in choices)
    if numbers != sorted(map(str, range(num_completions))):
        raise ServerError(f"{where}: completions {numbers} of a group, asked were {num_completions}")
    for choice in choices:
        _check_choice(choice, where=where)
    return sorted(choices, key=lambda choice: choice["index"])


def _check_choice(choice: Mapping[str, Any], *, where: str) -> None:
    reason = FINISH_REASONS.get(str(choice.get("finish_reason")))
    if reason not in (FinishReason.STOP, FinishReason.LENGTH):
        raise ServerError(f"{where}: a completion that ended with {choice.get('finish_reason')!r}")
    token_ids = choice.get("token_ids")
    entries = (choice.get("logprobs") or {}).get("content")
    if not token_ids or not isinstance(token_ids, list) or not all(isinstance(token, int) for token in token_ids):
        raise ServerError(f"{where}: a completion without token ids")
    if not isinstance(entries, list) or len(entries) != len(token_ids):
        num_found = len(entries) if isinstance(entries, list) else "no"
        raise ServerError(f"{where}: {num_found} log-probs for {len(token_ids)} tokens")
    numbers = [entry.get("logprob") if isinstance(entry, dict) else None for entry in entries]
    if not all(isinstance(x, int | float) and math.isfinite(x) and NOT_SAMPLED < x <= 0 for x in numbers):
        raise ServerError(f"{where}: a log-prob that is none")
