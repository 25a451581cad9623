"""vLLM servers: what is sent to them, in which order answers come back, and what happens when one fails or is lost.

The servers here speak vLLM's API over HTTP in this process and sample with a policy of their own;
`test_served_by_vllm.py` has a real one.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from tests.urt_train.fake_vllm import CHAT, FakeVLLM, reply
from urt_core import Prompt, SamplingParams, render
from urt_core.engines.scripted_endpoint import Reply, Request
from urt_core.errors import EngineError, ServerError
from urt_data import ShardWriter
from urt_train.config import DataConfig, JudgeConfig, ModelConfig, TrainerConfig
from urt_train.experiment.run import run_stage
from urt_train.model.policy import Policy
from urt_train.rollouts.hand_over import EngineCopy
from urt_train.runtime.callbacks import read_rows
from urt_train.runtime.checkpoints.checkpoint import newest_checkpoint
from urt_train.stages import train_config
from urt_train.stages.grpo.engine import open_served
from urt_train.stages.grpo.module import GRPO

HAND_OVER = [
    "/health",
    "/pause",
    "/collective_rpc",
    "/reset_encoder_cache",
    "/reset_mm_cache",
    "/reset_prefix_cache",
    "/resume",
]

SAMPLING = SamplingParams(temperature=1.0, max_tokens=5, seed=3, num_completions=2, logprobs=True)

KEY = "key-of-the-test"


@pytest.fixture
def prompts(records, spec) -> list[Prompt]:
    return [render(record, spec.dialect) for record in records[:6]]


def expected_groups(policy: Policy, prompts: list[Prompt]) -> list[list[tuple[int, ...]]]:
    """What servers with the policy's weights sample, whichever of them is asked."""
    groups = []
    for index, prompt in enumerate(prompts):
        sampling = replace(SAMPLING, seed=3 + index * SAMPLING.num_completions)
        groups += [[answer.token_ids for answer in policy.engine().generate([prompt], sampling)[0]]]
    return groups


def token_ids(groups) -> list[list[tuple[int, ...]]]:
    return [[answer.token_ids for answer in group] for group in groups]


def test_groups_come_back_in_the_order_of_the_prompts_from_all_servers(engine, fakes, policy, prompts):
    before = [fake.num_groups for fake in fakes]
    groups = engine.generate(prompts, SAMPLING)
    assert token_ids(groups) == expected_groups(policy, prompts)
    asked = [fake.num_groups - earlier for fake, earlier in zip(fakes, before, strict=True)]
    assert sum(asked) == len(prompts), "one request per group"
    assert min(asked) >= 1
    first = groups[0]
    assert all(len(answer.logprobs) == len(answer.token_ids) for answer in first)
    assert [answer.usage.prompt_tokens > 0 for answer in first] == [True, False]


def test_a_request_leaves_nothing_to_the_servers_defaults_and_forbids_image_and_role_tokens(
    engine, fakes, policy, prompts
):
    engine.generate(prompts[:1], SAMPLING)
    body = next(body for fake in fakes for body in fake.bodies if body.get("return_token_ids"))
    wanted = {"n": 2, "seed": 3, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    assert body | wanted == body
    assert {int(token) for token in body["logit_bias"]} == policy.engine().forbidden_token_ids


def test_a_rollout_pauses_hands_over_forgets_and_checks_before_it_samples(engine, fakes, policy, records, config):
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.1)
    for fake in fakes:
        fake.calls.clear()
    plan = config.plan(num_ranks=1)
    module = GRPO(policy, config, engine=engine, reference=None, plan=plan, num_steps=1, seed=0)
    assert isinstance(engine, EngineCopy)
    module.make_round(lambda: records[:2], 0)
    for fake in fakes:
        assert fake.calls[: len(HAND_OVER) + 1] == [*HAND_OVER, CHAT]
    assert sum(fake.num_groups for fake in fakes) == 2 + 2, "two canaries, two groups"
    assert module.sums["parity"] == pytest.approx(1.0, abs=1e-4)
    assert module.sums["time/hand_over"] > 0


def changed(change: Callable[[dict], object]) -> Callable[[FakeVLLM, Request], Reply]:
    """The right answer, spoilt."""

    def spoilt(fake: FakeVLLM, request: Request) -> Reply:
        answer = fake.chat(request.json)
        change(answer)
        return reply(answer)

    return spoilt


FAULTS = {
    "http_500": lambda fake, request: reply({"error": "CUDA out of memory"}, status=500),
    "not_json": lambda fake, request: Reply(body=b"<html>gateway</html>"),
    "no_object": lambda fake, request: reply([1]),
    "cut_off": lambda fake, request: Reply(body=b"{" * 100, sent_bytes=20, then="close"),
    "reset": lambda fake, request: Reply(sent_bytes=0, then="reset"),
    "a_completion_missing": changed(lambda answer: answer["choices"].pop()),
    "no_choices": changed(lambda answer: answer.pop("choices")),
    "the_same_completion_twice": changed(lambda answer: answer["choices"][0].update(index=0)),
    "aborted": changed(lambda answer: answer["choices"][0].update(finish_reason="abort")),
    "no_tokens": changed(lambda answer: answer["choices"][0].update(token_ids=None)),
    "a_log_prob_missing": changed(lambda answer: answer["choices"][0]["logprobs"]["content"].pop()),
    "no_log_probs": changed(lambda answer: answer["choices"][0].update(logprobs=None)),
    "not_a_number": changed(lambda answer: answer["choices"][0]["logprobs"]["content"][0].update(logprob=-9999.0)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_one_server_fails_at_another_does(fault, engine, fakes, policy, prompts):
    fakes[0].fault = lambda path, request: FAULTS[fault](fakes[0], request) if path == CHAT else None
    assert token_ids(engine.generate(prompts[:3], SAMPLING)) == expected_groups(policy, prompts[:3])
    assert (engine.pool.servers[0] in engine.pool.usable) == (fault not in ("cut_off", "reset"))


def test_a_server_that_hangs_is_left_out_and_comes_back_with_the_next_weights(engine, fakes, policy, prompts):
    engine.pool.servers[0].timeout_s = 1.0
    fakes[0].fault = lambda path, request: Reply(sent_bytes=0, then="hang") if path == CHAT else None
    assert token_ids(engine.generate(prompts[:2], SAMPLING)) == expected_groups(policy, prompts[:2])
    assert engine.pool.usable == [engine.pool.servers[1]]
    fakes[0].fault = lambda path, request: None
    engine.wake(policy)
    assert engine.pool.usable == list(engine.pool.servers)


def test_a_server_lost_during_the_hand_over_is_left_out(engine, fakes, policy, prompts):
    fakes[1].fault = lambda path, request: reply({"error": "dead"}, status=500) if path == "/collective_rpc" else None
    engine.wake(policy)
    assert engine.pool.usable == [engine.pool.servers[0]]
    before = fakes[1].num_groups
    assert token_ids(engine.generate(prompts[:2], SAMPLING)) == expected_groups(policy, prompts[:2])
    assert fakes[1].num_groups == before


def test_ranks_share_what_a_server_samples_at_a_time(engine, policy, config, monkeypatch):
    monkeypatch.setattr("urt_train.rollouts.served.world", lambda: (0, 2))
    monkeypatch.setattr("urt_train.rollouts.served.all_sum", lambda values, *, device: [2 * value for value in values])
    engine.wake(policy)
    assert engine.pool.in_flight == max(1, config.generation_batch_size // 2)


def test_when_none_is_left_the_error_names_all_of_them_and_what_to_do(engine, fakes, prompts, addresses):
    fakes[0].fault = lambda path, request: Reply(sent_bytes=0, then="reset") if path == CHAT else None
    fakes[1].fault = lambda path, request: reply({"error": "no memory"}, status=500) if path == CHAT else None
    with pytest.raises(EngineError, match=r"no vLLM server is left of .*same command goes on") as caught:
        engine.generate(prompts[:3], SAMPLING)
    assert all(address in str(caught.value) for address in addresses)
    assert "no connection" in str(caught.value)
    assert "HTTP 500: " in str(caught.value)
    assert "no memory" in str(caught.value)


def test_with_no_healthy_server_the_hand_over_ends(engine, fakes, policy):
    for fake in fakes:
        fake.fault = lambda path, request: reply({}, status=503)
    with pytest.raises(EngineError, match=r"no vLLM server is left of .*/health: HTTP 503"):
        engine.wake(policy)


def test_what_every_server_would_refuse_is_asked_once(engine, fakes, prompts):
    for fake in fakes:
        fake.fault = lambda path, request: reply({"error": "prompt too long"}, status=400) if path == CHAT else None
    before = sum(fake.num_groups for fake in fakes)
    with pytest.raises(ServerError, match=r"HTTP 400: .*prompt too long"):
        engine.generate(prompts[:1], SAMPLING)
    assert sum(fake.num_groups for fake in fakes) == before + 1


def test_a_prompt_that_the_server_reads_otherwise_stops_the_run(engine, fakes, prompts):
    spoil = changed(lambda answer: answer["prompt_token_ids"].insert(0, 0))
    for fake in fakes:
        fake.fault = lambda path, request, fake=fake: spoil(fake, request) if path == CHAT else None
    with pytest.raises(ServerError, match=r"prompt 'pair-000': the server made \d+ tokens of it and the trainer"):
        engine.generate(prompts[:1], SAMPLING)


def test_a_template_that_opens_the_reasoning_on_the_server_alone_is_named(engine, fakes, prompts):
    def opens(fake, request):
        answer = fake.chat(request.json)
        answer["prompt_token_ids"] += [27, 9]
        return reply(answer)

    for fake in fakes:
        fake.fault = lambda path, request, fake=fake: opens(fake, request) if path == CHAT else None
    with pytest.raises(
        ServerError, match=r"goes on behind the trainer's prompt, by 2 tokens.*start the server with --chat-template"
    ):
        engine.generate(prompts[:1], SAMPLING)


@pytest.mark.parametrize(
    ("path", "answer", "message"),
    [
        ("/is_paused", reply({"detail": "Not Found"}, status=404), "start the server with VLLM_SERVER_DEV_MODE=1"),
        ("/health", reply({}, status=500), "/health: HTTP 500"),
        ("/v1/models", reply({"data": []}), "names no model"),
        ("/v1/models", reply({"data": [{"id": "tiny", "max_model_len": 512}]}), "--max-model-len is 512; .* is 1006"),
        ("/v1/models", reply({"error": f"wrong key {KEY}"}, status=401), r"wrong key \*\*\*.*VLLM_API_KEY"),
        ("/health", replace(reply({}, status=302), headers={"Location": "http://127.0.0.1:1/health"}), "HTTP 302"),
        (
            CHAT,
            reply({"choices": [{"logprobs": {"content": [{"logprob": -9.0}]}}]}),
            "without --logprobs-mode processed_logprobs",
        ),
        (CHAT, reply({"choices": [{"logprobs": None}]}), "an answer without log-probs"),
    ],
)
def test_a_server_that_does_not_fit_is_named_before_the_run(
    path, answer, message, policy, config, fakes, tmp_path, monkeypatch
):
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    fakes[1].fault = lambda called, request: answer if called == path else None
    with pytest.raises(
        EngineError, match=rf"1 of 2 vLLM servers .* can't be used: {config.vllm_servers[1]}.*{message}"
    ):
        open_served(config, policy, folder=tmp_path)


def test_the_key_of_the_environment_goes_to_the_servers(policy, config, fakes, tmp_path, monkeypatch):
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    seen = []
    fakes[0].fault = lambda path, request: seen.append(request.headers.get("authorization"))
    engine = open_served(config, policy, folder=tmp_path)
    assert set(seen) == {f"Bearer {KEY}"}
    assert KEY not in repr(engine.pool.servers) + engine.model


def test_no_server_at_an_address_is_a_line_with_the_address(policy, config, tmp_path):
    config.vllm_servers = ["http://127.0.0.1:9"]
    with pytest.raises(EngineError, match=r"http://127\.0\.0\.1:9/health: no connection, ConnectionRefusedError"):
        open_served(config, policy, folder=tmp_path)


def test_an_empty_rollout_asks_nobody(engine):
    assert engine.generate([], SAMPLING) == []


def test_a_run_that_loses_its_servers_ends_with_a_good_checkpoint_and_goes_on_from_it(
    config, fakes, records, spec, tiny_folder, tmp_path
):
    with ShardWriter(tmp_path / "hard") as shards:
        for record in records:
            shards.write(record)
    run = train_config()(
        recipe="test",
        stage="grpo",
        output_root=str(tmp_path / "out"),
        judge=JudgeConfig(min_pixels=spec.min_pixels, max_pixels=spec.max_pixels, num_frames=spec.num_frames),
        model=ModelConfig(base=str(tiny_folder)),
        data=DataConfig(hard=str(tmp_path / "hard")),
        trainer=TrainerConfig(accelerator="cpu", progress_bar=False),
        grpo=replace(config, initial=str(tiny_folder), max_steps=3, save_every=1, learning_rate=1e-3),
    )

    def dies_in_the_third_rollout(path: str, request: Request) -> Reply | None:
        is_third = fakes[0].calls.count("/collective_rpc") == 3
        return Reply(sent_bytes=0, then="reset") if is_third and path == CHAT and request.json["n"] > 1 else None

    for fake in fakes:
        fake.fault = dies_in_the_third_rollout
    with pytest.raises(EngineError, match="no vLLM server is left of"):
        run_stage(run)
    checkpoint = newest_checkpoint(run.stage_dir() / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.name == "step_00000002"
    for fake in fakes:
        fake.fault = lambda path, request: None
    run_stage(run)
    rows = read_rows(run.stage_dir() / "metrics.csv")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert max(row["parity"] for row in rows) < 1.001
