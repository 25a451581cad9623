"""All prompt text of the project: templates, the way they are filled, and how user text is made harmless."""

from urt_core.prompts.pairwise import render, verdict_text
from urt_core.prompts.pointwise import PointContract, PointScale, point_scale, render_pair_score, render_point
from urt_core.prompts.prompt import Dialect, Prompt, Turn
from urt_core.prompts.sanitise import SPECIAL_TOKENS, find_special_token, sanitise

__all__ = [
    "SPECIAL_TOKENS",
    "Dialect",
    "PointContract",
    "PointScale",
    "Prompt",
    "Turn",
    "find_special_token",
    "point_scale",
    "render",
    "render_pair_score",
    "render_point",
    "sanitise",
    "verdict_text",
]
