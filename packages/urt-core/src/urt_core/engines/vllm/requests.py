"""What vLLM is handed and what it hands back, whoever runs it: prompts, sampling, completions.

vLLM gets the frames that `load_frames` gives every engine and one unexpanded image slot per frame; it expands the slots
itself. Its own limits on pixels are set to those of the policy, so that it resizes the way the transformers engine
does.
"""

import os
from pathlib import Path
from typing import Any

from urt_core.engines import Completion, FinishReason, SamplingParams, Usage
from urt_core.errors import ConfigError, EngineError
from urt_core.media import MediaPolicy, PromptFrames
from urt_core.prompts import Prompt

FINISH_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
HONOURS = frozenset({"top_logprobs", "stop", "presence_penalty", "frequency_penalty"})
REFUSALS = (TypeError, ValueError, RuntimeError)
"""What vLLM raises for options that it does not know, values that it does not take, and memory that does not
suffice."""


def vllm_settings(
    path: str | Path, *, policy: MediaPolicy, max_images: int | None = None, **settings: Any
) -> tuple[dict[str, Any], Any]:
    """(settings of vLLM, tokenizer): those of the caller, and what every judge needs. Without CUDA vLLM computes eagerly and in one process.

    Prompt and judgement may have as many tokens as the device has memory for; `max_model_len` says another number.
    """
    try:
        import torch
        import vllm  # noqa: F401 (whether it is there)
        from transformers import AutoConfig

        from urt_core.engines.image_slots import image_slots, require_vllm
        from urt_core.engines.model.folder import model_wall
        from urt_core.engines.model.processing import load_processing
    except ImportError as error:
        raise EngineError('vLLM is not installed: pip install "urt-core[vllm]"') from error
    if "trust_remote_code" in settings:
        raise ConfigError("trust_remote_code is no option here: code that a model's folder brings along is never run")
    tokenizer = load_processing(path).tokenizer
    with model_wall(path):
        require_vllm(image_slots(AutoConfig.from_pretrained(path, trust_remote_code=False)))
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
    complete = {
        "model": str(path),
        "limit_mm_per_prompt": {"image": max_images or max(32, 2 * policy.num_frames), "video": 0},
        "mm_processor_kwargs": {"size": {"shortest_edge": policy.min_pixels, "longest_edge": policy.max_pixels}},
        # Defaults of the model's generation config must not mix into the sampling parameters that are sent.
        "generation_config": "vllm",
        "trust_remote_code": False,
        **settings,
    }
    return complete, tokenizer


def refused(path: str | Path, asked: dict[str, Any], error: BaseException) -> EngineError:
    return EngineError(f"vLLM does not start on {path} with the options {asked}: {one_line(error)}")


class Requests:
    """Prompts as vLLM takes them, and its outputs as completions.

    requests = Requests(tokenizer, model_config=llm.model_config)
    """

    def __init__(self, tokenizer: Any, *, model_config: Any) -> None:
        self.tokenizer = tokenizer
        self.bad_words_ids = sorted(forbidden_token_ids(model_config, tokenizer))

    def prompt(self, prompt: Prompt, frames: PromptFrames) -> dict[str, Any]:
        from urt_core.engines.model.encoding import chat_text, check_special_tokens

        num_frames = [len(images) for images in frames]
        text = chat_text(self.tokenizer, prompt, num_frames=num_frames)
        row = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        check_special_tokens(self.tokenizer, prompt, row, num_frames=num_frames)
        images = [image for medium in frames for image in medium]
        request: dict[str, Any] = {"prompt_token_ids": row}
        return request | {"multi_modal_data": {"image": images}} if images else request

    def sampling(self, sampling: SamplingParams, index: int, **more: Any) -> Any:
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
            **more,
        )

    def completions(self, output: Any, sampling: SamplingParams) -> list[Completion]:
        return [self.completion(output, choice, num_top=sampling.top_logprobs) for choice in output.outputs]

    def _likeliest(self, at: Any) -> tuple[tuple[str, float], ...]:
        """vLLM adds the sampled token to the likeliest ones, wherever it ranks."""
        ranked = sorted(at.items(), key=lambda item: -item[1].logprob)
        return tuple((self.tokenizer.decode([token]), entry.logprob) for token, entry in ranked)

    def completion(self, output: Any, choice: Any, *, num_top: int = 0) -> Completion:
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


def no_room(error: BaseException, sampling: SamplingParams) -> list[Completion]:
    """What a prompt gets that leaves no room for a judgement."""
    return [Completion(text="", finish_reason=FinishReason.LENGTH, detail=one_line(error))] * sampling.num_completions


def bad_media(error: BaseException, sampling: SamplingParams) -> list[Completion]:
    return [Completion(text="", finish_reason=FinishReason.BAD_MEDIA, detail=str(error))] * sampling.num_completions


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]


def forbidden_token_ids(model_config: Any, tokenizer: Any) -> set[int]:
    """As for the transformers engine: image, video and role tokens, and rows of the output layer that no token owns."""
    from urt_core.engines.model.encoding import special_token_ids

    vocabulary = model_config.get_vocab_size()
    declared = model_config.try_get_generation_config().get("eos_token_id", tokenizer.eos_token_id)
    eos = {declared} if isinstance(declared, int) else set(declared)
    return (special_token_ids(tokenizer) | set(range(len(tokenizer), vocabulary))) - eos - {tokenizer.eos_token_id}
