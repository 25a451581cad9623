"""What a GPU should show, by part: predicted from the work that the plans ask for, before anybody measured it.

A run on a GPU confirms or refutes each line by itself. The assumptions stand in `Machine` and in the comments, one each.
"""

from __future__ import annotations

from dataclasses import dataclass

from urt_kernels.linear_logprobs.chunks import balanced
from urt_kernels.tuning import HEIGHT_STEP, chunked_backward, chunked_forward, cover, one_pass


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Sustained rates, not those of the data sheet.

    >>> Machine(name="H100", product=720e12, copy=3.0e12, cache=5.5e12, issue=27.9e12)
    """

    name: str
    product: float
    """Operations per second of a large bf16 product with fp32 sums (cuBLAS)."""
    copy: float
    """Bytes per second, read and written."""
    cache: float
    """Bytes per second read from L2."""
    issue: float
    """Instructions of one lane per second: 132 SMs x 4 x 32 lanes at 1.65 GHz."""


H100 = Machine(name="H100", product=720e12, copy=3.0e12, cache=5.5e12, issue=27.9e12)
H200 = Machine(name="H200", product=740e12, copy=4.3e12, cache=5.5e12, issue=27.9e12)
LAUNCH_S = 3e-6
"""Lost between two kernels of one stream: the tail of one and the start of the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Tokens through a head: Step(num_rows=8192, size=4096, vocabulary=151936)"""

    num_rows: int = 8192
    size: int = 4096
    vocabulary: int = 151936

    @property
    def product(self) -> float:
        """Operations of one of the head's products."""
        return 2.0 * self.num_rows * self.size * self.vocabulary

    @property
    def elements(self) -> int:
        return self.num_rows * self.vocabulary

    @property
    def weight_gradient(self) -> float:
        """Bytes of the fp32 weight gradient."""
        return 4.0 * self.size * self.vocabulary

    def chunks(self, largest: int) -> int:
        return len(list(balanced(self.num_rows, largest, step=HEIGHT_STEP)))


def one_pass_parts(step: Step, machine: Machine, *, trains_weight: bool, own_buffer: bool) -> dict[str, float]:
    """Milliseconds of `linear_loss`, forward and backward, by part."""
    plan = one_pass(step.vocabulary, 2, trains_weight=trains_weight)
    chunks = step.chunks(plan.rows)
    launches = chunks * cover(step.vocabulary, plan.columns)
    # fp32 logits come from the L2 cache, exponentials go to memory; 15 % are lost to a wave that is not full.
    statistics = (4 * step.elements / machine.cache + 2 * step.elements / machine.copy) / 0.85 + launches * LAUNCH_S
    seconds = {
        # Blocks of 2048 columns: a product of that width reaches 90 % of the large one's rate.
        "logits": step.product / (0.90 * machine.product),
        "statistics, exponentials kept": statistics,
        "exponentials to gradient": 4 * step.elements / (0.90 * machine.copy),
        "hidden gradient": step.product / (0.96 * machine.product),
    }
    if trains_weight:
        # The first chunk writes the sums (into a buffer that holds others it reads them, too); arithmetic and memory overlap
        # badly: the longer of the two and a quarter of the other.
        passes = 2 * chunks - (0 if own_buffer else 1)
        arithmetic, memory = step.product / machine.product, passes * step.weight_gradient / machine.copy
        seconds["weight gradient"] = max(arithmetic, memory) + min(arithmetic, memory) / 4
        if not own_buffer:
            seconds["sums to the weight's type"] = 1.5 * step.weight_gradient / (0.90 * machine.copy)
    seconds["objective and rest"] = 0.3e-3
    return {name: 1e3 * value for name, value in seconds.items()}


def two_steps_parts(step: Step, machine: Machine) -> dict[str, float]:
    """Milliseconds of `linear_token_logprobs` and its backward pass with a weight that learns."""
    forward, backward = chunked_forward(step.vocabulary), chunked_backward(step.vocabulary)
    launches = step.chunks(forward.rows) * cover(step.vocabulary, forward.columns)
    passes = 2 * step.chunks(backward.rows) - 1
    arithmetic, memory = step.product / machine.product, passes * step.weight_gradient / machine.copy
    seconds = {
        "logits": step.product / (0.90 * machine.product),
        "statistics": 4 * step.elements / machine.cache / 0.85 + launches * LAUNCH_S,
        "logits again": step.product / (0.96 * machine.product),
        # 4096 x 8192 fp32 logits are larger than the L2 cache: they pass through memory, as their bf16 gradient does.
        "logits to gradient": (4 + 2) * step.elements / (0.90 * machine.copy) + 4 * step.elements / machine.copy,
        "hidden gradient": step.product / (0.96 * machine.product),
        "weight gradient": max(arithmetic, memory) + min(arithmetic, memory) / 4,
        "sums to the weight's type": 1.5 * step.weight_gradient / (0.90 * machine.copy),
    }
    return {name: 1e3 * value for name, value in seconds.items()}


def row_kernel_parts(step: Step, machine: Machine) -> dict[str, float]:
    """Milliseconds of `token_logprobs` on bf16 logits: memory or instructions, whichever is longer.

    Instructions an element are those of the compiled code (tests/tools/test_cross_compile.py); 92 % of copy bandwidth with four
    programs on an SM, 90 % where reads and writes mix.
    """
    seconds = {
        "forward with entropy": max(2 * step.elements / (0.92 * machine.copy), 12.4 * step.elements / machine.issue),
        "backward": max(4 * step.elements / (0.90 * machine.copy), 16.0 * step.elements / machine.issue),
    }
    return {name: 1e3 * value for name, value in seconds.items()}


def table() -> str:
    """The predictions of docs/kernels.md, as Markdown."""
    step = Step()
    columns: dict[str, list[dict[str, float]]] = {
        "one pass": [one_pass_parts(step, each, trains_weight=True, own_buffer=False) for each in (H100, H200)],
        "one pass into an fp32 buffer": [
            one_pass_parts(step, each, trains_weight=True, own_buffer=True) for each in (H100, H200)
        ],
        "one pass, frozen head": [
            one_pass_parts(step, each, trains_weight=False, own_buffer=False) for each in (H100, H200)
        ],
        "two steps": [two_steps_parts(step, each) for each in (H100, H200)],
        "`token_logprobs` on bf16 logits": [row_kernel_parts(step, each) for each in (H100, H200)],
    }
    lines = ["| form | part | H100 ms | H200 ms |", "| --- | --- | ---: | ---: |"]
    for form, (first, second) in columns.items():
        for part, value in first.items():
            lines.append(f"| {form} | {part} | {value:.2f} | {second[part]:.2f} |")
        if "logits" in first:
            lines.append(f"| {form} | **sum** | **{sum(first.values()):.1f}** | **{sum(second.values()):.1f}** |")
    return "\n".join(lines)
