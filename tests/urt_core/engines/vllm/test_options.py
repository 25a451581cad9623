"""What reaches vLLM and what its refusals become, on a stand-in: the real one takes half a minute to start."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from urt_core import Prompt, SamplingParams, Scorer
from urt_core.cli import main
from urt_core.engines import traits
from urt_core.engines.unopened import opened
from urt_core.engines.vllm import VLLMEngine
from urt_core.errors import ConfigError, EngineError
from urt_core.judges.pretrained import find_engine
from urt_core.media import MediaPolicy

TINY = Path(__file__).parents[4] / "packages/urt-train/src/urt_train/model/tiny"
KNOWN = (
    "model",
    "limit_mm_per_prompt",
    "mm_processor_kwargs",
    "generation_config",
    "enforce_eager",
    "enable_chunked_prefill",
    "logprobs_mode",
    "disable_log_stats",
    "enable_log_requests",
    "distributed_executor_backend",
    "trust_remote_code",
)
OPTIONS = ("max_model_len", "dtype", "tensor_parallel_size", "data_parallel_size", "gpu_memory_utilization")


class StandIn:
    """Takes some of the options of vLLM, starts with them and keeps them."""

    started: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, **settings: Any) -> None:
        if unknown := sorted(set(settings) - {*KNOWN, *OPTIONS}):
            raise TypeError(f"EngineArgs.__init__() got an unexpected keyword argument '{unknown[0]}'")
        if settings["max_model_len"] > 4096:
            raise ValueError("1 validation error for ModelConfig\n  Value error, max_model_len is too large")
        self.started.append(settings)
        self.model_config = SimpleNamespace(get_vocab_size=lambda: 2000, try_get_generation_config=dict)
        self.is_down = False

    @classmethod
    def from_engine_args(cls, started: "StandIn") -> "StandIn":
        return started

    def shutdown(self) -> None:
        self.is_down = True


@pytest.fixture
def started(monkeypatch) -> list[dict[str, Any]]:
    module = ModuleType("vllm")
    module.AsyncEngineArgs = module.AsyncLLMEngine = StandIn  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr(StandIn, "started", [])
    return StandIn.started


def test_a_judge_has_as_much_room_as_fits_and_shows_what_its_policy_says(started):
    VLLMEngine.from_pretrained(TINY, policy=MediaPolicy(min_pixels=784, max_pixels=3136, num_frames=20))
    assert started[0]["max_model_len"] == -1
    assert started[0]["limit_mm_per_prompt"] == {"image": 40, "video": 0}
    assert started[0]["mm_processor_kwargs"] == {"size": {"shortest_edge": 784, "longest_edge": 3136}}


def test_options_reach_vllm(started):
    options: dict[str, Any] = {
        "max_model_len": 2048,
        "tensor_parallel_size": 2,
        "data_parallel_size": 4,
        "gpu_memory_utilization": 0.5,
        "dtype": "bfloat16",
    }
    scorer = Scorer.from_pretrained(TINY, engine="vllm", dialect="v1", engine_options=options)
    assert isinstance(scorer.engine, VLLMEngine)
    assert {name: started[0][name] for name in options} == options


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("max_modle_len=2048", "EngineArgs.__init__() got an unexpected keyword argument 'max_modle_len'"),
        ("max_model_len=8192", "1 validation error for ModelConfig Value error, max_model_len is too large"),
    ],
)
def test_what_vllm_refuses_is_one_line_in_its_own_words(started, option, words, capsys):
    asked = ["--engine", "vllm", "--model", str(TINY), "--dialect", "v1", "--engine-option", option]
    pair = ["--task", "image_generation", "--text", "a", "--first", "a.png", "--second", "b.png"]
    assert main(["compare", *asked, *pair]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"urt: vLLM does not start on {TINY} with the options ")
    assert said.endswith(f"{words}\n")
    assert said.count("\n") == 1
    with pytest.raises(EngineError, match="does not start"):
        Scorer.from_pretrained(TINY, engine="vllm", dialect="v1", engine_options={"max_model_len": 8192})


def test_other_engines_say_which_options_they_have(capsys):
    with pytest.raises(ConfigError, match=r"hold max_model_len; allowed: dtype"):
        Scorer.from_pretrained(TINY, dialect="v1", engine_options={"max_model_len": 8192})
    endpoint = ["--base-url", "http://localhost:1/v1", "--model", "judge", "--dialect", "v1"]
    assert main(["serve", *endpoint, "--engine-option", "dtype=bfloat16"]) == 1
    assert "an endpoint is started with its own" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["serve", *endpoint, "--engine-option", "dtype"])
    assert "'dtype' is not NAME=VALUE" in capsys.readouterr().err


def test_options_of_the_engine_itself_stay_with_it_and_it_is_closed_once(started):
    options = {"concurrency": 7, "dtype": "float32"}
    engine: Any = Scorer.from_pretrained(TINY, engine="vllm", dialect="v1", engine_options=options).engine
    assert traits(engine).is_concurrent
    assert traits(engine).concurrency == 7
    assert "concurrency" not in started[0]
    [running] = engine._running
    engine.close()
    engine.close()
    assert running.is_down
    with pytest.raises(EngineError, match="was closed; open another"):
        engine.generate([Prompt(parts=("Which?",))], SamplingParams())


def test_its_questions_are_named_before_it_is_open(started):
    found = find_engine(TINY, kind="vllm", policy=MediaPolicy(), options={"dtype": "float32"})
    assert not started
    engine = opened(found)
    assert isinstance(engine, VLLMEngine)
    assert (found.model, found.policy, found.concurrency) == (engine.model, engine.policy, engine.concurrency)
    assert traits(found).is_concurrent
    engine.close()


def test_transformers_takes_the_type_of_the_folder_or_the_one_that_is_asked_for():
    import torch

    for options, expected in (({}, torch.float32), ({"dtype": "bfloat16"}, torch.bfloat16)):
        scorer: Any = Scorer.from_pretrained(TINY, dialect="v1", device="cpu", engine_options=options)
        assert scorer.engine.module.dtype == expected
