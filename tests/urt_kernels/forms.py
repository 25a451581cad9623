"""Every way to call a public function of the loss head, that test_forms.py proves each of."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

import urt_kernels
from urt_kernels import SurrogateInputs, drop_in, sharded

MODULES: dict[str, ModuleType] = {"": urt_kernels, "sharded.": sharded, "drop_in.": drop_in}
VOCABULARY, SIZE, SHAPE = 11, 6, (2, 3)


def normal(*shape: int, learns: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_(learns)


def own_surrogate(inputs: SurrogateInputs) -> Tensor:
    return -inputs.needed("advantages") * inputs.policy_logprobs.square() - 0.1 * inputs.needed("entropy")


def own_ratio(inputs: SurrogateInputs) -> Tensor:
    return inputs.needed("advantages") * inputs.log_ratios().square()


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way to call a public function."""

    function: str
    title: str
    arguments: Callable[[], dict[str, Any]]
    learns: tuple[str, ...] = ()
    """Arguments that a gradient is asked for."""
    without: dict[str, str] = field(default_factory=dict)
    """Proofs that it can't have, and why."""

    @property
    def name(self) -> str:
        return f"{self.function}: {self.title}"

    def found(self) -> Callable[..., Any]:
        place, _, name = self.function.rpartition(".")
        return getattr(MODULES[place + "." if place else ""], name)


def hidden_and_weight() -> dict[str, Any]:
    return {
        "hidden": normal(*SHAPE, SIZE, learns=True),
        "weight": normal(VOCABULARY, SIZE, learns=True),
        "targets": torch.tensor([[0, 10, 3], [4, 4, 7]]),
        "temperature": 0.7,
    }


def flat(given: dict[str, Any]) -> dict[str, Any]:
    """The same with rows ``[6, ...]`` for those of ``[2, 3, ...]``."""
    return {
        name: value.detach().reshape(6, *value.shape[2:]).requires_grad_(value.requires_grad)
        if isinstance(value, Tensor) and value.shape[:2] == SHAPE
        else value
        for name, value in given.items()
    }


def packed(given: dict[str, Any]) -> dict[str, Any]:
    return {**flat(given), "cu_seqlens": torch.tensor([0, 4, 6])}


def every_switch_of_the_head() -> dict[str, Any]:
    allowed = torch.arange(VOCABULARY) % 5 != 1
    return {
        "bias": normal(VOCABULARY, learns=True),
        "temperature": torch.linspace(0.5, 1.5, 6, dtype=torch.float64).view(SHAPE),
        "logit_scale": 0.5,
        "softcap": 4.0,
        "allowed": allowed.expand(*SHAPE, VOCABULARY).contiguous(),
        "operands": torch.float64,
    }


def rollout() -> dict[str, Any]:
    return {"rollout_logprobs": normal(*SHAPE) - 2.0, "advantages": torch.tensor([1.0, -0.5], dtype=torch.float64)}


def policy() -> Tensor:
    return (normal(*SHAPE) - 2.0).requires_grad_()


def every_switch_of_the_objective() -> dict[str, Any]:
    return {
        **rollout(),
        "reference_logprobs": normal(*SHAPE).flip(1) - 2.0,
        "old_logprobs": normal(*SHAPE).flip(0) - 2.0,
        "clip_low": 0.1,
        "clip_high": 0.28,
        "dual_clip": 3.0,
        "importance_cap": 1.5,
        "kl_coef": 0.1,
        "kl": "k2",
        "kl_clamp": 5.0,
        "ratio": "sequence",
        "aggregation": "dapo",
        "num_tokens": 9.0,
    }


def masked(given: dict[str, Any], name: str = "mask") -> dict[str, Any]:
    return {**given, name: torch.tensor([[True, True, False], [True, False, True]])}


def into(given: dict[str, Any]) -> dict[str, Any]:
    """With a buffer for the weight's gradient."""
    return {**given, "weight_grad": torch.ones(VOCABULARY, SIZE, dtype=torch.float64), "upstream": 1.0}


def logits() -> dict[str, Any]:
    given = hidden_and_weight()
    return {"logits": normal(*SHAPE, VOCABULARY, learns=True), "targets": given["targets"], "temperature": 0.7}


HEAD = ("hidden", "weight")
NO_GRADIENT = {"gradcheck": "rewards have no gradient"}
NOT_UPSTREAM = {"gradcheck": "equal to the form without a buffer"}  # it goes backward with others than ``upstream``


def losses(function: str, extra: dict[str, Any]) -> list[Form]:
    """The forms that `linear_loss` and its relatives over ranks share."""

    def form(
        title: str, arguments: Callable[[], dict[str, Any]], learns: tuple[str, ...] = HEAD, **without: str
    ) -> Form:
        return Form(
            function=function, title=title, arguments=lambda: {**arguments(), **extra}, learns=learns, without=without
        )

    def nll() -> dict[str, Any]:
        return {**hidden_and_weight(), "surrogate": "nll", "num_tokens": 9.0}

    def clip() -> dict[str, Any]:
        return {**hidden_and_weight(), **every_switch_of_the_objective(), "surrogate": "clip"}

    return [
        form("NLL, an entropy bonus", lambda: {**nll(), "entropy": True, "entropy_coef": 0.2}),
        form("NLL under a mask", lambda: masked(nll())),
        form("NLL, every switch of the head", lambda: {**nll(), **every_switch_of_the_head()}, (*HEAD, "bias")),
        form("GRPO, every switch", clip),
        form("GRPO, packed", lambda: packed(clip())),
        form("GRPO, the mean of sequences", lambda: {
            **hidden_and_weight(), **rollout(), "surrogate": "clip", "aggregation": "grpo", "num_sequences": 3
        }),
        form("DPO", lambda: {**nll(), "surrogate": "dpo", "sequences_together": 2}),
        form("an own function", lambda: {**nll(), **rollout(), "surrogate": own_surrogate, "entropy": True}),
        form("into a buffer", lambda: into(nll()), ("hidden",), **NOT_UPSTREAM),
        form("into a buffer, packed", lambda: into(packed(clip())), ("hidden",), **NOT_UPSTREAM),
    ]  # fmt: skip


FORMS = [
    Form(function="token_logprobs", title="with entropy", arguments=lambda: {**logits(), "entropy": True}, learns=("logits",)),
    Form(
        function="token_logprobs",
        title="a temperature for each row",
        arguments=lambda: {**logits(), "temperature": every_switch_of_the_head()["temperature"]},
        learns=("logits",),
    ),
    Form(
        function="token_logprobs",
        title="the gradient over the logits",
        arguments=lambda: {**logits(), "inplace_backward": True},
        learns=("logits",),
        without={"gradcheck": "it goes backward twice, and the logits are gone"},
    ),
    Form(
        function="linear_token_logprobs",
        title="every switch",
        arguments=lambda: {**hidden_and_weight(), **every_switch_of_the_head(), "entropy": True},
        learns=(*HEAD, "bias"),
    ),
    Form(function="linear_token_logprobs", title="under a mask", arguments=lambda: masked(hidden_and_weight()), learns=HEAD),
    Form(
        function="group_advantages",
        title="groups of one size",
        arguments=lambda: {"rewards": normal(6), "group_size": 3, "mode": "batch", "eps": 1e-3},
        without=NO_GRADIENT,
    ),
    Form(
        function="group_advantages",
        title="ragged groups of several rewards",
        arguments=lambda: {
            "rewards": normal(6, 2),
            "group_offsets": torch.tensor([0, 4, 6]),
            "weights": [1.0, 0.5],
            "combine": "normalize_then_sum",
        },
        without=NO_GRADIENT,
    ),
    *(
        Form(function="grpo_loss", title=title, arguments=arguments, learns=("policy_logprobs",))
        for title, arguments in {
            "every switch": lambda: masked(
                {"policy_logprobs": policy(), **every_switch_of_the_objective(), "surrogate": "cispo"},
                "completion_mask",
            ),
            "packed": lambda: packed(masked(
                {"policy_logprobs": policy(), **every_switch_of_the_objective()}, "completion_mask"
            )),
            "the mean of sequences": lambda: masked(
                {"policy_logprobs": policy(), **rollout(), "num_sequences": 3}, "completion_mask"
            ),
            "an own function": lambda: masked(
                {"policy_logprobs": policy(), **rollout(), "surrogate": own_ratio}, "completion_mask"
            ),
        }.items()
    ),
    *losses("linear_loss", {}),
    Form(
        function="linear_grpo_loss",
        title="every switch",
        arguments=lambda: masked(
            {
                **hidden_and_weight(), **every_switch_of_the_objective(), **every_switch_of_the_head(), "entropy_coef": 0.1,
                "surrogate": "cispo",
            },
            "completion_mask",
        ),
        learns=(*HEAD, "bias"),
    ),
    Form(
        function="linear_grpo_loss",
        title="packed, into a buffer",
        arguments=lambda: into(packed(masked(
            # A loss above 0: opcheck goes backward from its magnitude, which is then the upstream that is promised.
            {**hidden_and_weight(), **rollout(), "num_sequences": 3, "kl_coef": 1.0, "reference_logprobs": normal(*SHAPE)},
            "completion_mask",
        ))),
        learns=("hidden",),
        without=NOT_UPSTREAM,
    ),
    *(
        Form(
            function="linear_distillation_loss",
            title=title,
            arguments=lambda divergence=divergence: masked({
                "hidden": normal(*SHAPE, SIZE, learns=True), "weight": normal(VOCABULARY, SIZE, learns=True),
                "teacher_hidden": normal(*SHAPE, 4), "teacher_weight": normal(VOCABULARY, 4), "temperature": 0.7,
                "divergence": divergence, "beta": 0.3, "num_tokens": 5,
            }),
            learns=HEAD,
        )
        for title, divergence in {"forward KL": "forward_kl", "reverse KL": "reverse_kl", "JSD": "jsd"}.items()
    ),
    Form(
        function="linear_top_k_distillation_loss",
        title="a server's tokens",
        arguments=lambda: masked({
            "hidden": normal(*SHAPE, SIZE, learns=True), "weight": normal(VOCABULARY, SIZE, learns=True),
            "teacher_tokens": torch.arange(24).view(*SHAPE, 4) % VOCABULARY,
            "teacher_logprobs": normal(*SHAPE, 4).log_softmax(-1), "temperature": 0.7, "num_tokens": 5,
        }),
        learns=HEAD,
    ),
    *losses("sharded.vocabulary_parallel_loss", {"vocabulary": VOCABULARY, "group": None}),
    *losses("sharded.gathered_loss", {"block": 4}),
    *(
        Form(
            function=f"sharded.{function}",
            title=title,
            arguments=lambda own=own, change=change: change({**hidden_and_weight(), "entropy": True, **own()}),
            learns=learns,
        )
        for function, own, learns in (
            ("vocabulary_parallel_token_logprobs", lambda: {"vocabulary": VOCABULARY, "group": dist.group.WORLD}, HEAD),
            ("gathered_token_logprobs", lambda: {"block": 4}, HEAD),
            (
                "low_rank_token_logprobs",
                lambda: {
                    "down": normal(2, SIZE, learns=True), "up": normal(VOCABULARY, 2, learns=True), "scaling": 0.5, "block": 4
                },
                (*HEAD, "down", "up"),
            ),
        )
        for title, change in {"with entropy": dict, "under a mask": masked}.items()
    ),
    Form(
        function="drop_in.trl_selective_logprobs",
        title="one index",
        arguments=lambda: {
            "logits": normal(*SHAPE, VOCABULARY, learns=True), "index": logits()["targets"], "temperature": 0.7,
            "row_mask": torch.tensor([[1, 1, 0], [1, 0, 1]]),
        },
        learns=("logits",),
    ),
    Form(
        function="drop_in.trl_selective_logprobs",
        title="K indices",
        arguments=lambda: {
            "logits": normal(*SHAPE, VOCABULARY, learns=True), "index": torch.arange(24).view(*SHAPE, 4) % VOCABULARY
        },
        learns=("logits",),
    ),
    Form(
        function="drop_in.trl_selective_logprobs_and_entropy",
        title="with a mask",
        arguments=lambda: {
            "logits": normal(*SHAPE, VOCABULARY, learns=True), "index": logits()["targets"], "temperature": 0.7,
            "row_mask": torch.tensor([[1, 1, 0], [1, 0, 1]]), "entropy_requires_grad": True,
        },
        learns=("logits",),
    ),
    Form(
        function="drop_in.trl_chunked_logprobs",
        title="every switch",
        arguments=lambda: {
            **flat({name: hidden_and_weight()[name] for name in (*HEAD, "targets")}), "temperature": 0.7,
            "bias": normal(VOCABULARY, learns=True), "chunk_size": 4, "final_logit_softcapping": 4.0, "logit_scale": 0.5,
            "outputs": ("entropy", "is_top1"),
        },
        learns=(*HEAD, "bias"),
    ),
    Form(
        function="drop_in.verl_logprobs_from_logits",
        title="without a write over the logits",
        arguments=lambda: {
            "logits": normal(*SHAPE, VOCABULARY, learns=True), "labels": logits()["targets"], "inplace_backward": False
        },
        learns=("logits",),
    ),
    *(
        Form(
            function="drop_in.verl_linear_cross_entropy",
            title=title,
            arguments=lambda own=own: {
                **{name: hidden_and_weight()[name] for name in HEAD}, "labels": hidden_and_weight()["targets"],
                "temperature": 0.7, "reduction": "mean", **own(),
            },
            learns=HEAD,
        )
        for title, own in {
            "one rank": dict, "over a group": lambda: {"dist_process_group": dist.group.WORLD}
        }.items()
    ),
    Form(
        function="drop_in.slime_logprobs_and_entropy",
        title="with entropy",
        arguments=lambda: {
            "logits": normal(6, VOCABULARY, learns=True), "tokens": logits()["targets"].view(6), "tp_group": None,
            "with_entropy": True, "chunk_size": 2,
        },
        learns=("logits",),
    ),
    Form(
        function="drop_in.openrlhf_logprobs_from_logits",
        title="log-probs",
        arguments=lambda: {
            "logits": normal(*SHAPE, VOCABULARY, learns=True), "labels": logits()["targets"], "temperature": 0.7
        },
        learns=("logits",),
    ),
]  # fmt: skip
