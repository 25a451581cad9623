"""A real vLLM server on the embedded base: it takes the policy's weights over HTTP and samples what the policy
would."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from urt_core import Dialect, JudgeSpec, SamplingParams, Task, render
from urt_core.errors import ServerError
from urt_core.streaming import BACKGROUND
from urt_data import ShardWriter
from urt_data.sprites import Split, pairs
from urt_train.cli import compose
from urt_train.config import RolloutEngine
from urt_train.experiment.run import run_stage
from urt_train.model.batching import TokenBatch, pack_completions, pack_values
from urt_train.model.policy import Policy
from urt_train.rollouts.rollout import probability_ratio_error
from urt_train.rollouts.servers import VLLMServer
from urt_train.runtime.callbacks import read_rows
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.grpo.engine import open_served

JUDGE = Path(__file__).parents[3] / "packages/urt-core/src/urt_core/example/judge"
TINY = Path(__file__).parents[3] / "packages/urt-train/src/urt_train/model/tiny"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    """The address of a vLLM server on the judge that ships with urt, whose weights every policy replaces by its own; in
    as few processes as vLLM allows: each loads its libraries anew."""
    settings = {
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "OMP_NUM_THREADS": "1",
    }
    # `vllm serve` itself asks for the metadata of a package named vllm, which the CPU build has not.
    command = [
        *(sys.executable, "-W", "ignore", "-m", "vllm.entrypoints.openai.api_server", "--model", str(JUDGE)),
        "--no-enable-chunked-prefill",
        *("--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager", "--seed", "0"),
        *("--max-model-len", "1024", "--max-num-seqs", "16", "--logprobs-mode", "processed_logprobs"),
        *("--kv-cache-memory-bytes", str(2**28), "--limit-mm-per-prompt", '{"image": 8, "video": 0}'),
        *("--mm-processor-kwargs", '{"size": {"shortest_edge": 2304, "longest_edge": 3072}}'),
        *("--distributed-executor-backend", "uni"),
    ]
    log = tmp_path_factory.mktemp("vllm") / "server.log"

    def started() -> tuple[subprocess.Popen[bytes], str]:
        """It does not say which port it was given, so it is told one that is free."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with log.open("wb") as output:
            asked = [*command, "--port", str(port)]
            process = subprocess.Popen(asked, env=os.environ | settings, stdout=output, stderr=output)
        return process, f"http://127.0.0.1:{port}"

    process, address = started()
    try:
        deadline = time.monotonic() + 900
        while True:
            try:
                BACKGROUND.run(VLLMServer(address).check_health())
                break
            except ServerError:
                if process.poll() is not None and "Address already in use" in log.read_text():
                    process, address = started()  # somebody else was faster
                assert process.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(1.0)
        yield address
    finally:
        process.terminate()
        process.wait()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vllm (make test installs it)")
def test_a_real_server_takes_the_weights_and_stays_in_parity(server, tmp_path):
    """Twice, so that whatever a server keeps of older weights, image features above all, would show; the second time
    those of another model, whose embedding, which is its head as well, has little in common."""
    spec = JudgeSpec(
        dialect=Dialect.V1,
        dimensions={task: task.dimensions for task in Task},
        min_pixels=2304,
        max_pixels=3072,
        num_frames=4,
        stage="base",
        base="tiny",
    )
    policy, other = (Policy.from_pretrained(folder, spec=spec) for folder in (TINY, JUDGE))
    config = GRPOConfig(
        engine=RolloutEngine.vllm_server,
        vllm_servers=[server],
        max_prompt_tokens=900,
        max_completion_tokens=100,
    )
    engine = open_served(config, policy, folder=tmp_path / "weights")
    shown = [record for task in Task for record in pairs(task, 1, split=Split.TRAIN, seed=0)]
    prompts = [render(record, spec.dialect) for record in shown]
    sampling = SamplingParams(temperature=1.2, max_tokens=24, seed=7, num_completions=3, logprobs=True)
    sampled = []
    for weights in (policy, other):
        with torch.no_grad():
            for parameter, given in zip(policy.parameters(), weights.parameters(), strict=True):
                parameter.copy_(1.05 * given)
        engine.wake(policy)
        groups = engine.generate(prompts, sampling)
        assert [len(group) for group in groups] == [3] * len(prompts)
        ids, mask = pack_completions([[answer.token_ids for answer in group] for group in groups])
        logprobs = pack_values([[answer.logprobs for answer in group] for group in groups], length=ids.shape[-1])
        batch = TokenBatch(prompts=policy.encode(prompts), completion_ids=ids, completion_mask=mask)
        with torch.no_grad():
            own = policy.eval().token_logprobs(batch, temperature=1.2).logprobs
        assert probability_ratio_error(own[mask], logprobs[mask]) < 1.02
        sampled.append([[answer.token_ids for answer in group] for group in groups])
    assert sampled[0] != sampled[1]
    assert len({row for group in sampled[1] for row in group}) > len(prompts), "completions of a group differ"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vllm (make test installs it)")
def test_a_real_server_samples_while_the_policy_learns(server, tmp_path):
    """Three steps of the judge that ships with urt: each rollout but the first is begun before the policy has learned
    from the one before, and is one step old."""
    with ShardWriter(tmp_path / "hard") as shards:
        for task in Task:
            for record in pairs(task, 3, split=Split.TRAIN, seed=0):
                shards.write(record)
    config = compose(
        [
            "recipe=tiny",
            "stage=grpo",
            "engine=vllm_server",
            f"output_root={tmp_path / 'out'}",
            f"data.hard={tmp_path / 'hard'}",
            f"grpo.vllm_servers=[{server}]",
            "grpo.initial=embedded:judge",
            "grpo.staleness=1",
            "grpo.max_steps=3",
            "grpo.prompts_per_rollout=4",
            "grpo.group_size=4",
            "grpo.micro_batch_size=16",
            "grpo.kl_coef=0",
            "grpo.temperature=1.2",
            "trainer.accelerator=cpu",
            "trainer.num_threads=1",
            "trainer.progress_bar=false",
            "logger={}",
        ]
    )
    run_stage(config)
    rows = read_rows(config.stage_dir() / "metrics.csv")
    assert [row["age"] for row in rows] == [0, 1, 1]
    lines = [json.loads(line) for line in (config.stage_dir() / "timeline.jsonl").read_text().splitlines()]
    spans = {(line["phase"], line["step"]): (line["start"], line["end"]) for line in lines}
    for step in (2, 3):
        assert spans["sampling", step][0] < spans["learning", step - 1][1]
