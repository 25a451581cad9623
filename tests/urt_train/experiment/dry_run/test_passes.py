"""What passes of a real, tiny model hold: counted by hand where that can be counted."""

import pytest
import torch

from urt_train.experiment.dry_run.passes import Arithmetic, Needed, forward_and_backward, generate
from urt_train.model.packed.packing import Group

AS_STORED = Arithmetic(weights=None, is_autocast=False)
LAYERS, KEY_HEADS, HEAD = 2, 2, 8


def test_the_peak_is_that_of_the_fuller_pass():
    assert Needed(kept=1.0, forward=4.0, backward=3.0).peak == 4.0
    assert Needed(kept=1.0, forward=4.0, backward=9.0).peak == 9.0


@pytest.mark.parametrize(("number", "prompt", "group", "length"), [(1, 40, 1, 8), (3, 40, 4, 8), (3, 17, 2, 30)])
def test_caches_hold_keys_and_values_of_prompts_once_and_of_every_completion(policy, number, prompt, group, length):
    a_token = LAYERS * 2 * KEY_HEADS * HEAD * 4
    found = generate(policy, number, prompt, group, length, arithmetic=AS_STORED)
    assert found.prompt_cache == number * prompt * a_token
    mask = number * prompt * torch.long.itemsize
    assert found.cache == number * (prompt + group * length) * a_token + mask
    assert found.prefill_peak > found.prompt_cache
    assert found.decoding_peak > found.cache


def test_a_frozen_decoder_keeps_its_result_alone(policy):
    policy.select_trainable(language=False, vision=True, projector=False)
    with torch.no_grad():
        found = forward_and_backward(policy, rows=(2, 30), arithmetic=AS_STORED)
    assert found.kept == 2 * 30 * 32 * 4, "hidden states in float32"
    assert found.backward == found.kept, "there is no backward pass"
    assert found.forward > found.kept


def test_a_packed_row_holds_less_than_the_same_sequences_in_rows_of_their_own(policy):
    """Four completions of 10 tokens behind a prompt of 60: 100 tokens in place of 280."""
    packed = forward_and_backward(policy, groups=[Group(60, (10,) * 4)], arithmetic=AS_STORED)
    padded = forward_and_backward(policy, rows=(4, 70), arithmetic=AS_STORED)
    assert packed.kept < padded.kept / 2
    assert packed.peak < padded.peak / 2
