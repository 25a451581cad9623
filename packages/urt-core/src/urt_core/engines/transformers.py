"""Judging with a Hugging Face model in this process: Qwen2.5-VL, Qwen3-VL, Qwen3.5 and LLaVA-OneVision, on CPU or GPU,
frozen or being trained."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from urt_core.engines import Completion, FinishReason, SamplingParams, Usage
from urt_core.engines.image_slots import image_slots
from urt_core.engines.model.decoding import Decoded, decode, uniform_numbers
from urt_core.engines.model.encoding import encode_prompts, num_text_tokens, special_token_ids
from urt_core.engines.model.folder import open_model
from urt_core.engines.model.processing import load_processing
from urt_core.errors import EngineError, MediaError
from urt_core.media import MediaPolicy, prompt_frames
from urt_core.prompts import Prompt

__all__ = ["TransformersEngine", "encode_prompts", "forbidden_token_ids"]


class TransformersEngine:
    """Turns prompts into completions with a live `module`; weights may change between calls (rollouts of a policy).

    `batch_size` counts completions that are decoded together. The completion of (prompt position, completion position)
    depends on the seed and the weights, not on the batch it was decoded in.

        engine = TransformersEngine.from_pretrained("outputs/tiny/grpo/model", policy=MediaPolicy())
        [[completion]] = engine.generate([prompt], SamplingParams(max_tokens=256))
    """

    honours = frozenset({"top_logprobs"})

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        image_processor: Any,
        *,
        policy: MediaPolicy,
        batch_size: int = 64,
        model: str | None = None,
    ) -> None:
        if batch_size < 1:
            raise EngineError(f"batch_size is {batch_size}, must be at least 1")
        self.slots = image_slots(module.config)
        self.module, self.tokenizer, self.image_processor = module, tokenizer, image_processor
        self.policy, self.batch_size = policy, batch_size
        self.model = model or module.config.name_or_path or type(module).__name__
        self.eos_token_ids = eos_token_ids(module, tokenizer)
        self.forbidden_token_ids = forbidden_token_ids(module, tokenizer)
        self._text_of: dict[int, str] = {}

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        policy: MediaPolicy,
        batch_size: int = 64,
        dtype: str = "auto",
        device: str | None = None,
    ) -> "TransformersEngine":
        tokenizer, image_processor = load_processing(path)
        module = open_model(path, dtype=dtype)
        module = module.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        return cls(module, tokenizer, image_processor, policy=policy, batch_size=batch_size, model=str(path))

    def num_text_tokens(self, prompt: Prompt) -> int:
        return num_text_tokens(self.tokenizer, prompt)

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: SamplingParams,
        *,
        is_wanted: Callable[[int], bool] | None = None,
    ) -> list[list[Completion]]:
        """`sampling.num_completions` completions for each prompt, in the order of `prompts`.

        A prompt whose media can't be decoded gets completions that say so; the others are not affected. `is_wanted` is
        asked before each token about each prompt, by its position, that is still being answered; where nobody waits any
        more, the answer ends.
        """
        # Prompts of similar length together: padding costs prefill time.
        order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index].media), len(prompts[index].text)))
        num_prompts = max(1, self.batch_size // sampling.num_completions)
        seed = sampling.seed if sampling.seed is not None else int(torch.randint(2**62, ()))
        completions: list[list[Completion]] = [[] for _ in prompts]
        with evaluation_mode(self.module):
            for start in range(0, len(order), num_prompts):
                readable, frames = [], []
                for index in order[start : start + num_prompts]:
                    try:
                        frames.append(prompt_frames(prompts[index], policy=self.policy))
                        readable.append(index)
                    except MediaError as error:
                        bad = Completion(text="", finish_reason=FinishReason.BAD_MEDIA, detail=str(error))
                        completions[index] = [bad] * sampling.num_completions
                if readable:
                    batch = encode_prompts(
                        self.tokenizer,
                        self.image_processor,
                        [prompts[index] for index in readable],
                        policy=self.policy,
                        slots=self.slots,
                        frames=frames,
                    )
                    groups = self._generate_batch(batch, readable, sampling, seed, is_wanted)
                    for index, group in zip(readable, groups, strict=True):
                        completions[index] = group
        return completions

    def _generate_batch(
        self,
        batch: dict[str, Tensor],
        indices: Sequence[int],
        sampling: SamplingParams,
        seed: int,
        is_wanted: Callable[[int], bool] | None,
    ) -> Iterator[list[Completion]]:
        device = next(self.module.parameters()).device
        uniforms = None
        if sampling.temperature > 0:
            rows = [(index, completion) for index in indices for completion in range(sampling.num_completions)]
            uniforms = uniform_numbers(seed, rows, max_tokens=sampling.max_tokens).to(device)
        decoded = decode(
            self.module,
            {name: tensor.to(device) for name, tensor in batch.items()},
            num_completions=sampling.num_completions,
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            eos_token_ids=self.eos_token_ids,
            forbidden_token_ids=self.forbidden_token_ids,
            uniforms=uniforms,
            num_top=min(sampling.top_logprobs, len(self.tokenizer)) if sampling.logprobs else 0,
            is_wanted=(lambda row: is_wanted(indices[row // sampling.num_completions])) if is_wanted else None,
        )
        prompt_tokens = batch["attention_mask"].sum(-1).tolist()
        rows = self._completions(decoded, prompt_tokens, with_logprobs=sampling.logprobs)
        for start in range(0, len(rows), sampling.num_completions):
            yield rows[start : start + sampling.num_completions]

    def _completions(self, decoded: Decoded, prompt_tokens: Sequence[int], *, with_logprobs: bool) -> list[Completion]:
        group_size = len(decoded.token_ids) // len(prompt_tokens)
        lengths, stopped = decoded.lengths.tolist(), decoded.stopped.tolist()
        # Cut first: an answer given up early has room for all the tokens it might have had.
        longest = max(lengths)
        ids = [row[:length] for row, length in zip(decoded.token_ids[:, :longest].tolist(), lengths, strict=True)]
        all_logprobs = decoded.logprobs[:, :longest].tolist()
        tops = self._likeliest(decoded, lengths) if decoded.top_ids.shape[-1] else [()] * len(ids)
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [
            Completion(
                text=texts[row],
                finish_reason=FinishReason.STOP if stopped[row] else FinishReason.LENGTH,
                token_ids=tuple(ids[row]),
                logprobs=tuple(all_logprobs[row][: lengths[row]]) if with_logprobs else (),
                token_texts=tuple(map(self._token_text, ids[row])) if with_logprobs else (),
                top_logprobs=tops[row],
                # A prompt is computed, and counted, once for its group.
                usage=Usage(
                    prompt_tokens=0 if row % group_size else prompt_tokens[row // group_size],
                    completion_tokens=lengths[row],
                ),
            )
            for row in range(len(ids))
        ]

    def _likeliest(self, decoded: Decoded, lengths: Sequence[int]) -> list[tuple[tuple[tuple[str, float], ...], ...]]:
        """[row][position] -> (text, log-probability), likeliest first."""
        rows = []
        for row, length in enumerate(lengths):
            ids, numbers = decoded.top_ids[row, :length].tolist(), decoded.top_logprobs[row, :length].tolist()
            positions = zip(ids, numbers, strict=True)
            rows.append(tuple(tuple(zip(map(self._token_text, at), values, strict=True)) for at, values in positions))
        return rows

    def _token_text(self, token_id: int) -> str:
        if token_id not in self._text_of:
            self._text_of[token_id] = self.tokenizer.decode([token_id], clean_up_tokenization_spaces=False)
        return self._text_of[token_id]


def eos_token_ids(module: Any, tokenizer: Any) -> frozenset[int]:
    """Those of the model's generation config, or else the tokenizer's."""
    declared = module.generation_config.eos_token_id if module.can_generate() else None
    if declared is None:
        declared = tokenizer.eos_token_id
    if declared is None:
        raise EngineError(
            "neither the generation config nor the tokenizer names an EOS token; set generation_config.eos_token_id"
        )
    return frozenset([declared] if isinstance(declared, int) else declared)


def forbidden_token_ids(module: Any, tokenizer: Any) -> frozenset[int]:
    """What may never be sampled: image, video and role tokens, and rows of the output layer that no token owns."""
    vocabulary = module.get_output_embeddings().weight.shape[0]
    unowned = set(range(len(tokenizer), vocabulary))
    return frozenset((special_token_ids(tokenizer) | unowned) - eos_token_ids(module, tokenizer))


@contextmanager
def evaluation_mode(module: Any) -> Iterator[None]:
    """Training mode would switch off the cache (gradient checkpointing) and switch on dropout."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)
