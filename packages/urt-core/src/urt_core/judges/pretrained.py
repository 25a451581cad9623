"""Folder, hub id or name at an endpoint -> engine of a judge, and how it is asked."""

from collections.abc import Callable, Mapping
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

from urt_core.contracts import load_contract
from urt_core.engines import Engine, traits
from urt_core.engines.unopened import UnopenedEngine
from urt_core.errors import CheckpointError, ConfigError, EngineError
from urt_core.judges.released import released
from urt_core.judges.spec import FILE_NAME, JudgeSpec
from urt_core.media import MediaPolicy
from urt_core.prompts import Dialect
from urt_core.redaction import redacted

EngineKind = Literal["transformers", "vllm", "vllm_server"]
ENGINE_KINDS: tuple[EngineKind, ...] = get_args(EngineKind)


def load_spec(
    path_or_id: str | PathLike[str], *, dialect: Dialect | str | None, policy: MediaPolicy | None
) -> tuple[Dialect, MediaPolicy, int | None]:
    """Dialect, media policy and longest judgement in tokens: what the caller says; for the rest, what `judge.json`
    says, if anything."""
    asked = load_contract(dialect) if dialect is not None else None
    if (Path(path_or_id) / FILE_NAME).is_file():
        spec = JudgeSpec.load(path_or_id)
        return asked or spec.dialect, policy or spec.policy, spec.max_completion_tokens
    if known := released(path_or_id):
        return asked or load_contract(known.dialect), policy or known.policy, known.max_completion_tokens
    if asked is None:
        raise CheckpointError(
            f"{path_or_id} is no folder with {FILE_NAME}, so how it was trained to be asked is not known; give its dialect (--dialect): "
            "v1 (UnifiedReward-Think-7b, -qwen-7b), v2 (-qwen3vl, -qwen35) or direct"
        )
    return asked, policy or MediaPolicy(), None


def load_scale(path_or_id: str | PathLike[str], *, policy: MediaPolicy) -> dict[str, Any]:
    """Settings of a `Scorer`: what the instant probabilities of a judge are worth, and what single candidates are held against, where its folder says so; a
    CheckpointError where an anchor can't be shown."""
    if not (Path(path_or_id) / FILE_NAME).is_file():
        return {}
    spec = JudgeSpec.load(path_or_id)
    anchors = spec.anchors and spec.anchors.read(path_or_id, policy)
    return {"instant_calibration": spec.calibration, "anchors": anchors}


def load_engine(
    path_or_id: str | PathLike[str],
    *,
    kind: EngineKind,
    policy: MediaPolicy,
    batch_size: int = 64,
    device: str | None = None,
    base_url: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Engine:
    """The engine that `find_engine` finds, opened."""
    found = find_engine(
        path_or_id,
        kind=kind,
        policy=policy,
        batch_size=batch_size,
        device=device,
        base_url=base_url,
        options=options,
    )
    return found.open()


def find_engine(
    path_or_id: str | PathLike[str],
    *,
    kind: EngineKind,
    policy: MediaPolicy,
    batch_size: int = 64,
    device: str | None = None,
    base_url: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> UnopenedEngine:
    """With `base_url` an endpoint that serves the judge under this name; of kind vllm_server several that do.

    `options` are those of `OpenAIEngine`, of `VLLMServers.open` (their addresses as `vllm_servers`), or of `vllm.LLM`; for
    transformers, `dtype`.
    """
    options = dict(options or {})
    is_served = bool(base_url) or kind == "vllm_server"
    if known := released(path_or_id):
        # A name is what its server calls the judge.
        path_or_id = path_or_id if is_served else known.hub_id
        suggested: dict[str, Any] = {"extra_body": known.extra_body} if is_served and known.extra_body else {}
        options = {**(known.vllm_options if kind == "vllm" and not base_url else suggested), **options}
    model = str(path_or_id)
    if kind == "vllm_server":
        return find_servers(model, policy=policy, base_url=base_url, options=options)
    if base_url:
        from urt_core.engines.openai import OpenAIEngine

        allowed = signature(OpenAIEngine).parameters.keys() - {"base_url", "model", "policy"}
        if unknown := sorted(options.keys() - allowed):
            raise ConfigError(
                f"options of an endpoint hold {', '.join(unknown)}; allowed: {', '.join(sorted(allowed))}; "
                "for the rest an endpoint is started with its own"
            )
        endpoint = OpenAIEngine(base_url=base_url, model=model, policy=policy, **options)
        return as_found(endpoint, open=lambda: endpoint)
    if kind == "transformers":
        if unknown := sorted(set(options) - {"dtype"}):
            raise ConfigError(
                f"engine options of transformers hold {', '.join(unknown)}; allowed: dtype. vLLM has more"
            )

        def open_here() -> Engine:
            try:
                from urt_core.engines.transformers import TransformersEngine
            except ModuleNotFoundError as error:
                raise EngineError(
                    f'a judge in this process needs {error.name}, which is not installed: pip install "urt-core[transformers]",'
                    " or ask an endpoint (--base-url)"
                ) from error

            return TransformersEngine.from_pretrained(
                model, policy=policy, batch_size=batch_size, device=device, **options
            )

        return UnopenedEngine(open=open_here, model=model, policy=policy, batch_size=batch_size)
    if kind == "vllm":
        from urt_core.engines.vllm.engine import CONCURRENCY, VLLMEngine

        def open_vllm() -> Engine:
            return VLLMEngine.from_pretrained(model, policy=policy, **options)

        in_flight = options.get("concurrency", CONCURRENCY)
        return UnopenedEngine(open=open_vllm, model=model, policy=policy, concurrency=in_flight)
    raise ConfigError(f"engine is {kind!r}; allowed: {', '.join(ENGINE_KINDS)}")


def find_servers(
    model: str, *, policy: MediaPolicy, base_url: str | None, options: Mapping[str, Any]
) -> UnopenedEngine:
    from urt_core.engines.servers import JudgeServer, VLLMServers

    if base_url:
        raise ConfigError(
            f"engine is vllm_server and base_url is {redacted(base_url)}; allowed: one of them, vllm_server with its vllm_servers"
        )
    allowed = signature(JudgeServer).parameters.keys() - {"address", "model", "policy"} | {"vllm_servers"}
    if unknown := sorted(options.keys() - allowed):
        raise ConfigError(
            f"options of vllm_server hold {', '.join(unknown)}; allowed: {', '.join(sorted(allowed))}; for the rest a server is "
            "started with its own"
        )
    settings = dict(options)
    servers = VLLMServers.named(settings.pop("vllm_servers", ()), model=model, policy=policy, **settings)

    def open_checked() -> Engine:
        servers.check()
        return servers

    return as_found(servers, open=open_checked)


def as_found(engine: Engine, *, open: Callable[[], Engine]) -> UnopenedEngine:
    """An engine that holds nothing before it is asked, named as it names itself."""
    known = traits(engine)
    return UnopenedEngine(
        open=open,
        model=engine.model,
        policy=known.policy or MediaPolicy(),
        batch_size=known.batch_size,
        concurrency=known.concurrency,
        gives_logprobs=known.gives_logprobs,
    )
