"""How long prompts are: image tokens at the judge's pixel limit, and text as the templates have it with captions of an
assumed length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from urt_core import Dialect, Media, PreferenceRecord, Task, render
from urt_core.engines.image_slots import image_slots
from urt_core.records import MediaKind
from urt_train.config import TrainConfig
from urt_train.experiment.dry_run.shape import Shape
from urt_train.experiment.steps import TRACES
from urt_train.stages import find_stage

CHARACTERS_PER_TOKEN = 3.4
"""Of a template's text. The templates of this project have 3.45 (v1) to 3.9 (v2) with the tokenizer of Qwen2; fewer
would be shorter prompts than there are. LLaVA-OneVision has that tokenizer too, Qwen3.5 a larger one."""
AROUND_TEXT = 24
"""Tokens of the chat template around a prompt; the longest, Qwen2.5-VL's, has a system message."""
AROUND_PICTURE = 2
"""Tokens that open and close an image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """The images of one prompt as the model takes them: Pictures(number=2, tokens=512, tensors={"pixel_values": [2048,
    1536], ...})"""

    number: int
    tokens: int
    tensors: dict[str, Tensor]

    @property
    def num_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptLength:
    """PromptLength(task=Task.IMAGE_GENERATION, pictures=Pictures(number=2, ...), text=440)"""

    task: Task
    pictures: Pictures
    text: int

    @property
    def tokens(self) -> int:
        return self.text + self.pictures.tokens


def prompt_lengths(config: TrainConfig, shape: Shape) -> dict[Task, PromptLength]:
    """The longest prompt of each task: every picture as large as the judge lets it be, every video with all its
    frames."""
    numbers = {task: _num_pictures(task, config.judge.num_frames) for task in Task}
    pictures = {number: encode_pictures(config, shape, number) for number in set(numbers.values())}
    return {
        task: PromptLength(task=task, pictures=pictures[number], text=text_tokens(config, task, num_pictures=number))
        for task, number in numbers.items()
    }


def _num_pictures(task: Task, num_frames: int) -> int:
    return (num_frames if task.is_video else 1) * (2 if task.is_generation else 1)


def text_tokens(config: TrainConfig, task: Task, *, num_pictures: int) -> int:
    """All that is not an image."""
    empty = PreferenceRecord(
        key="empty",
        task=task,
        text="",
        first=_media(task) if task.is_generation else "",
        second=_media(task) if task.is_generation else "",
        media=None if task.is_generation else _media(task),
        preference=None,
    )
    prompt = render(empty, Dialect(config.judge.dialect))
    template = math.ceil(sum(len(part) for part in prompt.parts if isinstance(part, str)) / CHARACTERS_PER_TOKEN)
    own = config.dry_run.caption_tokens + (0 if task.is_generation else 2 * config.dry_run.answer_tokens)
    return template + own + AROUND_TEXT + AROUND_PICTURE * num_pictures


def _media(task: Task) -> Media:
    return Media(kind=MediaKind.VIDEO if task.is_video else MediaKind.IMAGE, files=("shown.png",))


def encode_pictures(config: TrainConfig, shape: Shape, number: int) -> Pictures:
    """Blank pictures of the largest size, through the family's own image processor."""
    judge, model = config.judge, shape.config()
    policy = judge.policy
    blank = Image.new("RGB", largest_picture(model, judge.max_pixels))
    tensors, num_tokens = image_slots(model).encode(_image_processor(model), [[blank] * number], policy=policy)
    return Pictures(number=number, tokens=sum(num_tokens), tensors=tensors)


def largest_picture(model: Any, max_pixels: int) -> tuple[int, int]:
    """Width and height of the nearly square picture that takes the most tokens (Qwen-VL rounds to whole tokens)."""
    merge = getattr(model.vision_config, "spatial_merge_size", None)
    unit = 1 if merge is None else model.vision_config.patch_size * merge
    num_tokens = max(1, max_pixels // unit**2)
    height = math.isqrt(num_tokens)
    return (height, height) if merge is None else (num_tokens // height * unit, height * unit)


def _image_processor(model: Any) -> Any:
    """The Pillow one, which needs no torchvision."""
    if model.model_type == "llava_onevision":
        from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
            LlavaOnevisionImageProcessorPil,
        )

        return LlavaOnevisionImageProcessorPil(image_grid_pinpoints=model.image_grid_pinpoints)
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    vision = model.vision_config
    return Qwen2VLImageProcessorPil(
        patch_size=vision.patch_size,
        merge_size=vision.spatial_merge_size,
        temporal_patch_size=vision.temporal_patch_size,
    )


def tasks_of(config: TrainConfig, stage: str) -> Sequence[Task]:
    """Who learns from the teacher's traces sees the tasks that the teacher was asked for."""
    allowed = config.distill.tasks if find_stage(stage).reads == TRACES else [task.value for task in Task]
    return [Task(name) for name in config.settings(stage).tasks if name in allowed]
