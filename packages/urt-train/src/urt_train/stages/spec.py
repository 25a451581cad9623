"""What a stage is: one object that says all that the rest of the trainer needs to know of it.

    prepare (make the data that only this stage makes) -> build (policy and settings in, a LightningModule out) -> fit -> export -> conclude

Nothing here imports torch: a command line is checked, and the steps of an experiment are laid out, before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urt_core.prompts.prompt import Dialect
from urt_train.config.judge import JudgeConfig
from urt_train.config.stage import RoundPlan, StageConfig

if TYPE_CHECKING:
    from lightning.pytorch import Trainer
    from rich.console import Console

    from urt_core import AsyncEngine, Engine
    from urt_data import ShardFolder
    from urt_train.model.policy import Policy
    from urt_train.stages.module import StageModule


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """What a stage is given to make its own data from, before it learns."""

    settings: Any
    """The stage's own."""
    seed: int
    dialect: Dialect
    """In which the run's judge is asked."""
    is_anew: bool
    """What an earlier run made may be made again with other settings."""
    initial_hash: str
    """Of the weights it starts from."""
    folder: Path
    """Of the stage's run."""
    shards: Callable[[str], Path]
    """The folder of a split, to write to."""
    open_shards: Callable[[str], ShardFolder]
    """The shards of a split, wherever they lie."""
    allow_noncommercial: bool
    is_given: Callable[[str], bool]
    """Whether the user named the folder of a split."""
    initial: str
    """Model folder or hub id that it starts from."""
    judge: JudgeConfig
    """How the run's judge is shown its pairs."""
    served_dtype: str
    """Type in which an engine of the stage's own is to serve the weights."""
    open_policy: Callable[[], Policy]
    make_trainer: Callable[[], Trainer]
    """Devices and strategy of the run, without callbacks; at its first call the processes find each other."""
    console: Console
    has_progress_bar: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class StageInputs:
    """What a stage is built from.

    StageInputs(policy=policy, settings=DPOConfig(), plan=RoundPlan(...), num_steps=60, seed=0, initial="outputs/tiny/cold_start/model",
                folder=Path("outputs/tiny/dpo"), served_dtype="float32")
    """

    policy: Policy
    settings: Any
    """The stage's own."""
    plan: RoundPlan
    num_steps: int
    seed: int
    initial: str
    """Model folder or hub id that the policy was opened from."""
    folder: Path
    """Of the stage's run."""
    served_dtype: str
    """Type in which an engine of the stage's own is to serve the weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conclusion:
    """What a stage is given behind training, on the first process, when its judge lies in its folder."""

    settings: Any
    """The stage's own."""
    model: Path
    """Folder of the judge."""
    open_engine: Callable[[], Engine | AsyncEngine]
    """The judge, as `evaluation` has it computed."""
    open_shards: Callable[[str], ShardFolder]
    """The shards of a split, wherever they lie."""
    console: Console


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSpec:
    """StageSpec(name="dpo", title="DPO", config=DPOConfig, reads="contrasts", starts_from="rejection_sampling", build=build)"""

    name: str
    """In configs, folders and commands; a Python identifier."""
    title: str
    """In tables and headings."""
    config: type[StageConfig]
    """Its settings, a dataclass whose `path` is the name."""
    reads: str
    """Split of shards that it learns from."""
    build: Callable[[StageInputs], StageModule]
    """Imports torch when it is called, not before."""
    starts_from: str | None = None
    """Name of the stage whose judge it starts from; None: the base model."""
    writes: tuple[str, ...] = ()
    """Splits of shards that its preparation writes; its judge is written for it."""
    prepare: Callable[[Preparation], None] | None = None
    prepares_from: Callable[[Any], tuple[str, ...]] = field(default=lambda settings: ())
    """Splits that its preparation reads, by its settings; what no stage writes is the user's. "pool|train" is the first that there is."""
    mixes_in: Callable[[Any], Mapping[str, float]] = field(default=lambda settings: {})
    """Further splits to learn from, by its settings: records of each for every record of `reads`."""
    needs_a_winner: bool = False
    """Whether pairs whose label is a tie or missing are left out of what it reads."""
    check: Callable[[Any, Dialect], None] = field(default=lambda settings, dialect: None)
    """Looks once more at its settings, and at the dialect that the run's judge is asked in, before anything is loaded."""
    by_default: bool = False
    """Whether a recipe that names no stages has it."""
    conclude: Callable[[Conclusion], None] | None = None
    """Finds out about the judge, behind training, what is to stand in its judge.json."""
    samples: bool = False
    """Whether it samples while it trains, for which a strategy has to give the weights whole."""

    @property
    def label(self) -> str:
        """At the head of a column or of a sentence: Cold start, GRPO."""
        return self.title[:1].upper() + self.title[1:]
