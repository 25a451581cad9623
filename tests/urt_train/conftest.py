"""A random Qwen3-VL of 60,000 parameters in a folder of its own, and a handful of labelled pairs. Nothing is
downloaded."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from urt_core import Dialect, JudgeSpec, Media, Preference, PreferenceRecord, Task

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
TRACE = (
    "<think>\n1. Semantic consistency: Image 1 (7/10) - two cats; Image 2 (5/10) - one dog\n"
    "Total score:\nImage 1: 7\nImage 2: 5\n</think>\n<answer>Image 1 is better</answer>"
)


@pytest.fixture(autouse=True)
def stages_of_our_own(monkeypatch) -> None:
    """A stage that a test names by its path is known to no other test, whatever ran before in this process."""
    from hydra.core.config_store import ConfigStore

    from urt_train.stages import registry

    monkeypatch.delitem(ConfigStore.instance().repo, "stage", raising=False)  # one for the process
    ours = {name: spec for name, spec in registry._stages.items() if spec.config.__module__.startswith("urt_train.")}
    monkeypatch.setattr(registry, "_stages", ours)
    monkeypatch.setattr(registry, "_paths", {})


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A model folder with float32 weights, tokenizer, chat template and image processor."""
    import torch
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = _tokenizer()
    ids: dict[str, Any] = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "max_position_embeddings": 2048,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [2, 1, 1],
                "mrope_interleaved": True,
            },
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 8,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = Qwen3VLForConditionalGeneration(config).eval()
    with torch.no_grad():  # the default initialisation predicts almost uniformly, which would hide mistakes
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0, 0.5 / parameter[0].numel() ** 0.5 + 0.05)
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil(patch_size=8, merge_size=2).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def spec() -> JudgeSpec:
    return JudgeSpec(
        dialect=Dialect.V1,
        dimensions={task: task.dimensions for task in Task},
        min_pixels=32 * 32,
        max_pixels=48 * 48,
        num_frames=2,
        stage="base",
        base="tiny",
    )


@pytest.fixture
def policy(tiny_folder, spec):
    """A fresh copy for each test that trains it."""
    from urt_train.model.policy import Policy

    return Policy.from_pretrained(tiny_folder, spec=spec)


@pytest.fixture(scope="session")
def records() -> list[PreferenceRecord]:
    """Twelve pairs of all tasks, of different prompt lengths; the first is always the better one on even positions."""
    tasks = list(Task)
    return [make_record(index, tasks[index % len(tasks)]) for index in range(12)]


def make_record(index: int, task: Task) -> PreferenceRecord:
    rng = np.random.default_rng(index)
    preference = Preference.FIRST if index % 2 == 0 else Preference.SECOND
    text = "a cat on a red mat" + " and a dog" * (index % 3)

    def media(role: str) -> Media:
        names = tuple(f"{role}.f{frame:02d}.png" for frame in range(2)) if task.is_video else (f"{role}.png",)
        return Media(kind=task.media_kind, files=names, data=tuple(_png(rng) for _ in names))

    if task.is_generation:
        first, second, about = media("first"), media("second"), None
    else:
        first, second, about = "a cat", "two dogs", media("media")
    return PreferenceRecord(
        key=f"pair-{index:03d}",
        task=task,
        text=text,
        first=first,
        second=second,
        media=about,
        preference=preference,
        completion=TRACE.replace("Image", task.noun),
    )


def _png(rng: np.random.Generator) -> bytes:
    from PIL import Image

    size = (32, 48) if rng.random() < 0.5 else (48, 48)
    content = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(content, format="PNG")
    return content.getvalue()


def _tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    bpe.train_from_iterator([TRACE] * 4, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=[token for token in SPECIAL_TOKENS if token not in ("<|im_end|>", "<|endoftext|>")],
        chat_template=CHAT_TEMPLATE,
    )
