"""How a judge is to be asked and which engine answers, before any weights are read."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.urt_core.judges.test_spec import SPEC
from urt_core import Dialect, Prompt, SamplingParams, Scorer
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply
from urt_core.errors import CheckpointError, ConfigError, EngineError
from urt_core.judges.pretrained import load_engine, load_scale, load_spec
from urt_core.judges.released import RELEASED
from urt_core.media import MediaPolicy

POLICY = MediaPolicy(min_pixels=64, max_pixels=1024)
URL = "http://127.0.0.1:1/v1"


def test_a_folder_says_how_its_judge_is_asked_and_the_caller_counts_before_it(tmp_path: Path) -> None:
    replace(SPEC, dialect=Dialect.V2, max_completion_tokens=77).save(tmp_path)
    shown = MediaPolicy(min_pixels=SPEC.min_pixels, max_pixels=SPEC.max_pixels, num_frames=SPEC.num_frames)
    assert load_spec(tmp_path, dialect=None, policy=None) == (Dialect.V2, shown, 77)
    assert load_spec(tmp_path, dialect="direct", policy=POLICY) == (Dialect.DIRECT, POLICY, 77)


def test_without_a_folder_somebody_has_to_say_the_dialect() -> None:
    with pytest.raises(CheckpointError, match=r"org/judge is no folder with judge.json.*give its dialect"):
        load_spec("org/judge", dialect=None, policy=None)
    assert load_spec("org/judge", dialect="v1", policy=None) == (Dialect.V1, MediaPolicy(), None)


def test_a_folder_without_anchors_adds_nothing_to_the_scorer(tmp_path: Path) -> None:
    assert load_scale(tmp_path, policy=POLICY) == {}
    SPEC.save(tmp_path)
    assert load_scale(tmp_path, policy=POLICY) == {"instant_calibration": None, "anchors": None}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "auto"}, "no calibration in its judge.json"),
        ({"bounds": (0.9, 0.1)}, "bounds are 0.9 and 0.1"),
        ({"orders": "one"}, "orders is 'one'"),
    ],
)
def test_settings_that_can_not_be_are_refused_before_weights_are_read(tmp_path: Path, settings, message) -> None:
    """The folder has no weights, which an engine would miss."""
    SPEC.save(tmp_path)
    with pytest.raises(ConfigError, match=message):
        Scorer.from_pretrained(tmp_path, **settings)


def test_an_endpoint_gets_the_options_that_are_its_own() -> None:
    engine = load_engine("judge", kind="transformers", policy=POLICY, base_url=URL, options={"concurrency": 3})
    assert isinstance(engine, OpenAIEngine)
    with engine:
        assert (engine.served_model, engine.concurrency, engine.policy) == ("judge", 3, POLICY)


def test_a_released_judge_keeps_its_name_at_an_endpoint_and_brings_its_settings() -> None:
    known = next(judge for judge in RELEASED.values() if judge.extra_body)
    sent = []

    def script(request):
        sent.append(request.json)
        return chat_reply("Image 1 is better.", model=known.name)

    with ScriptedEndpoint(script=script) as endpoint:
        engine = load_engine(known.name, kind="vllm", policy=POLICY, base_url=endpoint.base_url)
        assert isinstance(engine, OpenAIEngine)
        with engine:
            engine.generate([Prompt(parts=("Which?",))], SamplingParams(max_tokens=4))
    assert sent[0]["model"] == known.name
    assert known.extra_body.items() <= sent[0].items()


@pytest.mark.parametrize(
    ("kind", "base_url", "options", "message"),
    [
        ("transformers", None, {"tensor_parallel_size": 2}, "transformers hold tensor_parallel_size; allowed: dtype"),
        ("transformers", URL, {"dtype": "float32"}, r"options of an endpoint hold dtype; allowed: .*concurrency"),
        ("vllm_server", URL, {}, "engine is vllm_server and base_url is .*; allowed: one of them"),
        ("vllm_server", None, {"dtype": "float32"}, "options of vllm_server hold dtype; allowed: .*vllm_servers"),
        ("sglang", None, {}, "engine is 'sglang'; allowed: transformers, vllm, vllm_server"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_loaded(kind, base_url, options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        load_engine("nowhere/at-all", kind=kind, policy=POLICY, base_url=base_url, options=options)


def test_without_torch_the_extra_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "urt_core.engines.transformers", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        EngineError, match=r'needs torch, which is not installed: pip install "urt-core\[transformers\]"'
    ):
        load_engine("org/judge", kind="transformers", policy=POLICY)
