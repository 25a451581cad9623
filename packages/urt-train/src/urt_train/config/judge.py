"""Settings of what is judged and by what: how pairs are shown, the model, the data, the teacher, the measurement."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, ClassVar

from urt_core import Dialect, JudgeSpec, Task
from urt_core.contracts import load_contract
from urt_core.errors import ConfigError
from urt_core.media import MediaPolicy
from urt_train.config.checks import above, at_least, known_tasks, one_of, within
from urt_train.config.choices import ALL_TASKS, Orders, Teacher
from urt_train.config.engine import ENGINES, EngineSettings

OPENAI = "https://api.openai.com/v1"
"""Where the teacher openai is asked unless `distill.base_url` names another endpoint."""


@dataclass(kw_only=True, slots=True)
class JudgeConfig:
    """How a judge is shown its pairs; written to judge.json, so that serving shows them the same way."""

    path: ClassVar[str] = "judge"
    dialect: str = "v1"
    """Contract of prompt and judgement: v1 (inline), v2 (block), direct, or the import path of one of your own (docs/extending.md)."""
    min_pixels: int = 3136
    """Smaller images are enlarged to this many pixels (56 x 56)."""
    max_pixels: int = 147456
    """Larger images are reduced to this many pixels; 384 x 384 in the released Qwen GRPO script."""
    num_frames: int = 8
    """Frames taken uniformly from each video; the paper judges on 8 (4 in its GRPO)."""
    about: str = ""
    """What the judge is for, in a line of judge.json; empty says the stage and the recipe."""

    def __post_init__(self) -> None:
        known_contract("judge.dialect", self.dialect)
        at_least(self, 1, "min_pixels", "max_pixels", "num_frames")
        if self.max_pixels < self.min_pixels:
            raise ConfigError(
                f"judge.max_pixels is {self.max_pixels}; allowed: judge.min_pixels ({self.min_pixels}) or more"
            )

    @property
    def policy(self) -> MediaPolicy:
        return MediaPolicy(min_pixels=self.min_pixels, max_pixels=self.max_pixels, num_frames=self.num_frames)

    def spec(self, *, stage: str, base: str, **more: Any) -> JudgeSpec:
        """What a model that `stage` trained from `base` is exported with; `more` are further fields of `JudgeSpec`."""
        return JudgeSpec(
            dialect=Dialect(self.dialect),
            dimensions={str(task): task.dimensions for task in Task},
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            num_frames=self.num_frames,
            stage=stage,
            base=base,
            urt_version=version("urt-core"),
            **more,
        )


@dataclass(kw_only=True, slots=True)
class LoraConfig:
    """Low-rank adapters (arXiv 2106.09685) on the language model instead of full training; needs `peft`."""

    path: ClassVar[str] = "model.lora"
    rank: int = 0
    """Rank of the update; 0 trains the whole language model."""
    alpha: float = 32.0
    """The update is scaled by alpha / rank."""
    dropout: float = 0.0
    """Share of adapter inputs set to zero in training."""
    targets: list[str] = field(
        default_factory=lambda: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    )
    """Names of the linear layers that get an adapter."""

    def __post_init__(self) -> None:
        at_least(self, 0, "rank", "dropout")
        above(self, 0, "alpha")


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """The vision-language model before any stage, and which of its parts learn."""

    path: ClassVar[str] = "model"
    base: str = "embedded:tiny"
    """Hugging Face folder, hub id, or `embedded:tiny`, which travels with the package. A relative folder is looked up from
    the working directory."""
    revision: str | None = None
    """Commit of a hub id; null takes the newest."""
    dtype: str = "float32"
    """Type of the stored weights: float32 or bfloat16."""
    attention: str = "sdpa"
    """Attention kernel: sdpa, eager, flash_attention_2, or flex (FlexAttention where rows share a prompt, sdpa for the rest; CUDA)."""
    train_language: bool = True
    """Train the language model (the released scripts tune mm_language_model alone)."""
    train_vision: bool = False
    """Train the vision tower."""
    train_projector: bool = False
    """Train what maps vision features to the language model (the merger in Qwen, the projector in LLaVA)."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass to save memory."""
    lora: LoraConfig = field(default_factory=LoraConfig)

    def __post_init__(self) -> None:
        one_of(self, "dtype", ["float32", "bfloat16"])
        one_of(self, "attention", ["sdpa", "eager", "flash_attention_2", "flex"])


@dataclass(kw_only=True, slots=True)
class DistillConfig(EngineSettings):
    """Traces for the cold start: a teacher judges labelled pairs; a trace is kept where its verdict is the label."""

    path: ClassVar[str] = "distill"
    teacher: Teacher = Teacher.oracle
    """oracle (knows the sprites' truth), openai (any compatible endpoint), or a model on machines of your own: vllm,
    vllm_server, transformers."""
    split: str = "train"
    """Split whose pairs the teacher judges."""
    further: list[str] = field(default_factory=list)
    """Further splits whose pairs it judges as well."""
    tasks: list[str] = field(default_factory=lambda: ["image_generation"])
    """Tasks to take traces from; the paper's cold start sees image generation alone."""
    pairs_per_task: int = 10_000
    """At most this many pairs of each task; the paper distils 10K and keeps about 5K."""
    attempts: int = 1
    """Traces asked for per pair; the first whose verdict is the label is kept."""
    direct_share: float = 0.0
    """Share of the kept pairs that are also taught as a bare verdict in the direct dialect (the paper: none, its base has it)."""
    model: str = "gpt-4o"
    """Model that teaches, by the name its endpoint knows it by, as a folder or as a hub id; the paper's is GPT-4o."""
    temperature: float = 0.0
    """Sampling temperature of the teacher."""
    max_tokens: int = 2048
    """Longest trace in tokens."""

    def __post_init__(self) -> None:
        known_tasks(self)
        at_least(self, 1, "pairs_per_task", "attempts", "max_tokens")
        at_least(self, 0, "temperature")
        if self.teacher is Teacher.openai and self.base_url is None:
            self.base_url = OPENAI
        self.check_engine("teacher")
        within(self, 0, 1, "direct_share")


@dataclass(kw_only=True, slots=True)
class EvaluationConfig(EngineSettings):
    """How a judge is measured on held-out pairs."""

    path: ClassVar[str] = "evaluation"
    splits: list[str] = field(default_factory=lambda: ["test"])
    """Splits to judge."""
    splits_at_the_end: list[str] = field(default_factory=list)
    """Splits that a pipeline judges beside them after its last stage."""
    beside: dict[str, str] = field(default_factory=dict)
    """Judges of other recipes that the tables show beside the stages where they were measured on the same pairs: a label, and
    <recipe>/<stage> below `output_root`."""
    suites: int = 0
    """Pairs of the first split on which a pipeline tries, after its last stage, what moves the judge that should not; 0 leaves
    the suites out."""
    every: int = 0
    """Optimizer steps between two measurements on data.validation while a stage trains; 0 leaves them out. The judge that
    was best is kept in <stage>/best/model."""
    watched_pairs: int = 64
    """Pairs of data.validation that such a measurement takes, evenly spread."""
    best_by: str = "accuracy"
    """What the best judge is best in: accuracy (the mean of both orders, unreadable is wrong), position_consistency, readable."""
    tasks: list[str] = field(default_factory=lambda: list(ALL_TASKS))
    """Tasks to judge."""
    pairs_per_task: int | None = None
    """At most this many pairs of each task; null judges them all."""
    dialects: list[str] = field(default_factory=lambda: ["judge", "direct"])
    """Ways to ask: judge (the dialect in the checkpoint's judge.json), v1, v2, direct."""
    orders: Orders = Orders.both
    """given, or both (adds position consistency; twice the work)."""
    batch_size: int = 64
    """Pairs judged in one engine call."""
    engine: str = "transformers"
    """What computes the judgements: transformers, vllm (on this machine), vllm_server (vLLM servers, one or many, of `vllm serve <model
    folder>`), or openai (any endpoint that serves the checkpoint under its name)."""
    workers: int = 1
    """Processes that judge, started by this one, each on devices of its own; those that torchrun starts are taken as they are. The
    results do not depend on their number."""
    max_completion_tokens: int = 2048
    """Longest judgement; a longer one counts as unreadable."""
    temperature: float = 0.0
    """0 takes the most probable token at each step."""

    def __post_init__(self) -> None:
        known_tasks(self)
        at_least(self, 1, "pairs_per_task", "batch_size", "max_completion_tokens")
        at_least(self, 0, "temperature", "suites", "every")
        at_least(self, 1, "watched_pairs", "workers")
        one_of(self, "engine", list(ENGINES))
        self.check_engine("engine")
        one_of(self, "best_by", ["accuracy", "position_consistency", "readable"])
        for label, judge in self.beside.items():
            if not all(judge.split("/")) or judge.count("/") != 1 or ".." in judge:
                raise ConfigError(f"evaluation.beside.{label} is {judge!r}; allowed: <recipe>/<stage>")
        for dialect in self.dialects:
            if dialect != "judge":
                known_contract("evaluation.dialects", dialect)
        if self.orders is Orders.random:
            raise ConfigError("evaluation.orders is random; allowed: given, both")


def known_contract(setting: str, name: str) -> None:
    """Loads a contract of a user's own, so that whatever its template and parser lack is said before the weights are read."""
    try:
        load_contract(name)
    except ConfigError as error:
        raise ConfigError(
            f"{setting} is {name!r}; allowed: v1, v2, direct, or a contract of your own ({error})"
        ) from error
