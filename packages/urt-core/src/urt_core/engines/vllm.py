"""Judging with vLLM in this process (`pip install "urt-core[vllm]"`).

vLLM gets the frames that `load_frames` gives every engine and one unexpanded image slot per frame; it expands the slots
itself. Its own limits on pixels are set to those of the policy, so that it resizes the way the transformers engine
does.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from urt_core.engines import Completion, FinishReason, SamplingParams, Usage
from urt_core.errors import ConfigError, EngineError, MediaError
from urt_core.media import MediaPolicy, PromptFrames, prompt_frames
from urt_core.prompts import Prompt

FINISH_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
ABANDONED = Completion(text="", finish_reason=FinishReason.LENGTH, detail="nobody waits for it any more")
REFUSALS = (TypeError, ValueError, RuntimeError)
"""What vLLM raises for options that it does not know, values that it does not take, and memory that does not
suffice."""


class VLLMEngine:
    """`llm` is a `vllm.LLM`, given when its settings are the caller's business.

    engine = VLLMEngine.from_pretrained("outputs/tiny/grpo/model", policy=MediaPolicy())
    """

    honours = frozenset({"top_logprobs", "stop", "presence_penalty", "frequency_penalty"})

    def __init__(self, llm: Any, tokenizer: Any, *, policy: MediaPolicy, model: str, batch_size: int = 256) -> None:
        self.llm, self.tokenizer, self.policy, self.model = llm, tokenizer, policy, model
        self.batch_size = batch_size
        """Completions handed over together; vLLM schedules them itself."""
        self.bad_words_ids = sorted(forbidden_token_ids(llm, tokenizer))

    @classmethod
    def from_pretrained(
        cls, path: str | Path, *, policy: MediaPolicy, max_images: int | None = None, **settings: Any
    ) -> "VLLMEngine":
        """`settings` go to `vllm.LLM`. Without CUDA the engine runs in this process and eagerly.

        Prompt and judgement may have as many tokens as the device has memory for; `max_model_len` says another number.
        """
        try:
            import torch
            import vllm
            from transformers import AutoConfig

            from urt_core.engines.image_slots import image_slots, require_vllm
            from urt_core.engines.model_folder import model_wall
            from urt_core.engines.processing import load_processing
        except ImportError as error:
            raise EngineError('vLLM is not installed: pip install "urt-core[vllm]"') from error
        if "trust_remote_code" in settings:
            raise ConfigError(
                "trust_remote_code is no option here: code that a model's folder brings along is never run"
            )
        tokenizer = load_processing(path).tokenizer
        with model_wall(path):
            require_vllm(image_slots(AutoConfig.from_pretrained(path, trust_remote_code=False)))
        asked = dict(settings)
        if not torch.cuda.is_available():
            os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
            settings.setdefault("enforce_eager", True)
            # A prompt that is computed in parts takes back the random numbers drawn on the way, which a CPU's generator
            # can't (vLLM 0.32: "CPU Generator does not use offset").
            settings.setdefault("enable_chunked_prefill", False)
        # What the model was made for (256K tokens in Qwen3-VL) or, where that does not fit, as much as does.
        settings.setdefault("max_model_len", -1)
        # Log-probabilities after temperature, as the trainer computes them; but among the tokens that may be sampled.
        settings.setdefault("logprobs_mode", "processed_logprobs")
        try:
            llm = vllm.LLM(
                model=str(path),
                limit_mm_per_prompt={"image": max_images or max(32, 2 * policy.num_frames), "video": 0},
                mm_processor_kwargs={"size": {"shortest_edge": policy.min_pixels, "longest_edge": policy.max_pixels}},
                # Defaults of the model's generation config must not mix into the sampling parameters that are sent.
                generation_config="vllm",
                trust_remote_code=False,
                **settings,
            )
        except REFUSALS as error:
            raise EngineError(f"vLLM does not start on {path} with the options {asked}: {one_line(error)}") from error
        return cls(llm, tokenizer, policy=policy, model=str(path))

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: SamplingParams,
        *,
        is_wanted: Callable[[int], bool] | None = None,
    ) -> list[list[Completion]]:
        """`is_wanted` is asked between vLLM's steps about each prompt, by its position: what nobody waits for any more
        is aborted."""
        groups: list[list[Completion]] = [[] for _ in prompts]
        readable, requests = [], []
        for index, prompt in enumerate(prompts):
            try:
                requests.append(self._request(prompt, prompt_frames(prompt, policy=self.policy)))
                readable.append(index)
            except MediaError as error:
                bad = Completion(text="", finish_reason=FinishReason.BAD_MEDIA, detail=str(error))
                groups[index] = [bad] * sampling.num_completions
        if requests:
            settings = [self._sampling(sampling, index) for index in readable]
            if is_wanted is None:
                outputs = self._outputs(requests, settings)
            else:
                outputs = self._watched(requests, settings, lambda position: is_wanted(readable[position]))
            for index, output in zip(readable, outputs, strict=True):
                if isinstance(output, Completion):
                    groups[index] = [output] * sampling.num_completions
                else:
                    groups[index] = [
                        self._completion(output, choice, num_top=sampling.top_logprobs) for choice in output.outputs
                    ]
        return groups

    def _outputs(self, requests: Sequence[dict[str, Any]], settings: Sequence[Any]) -> list[Any]:
        """What vLLM makes of the requests; a completion that says why in the place of one that has no room for a
        judgement.

        vLLM refuses all for the sake of one.
        """
        from vllm.exceptions import VLLMClientError

        try:
            return self.llm.generate(requests, settings, use_tqdm=False)
        except (ValueError, VLLMClientError) as error:
            if len(requests) == 1:
                return [Completion(text="", finish_reason=FinishReason.LENGTH, detail=one_line(error))]
            half = len(requests) // 2
            return self._outputs(requests[:half], settings[:half]) + self._outputs(requests[half:], settings[half:])

    def _watched(
        self, requests: Sequence[dict[str, Any]], settings: Sequence[Any], is_wanted: Callable[[int], bool]
    ) -> list[Any]:
        """As `_outputs`, step by step."""
        from vllm.exceptions import VLLMClientError

        outputs: dict[int, Any] = {}
        waiting: dict[str, int] = {}
        for position, (request, setting) in enumerate(zip(requests, settings, strict=True)):
            try:
                [request_id] = self.llm.enqueue([request], [setting], use_tqdm=False)
                waiting[request_id] = position
            except (ValueError, VLLMClientError) as error:
                outputs[position] = Completion(text="", finish_reason=FinishReason.LENGTH, detail=one_line(error))
        # vLLM adds letters of its own to the number that it answers under.
        position_of = {request_id.partition("-")[0]: position for request_id, position in waiting.items()}
        engine = self.llm.llm_engine
        while engine.has_unfinished_requests():
            if gone := [request_id for request_id, position in waiting.items() if not is_wanted(position)]:
                engine.abort_request(gone, internal=True)
                outputs |= {waiting.pop(request_id): ABANDONED for request_id in gone}
            for output in engine.step():
                if output.finished and (position := position_of[output.request_id]) not in outputs:
                    outputs[position] = output
        return [outputs[position] for position in range(len(requests))]

    def _request(self, prompt: Prompt, frames: PromptFrames) -> dict[str, Any]:
        from urt_core.engines.encoding import chat_text, check_special_tokens

        num_frames = [len(images) for images in frames]
        text = chat_text(self.tokenizer, prompt, num_frames=num_frames)
        row = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        check_special_tokens(self.tokenizer, prompt, row, num_frames=num_frames)
        images = [image for medium in frames for image in medium]
        request: dict[str, Any] = {"prompt_token_ids": row}
        return request | {"multi_modal_data": {"image": images}} if images else request

    def _sampling(self, sampling: SamplingParams, index: int) -> Any:
        import vllm

        return vllm.SamplingParams(
            n=sampling.num_completions,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seed=request_seed(sampling, index),
            logprobs=sampling.top_logprobs if sampling.logprobs else None,
            stop=list(sampling.stop),
            **sampling.extra,
            logit_bias=dict.fromkeys(self.bad_words_ids, -100.0),
            skip_special_tokens=True,
        )

    def num_text_tokens(self, prompt: Prompt) -> int:
        from urt_core.engines.encoding import num_text_tokens

        return num_text_tokens(self.tokenizer, prompt)

    def _likeliest(self, at: Any) -> tuple[tuple[str, float], ...]:
        """vLLM adds the sampled token to the likeliest ones, wherever it ranks."""
        ranked = sorted(at.items(), key=lambda item: -item[1].logprob)
        return tuple((self.tokenizer.decode([token]), entry.logprob) for token, entry in ranked)

    def _completion(self, output: Any, choice: Any, *, num_top: int = 0) -> Completion:
        reason = FINISH_REASONS.get(choice.finish_reason)
        if reason is None:
            raise EngineError(
                f"vLLM ended a completion with {choice.finish_reason!r}; known are {sorted(FINISH_REASONS)}"
            )
        token_ids = tuple(choice.token_ids)
        logprobs: tuple[float, ...] = ()
        texts: tuple[str, ...] = ()
        top: tuple[tuple[tuple[str, float], ...], ...] = ()
        if choice.logprobs is not None:
            chosen = [at[token] for at, token in zip(choice.logprobs, token_ids, strict=True)]
            logprobs = tuple(entry.logprob for entry in chosen)
            texts = tuple(self.tokenizer.decode([token]) for token in token_ids)
            top = tuple(self._likeliest(at)[:num_top] for at in choice.logprobs) if num_top else ()
        first = choice.index == 0
        return Completion(
            text=choice.text,
            finish_reason=reason,
            token_ids=token_ids,
            logprobs=logprobs,
            token_texts=texts,
            top_logprobs=top,
            usage=Usage(prompt_tokens=len(output.prompt_token_ids) if first else 0, completion_tokens=len(token_ids)),
        )


def request_seed(sampling: SamplingParams, index: int) -> int | None:
    """vLLM counts a seed up over the completions of a request; here over those of all requests, so equal prompts
    differ.

    >>> request_seed(SamplingParams(seed=7, num_completions=4), 2)
    15
    """
    # Its API takes seeds of 63 bits.
    return None if sampling.seed is None else (sampling.seed + index * sampling.num_completions) % 2**63


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]


def forbidden_token_ids(llm: Any, tokenizer: Any) -> set[int]:
    """As for the transformers engine: image, video and role tokens, and rows of the output layer that no token owns."""
    from urt_core.engines.encoding import special_token_ids

    config = llm.llm_engine.model_config
    vocabulary = config.get_vocab_size()
    declared = config.try_get_generation_config().get("eos_token_id", tokenizer.eos_token_id)
    eos = {declared} if isinstance(declared, int) else set(declared)
    return (special_token_ids(tokenizer) | set(range(len(tokenizer), vocabulary))) - eos - {tokenizer.eos_token_id}
