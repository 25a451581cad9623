"""Profiles are data: each file is read, each field does something, and what a file may not hold is named."""

import json
from typing import Any

import pytest

from urt_core.adapters.settings import scorer_from_settings
from urt_core.cli import main
from urt_core.engines import SamplingParams
from urt_core.engines.endpoint.profile import Profile, load_profile, profile_names
from urt_core.engines.endpoint.transport import checked_key, checked_url
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply
from urt_core.errors import ConfigError
from urt_core.prompts import Prompt

NAMES = (
    *("anthropic", "azure", "gemini", "litellm", "llama.cpp", "ollama", "openai", "openai-reasoning"),
    *("openrouter", "sglang", "vllm", "vllm-reasoning"),
)


def sent_by(sampling=None, *, reply=None, **settings):
    """(request, completions) of one prompt."""
    requests = []

    def script(request):
        requests.append(request)
        return reply or chat_reply("a", model=request.json["model"])

    with ScriptedEndpoint(script=script) as endpoint:
        with OpenAIEngine(base_url=endpoint.base_url, **{"model": "judge", "api_key": "k-12345", **settings}) as engine:
            [completions] = engine.generate([Prompt(parts=("?",))], sampling or SamplingParams(seed=1, logprobs=True))
    return requests, completions


def test_all_of_them_are_there():
    assert profile_names() == NAMES
    assert all(load_profile(name).about for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_sends_what_it_says(name):
    profile = load_profile(name)
    [request], completions = sent_by(profile=name)
    body = request.json
    assert completions[0].text == "a"
    assert body[profile.max_tokens_name] == 1024
    assert not set(profile.leave_out) & body.keys()
    assert {"temperature", "top_p", "n", "seed", "logprobs"} - set(profile.leave_out) <= body.keys()
    assert body.items() >= profile.extra_body.items()
    key = request.headers[profile.key_header.lower()]
    assert key == ("Bearer k-12345" if profile.key_header == "Authorization" else "k-12345")


@pytest.mark.parametrize("name", [name for name in NAMES if load_profile(name).max_n == 1])
def test_one_completion_a_request_where_no_more_are_given(name):
    requests, completions = sent_by(SamplingParams(num_completions=3, temperature=1.0), profile=name)
    assert [request.json["n"] for request in requests] == [1, 1, 1]
    assert len(completions) == 3


@pytest.mark.parametrize(
    ("name", "asked", "answered"),
    [
        ("azure", "my-deployment", "gpt-5-mini-2025-08-07"),
        ("litellm", "alias", "hosted_vllm/x"),
        ("llama.cpp", "judge", "/models/judge-q8.gguf"),
        ("sglang", "judge", "default"),
        ("ollama", "qwen2.5vl", "qwen2.5vl:latest"),
        ("openrouter", "qwen/qwen3-vl:free", "qwen/qwen3-vl"),
        ("gemini", "models/gemini-3", "gemini-3"),
    ],
)
def test_names_that_a_gateway_answers_under(name, asked, answered):
    _, [completion] = sent_by(profile=name, model=asked, reply=chat_reply("a", model=answered))
    assert completion.text == "a"


def test_fields_can_be_changed_one_by_one():
    changes = {"max_tokens_name": "limit", "leave_out": "seed, n", "extra_body": {"top_k": 1}, "accepted_models": "x"}
    [request], [completion] = sent_by(profile="vllm-reasoning", reply=chat_reply("a", model="x"), **changes)
    body = request.json
    assert (body["limit"], body["top_k"], completion.text) == (1024, 1, "a")
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert not {"seed", "n", "max_tokens"} & body.keys()


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "ours.yaml"
    path.write_text("max_tokens_name: max_new_tokens\nleave_out: [top_p]\n")
    [request], _ = sent_by(profile=str(path))
    assert request.json["max_new_tokens"] == 1024
    assert load_profile(path) == Profile(name="ours", max_tokens_name="max_new_tokens", leave_out=("top_p",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "holds list"),
        ("unknown: 1", "unknown"),
        ("leave_out: [messages]", "messages"),
        ("leave_out: 5", "leave_out"),
        ("max_n: 0", "max_n"),
        ("max_n: x", "max_n"),
        ("max_tokens_name: 5", "max_tokens_name"),
        ("key_header: Cookie", "key_header"),
        ("extra_body: 5", "extra_body"),
        ("extra_body: {messages: []}", "extra_body"),
        ("!!python/object/apply:os.system [ls]", "can't be read"),
        ("a: [", "can't be read"),
    ],
)
def test_what_a_file_may_not_hold_is_named(tmp_path, text, message):
    path = tmp_path / "ours.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_profile(path)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match="'gpt'; known: anthropic, azure"):
        load_profile("gpt")


def test_what_changes_an_answer_is_part_of_its_name():
    def named(**settings):
        return OpenAIEngine(base_url="http://localhost/v1", model="judge", **settings).model

    assert named() == named(profile="azure") == named(profile="ollama") == "judge@png"
    names = {named(profile=name) for name in ("openai", "openai-reasoning", "anthropic", "vllm-reasoning")}
    assert len(names) == 4


def test_a_profile_is_chosen_by_the_command_by_settings_and_by_the_environment(monkeypatch, tmp_path, capsys):
    bodies = []

    def script(request):
        bodies.append(request.json)
        return chat_reply("Answer 1 is better.")

    (tmp_path / "a.gif").write_bytes(
        bytes.fromhex("47494638376101000100f00000ff00000000002c00000000010001000002024401003b")
    )
    question: dict[str, Any] = {
        "task": "image_understanding",
        "text": "?",
        "first": "a",
        "second": "b",
        "media": str(tmp_path / "a.gif"),
    }
    with ScriptedEndpoint(script=script) as endpoint:
        typed = [word for name, value in question.items() for word in (f"--{name}", value)]
        where = ["--base-url", endpoint.base_url, "--model", "judge", "--dialect", "direct", "--orders", "given"]
        assert main(["compare", *where, *typed, "--profile", "openai-reasoning", "--json"]) == 0
        monkeypatch.setenv("URT_PROFILE", "openai-reasoning")
        assert main(["compare", *where, *typed, "--json"]) == 0
        monkeypatch.delenv("URT_PROFILE")
        option = 'extra_body={"top_k": 1}'
        assert (
            main(["compare", *where, *typed, "--json", "--engine-option", option, "--engine-option", "leave_out=n"])
            == 0
        )
        settings = {"base_url": endpoint.base_url, "model": "judge", "dialect": "direct", "orders": "given"}
        scorer = scorer_from_settings(
            settings | {"profile": "openai-reasoning", "engine_options": '{"extra_body": {"top_k": 2}}'}
        )
        assert scorer.compare(**question).status == "ok"
    assert ["max_completion_tokens" in body for body in bodies] == [True, True, False, True]
    assert [body.get("top_k") for body in bodies] == [None, None, 1, 2]
    assert "n" not in bodies[2]
    with pytest.raises(ConfigError, match="hold no_such; allowed"):
        scorer_from_settings(
            {"base_url": "http://localhost/v1", "model": "m", "dialect": "v1", "engine_options": {"no_such": 1}}
        )
    capsys.readouterr()


@pytest.mark.parametrize("key", ["sk-abc\n", " sk-abc", "sk-abc\r\n", "\tsk-abc "])
def test_white_space_around_a_key_is_no_part_of_it(key):
    [request], _ = sent_by(api_key=key)
    assert request.headers["authorization"] == "Bearer sk-abc"


@pytest.mark.parametrize("key", ["sk a", "sk\nabc", "sk-äbc", "sk\0abc", "sk\x7fa"])
def test_a_key_that_no_header_can_carry_is_refused_by_name(key, monkeypatch):
    with pytest.raises(ConfigError, match="the variable NAME") as caught:
        checked_key(key, name="the variable NAME")
    assert key not in str(caught.value)
    if "\0" not in key:
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
            OpenAIEngine(base_url="http://localhost/v1", model="judge")


def test_the_key_of_another_variable_is_not_sent(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other-123")
    [request], _ = sent_by(api_key="")
    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://x/v1", "http://", "http://x:99999/v1", "file:///etc/passwd", None]
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ConfigError, match="base_url is"):
        checked_url(url)


def test_credentials_do_not_belong_into_an_address():
    with pytest.raises(ConfigError, match="holds credentials") as caught:
        checked_url("https://me:hunter2@example.com/v1")
    assert "hunter2" not in str(caught.value)


def test_a_query_stays_behind_the_path():
    url = "https://x.openai.azure.com/openai/deployments/judge?api-version=2024-10-21"
    assert checked_url(url) == (
        "https://x.openai.azure.com/openai/deployments/judge/chat/completions?api-version=2024-10-21"
    )
    assert json.dumps(checked_url("http://localhost:8000/v1/ ")) == '"http://localhost:8000/v1/chat/completions"'
