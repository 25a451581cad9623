"""One stage, from its config to its model folder: read `run_stage` from top to bottom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import seed_everything
from omegaconf import OmegaConf
from rich.console import Console

from urt_core import Dialect, JudgeSpec, SamplingParams
from urt_core.errors import CheckpointError, ConfigError, DataError
from urt_core.judges.released import released
from urt_core.judges.spec import FILE_NAME as JUDGE_FILE
from urt_core.judging.judge import Asked
from urt_core.media import with_frames
from urt_data import Mixture, PreferenceStream
from urt_train.config import Batching, DataPart, StageConfig, TrainConfig
from urt_train.datasets.splits import learning_data, open_quarantine, open_shards
from urt_train.experiment.assessment import open_engine
from urt_train.experiment.steps import check_stages, initial_model, model_folder
from urt_train.model.attention import check_attention
from urt_train.model.export import export_judge
from urt_train.model.lora import add_adapters
from urt_train.model.policy import Policy
from urt_train.rollouts.loader import RoundLoader, rounds_of
from urt_train.runtime.agreement import SECONDS_UNTIL_SEEN, agree, are_alike
from urt_train.runtime.callbacks import RolloutLog, StepMetrics, TimelineLog, UnchangedModel
from urt_train.runtime.checkpoints.round_checkpoints import RoundCheckpoints
from urt_train.runtime.identity import Identity, file_sizes, model_files, refuse, run_identity
from urt_train.runtime.launch import num_processes
from urt_train.runtime.lock import owned
from urt_train.runtime.machine import (
    check_strategy,
    make_loggers,
    make_strategy,
    make_trainer,
    meet,
    quiet,
)
from urt_train.runtime.ranks import all_answering, from_first
from urt_train.runtime.run_folder import Run, changed, finish, folder_hash, open_folder
from urt_train.runtime.tracking import tracked
from urt_train.runtime.watching import JudgeWatch
from urt_train.stages import Conclusion, Preparation, StageInputs, StageSpec, asked, find_stage, spoken
from urt_train.stages.module import StageModule


def run_stage(config: TrainConfig) -> Path:
    """Train `config.stage` and export its judge. An interrupted run of the same settings goes on; a finished one is left alone."""
    console, spec = Console(stderr=True), find_stage(config.stage)
    with opened_stage(config, spec, console=console) as (initial, identity):
        return _run(config, spec, initial, identity, console=console)


def _run(
    config: TrainConfig, spec: StageSpec, initial: UnchangedModel, identity: Identity, *, console: Console
) -> Path:
    _prepare(config, spec, initial=initial.folder, console=console)
    data = training_data(config, spec)
    if data.left_out:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in data.left_out.most_common())
        console.print(f"left out of {spec.reads}: {reasons}", highlight=False, soft_wrap=True)
    identity = {**identity, "data": data.fingerprint}
    are_alike(identity)
    run = from_first(
        lambda: open_folder(
            config.stage_dir(spec.name),
            identity=identity,
            config=OmegaConf.to_yaml(OmegaConf.structured(config)),
            is_anew=config.ckpt_path is None,
            accepted=config.go_on_with,
        )
    )
    model = model_folder(config, spec.name)
    if run.is_finished and (model / JUDGE_FILE).exists():
        console.print(f"{model} is there, made with these settings; ckpt_path=null trains it anew", soft_wrap=True)
        return model
    policy = open_policy(config, initial.folder, data_manifest=data.fingerprint)
    fit(config, spec, policy, data, initial=initial, run=run, console=console)
    export_judge(policy, model, dtype=config.served_dtype)
    from_first(lambda: _conclude(config, spec, model, console=console))
    from_first(lambda: finish(run.folder, identity=identity))
    console.print(f"{spec.title}: {model}", soft_wrap=True)
    return model


@contextmanager
def opened_stage(
    config: TrainConfig, spec: StageSpec, *, console: Console
) -> Iterator[tuple[UnchangedModel, Identity]]:
    """(the model to start from, what the run is, but for its data): the processes have met, the folder is theirs, all of them see it
    and say the same; what can be refused is refused."""
    _refuse_rounded_weights(config)
    check_stages(config, spec.name)
    check_strategy(config.strategy, stage=config.stage, samples=spec.samples)
    check_attention(config.model.attention, precision=config.trainer.precision)
    quiet()
    seed_everything(config.seed, verbose=False)
    initial, folder = initial_model(config, spec.name), config.stage_dir(spec.name)
    with all_answering(config.trainer.timeout_s), ExitStack() as stack:
        make_strategy(config.strategy, config.trainer)  # refuses what it can't make
        trainer = meet(config.trainer, strategy=config.strategy)
        from_first(lambda: stack.enter_context(owned(folder, say=partial(console.print, soft_wrap=True))))
        own = stage_identity(config, spec, processes=trainer.world_size, accelerator=trainer.strategy.root_device.type)
        agree(folder, {**own, **file_sizes(initial)}, patience_s=min(SECONDS_UNTIL_SEEN, config.trainer.timeout_s / 2))
        model = UnchangedModel(initial)
        known = {**own, **from_first(lambda: model_files(initial))}
        if config.ckpt_path is not None:
            from_first(lambda: _refuse_other_run(folder, known, accepted=config.go_on_with))
        yield model, known


def stage_identity(config: TrainConfig, spec: StageSpec, **facts: Any) -> Identity:
    settings = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
    assert isinstance(settings, dict)
    others = [name for name in settings if name != spec.name and isinstance(getattr(config, str(name)), StageConfig)]
    return run_identity(
        {str(name): value for name, value in settings.items()},
        stage=spec.name,
        other_stages=map(str, others),
        facts=facts,
    )


def _refuse_other_run(folder: Path, identity: Identity, *, accepted: Sequence[str]) -> None:
    """Before its data are made, which may take hours."""
    found = changed(folder, identity)
    refuse(folder, {name: values for name, values in found.items() if name != "data"}, accepted=accepted)


def prepare_stage(config: TrainConfig) -> None:
    """The first half of a stage by itself: make the data that only this stage makes."""
    console, spec = Console(stderr=True), find_stage(config.stage)
    with opened_stage(config, spec, console=console) as (initial, _):
        _prepare(config, spec, initial=initial.folder, console=console)


def _prepare(config: TrainConfig, spec: StageSpec, *, initial: str, console: Console) -> None:
    if spec.prepare is None:
        return
    spec.prepare(
        Preparation(
            settings=config.settings(spec.name),
            seed=config.seed,
            dialect=Dialect(config.judge.dialect),
            is_anew=config.ckpt_path is None,
            initial_hash=from_first(lambda: folder_hash(initial)),
            folder=config.stage_dir(spec.name),
            shards=config.data_dir,
            open_shards=lambda split: open_shards(config.data_place(split), config.data.cache),
            allow_noncommercial=config.data.allow_noncommercial,
            is_given=lambda split: config.data.given(split) is not None,
            initial=initial,
            judge=config.judge,
            served_dtype=config.served_dtype,
            open_policy=partial(open_policy, config, initial),
            make_trainer=partial(make_trainer, config.trainer, strategy=config.strategy),
            console=console,
            has_progress_bar=config.trainer.progress_bar,
        )
    )


def _conclude(config: TrainConfig, spec: StageSpec, model: Path, *, console: Console) -> None:
    if spec.conclude is None:
        return
    spec.conclude(
        Conclusion(
            settings=config.settings(spec.name),
            model=model,
            open_engine=lambda: open_engine(config, str(model), JudgeSpec.load(model)),
            open_shards=lambda split: open_shards(config.data_place(split), config.data.cache),
            console=console,
        )
    )


def training_data(config: TrainConfig, spec: StageSpec) -> Mixture:
    """The pairs that a stage learns from, as the `data:` section and the stage's settings say."""
    settings = config.settings(spec.name)
    parts = config.data.parts(spec.reads) or (DataPart(path=config.data_place(spec.reads)),)
    return learning_data(
        parts,
        cache=config.data.cache,
        tasks=settings.tasks,
        decided=spec.needs_a_winner,
        mixed_in={config.data_place(split): share for split, share in asked(spec, "mixes_in", settings).items()},
        allow_noncommercial=config.data.allow_noncommercial,
        seed=config.seed,
    )


def fit(
    config: TrainConfig,
    spec: StageSpec,
    policy: Policy,
    data: Mixture,
    *,
    initial: UnchangedModel,
    run: Run,
    console: Console,
) -> None:
    """Compose loader, module and trainer, and let Lightning run them."""
    settings, folder = config.settings(spec.name), run.folder
    metrics = StepMetrics(
        folder / "metrics.csv",
        title=spec.title,
        every=config.trainer.log_every,
        segment=run.segment,
        console=console if config.trainer.progress_bar else None,
    )
    checkpoints = RoundCheckpoints(
        folder / "checkpoints", every=settings.save_every, keep=settings.keep_checkpoints, start=config.ckpt_path
    )
    logs = [initial, RolloutLog(folder / "rollouts.jsonl"), TimelineLog(folder / "timeline.jsonl")]
    callbacks = [metrics, *logs, *watch(config, policy, folder), checkpoints]
    loggers = make_loggers(config.logger, folder=folder, name=f"{config.recipe}-{spec.name}", run_id=run.id)
    trainer = make_trainer(
        config.trainer,
        strategy=config.strategy,
        callbacks=callbacks,
        loggers=loggers,
        max_grad_norm=settings.max_grad_norm,
    )
    for logger in loggers:
        logger.log_hyperparams(OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True))
    plan = settings.plan(num_ranks=trainer.world_size)
    trainer.accumulate_grad_batches = plan.batches_per_step
    checkpoints.batches_per_round = plan.batches_per_round
    quarantine = open_quarantine(config.data.quarantine, folder=str(folder), rank=trainer.global_rank)
    metrics.found["quarantined"] = quarantine.samples
    stream = PreferenceStream(
        data,
        batch_size=plan.records_per_rank,
        seed=config.seed,
        rank=trainer.global_rank,
        world_size=trainer.world_size,
        num_workers=config.data.workers,
        prefetch=config.data.prefetch,
        prepare=partial(with_frames, policy=policy.media_policy),
        quarantine=quarantine,
    )
    max_rounds = None if settings.max_steps is None else -(-settings.max_steps // plan.steps_per_round)
    num_rounds = rounds_of(stream, epochs=settings.epochs, max_rounds=max_rounds)
    module = asked(
        spec,
        "build",
        StageInputs(
            policy=policy,
            settings=settings,
            plan=plan,
            num_steps=num_rounds * plan.steps_per_round,
            seed=config.seed,
            initial=initial.folder,
            folder=folder,
            served_dtype=config.served_dtype,
        ),
    )
    if not isinstance(module, StageModule):
        raise ConfigError(
            f"build of stage {spoken(spec.name)!r} returned a {type(module).__name__}; expected: a StageModule"
        )
    stream.transform = module.collate
    loader = RoundLoader(stream, module.make_round, num_rounds=num_rounds, batches_per_round=plan.batches_per_round)
    with tracked(loggers), closing(loader):
        trainer.fit(module, train_dataloaders=loader)


def watch(config: TrainConfig, policy: Policy, folder: Path) -> list[JudgeWatch]:
    """Greedily, so that measuring takes no random number from training."""
    wanted = config.evaluation
    if not wanted.every:
        return []
    shards = config.data_dir("validation")
    if not (shards / "manifest.json").exists():
        raise DataError(
            f"{shards} holds no finished shards, and evaluation.every is {wanted.every}; give"
            f" {config.data.setting('validation')}=<folder of shards>, or evaluation.every=0"
        )
    source = open_shards(str(shards), config.data.cache)
    number = min(wanted.watched_pairs, len(source))
    sampling = SamplingParams(max_tokens=wanted.max_completion_tokens, seed=0)
    return [
        JudgeWatch(
            folder,
            records=[source[place * len(source) // number] for place in range(number)],
            asked=Asked(dialect=policy.spec.dialect, sampling=sampling),
            every=wanted.every,
            best_by=wanted.best_by,
            keep=partial(export_judge, policy, dtype=config.served_dtype),
            batch_size=wanted.batch_size,
        )
    ]


def open_policy(config: TrainConfig, initial: str, *, data_manifest: str = "") -> Policy:
    """The model in `initial`, which a stage starts from, with what of it learns and the spec that it will be exported with."""
    spec = config.judge.spec(
        stage=config.stage,
        base=config.model.base,
        data_manifest=data_manifest,
        max_completion_tokens=config.evaluation.max_completion_tokens,
        about=config.judge.about or f"stage {config.stage} of the recipe {config.recipe}",
        point_contracts=point_contracts_of(initial),
    )
    _refuse_other_judge(initial, spec)
    policy = Policy.from_pretrained(
        initial,
        spec=spec,
        dtype=config.model.dtype,
        attention=config.model.attention,
        revision=config.model.revision if initial == config.model.base else None,
        batching=getattr(config.stage_config, "batching", Batching.padded),
        is_deferred=num_processes() > 1,
    )
    policy.select_trainable(
        language=config.model.train_language, vision=config.model.train_vision, projector=config.model.train_projector
    )
    if config.model.lora.rank:
        add_adapters(policy.model, config.model.lora)
    if not any(parameter.requires_grad for parameter in policy.parameters()):
        raise ConfigError(
            "nothing learns: model.train_language, train_vision and train_projector are false and model.lora.rank is 0; set one of them"
        )
    if config.model.gradient_checkpointing:
        policy.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return policy.train()


def point_contracts_of(initial: str) -> tuple[str, ...]:
    """Those of the judge that a run starts from: no stage teaches one."""
    if (Path(initial) / JUDGE_FILE).exists():
        return JudgeSpec.load(initial).point_contracts or ()
    known = released(initial)
    return known.point_contracts if known else ()


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
