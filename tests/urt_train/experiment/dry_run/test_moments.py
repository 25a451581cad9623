"""What a device holds at each moment, by arithmetic: the loss head, logits while sampling, copies of weights."""

from dataclasses import replace

import pytest
import torch

from urt_kernels.tuning import one_pass
from urt_train.cli import compose
from urt_train.experiment.dry_run.lengths import prompt_lengths
from urt_train.experiment.dry_run.measure import Measurements
from urt_train.experiment.dry_run.moments import LOGITS_COPIES, Moment, Stagewise
from urt_train.experiment.dry_run.shape import shape_of
from urt_train.experiment.dry_run.workload import sampling


@pytest.fixture(scope="module")
def config():
    return compose(["recipe=tiny", "stage=grpo", "grpo.kl_coef=0.04"])


@pytest.fixture(scope="module")
def memory(config) -> Stagewise:
    shape = shape_of(config.model.base)
    return Stagewise(config, shape, "grpo", Measurements(config=config, shape=shape))


def test_a_moment_holds_the_sum_of_its_items():
    assert Moment(phase="step", name="optimizer step", holds={"weights": 3.0, "gradients": 2.5}).total == 5.5


@pytest.mark.parametrize("num_tokens", [100, 5000])
def test_the_head_holds_hidden_states_the_weights_gradient_and_one_chunk_of_logits(memory, num_tokens):
    """In float32: twice [N, H], twice [V, H] for the gradient, and the block of the rows that are computed at once."""
    weight = memory.policy.model.get_output_embeddings().weight
    vocabulary, size = weight.shape
    plan = one_pass(vocabulary, 4, trains_weight=True)
    block = memory.head_bytes(num_tokens) - 2 * num_tokens * size * 4 - 2 * vocabulary * size * 4
    rows = block / (vocabulary * 4 + plan.columns * 4)
    assert rows == int(rows)
    assert min(num_tokens, plan.rows) <= rows <= plan.rows


def test_sampling_within_training_has_optimizer_and_reference_beside_it(config, memory):
    sampled = sampling(config, "grpo", prompt_lengths(config, memory.shape))
    assert sampled is not None
    moments = {moment.name: moment for moment in memory.sampling(sampled)}
    assert list(moments) == ["vision tower", "prompts", "decoding"]
    weights = sum(parameter.nbytes for parameter in memory.policy.parameters())
    learning = sum(parameter.nbytes for parameter in memory.policy.parameters() if parameter.requires_grad)
    for moment in moments.values():
        assert (moment.holds["weights"], moment.holds["reference copy"]) == (weights, weights)
        assert moment.holds["optimizer state"] == pytest.approx(2 * learning, rel=1e-3), "and a count for each tensor"
    text = memory.policy.model.config.get_text_config()
    logits = sampled.prompts * sampled.group * text.vocab_size * 4
    cut = replace(sampled, decoding=replace(sampled.decoding, top_p=0.9))
    [*_, sorted_too] = memory.sampling(cut)
    more = sorted_too.holds["activations"] - moments["decoding"].holds["activations"]
    assert more == 2 * logits, "sorting for top_p takes two arrays more"
    assert moments["decoding"].holds["activations"] >= LOGITS_COPIES * logits


def test_vllm_beside_training_holds_a_copy_in_bfloat16_and_its_cache(config, memory):
    sampled = sampling(config, "grpo", prompt_lengths(config, memory.shape))
    assert sampled is not None
    decoding = replace(sampled.decoding, engine="vllm", cache_gib=0.5, devices=2)
    [moment] = memory.sampling(replace(sampled, decoding=decoding))
    numbers = sum(parameter.numel() for parameter in memory.policy.parameters())
    assert moment.holds["vLLM's weights"] == numbers * 2 / 2
    assert moment.holds["key-value cache"] == 2**29
    [served] = memory.sampling(replace(sampled, decoding=replace(decoding, engine="vllm_server")))
    assert "key-value cache" not in served.holds
    assert memory.served_bytes == sum(
        parameter.numel() * getattr(torch, config.served_dtype).itemsize for parameter in memory.policy.parameters()
    )
