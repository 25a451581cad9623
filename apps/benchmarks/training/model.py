"""Randomly initialised models of a tiny and of published shapes, and the operations that an update of them takes."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from benchmarks.training.rollout import IMAGE, VISION_END, VISION_START, Setting

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


def model_flops(model: Any, setting: Setting, *, is_shared: bool) -> float:
    """Floating-point operations of one update: 2 per weight and token forward (reference and policy), 4 backward, the
    vision tower by its own weights and patches; attention's quadratic term, embedding and elementwise work are left
    out.

    `is_shared`: a prompt is computed once for its group, not once for each completion.
    """
    vision, decoder = model.model.visual, model.model.language_model
    vision_weights = sum(parameter.numel() for parameter in vision.parameters())
    block_weights = sum(parameter.numel() for parameter in decoder.layers.parameters())
    head_weights = model.get_output_embeddings().weight.numel()
    patches = 2 * (setting.pixels // vision.config.patch_size) ** 2
    prompt = patches // vision.config.spatial_merge_size**2 + 4 + setting.text_tokens
    completions = setting.group_size * setting.completion_tokens
    copies = 1 if is_shared else setting.group_size
    forward = (
        vision_weights * patches * copies + block_weights * (prompt * copies + completions) + head_weights * completions
    )
    return 2.0 * (1 + 1 + 2) * forward * setting.num_prompts
