"""Every supported model family samples with a shared prompt what a plain forward pass says."""

import io
from typing import Any

import pytest
import torch
from PIL import Image

from urt_core.engines import SamplingParams
from urt_core.engines.transformers import TransformersEngine, encode_prompts
from urt_core.media import MediaPolicy
from urt_core.prompts import Prompt
from urt_core.records import Media, MediaKind

POLICY = MediaPolicy(min_pixels=16 * 16, max_pixels=32 * 32)


def image(colour, size):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return Media(kind=MediaKind.IMAGE, files=("image.png",), data=(buffer.getvalue(),))


PROMPTS = [
    Prompt(parts=("Image 1:", image("red", (32, 32)), "Image 2:", image("blue", (16, 32)), "which is better?")),
    Prompt(
        parts=("a longer question about", image("green", (32, 16)), "one image, with more text behind it than before")
    ),
]


def shared(tokenizer) -> dict[str, Any]:
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()} | {
        "tie_word_embeddings": True
    }


def text_config(tokenizer, **more):
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]},
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": True,
        **more,
    }


def qwen2_5_vl(tokenizer):
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64}
    vision |= {"patch_size": 8, "spatial_merge_size": 2, "window_size": 32, "fullatt_block_indexes": [1]}
    config = Qwen2_5_VLConfig(text_config=text_config(tokenizer), vision_config=vision, **shared(tokenizer))
    return Qwen2_5_VLForConditionalGeneration(config)


def qwen3_5(tokenizer):
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64}
    vision |= {"patch_size": 8, "spatial_merge_size": 2, "num_position_embeddings": 64}
    text = text_config(
        tokenizer,
        num_hidden_layers=4,
        layer_types=["linear_attention", "linear_attention", "linear_attention", "full_attention"],
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=16,
        linear_value_head_dim=16,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [2, 1, 1],
            "partial_rotary_factor": 0.5,
        },
    )
    return Qwen3_5ForConditionalGeneration(Qwen3_5Config(text_config=text, vision_config=vision, **shared(tokenizer)))


@pytest.mark.parametrize("build", [qwen2_5_vl, qwen3_5])
def test_logprobs_equal_a_full_forward(build, tiny_judge):
    tokenizer = tiny_judge.tokenizer
    torch.manual_seed(0)
    module = build(tokenizer).eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim == 2 and "conv" not in name:
                parameter.normal_(0, 0.15)
    module.generation_config.eos_token_id = tokenizer.eos_token_id
    engine = TransformersEngine(module, tokenizer, tiny_judge.image_processor, policy=POLICY)
    sampling = SamplingParams(temperature=1.0, max_tokens=12, seed=5, num_completions=3, logprobs=True)
    for prompt, group in zip(PROMPTS, engine.generate(PROMPTS, sampling), strict=True):
        for completion in group:
            batch = encode_prompts(tokenizer, tiny_judge.image_processor, [prompt], policy=POLICY)
            length, completed = batch["input_ids"].shape[1], torch.tensor([completion.token_ids])
            batch["input_ids"] = torch.cat([batch["input_ids"], completed], dim=1)
            batch["attention_mask"] = torch.ones_like(batch["input_ids"])
            batch["mm_token_type_ids"] = torch.cat([batch["mm_token_type_ids"], torch.zeros_like(completed)], dim=1)
            with torch.no_grad():
                logits = module(**batch).logits[0, length - 1 : -1].float()
            expected = logits.log_softmax(-1).gather(-1, completed[0, :, None])[:, 0]
            torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=2e-5, rtol=0)
