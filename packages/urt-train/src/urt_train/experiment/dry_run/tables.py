"""An estimate as tables, notes and one line."""

from __future__ import annotations

from collections.abc import Sequence

from urt_core import Task
from urt_core.bench.table import Table
from urt_core.bench.tables import task_title
from urt_train.config.dry_run import EVALUATION
from urt_train.experiment.dry_run.advice import advice, largest_items
from urt_train.experiment.dry_run.estimate import GIB, Estimate, StageEstimate
from urt_train.experiment.dry_run.moments import Moment

PHASES = ("sampling", "update", "step")
TOTAL = "Everything"


def estimate_tables(estimate: Estimate) -> list[Table]:
    trained = [stage for stage in estimate.stages if stage.learning is not None]
    return [
        _parts_table(estimate),
        _prompts_table(estimate),
        *([_steps_table(estimate, trained)] if trained else []),
        *(_memory_table(stage) for stage in estimate.stages),
        _storage_table(estimate),
        _verdict_table(estimate),
    ]


def notes(estimate: Estimate) -> list[str]:
    """What is exact and what is not."""
    dry_run, shape = estimate.config.dry_run, estimate.shape
    lines = [
        f"Shape: {shape.source}."
        + (f" Published with {shape.parameters:,} parameters ({shape.parameters_source})." if shape.parameters else "")
        + (f" Not verified: {shape.unverified}." if shape.unverified else ""),
        "Exact: parameters, weights, gradients, optimizer state, reference copy, key-value cache, pixels, sizes of batches.",
        "Measured on fake tensors of the CPU: activations of the recipe's own model and attention; a GPU's kernels differ in their workspaces.",
        "Estimated: what a strategy gathers and buffers, the loss head, logits while sampling; torch's allocator takes more than tensors need.",
        f"Assumed: captions and questions of {dry_run.caption_tokens} tokens, answers of {dry_run.answer_tokens}, pictures at judge.max_pixels, videos"
        f" of judge.num_frames frames, all completions as long as allowed"
        f"{f' or {dry_run.completion_tokens} tokens' if dry_run.completion_tokens else ''}; {dry_run.reserve_gib:g} GiB of each device for all else.",
    ]
    if "linear_attention" in (getattr(shape.config().get_text_config(), "layer_types", None) or ()):
        lines.append(
            "Recurrent layers as flash-linear-attention computes them; without it transformers' own loop needs more."
        )
    if estimate.strategy.is_deepspeed:
        lines.append("DeepSpeed has not been run by this project: its rows are read from its code.")
    return lines


def summary(estimate: Estimate) -> str:
    """qwen3_vl_8b on 8 devices of 80 GiB (fsdp2): cold_start fits (26.1 GiB), grpo does not fit (84.4 GiB)"""
    dry_run = estimate.config.dry_run
    devices = f"{dry_run.devices} device{'s' * (dry_run.devices > 1)} of {dry_run.device_memory_gib:g} GiB"
    verdicts = [f"{stage.name} {_verdict(stage)} ({_gib(stage.largest.total)} GiB)" for stage in estimate.stages]
    return f"{estimate.config.recipe} on {devices} ({estimate.strategy}): {', '.join(verdicts)}"


def remedies(estimate: Estimate) -> list[str]:
    """One line for each stage that does not fit."""
    lines = []
    for stage in estimate.stages:
        if not stage.fits:
            items = ", ".join(f"{name} {_gib(size)}" for name, size in largest_items(stage.largest))
            lines.append(
                f"{stage.name}, {stage.largest.name}: {items} GiB; would help: {'; '.join(advice(estimate, stage))}"
            )
    return lines


def _verdict(stage: StageEstimate) -> str:
    return "is refused" if stage.refusal else "fits" if stage.fits else "does not fit"


def _gib(size: float) -> str:
    return f"{size / GIB:.1f}"


def _parts_table(estimate: Estimate) -> Table:
    rows = [(part.name, f"{part.parameters:,}", f"{part.trained:,}") for part in estimate.parts]
    return Table(
        title=f"Parameters of {estimate.shape.base}",
        columns=("part", "parameters", "trained"),
        rows=(*rows, (TOTAL, f"{estimate.parameters:,}", f"{estimate.trained:,}")),
    )


def _prompts_table(estimate: Estimate) -> Table:
    return Table(
        title=f"The longest prompts (dialect {estimate.config.judge.dialect})",
        columns=("task", "pictures", "tokens of one", "image tokens", "text tokens", "prompt"),
        rows=tuple(
            (
                task_title(task),
                str(length.pictures.number),
                f"{length.pictures.tokens / length.pictures.number:.0f}",
                f"{length.pictures.tokens:,}",
                f"{length.text:,}",
                f"{length.tokens:,}",
            )
            for task, length in estimate.lengths.items()
        ),
    )


def _steps_table(estimate: Estimate, stages: Sequence[StageEstimate]) -> Table:
    columns = [_steps_column(estimate, stage) for stage in stages]
    return Table(
        title="What a device computes",
        columns=("", *(stage.label for stage in stages)),
        rows=tuple((name, *(column[name] for column in columns)) for name in columns[0]),
    )


def _steps_column(estimate: Estimate, stage: StageEstimate) -> dict[str, str]:
    learning, sampling, devices = stage.learning, stage.sampling, estimate.config.dry_run.devices
    assert learning is not None
    plan, settings = learning.plan, getattr(estimate.config, stage.name)
    prompts_per_rollout = getattr(settings, "prompts_per_rollout", None)
    return {
        "longest prompt let in": f"{learning.prompt.tokens:,} of {settings.max_prompt_tokens:,}",
        "tasks left out at that size": ", ".join(map(_short_title, learning.left_out)) or "none",
        "longest completion": f"{learning.completion:,}",
        "rows": "packed" if learning.is_packed else "padded",
        "prompts x completions in a micro-batch": f"{learning.groups} x {learning.group}",
        "tokens in a micro-batch": f"{learning.tokens:,}",
        "micro-batches per device and optimizer step": f"{plan.batches_per_step}",
        "sequences per optimizer step": f"{plan.batches_per_step * plan.batch_size * devices:,}",
        "groups per rollout": "–" if prompts_per_rollout is None else f"{prompts_per_rollout}",
        "optimizer steps per rollout": "–" if prompts_per_rollout is None else f"{plan.steps_per_round}",
        "prompts x completions sampled at once": f"{sampling.prompts} x {sampling.group}" if sampling else "–",
    }


def _short_title(task: Task) -> str:
    return task_title(task).lower()


def _memory_table(stage: StageEstimate) -> Table:
    moments = [moment for phase in PHASES if (moment := stage.largest_of(phase))]
    items = list(dict.fromkeys(item for moment in moments for item, size in moment.holds.items() if size >= 1))
    rows = [(item, *(_cell(moment, item) for moment in moments)) for item in items]
    return Table(
        title=f"{stage.label}: GiB on a device, of {_gib(stage.room)}",
        columns=("item", *(_moment_title(moment) for moment in moments)),
        rows=(*rows, (TOTAL, *(_gib(moment.total) for moment in moments))),
    )


def _moment_title(moment: Moment) -> str:
    return moment.name if moment.name.startswith(moment.phase) else f"{moment.phase}: {moment.name}"


def _cell(moment: Moment, item: str) -> str:
    size = moment.holds.get(item, 0)
    return f"{size / GIB:.2f}" if size >= 1 else "–"


def _storage_table(estimate: Estimate) -> Table:
    return Table(
        title="GiB of main memory of a node, and of disk",
        columns=("stage", "loading the model", "pixels", "kept by the strategy", "exported model", "checkpoint"),
        rows=tuple(
            (
                stage.label,
                _gib(stage.host.loading),
                _gib(stage.host.pixels),
                _gib(stage.host.states),
                *(("–", "–") if stage.name == EVALUATION else (_gib(stage.model_bytes), _gib(stage.checkpoint_bytes))),
            )
            for stage in estimate.stages
        ),
    )


def _verdict_table(estimate: Estimate) -> Table:
    return Table(
        title="Verdict",
        columns=("stage", "most on a device, GiB", "when", "room, GiB", ""),
        rows=tuple(
            (
                stage.label,
                _gib(stage.largest.total),
                _moment_title(stage.largest),
                _gib(stage.room),
                _verdict(stage),
            )
            for stage in estimate.stages
        ),
    )
