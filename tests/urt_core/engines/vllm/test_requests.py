"""What vLLM is handed, without vLLM."""

from types import SimpleNamespace

from urt_core import SamplingParams
from urt_core.engines import FinishReason
from urt_core.engines.vllm.requests import bad_media, forbidden_token_ids, no_room, one_line, request_seed


def test_completions_of_a_call_have_seeds_of_their_own():
    sampling = SamplingParams(seed=2**63 - 6, num_completions=4)
    first = [seed for seed in (request_seed(sampling, index) for index in range(3)) if seed is not None]
    assert first == [2**63 - 6, 2**63 - 2, 2]
    assert request_seed(SamplingParams(num_completions=4), 3) is None


def test_a_prompt_that_fails_has_as_many_completions_as_were_asked_for_each_with_one_line():
    error = ValueError("the prompt\n  has 9000 tokens,   the model 2048")
    sampling = SamplingParams(temperature=1.0, num_completions=3)
    for group, reason in (
        (no_room(error, sampling), FinishReason.LENGTH),
        (bad_media(error, sampling), FinishReason.BAD_MEDIA),
    ):
        assert [completion.finish_reason for completion in group] == [reason] * 3
        assert {completion.text for completion in group} == {""}
    assert no_room(error, sampling)[0].detail == "the prompt has 9000 tokens, the model 2048"
    assert len(one_line(ValueError("x" * 9000))) == 500


def test_tokens_that_end_an_answer_may_be_sampled_and_rows_without_a_token_may_not():
    special = {"<|im_start|>": 3, "<|im_end|>": 4, "<|image_pad|>": 5}

    class Tokenizer:
        eos_token_id = 4
        all_special_ids = (3, 4, 5)
        added_tokens_decoder = {n: SimpleNamespace(special=True, content=text) for text, n in special.items()}  # noqa: RUF012

        def __len__(self):
            return 6

    config = SimpleNamespace(get_vocab_size=lambda: 8, try_get_generation_config=lambda: {"eos_token_id": [4]})
    forbidden = forbidden_token_ids(config, Tokenizer())
    assert {3, 5, 6, 7} <= forbidden
    assert 4 not in forbidden
