"""Which family a model, a batch or a folder belongs to, and what is refused before any work."""

import json
from types import SimpleNamespace

import pytest
import torch

from urt_core.engines.image_slots import FAMILIES, family_of, image_slots, require_vllm
from urt_core.engines.image_slots.llava_onevision import LlavaOnevisionSlots
from urt_core.engines.image_slots.qwen_vl import QwenVLSlots
from urt_core.engines.transformers import TransformersEngine
from urt_core.errors import EngineError
from urt_core.media import MediaPolicy


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
