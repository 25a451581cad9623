"""The shipped kernels, compiled for an H100 without one: no spills, 128-bit loads, tensor cores.

These are properties that the interpreter can't see and that cost a kernel most of its speed when they are lost.
"""

from importlib import import_module
from typing import Any

import pytest

from urt_kernels.dispatch import interpreting, triton_available
from urt_kernels.tuning import backward_blocks, divergence_blocks, forward_blocks, fused_forward, statistics_blocks

pytestmark = [
    pytest.mark.skipif(not triton_available(), reason="Triton is not installed"),
    pytest.mark.skipif(interpreting(), reason="kernels are defined for the interpreter in this process"),
]

QWEN3_VL_8B = 151936
PLAIN_HEAD = {
    **dict.fromkeys(("bias", "allowed", "temperatures")),
    **{f"WITH_{name}": False for name in ("BIAS", "ALLOWED", "TEMPERATURES", "SOFTCAP")},
}
ROWS = {"rows_per_outer": "i32", "stride_outer": "i64:16", "stride_inner": "i64:16"}


def pointers(names: str, kind: str = "fp32") -> dict[str, str]:
    return dict.fromkeys(names.split(), f"*{kind}:16")


def machine_code(module: str, kernel: str, types: dict[str, str], constants: dict[str, Any], **options: int) -> Any:
    """The compiled kernel; `pytest -s` on this file prints what docs/experiments.md tabulates."""
    from cross_compile import cross_compile

    code = cross_compile(getattr(import_module(f"urt_kernels.{module}"), kernel), types, constants, **options)
    settings = {name: value for name, value in constants.items() if not name.islower()}
    print(f"\n{module}.{kernel} {options} {settings}\n    {code}")
    return code


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


@pytest.mark.parametrize("entropy", [True, False])
def test_token_logprobs_forward(entropy):
    blocks = forward_blocks(QWEN3_VL_8B)
    code = machine_code(
        "logprobs.triton",
        "forward_kernel",
        {
            **pointers("logits", "bf16"),
            **pointers("targets", "i64"),
            **pointers("logprobs entropies lse"),
            **pointers("top1", "i1"),
            "vocabulary": "i32:16",
            **ROWS,
            "scale": "fp32",
        },
        {
            "temperatures": None,
            "stride_column": 1,
            "WITH_ENTROPY": entropy,
            "WITH_TEMPERATURES": False,
            "BLOCK": blocks.block,
        },
        num_warps=blocks.num_warps,
    )
    assert code.spills == 0
    # Four programs on an SM: some load while others compute.
    assert code.programs_per_sm >= 4
    assert code.step_instructions <= (13 if entropy else 9) * blocks.block / code.threads
    assert code.step_barriers <= 3
    assert code.wide_loads >= blocks.block // (8 * 32 * blocks.num_warps)


def test_token_logprobs_backward():
    blocks = backward_blocks(QWEN3_VL_8B)
    code = machine_code(
        "logprobs.triton",
        "backward_kernel",
        {
            **pointers("grad_logprobs grad_entropies grad_lse logprobs entropies lse"),
            **pointers("logits out", "bf16"),
            **pointers("targets", "i64"),
            "vocabulary": "i32:16",
            **ROWS,
            **{f"out_{name}": kind for name, kind in ROWS.items()},
            "inverse_temperature": "fp32",
        },
        {
            "temperatures": None,
            "stride_column": 1,
            "out_stride_column": 1,
            "WITH_ENTROPY": True,
            "WITH_TEMPERATURES": False,
            "BLOCK": blocks.block,
        },
        num_warps=blocks.num_warps,
    )
    assert code.spills == 0
    # 8 programs of 256 threads fill an SM; 16 instructions an element keep it at the memory's pace.
    assert code.programs_per_sm >= 8
    assert code.step_instructions <= 16.5 * blocks.block / code.threads
    assert code.step_barriers == 0
    assert code.wide_loads > 0


@pytest.mark.parametrize("keep", [False, True])
def test_linear_statistics(keep):
    blocks = statistics_blocks(2048)
    code = machine_code(
        "linear_logprobs.triton",
        "statistics_kernel",
        {
            **pointers("logits logprobs lse total entropies maxima"),
            **pointers("exponentials", "bf16"),
            **pointers("targets", "i64"),
            **pointers("top1", "i1"),
            **dict.fromkeys(("stride", "first_column", "kept_stride"), "i32:16"),
            **dict.fromkeys(("width", "allowed_stride"), "i32"),
            **dict.fromkeys(("scale", "inner_scale", "softcap"), "fp32"),
        },
        {
            **PLAIN_HEAD,
            "FIRST": False,
            "LAST": False,
            "WITH_ENTROPY": not keep,
            "KEEP": keep,
            "BLOCK": blocks.block,
        },
        num_warps=blocks.num_warps,
    )
    assert code.spills == 0
    assert code.programs_per_sm >= 6
    assert code.step_instructions <= 16 * blocks.block / code.threads
    assert code.step_barriers <= 3
    assert code.wide_loads > 0


def test_linear_gradient():
    blocks = backward_blocks(8192)
    code = machine_code(
        "linear_logprobs.triton",
        "gradient_kernel",
        {
            **pointers("logits logprobs grad_logprobs grad_entropies grad_lse entropies lse"),
            **pointers("gradient", "bf16"),
            **pointers("targets", "i64"),
            **dict.fromkeys(("stride", "first_column"), "i32:16"),
            **dict.fromkeys(("num_rows", "width", "num_blocks", "allowed_stride"), "i32"),
            **dict.fromkeys(("scale", "inner_scale", "softcap"), "fp32"),
        },
        {**PLAIN_HEAD, "WITH_ENTROPY": True, "WITH_LSE": True, "BLOCK": blocks.block},
        num_warps=blocks.num_warps,
    )
    assert code.spills == 0
    assert code.registers <= 64
    assert code.wide_loads > 0


@pytest.mark.parametrize("entropy", [False, True])
def test_one_pass_gradient(entropy):
    blocks = backward_blocks(2048)
    code = machine_code(
        "one_pass.triton",
        "exponentials_gradient_kernel",
        {
            **pointers("exponentials", "bf16"),
            **pointers("maxima slope_policy slope_entropy logprobs entropies lse"),
            **pointers("targets", "i64"),
            **dict.fromkeys(("rows_per_maxima", "stride", "columns_per_maximum"), "i32:16"),
            **dict.fromkeys(("num_rows", "num_tiles"), "i32"),
            **dict.fromkeys(("scale", "logit_scale", "softcap"), "fp32"),
        },
        {
            "temperatures": None,
            "WITH_ENTROPY": entropy,
            "WITH_TEMPERATURES": False,
            "WITH_SOFTCAP": False,
            "BLOCK": blocks.block,
        },
        num_warps=blocks.num_warps,
    )
    assert code.spills == 0
    # The entropy's slope needs a logarithm of each entry.
    assert code.programs_per_sm >= 12
    assert code.step_instructions <= (34 if entropy else 18) * blocks.block / code.threads
    assert code.step_barriers == 0
    assert code.wide_loads > 0


@pytest.mark.parametrize("divergence", ["forward_kl", "reverse_kl", "jsd"])
def test_divergence_of_two_heads(divergence):
    blocks = divergence_blocks(QWEN3_VL_8B)
    arguments = divergence_arguments(divergence)
    code = machine_code("distillation.triton", "divergence_kernel", *arguments, num_warps=blocks.num_warps)
    assert code.spills == 0
    assert code.programs_per_sm >= 4
    # JSD has two logarithms of each entry's mixture, the others none.
    assert code.step_instructions <= (53 if divergence == "jsd" else 30) * blocks.block / code.threads
    assert code.wide_loads > 0


def divergence_arguments(divergence: str) -> tuple[dict[str, str], dict[str, Any]]:
    types = {
        **pointers("student teacher values"),
        **pointers("out", "bf16"),
        **dict.fromkeys(("width", "student_stride", "teacher_stride", "out_stride"), "i32:16"),
        **dict.fromkeys(("scale", "beta", "gradient_scale"), "fp32"),
    }
    return types, {"DIVERGENCE": divergence, "BLOCK": divergence_blocks(QWEN3_VL_8B).block}


def test_divergence_from_a_servers_tokens():
    blocks = forward_blocks(QWEN3_VL_8B)
    code = machine_code("distillation.triton", "top_k_kernel", *top_k_arguments(), num_warps=blocks.num_warps)
    assert code.spills == 0
    assert code.programs_per_sm >= 6
    assert code.step_instructions <= 9 * blocks.block / code.threads
    assert code.step_barriers <= 3
    assert code.wide_loads > 0


def top_k_arguments() -> tuple[dict[str, str], dict[str, Any]]:
    types = {
        **pointers("student logprobs values"),
        **pointers("out", "bf16"),
        **pointers("tokens", "i64"),
        "width": "i32:16",
        "num_listed": "i32",
        **dict.fromkeys(("student_stride", "out_stride"), "i32:16"),
        **dict.fromkeys(("scale", "gradient_scale"), "fp32"),
    }
    return types, {"LISTED": 32, "BLOCK": forward_blocks(QWEN3_VL_8B).block}


@pytest.mark.parametrize("entropy", [True, False])
def test_fused_forward_uses_tensor_cores_and_tma(entropy):
    tile = fused_forward(QWEN3_VL_8B)
    code = machine_code(
        "linear_logprobs.fused",
        "fused_kernel",
        {
            "hidden": f"tensordesc<bf16[{tile.rows}, {tile.inner}]>",
            "weight": f"tensordesc<bf16[{tile.columns}, {tile.inner}]>",
            **pointers("targets", "i64"),
            **pointers("partials chosen"),
            "num_rows": "i32",
            "vocabulary": "i32:16",
            "hidden_size": "i32:16",
            "num_splits": "i32:16",
            "tiles_per_split": "i32",
            "scale": "fp32",
        },
        {
            "bias": None,
            "WITH_ENTROPY": entropy,
            "WITH_BIAS": False,
            "ROWS": tile.rows,
            "COLUMNS": tile.columns,
            "INNER": tile.inner,
            "GROUP": 32,
        },
        num_warps=tile.num_warps,
        num_stages=tile.num_stages,
    )
    assert code.tensor_core_products > 0
    assert code.bulk_loads > 0
    assert code.spills == 0
    # Shared memory of one SM, less what the system keeps.
    assert code.shared_bytes <= 227 * 1024


@pytest.mark.parametrize("ratio", ["token", "sequence"])
def test_grpo_loss(ratio):
    code = machine_code(
        "policy_loss.triton",
        "loss_kernel",
        {
            **pointers("policy old rollout reference advantages gradient partials loss scale metrics"),
            **pointers("normalizer", "fp64"),
            **pointers("mask", "i1"),
            **pointers("counter", "i32"),
            **dict.fromkeys(("num_sequences", "num_columns", "num_blocks", "num_programs"), "i32"),
            **dict.fromkeys(("lower", "upper", "dual_clip", "importance_cap", "kl_coef", "kl_clamp"), "fp32"),
        },
        {
            **{f"WITH_{name}": True for name in ("ROLLOUT", "REFERENCE", "NORMALIZER", "DUAL_CLIP", "KL_CLAMP")},
            "PER_TOKEN": False,
            "KL": "k3",
            "SEQUENCE_RATIO": ratio == "sequence",
            "CISPO": False,
            "AGGREGATION": "dapo",
            "BLOCK": 512,
            "NUM_COLUMNS": 16,
        },
        num_warps=4,
    )
    assert code.spills == 0


@pytest.mark.parametrize("num_components", [1, 2])
def test_group_advantages(num_components):
    code = machine_code(
        "advantages.triton",
        "advantages_kernel",
        {
            **pointers("rewards weights advantages means stds"),
            **pointers("offsets num_rewards", "i64"),
            **pointers("degenerate_groups", "i1"),
            "batch": "i32",
            "eps": "fp32",
        },
        {
            "MODE": "grpo",
            "NORMALIZE_FIRST": num_components > 1,
            "NUM_COMPONENTS": num_components,
            "BLOCK": 64,
            "BATCH_BLOCK": 1024,
        },
        num_warps=2,
    )
    assert code.spills == 0


TARGETS = [("cuda", 80), ("cuda", 100), ("cuda", 120), ("hip", "gfx942")]


@pytest.mark.parametrize(("backend", "architecture"), TARGETS)
def test_the_row_kernels_compile_for_other_gpus(backend, architecture):
    """Machine code for an A100, Blackwell of the data centre and of the desk, and an MI300: none of them was at hand."""
    from cross_compile import compiled_for

    blocks = forward_blocks(QWEN3_VL_8B)
    types = {
        **pointers("logits", "bf16"),
        **pointers("targets", "i64"),
        **pointers("logprobs entropies lse"),
        **pointers("top1", "i1"),
        "vocabulary": "i32:16",
        **ROWS,
        "scale": "fp32",
    }
    constants = {
        "temperatures": None,
        "stride_column": 1,
        "WITH_ENTROPY": True,
        "WITH_TEMPERATURES": False,
        "BLOCK": blocks.block,
    }
    distillation = import_module("urt_kernels.distillation.triton")
    kernels = [(import_module("urt_kernels.logprobs.triton").forward_kernel, types, constants, blocks.num_warps)]
    kernels += [(distillation.top_k_kernel, *top_k_arguments(), blocks.num_warps)]
    warps = divergence_blocks(QWEN3_VL_8B).num_warps
    for divergence in ("forward_kl", "reverse_kl", "jsd"):
        kernels.append((distillation.divergence_kernel, *divergence_arguments(divergence), warps))
    for kernel, own_types, own_constants, num_warps in kernels:
        code = compiled_for(
            kernel, own_types, own_constants, backend=backend, architecture=architecture, num_warps=num_warps
        )
        assert len(code.asm["hsaco" if backend == "hip" else "cubin"]) > 1000
