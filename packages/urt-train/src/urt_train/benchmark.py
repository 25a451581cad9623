"""The update phase of GRPO on made-up pairs, in each layout and beside a peer: same weights, images, lengths and completions.

The update phase is all log-prob passes, loss, backward pass and optimizer step of one rollout; nothing is sampled, because its
cost does not depend on which tokens stand where.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from urt_core import Dialect, JudgeSpec, Task
from urt_train.batching import ExperienceBatch
from urt_train.config import Batching, GRPOConfig
from urt_train.losses import grpo_objective
from urt_train.phases import peak_memory_bytes, reset_peak_memory
from urt_train.policy import Policy

IMAGE, VISION_START, VISION_END, FIRST_TEXT = 3, 1, 2, 8

SIZES: dict[str, dict[str, Any]] = {
    # 1.2 million parameters, for CPUs: patches of 8 pixels, text 4 x 128.
    "tiny": {
        "text_config": {
            "vocab_size": 1024, "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [6, 5, 5], "mrope_interleaved": True},
        },
        "vision_config": {
            "depth": 2, "hidden_size": 64, "intermediate_size": 192, "num_heads": 2, "patch_size": 8, "temporal_patch_size": 2,
            "spatial_merge_size": 2, "out_hidden_size": 128, "num_position_embeddings": 64, "deepstack_visual_indexes": [0],
        },
    },
    # The published shape of Qwen3-VL-2B, weights random.
    "qwen3_vl_2b": {
        "text_config": {
            "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28,
            "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 32768,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20], "mrope_interleaved": True},
        },
        "vision_config": {
            "depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "patch_size": 16, "temporal_patch_size": 2,
            "spatial_merge_size": 2, "out_hidden_size": 2048, "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [5, 11, 17],
        },
    },
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """Setting(pixels=256, group_size=8, text_tokens=300, completion_tokens=128): two images of 256 x 256 in each prompt."""

    pixels: int
    group_size: int
    text_tokens: int
    completion_tokens: int
    num_prompts: int = 1
    ragged: bool = False
    """Lengths of texts and completions drawn from a third of theirs to the whole, as in a real rollout; otherwise all are equal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Timing(seconds=1.32, peak_bytes=812_000_000, logprobs=tensor[P, G, C], loss=0.013)"""

    seconds: float
    """Median over the repeats: of wall-clock time on a GPU, of the process's own time on a CPU."""
    peak_bytes: int
    logprobs: Tensor
    loss: float


def random_model(size: str, *, device: str, dtype: torch.dtype, seed: int = 0) -> Any:
    """A randomly initialised Qwen3-VL of a published or a tiny shape."""
    torch.manual_seed(seed)
    config: Any = Qwen3VLConfig(
        **SIZES[size], image_token_id=IMAGE, video_token_id=4, vision_start_token_id=VISION_START,
        vision_end_token_id=VISION_END, tie_word_embeddings=True,
    )  # fmt: skip
    config.text_config.tie_word_embeddings = True
    with torch.device(device):
        model: Any = Qwen3VLForConditionalGeneration(config)
        return model.to(dtype).train()


def make_rollout(model: Any, setting: Setting, *, seed: int = 0) -> ExperienceBatch:
    """Prompts of two random images and random text, completions, advantages that differ."""
    generator = torch.Generator().manual_seed(seed)
    vision = model.config.vision_config
    side = setting.pixels // vision.patch_size
    image = [VISION_START, *[IMAGE] * (side // vision.spatial_merge_size) ** 2, VISION_END]
    shape = (setting.num_prompts, setting.group_size, setting.completion_tokens)
    text_lengths = _lengths(setting.text_tokens, shape[:1], setting, generator)
    rows = [
        torch.tensor([*image, *image, *torch.randint(FIRST_TEXT, 1000, (length,), generator=generator).tolist()])
        for length in text_lengths.tolist()
    ]
    ids = pad_sequence(rows, batch_first=True, padding_side="left")
    completion_lengths = _lengths(setting.completion_tokens, shape[:2], setting, generator)
    completion_mask = torch.arange(setting.completion_tokens) < completion_lengths[..., None]
    num_images = 2 * setting.num_prompts
    patch_width = 3 * vision.temporal_patch_size * vision.patch_size**2
    return ExperienceBatch(
        prompts={
            "input_ids": ids,
            "attention_mask": (ids != 0).long(),
            "mm_token_type_ids": (ids == IMAGE).long(),
            "pixel_values": torch.randn(num_images * side * side, patch_width, generator=generator),
            "image_grid_thw": torch.tensor([[1, side, side]] * num_images),
        },
        completion_ids=torch.randint(FIRST_TEXT, 1000, shape, generator=generator),
        completion_mask=completion_mask,
        advantages=torch.randn(shape[:2], generator=generator),
        rollout_logprobs=torch.zeros(shape),
        num_tokens=float(completion_mask.sum()),
        num_sequences=float(math.prod(shape[:2])),
    ).trimmed()


def _lengths(longest: int, shape: tuple[int, ...], setting: Setting, generator: torch.Generator) -> Tensor:
    if not setting.ragged:
        return torch.full(shape, longest)
    return torch.randint(longest // 3, longest + 1, shape, generator=generator)


def share_of_padding(rollout: ExperienceBatch) -> float:
    """Of the tokens that rows of [prompt | completion], each as long as the longest, hold for this rollout."""
    _, group_size, length = rollout.completion_mask.shape
    prompts = rollout.prompts["attention_mask"]
    real = group_size * prompts.sum() + rollout.completion_mask.sum()
    return 1 - float(real) / (prompts.shape[0] * group_size * (prompts.shape[1] + length))


def our_update(
    model: Any, reference: Any, rollout: ExperienceBatch, batching: Batching, *, attention: str = "sdpa"
) -> Callable[[], tuple[Tensor, float]]:
    """One update of ours: reference pass, policy pass with entropy, loss, backward pass, step."""
    spec = JudgeSpec(
        dialect=Dialect.V1, dimensions={task: task.dimensions for task in Task}, min_pixels=1, max_pixels=1, num_frames=1,
        stage="benchmark", base="random",
    )  # fmt: skip
    policy, frozen = (
        Policy(part, None, None, spec=spec, batching=batching, attention=attention) for part in (model, reference)
    )
    config = GRPOConfig(kl_coef=0.04)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=0.0)

    def update() -> tuple[Tensor, float]:
        with torch.no_grad():
            batch = replace(rollout, reference_logprobs=frozen.token_logprobs(rollout).logprobs)
        result = policy.token_logprobs(batch, entropy=True)
        batch = replace(batch, rollout_logprobs=result.logprobs.detach())
        loss = grpo_objective(result.logprobs, batch, config).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return result.logprobs.detach(), float(loss.detach())

    return update


def time_interleaved(
    updates: Mapping[str, Callable[[], tuple[Tensor, float]]], *, repeats: int, device: str
) -> dict[str, Timing]:
    """Each once to warm up, then in turns: what slows the machine down for a while slows all of them down.

    On a CPU what counts is the time that this process computed, all threads together: other work beside it does not count.
    """
    is_cuda = device.startswith("cuda")
    clock = time.perf_counter if is_cuda else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in updates}
    peaks: dict[str, int] = {}
    outputs: dict[str, tuple[Tensor, float]] = {}
    for turn in range(repeats + 1):
        for name, update in updates.items():
            if is_cuda:
                torch.cuda.reset_peak_memory_stats()
                torch.cuda.synchronize()
            else:
                reset_peak_memory()
            started = clock()
            outputs[name] = update()
            if is_cuda:
                torch.cuda.synchronize()
            if turn:
                seconds[name].append(clock() - started)
                peaks[name] = torch.cuda.max_memory_allocated() if is_cuda else peak_memory_bytes()
    return {
        name: Timing(
            seconds=statistics.median(seconds[name]),
            peak_bytes=peaks[name],
            logprobs=outputs[name][0],
            loss=outputs[name][1],
        )
        for name in updates
    }


def model_flops(model: Any, setting: Setting, batching: Batching) -> float:
    """Floating-point operations of one update: 2 per weight and token forward (reference and policy), 4 backward, the vision tower
    by its own weights and patches; attention's quadratic term, embedding and elementwise work are left out."""
    vision, decoder = model.model.visual, model.model.language_model
    vision_weights = sum(parameter.numel() for parameter in vision.parameters())
    block_weights = sum(parameter.numel() for parameter in decoder.layers.parameters())
    head_weights = model.get_output_embeddings().weight.numel()
    patches = 2 * (setting.pixels // vision.config.patch_size) ** 2
    prompt = patches // vision.config.spatial_merge_size**2 + 4 + setting.text_tokens
    completions = setting.group_size * setting.completion_tokens
    copies = 1 if batching is Batching.shared_prefix else setting.group_size
    forward = (
        vision_weights * patches * copies + block_weights * (prompt * copies + completions) + head_weights * completions
    )
    return 2.0 * (1 + 1 + 2) * forward * setting.num_prompts
