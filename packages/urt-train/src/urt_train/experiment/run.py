"""One stage, from its config to its model folder."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from lightning.pytorch import seed_everything
from rich.console import Console

from urt_core import Dialect, JudgeSpec, Task
from urt_core.engines import Engine
from urt_core.engines.image_slots import require_vllm
from urt_core.errors import CheckpointError, ConfigError
from urt_core.judge import FILE_NAME as JUDGE_FILE
from urt_data import Mixture, MixtureItem, PreferenceStream, ShardFolder
from urt_train.config import Batching, GRPOConfig, RejectionSamplingConfig, RolloutEngine, Stage, TrainConfig
from urt_train.experiment.steps import initial_model, model_folder
from urt_train.model.export import export_judge
from urt_train.model.lora import add_adapters
from urt_train.model.policy import Policy
from urt_train.rollouts.colocated import ColocatedVLLM
from urt_train.rollouts.loader import RoundLoader, plan_rounds, rounds_of
from urt_train.rollouts.served import ServedVLLM
from urt_train.runtime.callbacks import RolloutLog, StepMetrics
from urt_train.runtime.machine import make_trainer, quiet
from urt_train.runtime.ranks import all_answering
from urt_train.runtime.round_checkpoints import RoundCheckpoints
from urt_train.runtime.run_folder import folder_hash, open_run
from urt_train.stages.cold_start import ColdStart
from urt_train.stages.grpo import GRPO
from urt_train.stages.pool import judge_pool
from urt_train.stages.rejection_sampling import RejectionSampling

TITLES = {Stage.cold_start: "cold start", Stage.rejection_sampling: "rejection sampling", Stage.grpo: "GRPO"}
SHARDS = {Stage.cold_start: "cold_start", Stage.rejection_sampling: "accepted", Stage.grpo: "hard"}

SERVED_WEIGHTS = "served_weights"
"""Folder of a stage through which vLLM servers get weights."""


def run_stage(config: TrainConfig, *, console: Console | None = None) -> Path:
    """Train `config.stage` and export its judge. An interrupted run of the same settings goes on; a finished one is left alone."""
    console = console or Console(stderr=True)
    _refuse_rounded_weights(config)
    quiet()
    seed_everything(config.seed, verbose=False)
    model_hash = folder_hash(initial_model(config, config.stage))
    if config.stage is Stage.rejection_sampling and not (config.data.accepted and config.data.hard):
        sample_pool(config, console=console)
    shards = ShardFolder(config.data_dir(SHARDS[config.stage]))
    data = training_data(config, shards)
    identity = data.fingerprint if isinstance(data, Mixture) else data.manifest_sha256
    folder = open_run(config, inputs={"model": model_hash, "data": identity})
    model = model_folder(config, config.stage)
    # Anew, the first rank removes it while others are still looking.
    if config.ckpt_path is not None and (model / JUDGE_FILE).exists():
        console.print(f"{model} is there, made with these settings; ckpt_path=null trains it anew", soft_wrap=True)
        return model
    policy = open_policy(config, data_manifest=identity)
    fit(config, policy, data, folder=folder, console=console)
    export_judge(policy, model, dtype=config.served_dtype)
    console.print(f"{TITLES[config.stage]}: {model}", soft_wrap=True)
    return model


def training_data(config: TrainConfig, shards: ShardFolder) -> ShardFolder | Mixture:
    """The stage's shards; in rejection sampling with `replay`, so many traces of the cold start per accepted judgement mixed in."""
    replay = config.rejection_sampling.replay
    if config.stage is not Stage.rejection_sampling or not replay:
        return shards
    traces = ShardFolder(config.data_dir("cold_start"))
    again = MixtureItem(folder=traces, repeat=replay * len(shards) / len(traces))
    # What may be trained on was decided when these shards were made.
    return Mixture(
        [MixtureItem(folder=shards), again], allow_noncommercial=True, allow_evaluation=True, seed=config.seed
    )


def sample_pool(config: TrainConfig, *, console: Console | None = None) -> None:
    """The first half of rejection sampling by itself: judge the pool, write the accepted and the hard shard."""
    quiet()
    model_hash = folder_hash(initial_model(config, Stage.rejection_sampling))
    judge_pool(config, open_policy(config), model_hash=model_hash, console=console or Console(stderr=True))


def fit(config: TrainConfig, policy: Policy, data: ShardFolder | Mixture, *, folder: Path, console: Console) -> None:
    """Compose loader, module and trainer, and let Lightning run them."""
    stage = config.stage_config
    metrics = StepMetrics(
        folder / "metrics.csv",
        title=TITLES[config.stage],
        every=config.trainer.log_every,
        console=console if config.trainer.progress_bar else None,
    )
    checkpoints = RoundCheckpoints(
        folder / "checkpoints", every=stage.save_every, keep=stage.keep_checkpoints, start=config.ckpt_path
    )
    trainer = make_trainer(config, callbacks=[metrics, RolloutLog(folder / "rollouts.jsonl"), checkpoints])
    plan = plan_rounds(stage, num_ranks=trainer.world_size)
    stream = PreferenceStream(
        data,
        batch_size=plan.records_per_rank,
        seed=config.seed,
        rank=trainer.global_rank,
        world_size=trainer.world_size,
    )
    max_rounds = None if stage.max_steps is None else -(-stage.max_steps // plan.steps_per_round)
    num_rounds = rounds_of(stream, epochs=stage.epochs, max_rounds=max_rounds)
    num_steps = num_rounds * plan.steps_per_round
    trainer.accumulate_grad_batches = plan.batches_per_step
    checkpoints.batches_per_round = plan.batches_per_round
    if isinstance(stage, GRPOConfig):
        module = GRPO(
            policy,
            stage,
            engine=rollout_engine(config, policy, stage),
            reference=policy.reference() if stage.kl_coef else None,
            plan=plan,
            num_steps=num_steps,
            seed=config.seed,
        )
        make_round = module.make_rollout
    else:
        if isinstance(stage, RejectionSamplingConfig):
            module = RejectionSampling(policy, stage, plan=plan, num_steps=num_steps)
        else:
            module = ColdStart(policy, stage, plan=plan, num_steps=num_steps)
        make_round = module.make_step
    loader = RoundLoader(stream, make_round, num_rounds=num_rounds, batches_per_round=plan.batches_per_round)
    with all_answering(config.trainer.timeout_s):
        trainer.fit(module, train_dataloaders=loader)


def rollout_engine(config: TrainConfig, policy: Policy, stage: GRPOConfig) -> Engine:
    """Who samples the rollouts of GRPO."""
    if stage.engine is RolloutEngine.transformers:
        return policy.engine(batch_size=stage.generation_batch_size * stage.group_size)
    require_vllm(policy.slots)
    dtype = config.served_dtype
    if stage.engine is RolloutEngine.vllm_server:
        return ServedVLLM.open(policy, stage, folder=config.stage_dir() / SERVED_WEIGHTS, dtype=dtype)
    return ColocatedVLLM.of(initial_model(config, config.stage), policy, stage, dtype=dtype)


def open_policy(config: TrainConfig, *, data_manifest: str = "") -> Policy:
    """The model a stage starts from, with what of it learns and the spec that it will be exported with."""
    stage = config.stage_config
    initial = initial_model(config, config.stage)
    judge = config.judge
    spec = JudgeSpec(
        dialect=Dialect(judge.dialect),
        dimensions={str(task): task.dimensions for task in Task},
        min_pixels=judge.min_pixels,
        max_pixels=judge.max_pixels,
        num_frames=judge.num_frames,
        stage=config.stage.value,
        base=config.model.base,
        data_manifest=data_manifest,
        urt_version=version("urt-core"),
        max_completion_tokens=config.evaluation.max_completion_tokens,
    )
    _refuse_other_judge(initial, spec)
    policy = Policy.from_pretrained(
        initial,
        spec=spec,
        dtype=config.model.dtype,
        attention=config.model.attention,
        revision=config.model.revision if initial == config.model.base else None,
        batching=stage.batching if isinstance(stage, GRPOConfig) else Batching.padded,
    )
    policy.select_trainable(
        language=config.model.train_language, vision=config.model.train_vision, projector=config.model.train_projector
    )
    if config.model.lora.rank:
        add_adapters(policy.model, config.model.lora)
    if config.model.gradient_checkpointing:
        policy.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return policy.train()


def _refuse_rounded_weights(config: TrainConfig) -> None:
    """Neighbours of 0.02 in bfloat16 are 1e-4 apart: Adam's steps of 1e-6 would be rounded away. Adapters are kept in float32."""
    model = config.model
    if model.dtype == "bfloat16" and (not model.lora.rank or model.train_vision or model.train_projector):
        raise ConfigError(
            "model.dtype is bfloat16, in which trained weights would lose their updates; allowed: model.dtype=float32 (with"
            " trainer.precision=bf16-mixed it computes in bfloat16), or model.lora.rank above 0 and nothing else that learns"
        )


def _refuse_other_judge(initial: str, spec: JudgeSpec) -> None:
    """A judge of another dialect would be taught two shapes at once."""
    if not (Path(initial) / JUDGE_FILE).exists():
        return
    found = JudgeSpec.load(initial)
    if found.dialect is not spec.dialect:
        raise CheckpointError(
            f"{initial} is a judge of dialect {found.dialect}, this run trains dialect {spec.dialect}; set judge.dialect={found.dialect}"
            " or start from another model (stage field `initial`)"
        )
