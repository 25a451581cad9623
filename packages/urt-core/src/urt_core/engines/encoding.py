"""Prompts -> the tensors of a Qwen-VL model. Trainer and engine share this function, so they can't disagree about a token.

The composed `Processor` of Qwen-VL needs torchvision; tokenizer and image processor alone do not. A video travels as its frames, each
frame one image, as in the original project.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from urt_core.errors import PromptError
from urt_core.media import MediaPolicy, PromptFrames, prompt_frames
from urt_core.prompts import Prompt
from urt_core.records import Media

IMAGE_TOKEN = "<|image_pad|>"


def encode_prompts(
    tokenizer: Any,
    image_processor: Any,
    prompts: Sequence[Prompt],
    *,
    policy: MediaPolicy,
    padding_side: str = "left",
    frames: Sequence[PromptFrames] | None = None,
) -> dict[str, Tensor]:
    """`input_ids`, `attention_mask`, `mm_token_type_ids` [P, T] and, where there are media, `pixel_values` and
    `image_grid_thw`. `frames` are those of `prompt_frames`, if the caller has decoded them already.

    `mm_token_type_ids` is 1 at image tokens: without it recent Qwen models refuse images, because M-RoPE positions can't
    be computed.
    """
    frames = frames if frames is not None else [prompt_frames(prompt, policy=policy) for prompt in prompts]
    texts = [
        chat_text(tokenizer, prompt, num_frames=[len(images) for images in media])
        for prompt, media in zip(prompts, frames, strict=True)
    ]
    rows: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    for prompt, row, media in zip(prompts, rows, frames, strict=True):
        check_special_tokens(tokenizer, prompt, row, num_frames=[len(images) for images in media])

    images = [image for media in frames for images in media for image in images]
    batch: dict[str, Tensor] = {}
    if images:
        size = {"shortest_edge": policy.min_pixels, "longest_edge": policy.max_pixels}
        pixels = image_processor(images=images, size=size, return_tensors="pt")
        batch = {"pixel_values": pixels["pixel_values"], "image_grid_thw": pixels["image_grid_thw"]}
        num_tokens = (batch["image_grid_thw"].prod(-1) // image_processor.merge_size**2).tolist()
        rows = expand_image_tokens(rows, num_tokens, image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN))
    return pad_rows(tokenizer, rows, padding_side) | batch


def chat_text(tokenizer: Any, prompt: Prompt, *, num_frames: Sequence[int], blank: bool = False) -> str:
    """The chat template around `prompt`, one image slot per frame; with `blank` all text of the prompt is left out."""
    content: list[dict[str, str]] = []
    remaining = iter(num_frames)
    for part in prompt.parts:
        if isinstance(part, Media):
            content.extend({"type": "image"} for _ in range(next(remaining)))
        else:
            content.append({"type": "text", "text": "" if blank else part})
    # Qwen3.5 templates open a thinking block of their own unless told not to; the others ignore the variable.
    return tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True, enable_thinking=False
    )


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
    """Role, media and padding tokens: those that the tokenizer has a name for, and the added ones that it marks as special."""
    added = {token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | set(tokenizer.all_special_ids) | {tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)}


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


def pad_rows(tokenizer: Any, rows: Sequence[Sequence[int]], padding_side: str) -> dict[str, Tensor]:
    if padding_side not in ("left", "right"):
        raise PromptError(f"padding_side is {padding_side!r}, allowed are 'left' (generation) and 'right' (training)")
    length = max(len(row) for row in rows)
    input_ids = torch.full((len(rows), length), tokenizer.pad_token_id, dtype=torch.long)
    attention_mask = torch.zeros_like(input_ids)
    for index, row in enumerate(rows):
        columns = slice(length - len(row), length) if padding_side == "left" else slice(0, len(row))
        input_ids[index, columns] = torch.tensor(row, dtype=torch.long)
        attention_mask[index, columns] = 1
    is_image = (input_ids == tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)) & attention_mask.bool()
    return {"input_ids": input_ids, "attention_mask": attention_mask, "mm_token_type_ids": is_image.long()}
