"""Bad input is a ValueError that names the argument, its value and what is allowed, before anything is computed."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
import torch

import urt_kernels
from urt_kernels import (
    group_advantages,
    grpo_loss,
    linear_grpo_loss,
    linear_loss,
    linear_token_logprobs,
    token_logprobs,
)

pytestmark = pytest.mark.usefixtures("no_type_checks")

LOGITS, HIDDEN, WEIGHT = torch.zeros(3, 5), torch.zeros(3, 4), torch.zeros(5, 4)
TARGETS = torch.tensor([0, 4, -100])
PER_TOKEN, MASK = torch.zeros(2, 3), torch.ones(2, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logits": torch.zeros(3, 0)}, r"logits has shape \[3, 0\]: it must be \[..., V\]"),
        ({"logits": torch.zeros(3, 5, dtype=torch.int32)}, "logits has dtype int32: allowed are float16, bfloat16"),
        ({"targets": torch.zeros(3)}, "targets has dtype float32: allowed are int32, int64"),
        ({"targets": TARGETS[:2]}, r"targets has shape \[2\]: it must be \[3\]"),
        ({"targets": torch.tensor([0, 5, 1])}, "targets holds 5: allowed are 0 to 4, and -100 for a row to ignore"),
        ({"targets": torch.tensor([0, -1, 1])}, "targets holds -1"),
        ({"targets": TARGETS.to("meta")}, "targets is on meta: it must be on cpu"),
        ({"temperature": 0.0}, "temperature=0.0: it must be a finite number above 0"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"impl": "cuda"}, "impl='cuda': allowed are auto, reference, triton"),
    ],
)
def test_token_logprobs(changes: dict[str, Any], message: str):
    arguments = {"logits": LOGITS, "targets": TARGETS, "temperature": 1.0, **changes}
    with pytest.raises(ValueError, match=message):
        token_logprobs(**arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": torch.zeros(3)}, r"hidden has shape \[3\]: it must be \[..., H\]"),
        ({"weight": torch.zeros(5, 3)}, r"weight has shape \[5, 3\]: it must be \[5, 4\]"),
        ({"weight": torch.zeros(0, 4)}, r"weight has shape \[0, 4\]: it must be \[V, H\] with V of at least 1"),
        ({"weight": WEIGHT.int()}, "weight has dtype int32: allowed are float16, bfloat16"),
        ({"targets": TARGETS[:2]}, r"targets has shape \[2\]: it must be \[3\]"),
        ({"bias": torch.zeros(4)}, r"bias has shape \[4\]: it must be \[5\]"),
        ({"mask": torch.ones(3)}, "mask has dtype float32: allowed are bool"),
        ({"mask": torch.ones(2, dtype=torch.bool)}, r"mask has shape \[2\]: it must be \[3\]"),
        ({"temperature": -1}, "temperature=-1"),
    ],
)
def test_linear_token_logprobs(changes: dict[str, Any], message: str):
    arguments = {"hidden": HIDDEN, "weight": WEIGHT, "targets": TARGETS, "temperature": 1.0, **changes}
    with pytest.raises(ValueError, match=message):
        linear_token_logprobs(**arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group_size": 0}, "group_size=0: it must be at least 1"),
        ({"group_size": 4}, "group_size=4 for 6 rewards: it must divide their number"),
        ({"group_size": None}, "group_size=None for rewards"),
        ({"group_offsets": torch.tensor([0, 6])}, "group_size=2 with group_offsets: give one of the two"),
        (
            {"group_size": None, "group_offsets": torch.tensor([0, 4, 2, 6])},
            r"group_offsets=\[0, 4, 2, 6\]: it must rise",
        ),
        ({"group_size": None, "group_offsets": torch.tensor([0, 5])}, "from 0 to 6, the number of rewards"),
        ({"group_size": None, "group_offsets": torch.tensor([0.0, 6.0])}, "group_offsets has dtype float32"),
        ({"rewards": torch.zeros(6, dtype=torch.int64)}, "rewards has dtype int64"),
        ({"rewards": torch.zeros(2, 3)}, r"group_size=2 for rewards \[2, 3\]: it must be 3, or left out"),
        ({"rewards": torch.zeros(1, 2, 3)}, r"rewards has shape \[1, 2, 3\]"),
        ({"weights": [1.0, 2.0]}, r"weights has 2 values for rewards of shape \[6\]"),
        ({"mode": "ppo"}, "mode='ppo': allowed are grpo, dr_grpo, rloo, batch"),
        ({"eps": 0.0}, "eps=0.0"),
    ],
)
def test_group_advantages(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        group_advantages(**{"rewards": torch.zeros(6), "group_size": 2, **changes})


LOSS_CASES = [
    ({"rollout_logprobs": torch.zeros(2, 2)}, r"rollout_logprobs has shape \[2, 2\]: it must be \[2, 3\]"),
    ({"completion_mask": torch.ones(3, 2)}, "completion_mask has shape"),
    ({"advantages": torch.zeros(3)}, r"advantages has shape \[3\]: it must be \[2\] or \[2, 3\]"),
    ({"kl_coef": 0.1}, "reference_logprobs=None with kl_coef=0.1: give them, or set kl_coef to 0"),
    ({"clip_low": 1.5}, "clip_low=1.5: it must be at most 1"),
    ({"clip_high": -0.1}, "clip_high=-0.1"),
    ({"dual_clip": 1.0}, "dual_clip=1.0: it must be above 1"),
    ({"kl": "k4"}, "kl='k4': allowed are k1, k2, k3"),
    ({"ratio": "word"}, "ratio='word': allowed are token, sequence"),
    ({"aggregation": "mean"}, "aggregation='mean': allowed are grpo, dapo, dr_grpo"),
    ({"num_tokens": 5}, "num_tokens=5 with aggregation='grpo': its divisor is num_sequences"),
    ({"num_sequences": 0}, "num_sequences=0"),
    ({"num_sequences": torch.ones(2)}, r"num_sequences has shape \[2\]"),
]


@pytest.mark.parametrize(("changes", "message"), LOSS_CASES)
def test_grpo_loss(changes: dict[str, Any], message: str):
    arguments = {
        "policy_logprobs": PER_TOKEN,
        "rollout_logprobs": PER_TOKEN,
        "advantages": torch.zeros(2),
        "completion_mask": MASK,
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        grpo_loss(**arguments)


@pytest.mark.parametrize(
    ("changes", "message"), [*LOSS_CASES, ({"hidden": HIDDEN}, "it must be"), ({"temperature": 0}, "temperature=0")]
)
def test_linear_grpo_loss(changes: dict[str, Any], message: str):
    arguments = {
        "hidden": torch.zeros(2, 3, 4),
        "weight": WEIGHT,
        "targets": torch.zeros(2, 3, dtype=torch.int64),
        "rollout_logprobs": PER_TOKEN,
        "advantages": torch.zeros(2),
        "completion_mask": MASK,
        "temperature": 1.0,
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        linear_grpo_loss(**arguments)


def test_triton_without_a_device_for_it():
    with pytest.raises(ValueError, match="impl='triton' for token_logprobs: "):
        token_logprobs(LOGITS.double(), TARGETS, temperature=1.0, impl="triton")


PACKED: dict[str, Any] = {
    "hidden": torch.zeros(5, 4),
    "weight": WEIGHT,
    "targets": torch.zeros(5, dtype=torch.long),
    "surrogate": "nll",
    "temperature": 1.0,
    "cu_seqlens": torch.tensor([0, 2, 5]),
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cu_seqlens": torch.tensor([0, 4, 3, 5])}, r"cu_seqlens=\[0, 4, 3, 5\]: it must rise from 0 to 5"),
        ({"cu_seqlens": torch.tensor([0, 2, 4])}, r"cu_seqlens=\[0, 2, 4\]: it must rise from 0 to 5"),
        ({"cu_seqlens": torch.tensor([0.0, 5.0])}, "cu_seqlens has dtype float32: allowed are int32, int64"),
        ({"cu_seqlens": None}, r"targets has shape \[5\]: it must be \[B, T\], or \[N\] with cu_seqlens"),
        ({"mask": torch.full((5,), 0.5)}, "mask holds 0.5: it must be boolean, or 0 and 1"),
        ({"num_tokens": 0}, "num_tokens=0 with 5 tokens"),
        ({"num_tokens": float("nan")}, "num_tokens=nan"),
        ({"num_tokens": -1}, "num_tokens=-1"),
        ({"aggregation": "dr_grpo"}, "num_tokens=None with aggregation='dr_grpo' on packed rows"),
        ({"temperature": torch.zeros(5)}, "temperature holds a value that is not a finite number above 0"),
        ({"temperature": torch.ones(4)}, r"temperature has shape \[4\]: it must be \[5\]"),
        ({"softcap": 0}, "softcap=0"),
        ({"logit_scale": float("inf")}, "logit_scale=inf"),
        ({"allowed": torch.ones(5, 4, dtype=torch.bool)}, r"allowed has shape \[5, 4\]: it must be \[5, 5\]"),
        ({"operands": torch.int8}, "operands=torch.int8: it must be a floating-point type"),
        ({"weight_grad": torch.zeros(4, 4)}, r"weight_grad has shape \[4, 4\]: it must be \[5, 4\]"),
        ({"upstream": 0.0}, "upstream=0.0: it must be a finite number other than 0"),
        ({"sequences_together": -1}, "sequences_together=-1"),
        ({"entropy_coef": -0.1}, "entropy_coef=-0.1"),
        ({"kl_coef": 0.1}, "reference_logprobs=None with kl_coef=0.1"),
        ({"surrogate": "clip"}, "advantages=None: the surrogate reads it; give advantages"),
        ({"advantages": torch.zeros(3)}, r"advantages has shape \[3\]: it must be \[2\] or \[5\]"),
        ({"weight": torch.zeros(0, 4)}, "gather a weight that ZeRO-3 holds"),
        ({"targets": torch.full((5,), 9)}, "targets holds 9: allowed are 0 to 4"),
    ],
)
def test_linear_loss(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        linear_loss(**{**PACKED, **changes})


def test_a_distributed_weight_is_refused_with_the_remedy():
    class Shards(torch.Tensor):
        placements = ()

    arguments: dict[str, Any] = {**PACKED, "weight": WEIGHT.as_subclass(Shards)}
    with pytest.raises(ValueError, match=r"weight is a DTensor: give it to urt_kernels\.sharded"):
        linear_loss(**arguments)


@pytest.mark.parametrize("folder", ["logprobs", "linear_logprobs", "advantages", "policy_loss", "one_pass"])
def test_every_folder_is_a_module_by_its_name(folder: str):
    """No function hides a folder of its name, so that `import urt_kernels.<folder>.triton as kernels` works."""
    found = import_module(f"urt_kernels.{folder}")
    assert getattr(urt_kernels, folder) is found
    assert find_spec(f"urt_kernels.{folder}.triton") is not None
