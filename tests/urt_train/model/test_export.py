"""A judge is exported in the type that it is served in, and opens as it was."""

import math

import torch
from safetensors.torch import load_file

from urt_core import JudgeSpec, SamplingParams, Scorer, render
from urt_core.engines.transformers import TransformersEngine
from urt_train.model.export import export_judge
from urt_train.model.packed.shared_prefix import share_prefixes
from urt_train.model.policy import Policy
from urt_train.runtime.checkpoints.checkpoint import (
    part_names,
)

LAYOUT, TENSORS = part_names(0)


def test_a_judge_is_exported_in_the_type_that_it_is_served_in(policy, records, tmp_path):
    whole = export_judge(policy, tmp_path / "whole")
    folder = export_judge(policy, tmp_path / "model", dtype="bfloat16")
    assert {parameter.dtype for parameter in policy.model.parameters()} == {torch.float32}, (
        "training would go on as before"
    )
    live, stored = policy.model.state_dict(), load_file(folder / "model.safetensors")
    assert stored.keys() == load_file(whole / "model.safetensors").keys(), "a tied weight is stored once"
    for name, tensor in stored.items():
        assert torch.equal(tensor, live[name].bfloat16()), name

    scorer = Scorer.from_pretrained(folder, sampling=SamplingParams(max_tokens=8, logprobs=True))
    assert isinstance(scorer.engine, TransformersEngine)
    assert {parameter.dtype for parameter in scorer.engine.module.parameters()} == {torch.bfloat16}
    [comparison] = scorer.compare_batch(records[:1])
    assert all(math.isfinite(logprob) for vote in comparison.votes for logprob in vote.completion.logprobs)

    next_stage = Policy.from_pretrained(folder, spec=policy.spec, dtype="float32")
    for name, tensor in next_stage.model.state_dict().items():
        assert torch.equal(tensor, live[name].bfloat16().float()), name


def test_an_exported_judge_opens_and_judges_alike(policy, records, tmp_path):
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    share_prefixes(policy.model)
    folder = export_judge(policy, tmp_path / "model")
    assert "urt" not in (folder / "config.json").read_text(), "how we attend is no business of the folder"
    assert JudgeSpec.load(folder) == policy.spec
    model = AutoModelForImageTextToText.from_pretrained(folder)
    tokenizer, processor = AutoTokenizer.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder)
    assert tokenizer.chat_template == policy.tokenizer.chat_template
    assert processor.patch_size == policy.image_processor.patch_size
    assert model.generation_config.eos_token_id == policy.model.generation_config.eos_token_id
    inputs = policy.encode([render(records[0], policy.spec.dialect)])
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).logits, policy.model(**inputs).logits, rtol=0, atol=0)
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in (tmp_path / "model").iterdir()), (
        "a server may be another user"
    )
