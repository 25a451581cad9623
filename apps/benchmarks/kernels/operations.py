"""The cases: which shapes, which data, which implementations, and how much work each mode is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.kernels import peers
from benchmarks.kernels.case import Amount, Case, Implementation, Inputs, Mode
from benchmarks.kernels.truth import advantages_truth, head_truth, logprobs_truth, step_truth
from urt_kernels import group_advantages, grpo_loss, linear_grpo_loss, linear_token_logprobs, token_logprobs

TEMPERATURE = 0.9
FORWARD_ONLY = (Mode.FORWARD,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A head and how many tokens go through it.

    >>> Shape(head="Qwen3-VL-8B", vocabulary=151936, size=4096, num_rows=8192)
    """

    head: str
    vocabulary: int
    size: int
    num_rows: int


def normal(*shape: int, device: torch.device, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator(device).manual_seed(seed), device=device)


def head_inputs(shape: Shape, dtype: torch.dtype, device: torch.device, *, peaked: bool) -> Inputs:
    """Hidden states and weight whose logits are flat, or (as of a policy that is sure) lead by far at one token per
    row."""
    hidden, weight = (normal(rows, shape.size, device=device, seed=rows) for rows in (shape.num_rows, shape.vocabulary))
    targets = torch.randint(0, shape.vocabulary, (shape.num_rows,), device=device)
    weight /= shape.size**0.5
    if peaked:
        hidden += 12.0 * weight[targets]
    return {"hidden": hidden.to(dtype), "weight": weight.to(dtype), "targets": targets}


def logits_inputs(shape: Shape, dtype: torch.dtype, device: torch.device, *, peaked: bool) -> Inputs:
    logits = normal(shape.num_rows, shape.vocabulary, device=device).mul_(2.0)
    targets = torch.randint(0, shape.vocabulary, (shape.num_rows,), device=device)
    if peaked:
        logits[torch.arange(shape.num_rows, device=device), targets] += 16.0
    return {"logits": logits.to(dtype), "targets": targets}


def upstream(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Fixed upstream gradients that differ from row to row."""
    return [normal(*output.shape, device=output.device, seed=7).to(output.dtype) for output in outputs]


def logits_case(shape: Shape, dtype: torch.dtype, device: torch.device, *, peaked: bool, impl: str) -> Case:
    size = shape.num_rows * shape.vocabulary * dtype.itemsize
    rows = _checked_rows(shape, device)
    optional = [
        ("torch.compile", lambda: partial(_apply, peers.compiled(_eager_values)), tuple(Mode)),
        (
            "TRL selective_log_softmax",
            lambda: partial(_scaled_logprobs, peers.trl_selective_log_softmax()),
            tuple(Mode),
        ),
        ("TRL log-prob + entropy", lambda: partial(_apply, _trl_values(peers.trl_logprobs_and_entropy())), tuple(Mode)),
        ("Liger selective log-softmax", lambda: partial(_scaled_logprobs, peers.liger_logprobs()), FORWARD_ONLY),
    ]
    return Case(
        operation="token_logprobs",
        label=f"token_logprobs {shape.num_rows} x {shape.vocabulary} {_name(dtype)} {'peaked' if peaked else 'flat'}",
        make_inputs=partial(logits_inputs, shape, dtype, device, peaked=peaked),
        leaves=("logits",),
        make_upstream=upstream,
        implementations=[
            Implementation(name=f"urt {impl}", run=partial(_our_logprobs, impl=impl), ours=True),
            Implementation(
                name=f"urt {impl}, log-prob only",
                run=partial(_our_logprobs, impl=impl, entropy=False),
                ours=True,
                modes=FORWARD_ONLY,
            ),
            Implementation(name="eager log_softmax + entropy", run=partial(_eager_logprobs, entropy=True)),
            Implementation(name="plain row loop (log-prob only)", run=partial(_plain_logprobs, peers.rowwise_logprobs)),
            *_available(optional),
        ],
        amounts={
            Mode.FORWARD: Amount(moved_bytes=size),
            Mode.BACKWARD: Amount(moved_bytes=2 * size),
            Mode.BOTH: Amount(moved_bytes=3 * size),
        },
        truth=partial(logprobs_truth, temperature=TEMPERATURE, rows=rows, make_upstream=upstream),
        checked_rows=rows,
        row_inputs=("logits", "targets"),
    )


def forward_only(case: Case) -> Case:
    """Without the gradients, which take a CPU most of its time."""
    return replace(case, implementations=[replace(each, modes=FORWARD_ONLY) for each in case.implementations])


def head_case(shape: Shape, dtype: torch.dtype, device: torch.device, *, peaked: bool, impl: str) -> Case:
    product = 2 * shape.num_rows * shape.vocabulary * shape.size
    kept = {
        Mode.FORWARD: Amount(operations=product),
        Mode.BACKWARD: Amount(operations=2 * product),
        Mode.BOTH: Amount(operations=3 * product),
    }
    candidates = [
        ("torch.compile", lambda: partial(_apply, peers.compiled(_eager_head_values)), kept),
        ("TRL chunked head", lambda: partial(_scaled_head, peers.trl_chunked_head()), None),
        ("Liger fused linear scaled CE", lambda: partial(_scaled_head, peers.liger_scaled_linear()), None),
        ("Liger fused linear CE", lambda: partial(_plain_head, peers.liger_linear()), None),
        ("cut-cross-entropy", lambda: partial(_plain_head, peers.cut_cross_entropy_linear()), None),
        ("torch linear_cross_entropy", lambda: partial(_plain_head, peers.torch_linear_cross_entropy()), None),
    ]
    implementations = [
        Implementation(name=f"urt {impl}", run=partial(_our_head, impl=impl), ours=True),
        Implementation(name="eager (logits kept)", run=_eager_head, amounts=kept),
    ]
    if impl == "triton" and device.type == "cuda" and dtype != torch.float32:
        implementations.append(
            Implementation(name="urt triton, fused forward", run=_our_fused_head, ours=True, modes=FORWARD_ONLY)
        )
    for name, make, amounts in candidates:
        implementations += _available([(name, make, tuple(Mode))], amounts or {})
    return Case(
        operation="linear_token_logprobs",
        label=f"linear_token_logprobs {shape.head} {shape.num_rows} {_name(dtype)} {'peaked' if peaked else 'flat'}",
        make_inputs=partial(head_inputs, shape, dtype, device, peaked=peaked),
        leaves=("hidden", "weight"),
        make_upstream=upstream,
        implementations=implementations,
        amounts={
            Mode.FORWARD: Amount(operations=product),
            Mode.BACKWARD: Amount(operations=3 * product),
            Mode.BOTH: Amount(operations=4 * product),
        },
        truth=partial(head_truth, temperature=TEMPERATURE, make_upstream=upstream),
        row_inputs=("hidden", "targets"),
    )


def step_case(shape: Shape, dtype: torch.dtype, device: torch.device, *, frozen: bool, impl: str) -> Case:
    """Head and loss of one GRPO step, forward and backward: one pass against two steps."""
    product = 2 * shape.num_rows * shape.vocabulary * shape.size
    gradients = 1 if frozen else 2
    return Case(
        operation="linear_grpo_loss",
        label=f"GRPO step {shape.head} {shape.num_rows} {_name(dtype)} {'frozen' if frozen else 'trainable'} head",
        make_inputs=partial(_step_inputs, shape, dtype, device),
        leaves=("hidden",) if frozen else ("hidden", "weight"),
        make_upstream=lambda outputs: [torch.ones_like(outputs[0])],
        implementations=[
            Implementation(
                name=f"urt {impl}, one pass",
                run=partial(_our_step, impl=impl),
                ours=True,
                modes=(Mode.BACKWARD, Mode.BOTH),
            ),
            Implementation(
                name=f"urt {impl}, two steps",
                run=partial(_our_two_steps, impl=impl),
                ours=True,
                amounts={Mode.BOTH: Amount(operations=(2 + gradients) * product)},
            ),
            Implementation(name="eager (logits kept)", run=_eager_step),
        ],
        amounts={Mode.BOTH: Amount(operations=(1 + gradients) * product)},
        truth=partial(step_truth, temperature=TEMPERATURE),
    )


def loss_case(num_sequences: int, length: int, device: torch.device, *, impl: str) -> Case:
    num_bytes = num_sequences * length * 17
    return Case(
        operation="grpo_loss",
        label=f"grpo_loss {num_sequences} x {length}",
        make_inputs=partial(_loss_inputs, num_sequences, length, device),
        leaves=("policy",),
        make_upstream=lambda outputs: [torch.ones_like(outputs[0])],
        implementations=[
            Implementation(name=f"urt {impl}", run=partial(_our_loss, impl=impl), ours=True),
            Implementation(name="eager", run=_eager_loss),
        ],
        amounts={Mode.FORWARD: Amount(moved_bytes=num_bytes), Mode.BOTH: Amount(moved_bytes=2 * num_bytes)},
        truth=_loss_truth_of_batch,
    )


def advantages_case(num_groups: int, group_size: int, device: torch.device, *, impl: str) -> Case:
    return Case(
        operation="group_advantages",
        label=f"group_advantages {num_groups} x {group_size}",
        make_inputs=lambda: {"rewards": normal(num_groups, group_size, device=device)},
        leaves=(),
        make_upstream=lambda outputs: [],
        implementations=[
            Implementation(
                name=f"urt {impl}",
                run=lambda inputs: [group_advantages(inputs["rewards"], impl=impl).advantages],  # pyright: ignore[reportArgumentType]
                ours=True,
                modes=FORWARD_ONLY,
            ),
            Implementation(
                name="eager", run=lambda inputs: [peers.eager_advantages(inputs["rewards"])], modes=FORWARD_ONLY
            ),
        ],
        amounts={Mode.FORWARD: Amount(moved_bytes=8 * num_groups * group_size)},
        truth=advantages_truth,
    )


def _our_logprobs(inputs: Inputs, *, impl: Any, entropy: bool = True) -> Sequence[Tensor]:
    operands = (inputs["logits"], inputs["targets"])
    result = token_logprobs(*operands, temperature=TEMPERATURE, entropy=entropy, validate_targets=False, impl=impl)
    return (result.logprobs,) if result.entropy is None else (result.logprobs, result.entropy)


def _eager_logprobs(inputs: Inputs, *, entropy: bool) -> Sequence[Tensor]:
    return peers.eager_logprobs(inputs["logits"], inputs["targets"], TEMPERATURE, entropy)


def _eager_values(inputs: Inputs) -> Sequence[Tensor]:
    return peers.eager_logprobs(inputs["logits"], inputs["targets"], TEMPERATURE, True)


def _plain_logprobs(function: Callable[..., Tensor], inputs: Inputs) -> Sequence[Tensor]:
    return (function(inputs["logits"] / TEMPERATURE, inputs["targets"]),)


def _trl_values(function: Callable[..., tuple[Tensor, Tensor]]) -> Callable[[Inputs], Sequence[Tensor]]:
    return lambda inputs: function(inputs["logits"], inputs["targets"], True, TEMPERATURE)


def _scaled_logprobs(function: Callable[..., Tensor], inputs: Inputs) -> Sequence[Tensor]:
    return (function(inputs["logits"], inputs["targets"], TEMPERATURE),)


def _apply(function: Callable[..., Sequence[Tensor]], inputs: Inputs) -> Sequence[Tensor]:
    return function(inputs)


def _our_head(inputs: Inputs, *, impl: Any) -> Sequence[Tensor]:
    operands = (inputs["hidden"], inputs["weight"], inputs["targets"])
    return (linear_token_logprobs(*operands, temperature=TEMPERATURE, validate_targets=False, impl=impl).logprobs,)


def _our_fused_head(inputs: Inputs) -> Sequence[Tensor]:
    from urt_kernels.linear_logprobs import fused

    return fused.forward(inputs["hidden"], inputs["weight"], None, inputs["targets"], TEMPERATURE, False)[:1]


def _eager_head(inputs: Inputs) -> Sequence[Tensor]:
    return (peers.eager_linear(inputs["hidden"], inputs["weight"], inputs["targets"], TEMPERATURE),)


def _eager_head_values(inputs: Inputs) -> Sequence[Tensor]:
    return (peers.eager_linear(inputs["hidden"], inputs["weight"], inputs["targets"], TEMPERATURE),)


def _plain_head(function: Callable[..., Tensor], inputs: Inputs) -> Sequence[Tensor]:
    # None of these divides by a temperature: the hidden states do it.
    return (function(inputs["hidden"] / TEMPERATURE, inputs["weight"], inputs["targets"]),)


def _scaled_head(function: Callable[..., Tensor], inputs: Inputs) -> Sequence[Tensor]:
    return (function(inputs["hidden"], inputs["weight"], inputs["targets"], TEMPERATURE),)


def _step_inputs(shape: Shape, dtype: torch.dtype, device: torch.device) -> Inputs:
    inputs = head_inputs(shape, dtype, device, peaked=True)
    with torch.no_grad():
        policy = _our_head(inputs, impl="auto")[0]
    noise = 0.2 * normal(shape.num_rows, device=device, seed=3)
    length = max(1, shape.num_rows // 8)
    return {**inputs, "rollout": policy + noise, "advantages": normal(shape.num_rows // length, device=device, seed=4)}


def _our_step(inputs: Inputs, *, impl: Any) -> Sequence[Tensor]:
    num_sequences = len(inputs["advantages"])
    shaped = {name: inputs[name].unflatten(0, (num_sequences, -1)) for name in ("hidden", "targets", "rollout")}
    mask = torch.ones_like(shaped["rollout"], dtype=torch.bool)
    return (
        linear_grpo_loss(
            shaped["hidden"],
            inputs["weight"],
            shaped["targets"],
            shaped["rollout"],
            inputs["advantages"],
            mask,
            temperature=TEMPERATURE,
            num_tokens=mask.numel(),
            aggregation="dapo",
            validate_targets=False,
            impl=impl,
        ).loss,
    )


def _our_two_steps(inputs: Inputs, *, impl: Any) -> Sequence[Tensor]:
    policy, rollout = (
        values.unflatten(0, (len(inputs["advantages"]), -1))
        for values in (_our_head(inputs, impl=impl)[0], inputs["rollout"])
    )
    mask = torch.ones_like(policy, dtype=torch.bool)
    return (grpo_loss(policy, rollout, inputs["advantages"], mask, aggregation="dapo", impl=impl).loss,)


def _eager_step(inputs: Inputs) -> Sequence[Tensor]:
    policy = _eager_head(inputs)[0].unflatten(0, (len(inputs["advantages"]), -1))
    rollout = inputs["rollout"].view_as(policy)
    ratio, advantages = (policy - rollout).exp(), inputs["advantages"][:, None]
    return (-torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean(),)


def _loss_inputs(num_sequences: int, length: int, device: torch.device) -> Inputs:
    policy = normal(num_sequences, length, device=device, seed=1) - 2
    return {
        "policy": policy,
        "rollout": policy + 0.2 * normal(num_sequences, length, device=device, seed=2),
        "reference": policy + 0.1 * normal(num_sequences, length, device=device, seed=3),
        "advantages": normal(num_sequences, device=device, seed=4),
        "mask": torch.rand(num_sequences, length, device=device) > 0.1,
    }


def _our_loss(inputs: Inputs, *, impl: Any) -> Sequence[Tensor]:
    policy, rollout, reference, advantages, mask = inputs.values()
    settings: dict[str, Any] = {"clip_high": 0.28, "kl_coef": 0.04, "aggregation": "dapo"}
    return (grpo_loss(policy, rollout, advantages, mask, reference_logprobs=reference, impl=impl, **settings).loss,)


def _eager_loss(inputs: Inputs) -> Sequence[Tensor]:
    return (peers.eager_grpo_loss(*inputs.values()),)


def _loss_truth_of_batch(inputs: Inputs, num_outputs: int) -> Sequence[Tensor]:
    wide = {name: values.double() for name, values in inputs.items()}
    leaf = wide["policy"].requires_grad_()
    loss = peers.eager_grpo_loss(*wide.values())
    return (loss.detach(), torch.autograd.grad(loss, leaf)[0])


def _available(
    candidates: Sequence[tuple[str, Callable[[], Any], tuple[Mode, ...]]], amounts: dict[Mode, Amount] | None = None
) -> Iterator[Implementation]:
    """The peers that can run here; a missing one stays in the table, with its reason."""
    for name, make, modes in candidates:
        try:
            yield Implementation(name=name, run=make(), modes=modes, amounts=amounts or {})
        except peers.Missing as reason:
            yield Implementation(name=name, run=partial(_raise, reason), modes=modes)


def _raise(reason: peers.Missing, inputs: Inputs) -> Sequence[Tensor]:
    raise reason


def _checked_rows(shape: Shape, device: torch.device) -> Tensor:
    """A sample of rows: the whole in fp64 would not fit."""
    return torch.arange(0, shape.num_rows, max(1, shape.num_rows // 64), device=device)


def _name(dtype: torch.dtype) -> str:
    return {torch.bfloat16: "bf16", torch.float32: "fp32", torch.float16: "fp16"}[dtype]
