"""The cost of a pass against what a counter of operations sees."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.llava_onevision import make_llava_onevision
from tests.urt_train.layouts import group_batch, tiny_qwen3_5_moe
from urt_train.config import Batching
from urt_train.model.pass_cost import PassCost
from urt_train.model.policy import Policy


def counted(policy: Policy, batch) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        policy.token_logprobs(batch)
    return float(counter.get_total_flops())


def linear(policy: Policy, batch, *, is_packed: bool) -> float:
    """Without attention, which torch's counter does not see on a CPU, and the head, whose kernel is ours."""
    cost = PassCost(policy.model, is_packed=is_packed)
    cost.per_pair = cost.per_patch_pair = cost.per_predicted = 0.0
    return cost.of(batch).cost


@pytest.mark.parametrize("batching", list(Batching))
def test_what_is_linear_is_what_torch_counts(tiny_folder, spec, records, batching):
    """Within two per cent: the last token of a completion is not computed, nor are norms matrices."""
    policy = Policy.from_pretrained(tiny_folder, spec=spec, batching=batching)
    for longest in (4, 200):
        batch = group_batch(policy, records[:1], group_size=4, lengths=torch.tensor([[longest] * 4]))
        expected = linear(policy, batch, is_packed=batching is Batching.shared_prefix)
        assert expected == pytest.approx(counted(policy, batch), rel=0.02)


def test_attention_is_half_of_all_pairs(tiny_folder, spec, records):
    """Written out, attention computes all pairs of a row, of which a causal kernel needs half; patches see each other whole."""
    written_out, fused = (Policy.from_pretrained(tiny_folder, spec=spec, attention=name) for name in ("eager", "sdpa"))
    batch = group_batch(fused, records[:1], group_size=2, lengths=torch.tensor([[100] * 2]))
    cost = PassCost(fused.model, is_packed=False)
    cost.per_token = cost.per_predicted = cost.per_patch = 0.0
    patches = cost.per_patch_pair * 2 * sum(number**2 for number in cost.slots.patches(batch.prompts))
    all_pairs = 2 * (cost.of(batch).cost - patches) + patches
    assert all_pairs == pytest.approx(counted(written_out, batch) - counted(fused, batch), rel=0.05)


def test_a_longer_prompt_and_more_pictures_cost_more_than_in_proportion(tiny_folder, spec, records):
    policy = Policy.from_pretrained(tiny_folder, spec=spec)
    cost = PassCost(policy.model, is_packed=True)
    short, long = (group_batch(policy, [record], group_size=2, seed=3) for record in (records[0], records[7]))
    assert (long.prompts["attention_mask"].sum() > short.prompts["attention_mask"].sum()).item()
    assert cost.of(long).tokens > cost.of(short).tokens
    assert cost.of(long).cost / cost.of(short).cost > cost.of(long).tokens / cost.of(short).tokens


def test_tokens_count_the_prompt_once_or_for_each_completion(tiny_folder, spec, records):
    policy = Policy.from_pretrained(tiny_folder, spec=spec)
    batch = group_batch(policy, records[:1], group_size=3, lengths=torch.tensor([[4, 5, 6]]))
    prompt = int(batch.prompts["attention_mask"].sum())
    assert PassCost(policy.model, is_packed=True).of(batch).tokens == prompt + 15
    assert PassCost(policy.model, is_packed=False).of(batch).tokens == 3 * prompt + 15


def test_other_families_have_a_cost(tiny_folder, spec, records, tmp_path):
    """Tiles in LLaVA-OneVision; experts of which a token meets two in four, and layers that do not attend."""
    for policy in (
        Policy.from_pretrained(make_llava_onevision(tmp_path), spec=spec),
        tiny_qwen3_5_moe(tiny_folder, spec),
    ):
        batch = group_batch(policy, records[:1], group_size=2, lengths=torch.tensor([[20, 30]]))
        assert linear(policy, batch, is_packed=False) == pytest.approx(counted(policy, batch), rel=0.2)
