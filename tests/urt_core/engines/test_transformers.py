"""The in-process engine: equal to a plain forward pass, whatever the batch, the padding and the group."""

import copy
import io

import pytest
import torch
from PIL import Image

from urt_core.engines import SamplingParams
from urt_core.engines.model.encoding import IMAGE_TOKEN, chat_text, num_text_tokens
from urt_core.engines.transformers import TransformersEngine, encode_prompts
from urt_core.errors import PromptError
from urt_core.media import MediaPolicy
from urt_core.prompts import Prompt, Turn
from urt_core.records import Media, MediaKind

POLICY = MediaPolicy(min_pixels=16 * 16, max_pixels=32 * 32, num_frames=4)


SAMPLED = SamplingParams(temperature=0.8, max_tokens=24, seed=7, num_completions=3, logprobs=True)


def png(colour, size=(32, 32)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def image(colour, size=(32, 32)):
    return Media(kind=MediaKind.IMAGE, files=("image.png",), data=(png(colour, size),))


def video(*colours):
    return Media(
        kind=MediaKind.VIDEO,
        files=tuple(f"f{i:02}.png" for i in range(len(colours))),
        data=tuple(png(colour) for colour in colours),
    )


@pytest.fixture
def prompts():
    return [
        Prompt(
            parts=(
                "Image 1:",
                image("red"),
                "Image 2:",
                image("blue", (16, 32)),
                "which is better? Text Caption: [a cat]",
            )
        ),
        Prompt(parts=("say something",)),
        Prompt(parts=("Video 1:", video("red", "green"), "Video 2:", video("blue", "black", "white"), "which?")),
        Prompt(
            parts=("Question:", image("white"), "how many dogs are there on the table? Answer 1: two. Answer 2: three.")
        ),
    ]


def build(judge, **changes):
    return TransformersEngine(judge.module, judge.tokenizer, judge.image_processor, policy=POLICY, **changes)


def full_logprobs(judge, prompt, token_ids, *, temperature):
    """Teacher forcing: one unpadded forward over prompt and completion."""
    batch = encode_prompts(judge.tokenizer, judge.image_processor, [prompt], policy=POLICY)
    completion = torch.tensor([token_ids])
    length = batch["input_ids"].shape[1]
    batch["input_ids"] = torch.cat([batch["input_ids"], completion], dim=1)
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    batch["mm_token_type_ids"] = torch.cat([batch["mm_token_type_ids"], torch.zeros_like(completion)], dim=1)
    with torch.no_grad():
        logits = judge.module(**batch).logits[0, length - 1 : -1].float() / temperature
    return logits.log_softmax(-1).gather(-1, completion[0, :, None])[:, 0], logits


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_logprobs_equal_a_full_forward(tiny_judge, prompts, batch_size):
    groups = build(tiny_judge, batch_size=batch_size).generate(prompts, SAMPLED)
    for prompt, group in zip(prompts, groups, strict=True):
        assert len(group) == 3
        for completion in group:
            expected, _ = full_logprobs(tiny_judge, prompt, completion.token_ids, temperature=0.8)
            torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=1e-5, rtol=0)


def test_completions_do_not_depend_on_the_batch(tiny_judge, prompts):
    whole = build(tiny_judge, batch_size=64).generate(prompts, SAMPLED)
    alone = build(tiny_judge, batch_size=1).generate(prompts, SAMPLED)
    assert [[c.token_ids for c in group] for group in whole] == [[c.token_ids for c in group] for group in alone]


def test_greedy_takes_the_most_likely_allowed_token_and_reports_plain_logprobs(tiny_judge, prompts):
    engine = build(tiny_judge)
    for prompt, [completion] in zip(
        prompts, engine.generate(prompts, SamplingParams(max_tokens=12, logprobs=True)), strict=True
    ):
        expected, logits = full_logprobs(tiny_judge, prompt, completion.token_ids, temperature=1.0)
        allowed = logits.index_fill(-1, torch.tensor(sorted(engine.forbidden_token_ids)), -torch.inf)
        assert allowed.argmax(-1).tolist() == list(completion.token_ids)
        torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=1e-5, rtol=0)


def test_left_padding_changes_nothing(tiny_judge, prompts):
    judge = tiny_judge
    together = encode_prompts(judge.tokenizer, judge.image_processor, prompts, policy=POLICY)
    with torch.no_grad():
        padded = judge.module(**together).logits[:, -1]
        for index, prompt in enumerate(prompts):
            alone = encode_prompts(judge.tokenizer, judge.image_processor, [prompt], policy=POLICY)
            torch.testing.assert_close(padded[index], judge.module(**alone).logits[0, -1], atol=1e-5, rtol=1e-5)


def test_seed_decides_and_group_members_differ(tiny_judge, prompts):
    engine = build(tiny_judge)
    first, again = engine.generate(prompts, SAMPLED), engine.generate(prompts, SAMPLED)
    assert [[c.token_ids for c in group] for group in first] == [[c.token_ids for c in group] for group in again]
    assert all(len({c.token_ids for c in group}) > 1 for group in first)
    torch.manual_seed(0)
    unseeded = engine.generate(prompts[:1], SamplingParams(temperature=1.0, max_tokens=16))
    torch.manual_seed(1)
    assert unseeded != engine.generate(prompts[:1], SamplingParams(temperature=1.0, max_tokens=16))


def test_eos_is_included_and_cut_off_completions_say_length(tiny_judge, prompts):
    sampling = SamplingParams(temperature=2.0, max_tokens=40, seed=3, num_completions=16)
    completions = [c for group in build(tiny_judge).generate(prompts, sampling) for c in group]
    eos = {tiny_judge.tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")}
    assert {c.finish_reason for c in completions} == {"stop", "length"}
    for completion in completions:
        assert all(token not in eos for token in completion.token_ids[:-1])
        assert (completion.token_ids[-1] in eos) == (completion.finish_reason == "stop")
        assert completion.finish_reason == "stop" or len(completion.token_ids) == 40
        assert "<|" not in completion.text


def test_image_role_and_unowned_tokens_are_never_sampled(tiny_judge, prompts):
    engine = build(tiny_judge)
    names = ("<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    forbidden = {tiny_judge.tokenizer.convert_tokens_to_ids(name) for name in names} | {
        len(tiny_judge.tokenizer),
        len(tiny_judge.tokenizer) + 4,
    }
    assert forbidden <= engine.forbidden_token_ids
    groups = engine.generate(prompts, SamplingParams(temperature=50.0, max_tokens=64, seed=0, num_completions=16))
    sampled = {token for group in groups for completion in group for token in completion.token_ids}
    assert len(sampled) > 200
    assert not sampled & engine.forbidden_token_ids


def test_text_that_spells_a_token_of_this_tokenizer_is_refused(tiny_judge):
    tokenizer = copy.deepcopy(tiny_judge.tokenizer)
    tokenizer.add_special_tokens({"extra_special_tokens": ["[PIC]"]}, replace_extra_special_tokens=False)
    prompt = Prompt(parts=("Image 1:", image("red"), "Text Caption: [a [PIC] cat]"), key="pair-1")
    with pytest.raises(PromptError, match=r"'pair-1'.*special tokens \['\[PIC\]'\]"):
        encode_prompts(tokenizer, tiny_judge.image_processor, [prompt], policy=POLICY)


def test_unreadable_media_spoil_only_their_own_prompt(tiny_judge, prompts):
    broken = Prompt(parts=("Image 1:", Media(kind=MediaKind.IMAGE, files=("a.png",), data=(b"not a png",)), "which?"))
    good, bad = build(tiny_judge).generate([prompts[0], broken], SAMPLED)
    assert [c.token_ids for c in good] == [c.token_ids for c in build(tiny_judge).generate(prompts[:1], SAMPLED)[0]]
    assert [c.finish_reason for c in bad] == ["bad_media"] * 3
    assert "a.png: not a readable image" in bad[0].detail


def test_module_is_left_as_it_was(tiny_judge, prompts):
    module = tiny_judge.module
    module.train()
    try:
        build(tiny_judge).generate(prompts[:2], SamplingParams(max_tokens=3))
        assert module.training
        assert module.get_decoder().config._attn_implementation == "sdpa"
        assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
    finally:
        module.eval()


def test_top_logprobs_are_those_of_a_full_forward(tiny_judge, prompts):
    sampling = SamplingParams(max_tokens=4, logprobs=True, top_logprobs=3)
    [[completion]] = build(tiny_judge).generate(prompts[:1], sampling)
    _, logits = full_logprobs(tiny_judge, prompts[0], completion.token_ids, temperature=1.0)
    for at, row in zip(completion.top_logprobs, logits.log_softmax(-1), strict=True):
        values, ids = row.topk(3)
        assert [number for _, number in at] == pytest.approx(values.tolist(), abs=1e-4)
        assert [text for text, _ in at] == [tiny_judge.tokenizer.decode([token]) for token in ids.tolist()]


def test_an_answer_that_nobody_waits_for_ends(tiny_judge, prompts):
    """One of the prompts is given up after five tokens; the others are what they are without it."""
    sampling = SamplingParams(max_tokens=40, temperature=1.0, seed=3, num_completions=2)
    asked = 0

    def is_wanted(index):
        nonlocal asked
        asked += index == 1
        return index != 1 or asked <= 10  # twice a step, once for each completion

    whole = build(tiny_judge).generate(prompts, sampling)
    groups = build(tiny_judge).generate(prompts, sampling, is_wanted=is_wanted)
    assert max(len(completion.token_ids) for completion in groups[1]) <= 6
    assert max(len(completion.token_ids) for completion in whole[1]) > 6
    assert [groups[index] for index in (0, 2, 3)] == [whole[index] for index in (0, 2, 3)]


def test_turns_reach_the_chat_template_in_their_order(tiny_judge):
    earlier = (Turn(role="system", parts=("Be brief.",)), Turn(role="user", parts=(image("red"), "What is it?")))
    prompt = Prompt(parts=(image("blue"), "And this?"), before=(*earlier, Turn(role="assistant", parts=("A square.",))))
    text = chat_text(tiny_judge.tokenizer, prompt, num_frames=[1, 1])
    positions = [text.index(part) for part in ("Be brief.", "What is it?", "A square.", "And this?")]
    assert positions == sorted(positions)
    assert text.count(IMAGE_TOKEN) == 2
    assert text.index(IMAGE_TOKEN) < positions[1]
    [[completion]] = build(tiny_judge).generate([prompt], SamplingParams(max_tokens=2))
    assert completion.usage.prompt_tokens > num_text_tokens(tiny_judge.tokenizer, prompt) > 10
