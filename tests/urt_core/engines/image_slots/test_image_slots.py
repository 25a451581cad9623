"""Which family a model, a batch or a folder belongs to, and what is refused before any work."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from tests.llava_onevision import CHAT_TEMPLATE, make_config, make_tokenizer
from urt_core.engines.image_slots import FAMILIES, family_of, image_slots, require_vllm
from urt_core.engines.image_slots.llava_onevision import LlavaOnevisionSlots
from urt_core.engines.image_slots.qwen_vl import QwenVLSlots
from urt_core.engines.model.processing import load_processing
from urt_core.engines.transformers import TransformersEngine
from urt_core.errors import EngineError
from urt_core.media import MediaPolicy

TEXT_ALONE = "{% for message in messages %}{{ message.role + message.content }}{% endfor %}"


def test_a_model_type_names_its_family():
    assert type(image_slots(SimpleNamespace(model_type="qwen3_vl"))) is QwenVLSlots
    assert type(image_slots(SimpleNamespace(model_type="llava_onevision"))) is LlavaOnevisionSlots
    assert len({family.marker for family in FAMILIES.values()}) == len(set(FAMILIES.values())), "a batch has one family"
    assert family_of({"image_sizes": torch.zeros(1, 2)}) is LlavaOnevisionSlots
    assert family_of({"input_ids": torch.zeros(1, 2)}) is None


def test_an_unknown_family_is_refused_by_name_before_its_weights_are_read(tmp_path):
    """The folder has nothing but a config: whoever looked for weights or a tokenizer would stop with another
    message."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava_next"}))
    with pytest.raises(
        EngineError, match=r": model type is 'llava_next', .*; allowed: llava_onevision, qwen2_5_vl, .*"
    ):
        TransformersEngine.from_pretrained(tmp_path, policy=MediaPolicy())


def test_vllm_takes_the_families_it_shows_the_same_images():
    require_vllm(QwenVLSlots(None))
    with pytest.raises(
        EngineError, match=r"vLLM cuts every image of a LLaVA-OneVision prompt .*; allowed: engine=trans"
    ):
        require_vllm(LlavaOnevisionSlots(None))


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
