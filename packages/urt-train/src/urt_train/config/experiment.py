"""The root of a composed config: one experiment, with the settings of each of its parts and the places of its output."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from urt_core.errors import ConfigError
from urt_train.config.checks import at_least, one_of
from urt_train.config.choices import Batching, Teacher
from urt_train.config.data import DataConfig, is_address
from urt_train.config.dry_run import DryRunConfig
from urt_train.config.judge import DistillConfig, EvaluationConfig, JudgeConfig, ModelConfig
from urt_train.config.stage import StageConfig


@dataclass(kw_only=True, slots=True)
class TrainerConfig:
    """The machine: devices, precision, and how often it reports."""

    path: ClassVar[str] = "trainer"
    accelerator: str = "auto"
    """auto, cpu or gpu."""
    devices: str = "auto"
    """Devices on this node: a number, or auto (all GPUs, or one CPU process)."""
    num_nodes: int = 1
    """Nodes; more than one is launched by torchrun or SLURM."""
    precision: str = "32-true"
    """32-true, or bf16-mixed: trains with bfloat16 sums and float32 weights and optimizer, where small updates are not rounded away;
    evaluates and exports in bfloat16."""
    num_threads: int | None = None
    """CPU threads of one process; null leaves it to torch."""
    timeout_s: float = 1800.0
    """Seconds that processes wait for one of them before the run ends with an error; the slowest rollout and save have to fit in."""
    log_every: int = 1
    """Optimizer steps between two lines of metrics."""
    progress_bar: bool = True
    """Draw progress bars."""

    def __post_init__(self) -> None:
        one_of(self, "accelerator", ["auto", "cpu", "gpu"])
        one_of(self, "precision", ["32-true", "bf16-mixed"])
        at_least(self, 1, "num_nodes", "num_threads", "timeout_s", "log_every")
        if self.devices != "auto" and not (self.devices.isdigit() and int(self.devices) > 0):
            raise ConfigError(f"trainer.devices is {self.devices!r}; allowed: auto, or a number above 0")


@dataclass(kw_only=True, slots=True)
class TrainConfig:
    """The root: one recipe, of which a program runs one stage (train.py), one step or all (pipeline.py). Each stage has a section of its own
    name beside those here, which the stages themselves bring along (`urt_train.stages.train_config`)."""

    path: ClassVar[str] = ""
    recipe: str = "tiny"
    """Name of the experiment; its output goes to <output_root>/<recipe>."""
    output_root: str = "outputs"
    """Folder of all output."""
    stage: str = ""
    """Stage that `urt-train` runs: a name, or the import path of a StageSpec (my_package.stages:SPEC)."""
    stages: list[str] = field(default_factory=list)
    """Stages of the recipe in their order, as `urt-train pipeline` runs them; the schema takes those that are there by
    default."""
    checkpoint: str | None = None
    """Model folder that `urt-train evaluate` measures; null takes the newest stage's of this recipe."""
    ckpt_path: str | None = "auto"
    """Where to go on: auto (the newest complete checkpoint of this stage, if any), a checkpoint folder, or null (start anew)."""
    go_on_with: list[str] = field(default_factory=list)
    """Settings in which a run of before may differ from this command, such as [grpo.max_steps, grpo.learning_rate, processes, torch]: it goes
    on as a new segment, which its folder and metrics tell."""
    run_missing: bool = False
    """Run earlier stages whose output is missing, instead of stopping with the command that runs them."""
    seed: int = 0
    """Every random choice follows from this number."""
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    dry_run: DryRunConfig = field(default_factory=DryRunConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    strategy: dict[str, Any] = field(default_factory=dict)
    """Lightning strategy as `_target_` and arguments; empty is Lightning's choice."""
    logger: dict[str, Any] = field(default_factory=dict)
    """Loggers by name, each as `_target_` and arguments."""
    given: list[str] = field(default_factory=list)
    """What was said on the command line; the programs fill it in, to repeat it in the commands that they name."""

    def __post_init__(self) -> None:
        if not self.recipe or set(self.recipe) & set("/\\ "):
            raise ConfigError(f"recipe is {self.recipe!r}; allowed: a folder name without spaces")
        at_least(self, 0, "seed")
        if self.model.attention == "flex":
            self._refuse_flex_where_it_cannot_serve()
        if self.data.source == "shards" and self.distill.teacher is Teacher.oracle:
            raise ConfigError(
                "data.source is shards (own pairs) and distill.teacher is oracle, which knows the sprites alone; choose a recipe for own"
                " pairs, such as recipe=qwen3_vl_8b or recipe=qwen3_vl_2b_lora_24gb, or another teacher: teacher=openai"
            )

    def _refuse_flex_where_it_cannot_serve(self) -> None:
        for section in fields(self):
            if getattr(getattr(self, section.name), "batching", None) is Batching.padded:
                raise ConfigError(
                    f"model.attention is flex, which serves rows that share their prompt, and {section.name}.batching is padded; allowed"
                    " with padded: sdpa, eager, flash_attention_2"
                )
        if self.trainer.accelerator == "cpu":
            raise ConfigError(
                "model.attention is flex and trainer.accelerator is cpu, where FlexAttention has no backward pass; allowed on a CPU:"
                " sdpa, eager"
            )

    @property
    def output_dir(self) -> Path:
        return Path(self.output_root) / self.recipe

    @property
    def stage_config(self) -> StageConfig:
        """The settings of `stage`; whoever knows which it is may say so by its own type."""
        return self.settings(self.stage)

    def settings(self, stage: str) -> StageConfig:
        """The settings of a stage by its name; the sections of the stages are added to this class by `urt_train.stages`."""
        return getattr(self, stage)

    @property
    def served_dtype(self) -> str:
        """The type that the run computes in, so the one that its judges are served in: by vLLM in rollouts, in evaluation, in the export."""
        return "bfloat16" if self.trainer.precision == "bf16-mixed" else self.model.dtype

    def stage_dir(self, stage: str | None = None) -> Path:
        return self.output_dir / (stage or self.stage)

    if TYPE_CHECKING:

        def __getattr__(self, section: str) -> Any:
            """The section of a stage."""

    def split(self, name: str) -> str:
        """Of several splits ("pool|train") the first that this recipe names or makes, else the last; one name means itself."""
        names = name.split("|")
        return next((each for each in names[:-1] if self.data.given(each) or each in self.data.counts), names[-1])

    def data_place(self, split: str) -> str:
        """Folder or address of a split: train, pool, validation, test, ..., and cold_start, accepted, hard, which the stages write."""
        name = self.split(split)
        return self.data.folder(name) or str(self.output_dir / "data" / name)

    def data_dir(self, split: str) -> Path:
        """The folder of a split, of this machine's."""
        place = self.data_place(split)
        if is_address(place):
            raise ConfigError(
                f"{self.data.setting(self.split(split))} is {place}, and what is done here takes a folder of this machine; copy it, or name one"
            )
        return Path(place)
