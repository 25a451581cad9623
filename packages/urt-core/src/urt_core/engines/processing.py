"""Model folder or hub id -> what turns prompts into its tensors, and back into a folder."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from urt_core.engines.image_slots import ImageSlots, image_slots
from urt_core.errors import EngineError


class Processing(NamedTuple):
    """Processing(tokenizer=Qwen2TokenizerFast(...), image_processor=Qwen2VLImageProcessor(...))"""

    tokenizer: Any
    image_processor: Any


def load_processing(path: str | Path, *, revision: str | None = None) -> Processing:
    """Tokenizer and image processor, without the composed processor. An unknown model family is refused before anything
    large is read.

    A processor may have a chat template of its own (`chat_template.json`, as in LLaVA-OneVision), while the one of the
    tokenizer beside it is that of the text model alone: the one with a place for images counts.
    """
    from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, ProcessorMixin

    slots = image_slots(AutoConfig.from_pretrained(path, revision=revision))
    tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
    if slots.token not in (tokenizer.chat_template or ""):
        settings, _ = ProcessorMixin.get_processor_dict(path, revision=revision)
        tokenizer.chat_template = settings.get("chat_template", tokenizer.chat_template)
    if slots.token not in (tokenizer.chat_template or ""):
        raise EngineError(
            f"the chat template of {path} has no place for images ({slots.token}); give the folder the chat_template.jinja of its model's"
            " processor"
        )
    return Processing(tokenizer, AutoImageProcessor.from_pretrained(path, revision=revision))


def save_processing(folder: Path, *, slots: ImageSlots, tokenizer: Any, image_processor: Any) -> None:
    """So that the composed processor can be opened too: others than we, such as a server, use it."""
    tokenizer.save_pretrained(folder)
    image_processor.save_pretrained(folder)
    if slots.processor_settings:
        settings = json.dumps(dict(slots.processor_settings), indent=2)
        (folder / "processor_config.json").write_text(settings + "\n", encoding="utf-8")
