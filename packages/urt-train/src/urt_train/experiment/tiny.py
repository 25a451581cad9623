"""The embedded base model: a Qwen3-VL of 1.8 M parameters, its tokenizer and its folder, made from a seed.

Architecture, chat template, special tokens and image processor are those of Qwen3-VL (transformers, models/qwen3_vl); only
the sizes differ. Two choices keep it small enough to learn on two CPU cores:

- The tokenizer is a byte-level BPE whose merges may cross spaces (as in SuperBPE, arXiv 2503.13423) but never a word that
  carries information: the instructions of a prompt become a few tokens, a colour stays one token wherever it stands.
- Weights start at a standard deviation of 0.08, about 1 / sqrt(hidden size), instead of the 0.02 that suits wide models.

It learns `urt_data.sprites.lessons` through the stage of supervised fine-tuning that also trains the judge. It can describe,
check and add; it has never seen a judgement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.pytorch import seed_everything
from omegaconf import OmegaConf
from rich.console import Console
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from urt_core import Dialect, Task, render
from urt_data.sprites.draw import FRAME_SIZE, IMAGE_SIZE
from urt_data.sprites.lessons import LessonStream, Part
from urt_data.sprites.oracle import judgement_text
from urt_data.sprites.pairs import pairs
from urt_data.sprites.world import COLOURS, COUNTS, MOTIONS, PLURALS, SHAPES, Flaw, Split
from urt_train.config import TrainConfig
from urt_train.experiment.run import stage_identity
from urt_train.model.policy import Policy
from urt_train.rollouts.loader import RoundLoader
from urt_train.runtime.callbacks import StepMetrics
from urt_train.runtime.checkpoints.checkpoint import whole_folder
from urt_train.runtime.checkpoints.round_checkpoints import RoundCheckpoints
from urt_train.runtime.launch import num_processes
from urt_train.runtime.machine import make_trainer
from urt_train.runtime.ranks import started_first
from urt_train.runtime.run_folder import folder_hash, open_folder
from urt_train.stages import find_stage
from urt_train.stages.cold_start.config import ColdStartConfig
from urt_train.stages.cold_start.module import ColdStart

VOCABULARY = 2048
PATCH_SIZE = 8
HIDDEN_SIZE = 128
INITIALIZER_RANGE = 0.08
# The special and added tokens of the Qwen3-VL tokenizer, in its order.
SPECIAL_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>"),
    *("<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
TAGS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")
CHAT_TEMPLATE = (
    "{%- for message in messages -%}{{- '<|im_start|>' + message.role + '\\n' -}}"
    "{%- if message.content is string -%}{{- message.content -}}{%- else -%}{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}"
    "{%- elif part.type == 'video' -%}{{- '<|vision_start|><|video_pad|><|vision_end|>' -}}"
    "{%- else -%}{{- part.text -}}{%- endif -%}{%- endfor -%}{%- endif -%}"
    "{{- '<|im_end|>\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
# Words that stay tokens of their own: what a judgement says about what it sees. Numbers too, but not those of fixed phrases.
_WORDS = (
    *(*COUNTS, *MOTIONS, *COLOURS, *SHAPES, *PLURALS.values()),
    *(str(flaw) for flaw in Flaw),
    *("clean", "steady", "whole", "ok", "wrong", "vague", "right", "clear"),
)
_WORD = "(?:" + "|".join(sorted(set(_WORDS), key=lambda word: (-len(word), word))) + ")"
_WORD_PATTERN = (
    rf" ?\b{_WORD}/{_WORD}\b| ?\b{_WORD}\b"  # a pair of words that are compared is one token
    r"|(?<!Image )(?<!Video )(?<!Answer )(?<![/\d])\d+(?!\. )"
)


def corpus(*, seed: int) -> Iterator[str]:
    """Texts that the tokenizer learns its merges from: prompts, judgements and lessons."""
    for task in Task:
        for record in pairs(task, 250, split=Split.TRAIN, seed=seed):
            for dialect in Dialect:
                yield from _texts(render(record, dialect).parts)
                yield judgement_text(record, dialect)
    stream = iter(LessonStream(batch_size=32, num_seeing=0, seed=seed))
    for _ in range(150):
        for lesson in next(stream):
            yield from _texts(lesson.prompt.parts)
            yield lesson.completion


def _texts(parts: tuple[Any, ...]) -> Iterator[str]:
    yield from (part for part in parts if isinstance(part, str))
    yield "user\n"
    yield "assistant\n"


def make_tokenizer(*, seed: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORD_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(TAGS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=list(SPECIAL_TOKENS),
        min_frequency=10,
        show_progress=False,
    )
    # Tags are added tokens: a text is cut at them before any merge, so the merges are learned from what lies between.
    pieces = (piece for text in corpus(seed=seed) for piece in re.split("|".join(TAGS), text) if piece)
    tokenizer.train_from_iterator(pieces, trainer)
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def make_model(tokenizer: PreTrainedTokenizerFast, *, seed: int) -> Qwen3VLForConditionalGeneration:
    """Random weights, 1.8 M parameters: text 6 x 128, vision 2 x 64 over patches of 8 x 8, one deepstack level."""

    def token(name: str) -> int:
        return int(tokenizer.convert_tokens_to_ids(name))  # pyright: ignore[reportArgumentType]

    config = Qwen3VLConfig(
        text_config={
            "vocab_size": -(-len(tokenizer) // 64) * 64,
            "hidden_size": HIDDEN_SIZE,
            "intermediate_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": 2048,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
            "initializer_range": INITIALIZER_RANGE,
            "tie_word_embeddings": True,
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
        },
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 192,
            "num_heads": 2,
            "patch_size": PATCH_SIZE,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
            "out_hidden_size": HIDDEN_SIZE,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
            "initializer_range": INITIALIZER_RANGE,
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        eos_token_id=token("<|im_end|>"), pad_token_id=token("<|endoftext|>"), do_sample=False
    )
    return model


def make_image_processor() -> Qwen2VLImageProcessor:
    return Qwen2VLImageProcessor(
        patch_size=PATCH_SIZE,
        temporal_patch_size=2,
        merge_size=2,
        size={"shortest_edge": FRAME_SIZE[0] * FRAME_SIZE[1], "longest_edge": IMAGE_SIZE[0] * IMAGE_SIZE[1]},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )


def save_untrained(folder: Path, *, seed: int) -> None:
    """A model folder that `Policy.from_pretrained` opens, weights random."""
    tokenizer = make_tokenizer(seed=seed)
    make_model(tokenizer, seed=seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    make_image_processor().save_pretrained(folder)


def make_base(config: TrainConfig) -> Path:
    """Train on lessons of `data.options.part`, the first `num_seeing` steps on descriptions alone; returns the model folder.

    Begins with random weights, or goes on from `cold_start.initial`.

    The stage is `config.cold_start`; whether it is run whole or goes on after a kill makes no difference to the weights.
    """
    seed_everything(config.seed, verbose=False)
    num_seeing = int(config.data.options["num_seeing"])
    part = Part(config.data.options["part"])
    initial = config.cold_start.initial
    inputs = {
        "model": folder_hash(initial) if initial else "random",
        "lessons": f"{num_seeing} steps of seeing, then {part}",
    }
    folder = config.stage_dir()
    if started_first():
        open_folder(
            folder,
            identity=stage_identity(config, find_stage(config.stage), processes=num_processes(), **inputs),
            config=OmegaConf.to_yaml(OmegaConf.structured(config)),
            is_anew=config.ckpt_path is None,
            accepted=config.go_on_with,
        )
    spec = config.judge.spec(stage="base", base="")
    with TemporaryDirectory() as untrained:  # one per process: every rank begins with the same weights
        if not initial:
            save_untrained(Path(untrained), seed=config.seed)
        policy = Policy.from_pretrained(initial or untrained, spec=spec).train()
    stage: ColdStartConfig = config.cold_start
    assert stage.max_steps is not None  # lessons have no end
    metrics = StepMetrics(folder / "metrics.csv", title="base: lessons", console=Console(stderr=True))
    checkpoints = RoundCheckpoints(
        folder / "checkpoints", every=stage.save_every, keep=stage.keep_checkpoints, start=config.ckpt_path
    )
    trainer = make_trainer(config.trainer, strategy=config.strategy, callbacks=[metrics, checkpoints])
    plan = stage.plan(num_ranks=trainer.world_size)
    trainer.accumulate_grad_batches = plan.batches_per_step
    checkpoints.batches_per_round = plan.batches_per_round
    module = ColdStart(policy, stage, plan=plan, num_steps=stage.max_steps)
    loader = RoundLoader(
        LessonStream(
            batch_size=plan.records_per_rank,
            num_seeing=num_seeing,
            seed=config.seed,
            part=part,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        ),
        lambda draw, number: module.make_round(
            lambda: module.encode(*zip(*((lesson.prompt, lesson.completion) for lesson in draw()), strict=True)), number
        ),
        num_rounds=stage.max_steps,
        batches_per_round=plan.batches_per_round,
    )
    trainer.fit(module, train_dataloaders=loader)
    if trainer.is_global_zero:
        with whole_folder(folder / "model") as model:
            policy.model.save_pretrained(model)
            policy.tokenizer.save_pretrained(model)
            policy.image_processor.save_pretrained(model)
    return folder / "model"
