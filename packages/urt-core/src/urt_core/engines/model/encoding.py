"""Prompts -> the tensors of a vision-language model. Trainer and engine share this function, so they can't disagree
about a token.

The composed `Processor` of Qwen-VL needs torchvision; tokenizer and image processor alone do not. A video travels as
its frames, each frame one image, as in the original project. What differs between model families is the business of
`image_slots`.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from jinja2 import TemplateError
from torch import Tensor

from urt_core.engines.image_slots import FAMILIES, ImageSlots, QwenVLSlots
from urt_core.errors import PromptError
from urt_core.media import MediaPolicy, PromptFrames, prompt_frames
from urt_core.prompts import Prompt
from urt_core.records import Media

IMAGE_TOKEN = QwenVLSlots.token
IMAGE_TOKENS = frozenset(family.token for family in FAMILIES.values())


_OPENED_THINKING = re.compile(r"<think>\s*\Z")


def encode_prompts(
    tokenizer: Any,
    image_processor: Any,
    prompts: Sequence[Prompt],
    *,
    policy: MediaPolicy,
    slots: ImageSlots | None = None,
    frames: Sequence[PromptFrames] | None = None,
) -> dict[str, Tensor]:
    """`input_ids`, `attention_mask`, `mm_token_type_ids` [P, T] and, where there are media, the tensors of their
    images.

    `slots` are those of the model (`image_slots(module.config)`), Qwen-VL's where not given; `frames` are those of
    `prompt_frames`, if the caller has decoded them already. `mm_token_type_ids` is 1 at image tokens: without it recent
    Qwen models refuse images, because M-RoPE positions can't be computed; other families do not mind it.
    """
    slots = slots or QwenVLSlots(None)
    frames = frames if frames is not None else [prompt_frames(prompt, policy=policy) for prompt in prompts]
    num_frames = [[len(images) for images in media] for media in frames]
    texts = [chat_text(tokenizer, prompt, num_frames=own) for prompt, own in zip(prompts, num_frames, strict=True)]
    rows: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    image_token_id = tokenizer.convert_tokens_to_ids(slots.token)
    for prompt, row, own in zip(prompts, rows, num_frames, strict=True):
        check_special_tokens(tokenizer, prompt, row, num_frames=own)
        if row.count(image_token_id) != sum(own):
            raise PromptError(
                f"prompt {prompt.key!r} has {row.count(image_token_id)} image slots {slots.token} for {sum(own)} images or frames; give a"
                " tokenizer whose chat template writes one for each"
            )

    tensors: dict[str, Tensor] = {}
    if any(map(sum, num_frames)):
        images = [[image for medium in media for image in medium] for media in frames]
        tensors, num_tokens = slots.encode(image_processor, images, policy=policy)
        rows = expand_image_tokens(rows, num_tokens, image_token_id=image_token_id)
    return pad_rows(tokenizer, rows, image_token_id=image_token_id) | tensors


def chat_text(tokenizer: Any, prompt: Prompt, *, num_frames: Sequence[int], blank: bool = False) -> str:
    """The chat template around `prompt`, one image slot per frame; with `blank` all text of the prompt is left out."""
    remaining = iter(num_frames)
    messages: list[dict[str, Any]] = []
    for turn in prompt.turns:
        content: list[dict[str, str]] = []
        for part in turn.parts:
            if isinstance(part, Media):
                content.extend({"type": "image"} for _ in range(next(remaining)))
            else:
                content.append({"type": "text", "text": "" if blank else part})
        messages.append({"role": turn.role, "content": content})
    try:
        # Qwen3.5 templates open a thinking block of their own unless told not to; the others ignore the variable.
        text = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
    except TemplateError as error:
        roles = [turn.role for turn in prompt.turns]
        raise PromptError(f"the judge's chat template refuses the turns {roles}: {error}") from error
    # Templates of thinking models open the block themselves, whatever they are told. A judgement is whole, with both its
    # tags: so the judge writes the opening one too, in training as in serving, and no text has to be mended afterwards.
    return _OPENED_THINKING.sub("", text)


def num_text_tokens(tokenizer: Any, prompt: Prompt) -> int:
    """Tokens of the prompt with one for each medium: what a caller's text costs before its pictures are looked at."""
    text = chat_text(tokenizer, prompt, num_frames=[1] * len(prompt.media))
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def check_special_tokens(tokenizer: Any, prompt: Prompt, row: Sequence[int], *, num_frames: Sequence[int]) -> None:
    """Text is data: it must not have added a turn or an image slot to what the template alone puts there."""
    special = special_token_ids(tokenizer)
    blank = tokenizer(chat_text(tokenizer, prompt, num_frames=num_frames, blank=True), add_special_tokens=False)[
        "input_ids"
    ]
    expected = Counter(token for token in blank if token in special)
    found = Counter(token for token in row if token in special)
    if found != expected:
        odd = sorted(tokenizer.convert_ids_to_tokens(token) for token in (found - expected) | (expected - found))
        raise PromptError(
            f"prompt {prompt.key!r}: its text changes the number of special tokens {odd}; render prompts with urt_core.prompts.render, "
            "which neutralises them, and give a chat template that has one image slot per image"
        )


def special_token_ids(tokenizer: Any) -> set[int]:
    """Role, media and padding tokens: those that the tokenizer has a name for, and the added ones that it marks as
    special."""
    added = tokenizer.added_tokens_decoder.items()
    marked = {token_id for token_id, token in added if token.special or token.content in IMAGE_TOKENS}
    return marked | set(tokenizer.all_special_ids)


def expand_image_tokens(rows: list[list[int]], num_tokens: Sequence[int], *, image_token_id: int) -> list[list[int]]:
    """Replace the i-th image slot of the whole batch by `num_tokens[i]` copies of it."""
    remaining = iter(num_tokens)
    expanded = []
    for row in rows:
        ids: list[int] = []
        for token in row:
            ids.extend([token] * next(remaining) if token == image_token_id else (token,))
        expanded.append(ids)
    return expanded


def pad_rows(tokenizer: Any, rows: Sequence[Sequence[int]], *, image_token_id: int) -> dict[str, Tensor]:
    """Padded on the left: what is written goes on behind the last token of each."""
    length = max(len(row) for row in rows)
    input_ids = torch.full((len(rows), length), tokenizer.pad_token_id, dtype=torch.long)
    attention_mask = torch.zeros_like(input_ids)
    for index, row in enumerate(rows):
        input_ids[index, length - len(row) :] = torch.tensor(row, dtype=torch.long)
        attention_mask[index, length - len(row) :] = 1
    is_image = (input_ids == image_token_id) & attention_mask.bool()
    return {"input_ids": input_ids, "attention_mask": attention_mask, "mm_token_type_ids": is_image.long()}
