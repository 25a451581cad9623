"""The stages of training. Each is a folder: its spec, its settings, its module.

A stage of a user's own is named by the import path of its spec (`stage=my_package.stages:SPEC`) or installed as an
entry point of the group `urt.stages`; what is said here about ours then holds for it.
"""

from urt_train.stages.registry import asked, find_stage, known_stages, spoken, train_config
from urt_train.stages.spec import Conclusion, Preparation, StageInputs, StageSpec

__all__ = [
    "Conclusion",
    "Preparation",
    "StageInputs",
    "StageSpec",
    "asked",
    "find_stage",
    "known_stages",
    "spoken",
    "train_config",
]
