"""Which chat template of a folder counts."""

import json

import pytest
import torch
from safetensors.torch import save_file

from tests.llava_onevision import CHAT_TEMPLATE, make_config, make_tokenizer
from urt_core.engines.model.processing import load_processing
from urt_core.errors import EngineError

TEXT_ALONE = "{% for message in messages %}{{ message.role + message.content }}{% endfor %}"


@pytest.fixture
def folder(tmp_path):
    """LLaVA-OneVision as it is published: a tokenizer with the template of its text model beside a processor with its
    own."""
    from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
        LlavaOnevisionImageProcessorPil,
    )

    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEXT_ALONE
    tokenizer.save_pretrained(tmp_path)
    make_config(tokenizer).save_pretrained(tmp_path)
    LlavaOnevisionImageProcessorPil().save_pretrained(tmp_path)
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    # Published before templates had a file of their own: the tokenizer's stands in its config, the processor's in this
    # file.
    (tmp_path / "chat_template.jinja").unlink()
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": TEXT_ALONE}))
    return tmp_path


def test_the_processors_chat_template_counts_where_the_tokenizers_has_no_place_for_images(folder):
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": CHAT_TEMPLATE}))
    assert load_processing(folder).tokenizer.chat_template == CHAT_TEMPLATE


def test_a_chat_template_without_a_place_for_images_is_refused(folder):
    with pytest.raises(
        EngineError, match=r"chat template of .* has no place for images \(<image>\); give the folder the"
    ):
        load_processing(folder)
