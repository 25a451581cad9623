"""urt-core: prompt, parse and score with multimodal chain-of-thought reward models.

Names are loaded when they are first used, so that `import urt_core` is quick and needs nothing beyond Python.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from urt_core.comparison import Comparison
    from urt_core.contracts import Contract, load_contract
    from urt_core.engines import AsyncEngine, Completion, Engine, FinishReason, SamplingParams, Status, Usage
    from urt_core.errors import UrtError
    from urt_core.judgement import Judgement, ParseFailure, parse_judgement
    from urt_core.judges.spec import JudgeSpec
    from urt_core.media import MediaPolicy
    from urt_core.points import PointScore
    from urt_core.prompts import Dialect, PointContract, Prompt, render, sanitise, verdict_text
    from urt_core.ranking import Ranking
    from urt_core.records import Media, MediaKind, Preference, PreferenceRecord, Task
    from urt_core.rewards import Reward, RewardInput, judge_reward
    from urt_core.scorer import Scorer

__version__ = "0.1.0"

_HOME = {
    "urt_core.comparison": ("Comparison",),
    "urt_core.contracts": ("Contract", "load_contract"),
    "urt_core.engines": ("AsyncEngine", "Completion", "Engine", "FinishReason", "SamplingParams", "Status", "Usage"),
    "urt_core.errors": ("UrtError",),
    "urt_core.judges.spec": ("JudgeSpec",),
    "urt_core.judgement": ("Judgement", "ParseFailure", "parse_judgement"),
    "urt_core.media": ("MediaPolicy",),
    "urt_core.points": ("PointScore",),
    "urt_core.prompts": ("Dialect", "PointContract", "Prompt", "render", "sanitise", "verdict_text"),
    "urt_core.ranking": ("Ranking",),
    "urt_core.records": ("Media", "MediaKind", "Preference", "PreferenceRecord", "Task"),
    "urt_core.rewards": ("Reward", "RewardInput", "judge_reward"),
    "urt_core.scorer": ("Scorer",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "AsyncEngine",
    "Comparison",
    "Completion",
    "Contract",
    "Dialect",
    "Engine",
    "FinishReason",
    "JudgeSpec",
    "Judgement",
    "Media",
    "MediaKind",
    "MediaPolicy",
    "ParseFailure",
    "PointContract",
    "PointScore",
    "Preference",
    "PreferenceRecord",
    "Prompt",
    "Ranking",
    "Reward",
    "RewardInput",
    "SamplingParams",
    "Scorer",
    "Status",
    "Task",
    "UrtError",
    "Usage",
    "judge_reward",
    "load_contract",
    "parse_judgement",
    "render",
    "sanitise",
    "verdict_text",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'urt_core' has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
