"""One stage, from its config to its model folder: read `run_stage` from top to bottom."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from pathlib import Path

from lightning.pytorch import seed_everything
from rich.console import Console

from urt_core import Dialect, JudgeSpec, Task
from urt_core.errors import CheckpointError, ConfigError
from urt_core.judge import FILE_NAME as JUDGE_FILE
from urt_data import Mixture, MixtureItem, PreferenceStream, ShardFolder
from urt_train.config import Batching, TrainConfig
from urt_train.experiment.steps import initial_model, model_folder
from urt_train.model.export import export_judge
from urt_train.model.lora import add_adapters
from urt_train.model.policy import Policy
from urt_train.rollouts.loader import RoundLoader, rounds_of
from urt_train.runtime.callbacks import RolloutLog, StepMetrics
from urt_train.runtime.machine import make_trainer, quiet
from urt_train.runtime.ranks import all_answering
from urt_train.runtime.round_checkpoints import RoundCheckpoints
from urt_train.runtime.run_folder import folder_hash, open_run
from urt_train.stages import Preparation, StageInputs, StageSpec, find_stage


def run_stage(config: TrainConfig, *, console: Console | None = None) -> Path:
    """Train `config.stage` and export its judge. An interrupted run of the same settings goes on; a finished one is left alone."""
    console = console or Console(stderr=True)
    spec, settings = find_stage(config.stage), config.stage_config
    _refuse_rounded_weights(config)
    spec.check(settings)
    quiet()
    seed_everything(config.seed, verbose=False)
    initial = initial_model(config, spec.name)
    initial_hash = folder_hash(initial)
    _prepare(config, spec, initial=initial, initial_hash=initial_hash, console=console)
    data = training_data(config, spec)
    data_hash = data.fingerprint if isinstance(data, Mixture) else data.manifest_sha256
    folder = open_run(config, inputs={"model": initial_hash, "data": data_hash})
    model = model_folder(config, spec.name)
    # Anew, the first rank removes it while others are still looking.
    if config.ckpt_path is not None and (model / JUDGE_FILE).exists():
        console.print(f"{model} is there, made with these settings; ckpt_path=null trains it anew", soft_wrap=True)
        return model
    policy = open_policy(config, initial, data_manifest=data_hash)
    fit(config, spec, policy, data, initial=initial, folder=folder, console=console)
    export_judge(policy, model, dtype=config.served_dtype)
    console.print(f"{spec.title}: {model}", soft_wrap=True)
    return model


def prepare_stage(config: TrainConfig, *, console: Console | None = None) -> None:
    """The first half of a stage by itself: make the data that only this stage makes."""
    quiet()
    initial = initial_model(config, config.stage)
    _prepare(
        config,
        find_stage(config.stage),
        initial=initial,
        initial_hash=folder_hash(initial),
        console=console or Console(stderr=True),
    )


def _prepare(config: TrainConfig, spec: StageSpec, *, initial: str, initial_hash: str, console: Console) -> None:
    if spec.prepare is None:
        return
    spec.prepare(
        Preparation(
            settings=config.settings(spec.name),
            seed=config.seed,
            dialect=Dialect(config.judge.dialect),
            is_anew=config.ckpt_path is None,
            initial_hash=initial_hash,
            folder=config.stage_dir(spec.name),
            shards=config.data_dir,
            is_given=lambda split: config.data.folder(split) is not None,
            open_policy=partial(open_policy, config, initial),
            make_trainer=partial(make_trainer, config, callbacks=[], samples=True, with_loggers=False),
            console=console,
            has_progress_bar=config.trainer.progress_bar,
        )
    )


def training_data(config: TrainConfig, spec: StageSpec) -> ShardFolder | Mixture:
    """The shards that a stage learns from, others mixed in as its settings say."""
    shards = ShardFolder(config.data_dir(spec.reads))
    shares = spec.mixes_in(config.settings(spec.name))
    if not shares:
        return shards
    others = [(ShardFolder(config.data_dir(split)), share) for split, share in shares.items()]
    again = [MixtureItem(folder=other, repeat=share * len(shards) / len(other)) for other, share in others]
    # What may be trained on was decided when these shards were made.
    return Mixture(
        [MixtureItem(folder=shards), *again], allow_noncommercial=True, allow_evaluation=True, seed=config.seed
    )


def fit(
    config: TrainConfig,
    spec: StageSpec,
    policy: Policy,
    data: ShardFolder | Mixture,
    *,
    initial: str,
    folder: Path,
    console: Console,
) -> None:
    """Compose loader, module and trainer, and let Lightning run them."""
    settings = config.settings(spec.name)
    metrics = StepMetrics(
        folder / "metrics.csv",
        title=spec.title,
        every=config.trainer.log_every,
        console=console if config.trainer.progress_bar else None,
    )
    checkpoints = RoundCheckpoints(
        folder / "checkpoints", every=settings.save_every, keep=settings.keep_checkpoints, start=config.ckpt_path
    )
    callbacks = [metrics, RolloutLog(folder / "rollouts.jsonl"), checkpoints]
    trainer = make_trainer(config, callbacks=callbacks, samples=spec.samples)
    plan = settings.plan(num_ranks=trainer.world_size)
    trainer.accumulate_grad_batches = plan.batches_per_step
    checkpoints.batches_per_round = plan.batches_per_round
    stream = PreferenceStream(
        data,
        batch_size=plan.records_per_rank,
        seed=config.seed,
        rank=trainer.global_rank,
        world_size=trainer.world_size,
    )
    max_rounds = None if settings.max_steps is None else -(-settings.max_steps // plan.steps_per_round)
    num_rounds = rounds_of(stream, epochs=settings.epochs, max_rounds=max_rounds)
    module = spec.build(
        StageInputs(
            policy=policy,
            settings=settings,
            plan=plan,
            num_steps=num_rounds * plan.steps_per_round,
            seed=config.seed,
            initial=initial,
            folder=folder,
            served_dtype=config.served_dtype,
        )
    )
    loader = RoundLoader(stream, module.make_round, num_rounds=num_rounds, batches_per_round=plan.batches_per_round)
    with all_answering(config.trainer.timeout_s):
        trainer.fit(module, train_dataloaders=loader)


def open_policy(config: TrainConfig, initial: str, *, data_manifest: str = "") -> Policy:
    """The model in `initial`, which a stage starts from, with what of it learns and the spec that it will be exported with."""
    judge = config.judge
    spec = JudgeSpec(
        dialect=Dialect(judge.dialect),
        dimensions={str(task): task.dimensions for task in Task},
        min_pixels=judge.min_pixels,
        max_pixels=judge.max_pixels,
        num_frames=judge.num_frames,
        stage=config.stage,
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
        batching=getattr(config.stage_config, "batching", Batching.padded),
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
