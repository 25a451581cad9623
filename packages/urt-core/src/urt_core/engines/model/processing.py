"""Model folder or hub id -> what turns prompts into its tensors, and back into a folder."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from urt_core.engines.image_slots import ImageSlots, image_slots
from urt_core.engines.model.folder import check_model_folder, model_wall
from urt_core.engines.model.template_trial import try_template
from urt_core.errors import EngineError


class Processing(NamedTuple):
    """Processing(tokenizer=Qwen2TokenizerFast(...), image_processor=Qwen2VLImageProcessor(...))"""

    tokenizer: Any
    image_processor: Any


def load_processing(path: str | Path, *, revision: str | None = None, is_checked: bool = False) -> Processing:
    """Tokenizer and image processor, without the composed processor. A folder that may not be opened is refused before a
    library sees it: a CheckpointError, or an EngineError for an unknown family. No code of its own is run.
    `is_checked` says that another process of this machine looks at the folder.

    A processor may have a chat template of its own (`chat_template.json`, as in LLaVA-OneVision), while the one of the
    tokenizer beside it is that of the text model alone: the one with a place for images counts.
    """
    from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, ProcessorMixin

    if not is_checked:
        check_model_folder(path)
    with model_wall(path):
        slots = image_slots(AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=False))
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False)
        if slots.token not in template_of(tokenizer):
            settings, _ = ProcessorMixin.get_processor_dict(path, revision=revision)
            tokenizer.chat_template = settings.get("chat_template", tokenizer.chat_template)
        image_processor = AutoImageProcessor.from_pretrained(path, revision=revision, trust_remote_code=False)
    if slots.token not in template_of(tokenizer):
        raise EngineError(
            f"the chat template of {path} has no place for images ({slots.token}); give the folder the chat_template.jinja of its model's"
            " processor"
        )
    try_template(tokenizer.chat_template, name=str(path))
    return Processing(tokenizer, image_processor)


def template_of(tokenizer: Any) -> str:
    """Its one chat template; some folders have several under names, or none."""
    template = tokenizer.chat_template
    return template if isinstance(template, str) else ""


def save_processing(folder: Path, *, slots: ImageSlots, tokenizer: Any, image_processor: Any) -> None:
    """So that the composed processor can be opened too: others than we, such as a server, use it."""
    tokenizer.save_pretrained(folder)
    image_processor.save_pretrained(folder)
    if slots.processor_settings:
        settings = json.dumps(dict(slots.processor_settings), indent=2)
        (folder / "processor_config.json").write_text(settings + "\n", encoding="utf-8")
