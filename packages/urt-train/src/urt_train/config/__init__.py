"""Every setting of urt's programs: name, type, default and meaning. Imports no torch.

`packages/urt-train/src/urt_train/configs/` chooses among these fields and cites its sources; each default lives here, once. Where the paper speaks
(arXiv 2505.03318 and its released scripts), the default is the paper's; the recipe `tiny` says where it needs others.

TrainConfig                 one experiment (a recipe)
├── judge: JudgeConfig      how pairs are shown; goes into judge.json
├── model: ModelConfig      the base and what of it learns
├── data: DataConfig        where pairs come from
├── distill: DistillConfig  the teacher's traces
├── cold_start, rejection_sampling, grpo, ...   a StageConfig each, which lives with its stage in urt_train/stages
├── evaluation: EvaluationConfig
├── dry_run: DryRunConfig    the machine and the lengths that `urt-train dry_run` computes for
└── trainer: TrainerConfig · strategy · logger
"""

from urt_train.config.choices import (
    ALL_TASKS,
    Batching,
    Mean,
    Orders,
    Ratio,
    RolloutEngine,
    Schedule,
    Teacher,
    WeightTransfer,
)
from urt_train.config.data import CacheConfig, DataConfig, DataPart, QuarantineConfig
from urt_train.config.dry_run import DryRunConfig
from urt_train.config.experiment import TrainConfig, TrainerConfig
from urt_train.config.judge import DistillConfig, EvaluationConfig, JudgeConfig, LoraConfig, ModelConfig
from urt_train.config.stage import FineTuningConfig, ImitationConfig, RoundPlan, StageConfig

__all__ = [
    "ALL_TASKS",
    "Batching",
    "CacheConfig",
    "DataConfig",
    "DataPart",
    "DistillConfig",
    "DryRunConfig",
    "EvaluationConfig",
    "FineTuningConfig",
    "ImitationConfig",
    "JudgeConfig",
    "LoraConfig",
    "Mean",
    "ModelConfig",
    "Orders",
    "QuarantineConfig",
    "Ratio",
    "RolloutEngine",
    "RoundPlan",
    "Schedule",
    "StageConfig",
    "Teacher",
    "TrainConfig",
    "TrainerConfig",
    "WeightTransfer",
]
