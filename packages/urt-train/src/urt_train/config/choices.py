"""The words a field may be set to. Enum members are written in YAML by their name."""

from __future__ import annotations

from enum import StrEnum, auto

from urt_core.records import Task

ALL_TASKS = tuple(task.value for task in Task)


class Schedule(StrEnum):
    """What the learning rate does after the warm-up."""

    constant = auto()
    linear = auto()
    cosine = auto()


class Mean(StrEnum):
    """What imitation averages over in an optimizer step: all tokens, or first the tokens of each completion."""

    tokens = auto()
    sequences = auto()


class Batching(StrEnum):
    """How the completions of one prompt are laid out; both give the same log-probs and gradients."""

    padded = auto()
    shared_prefix = auto()


class RolloutEngine(StrEnum):
    """Who samples: transformers over the live weights, or vLLM (in the same process, or as servers), which is handed
    them before each rollout."""

    transformers = auto()
    vllm = auto()
    vllm_server = auto()


class WeightTransfer(StrEnum):
    """How servers get the weights: a folder that they reload (any device, one file system), or vLLM's NCCL broadcast
    (CUDA)."""

    folder = auto()
    nccl = auto()


class Ratio(StrEnum):
    """What the importance ratio of GRPO is taken over: each token, or a whole completion (GSPO, arXiv 2507.18071)."""

    token = auto()
    sequence = auto()


class Orders(StrEnum):
    """Candidate order of a pair: as recorded, both (half of each group when training), or drawn per pair."""

    given = auto()
    both = auto()
    random = auto()


class Teacher(StrEnum):
    """Who writes the traces to imitate: the sprites' oracle, any OpenAI-compatible endpoint, or a model on one's own
    machines."""

    oracle = auto()
    openai = auto()
    transformers = auto()
    vllm = auto()
    vllm_server = auto()
