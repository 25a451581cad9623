"""A vLLM server for the tests: it speaks vLLM's API over HTTP in this process, and samples with a policy of its own."""

import base64
import json
import threading
from collections.abc import Callable

from safetensors.torch import load_file

from urt_core import Media, MediaKind, Prompt, SamplingParams
from urt_core.engines.scripted_endpoint import Reply, Request
from urt_train.model.policy import Policy

CHAT = "/v1/chat/completions"
ONE_AT_A_TIME = threading.Lock()
"""Each server has a thread, and a model of transformers is not made for several at once."""


def reply(value: object, *, status: int = 200) -> Reply:
    return Reply(status=status, body=json.dumps(value).encode())


class FakeVLLM:
    """Answers as a vLLM server does; `fault` may answer in its place."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.calls: list[str] = []
        self.bodies: list[dict] = []
        self.fault: Callable[[str, Request], Reply | None] = lambda path, request: None
        self.keeps_old_weights = False

    @property
    def num_groups(self) -> int:
        return sum(path == CHAT for path in self.calls)

    def __call__(self, request: Request) -> Reply:
        path = request.path.split("?")[0]
        self.calls.append(path)
        if (instead := self.fault(path, request)) is not None:
            return instead
        if path == CHAT:
            return reply(self.chat(request.json))
        if path == "/collective_rpc":
            self.reload(**request.json["kwargs"])
        return reply(
            {
                "/v1/models": {"data": [{"id": "tiny", "max_model_len": 4096}]},
                "/reset_prefix_cache": {"success": True},
            }.get(path, {})
        )

    def reload(self, *, weights_path: str) -> None:
        if not self.keeps_old_weights:
            found = self.policy.model.load_state_dict(load_file(f"{weights_path}/model.safetensors"), strict=False)
            assert (found.missing_keys, found.unexpected_keys) == (["lm_head.weight"], []), "which is tied"

    def chat(self, body: dict) -> dict:
        self.bodies.append(body)
        if 100 in body["logit_bias"].values():
            return {"choices": [{"logprobs": {"content": [{"logprob": 0.0}]}}]}
        prompt = Prompt(parts=tuple(map(part_of, body["messages"][0]["content"])))
        sampling = SamplingParams(
            temperature=body["temperature"],
            max_tokens=body["max_completion_tokens"],
            seed=body.get("seed"),
            num_completions=body["n"],
            logprobs=True,
        )
        with ONE_AT_A_TIME:
            [group] = self.policy.engine().generate([prompt], sampling)
            prompt_ids = self.policy.encode([prompt])["input_ids"][0].tolist()
        choices = [
            {
                "index": index,
                "finish_reason": str(answer.finish_reason),
                "token_ids": list(answer.token_ids),
                "logprobs": {"content": [{"token": "", "logprob": logprob} for logprob in answer.logprobs]},
            }
            for index, answer in enumerate(group)
        ]
        return {"prompt_token_ids": prompt_ids, "choices": choices[::-1]}


def part_of(part: dict) -> str | Media:
    if part["type"] == "text":
        return part["text"]
    _, encoded = part["image_url"]["url"].split(",")
    return Media(kind=MediaKind.IMAGE, files=("image.png",), data=(base64.b64decode(encoded),))
