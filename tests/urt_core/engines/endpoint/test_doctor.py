"""What three questions find out about an endpoint, and that a judge asked as the doctor says answers."""

import asyncio
import base64
import io
import json

import pytest
from PIL import Image

from urt_core import Scorer
from urt_core.cli import main
from urt_core.engines.endpoint.doctor import Doctor
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted_endpoint import Reply, ScriptedEndpoint, chat_reply
from urt_core.errors import EngineError

JUDGEMENT = "<think>Total score:\nImage 1: 9+7+8=24\nImage 2: 3+7+8=18</think><answer>Image 1 is better</answer>"


class Endpoint:
    """Answers words, a picture and a pair as a good judge would, and refuses what it was told to."""

    def __init__(
        self,
        *,
        refuses=(),
        owned_by=None,
        name="judge",
        features=("n", "seed", "logprobs", "json", "images"),
        **message,
    ):
        self.refuses, self.owned_by, self.name, self.features, self.message = refuses, owned_by, name, features, message
        self.count = 0

    def __call__(self, request):
        if request.method == "GET":
            if self.owned_by is None:
                return Reply(status=404)
            listed = {"data": [{"id": "judge", "object": "model", "owned_by": self.owned_by}]}
            return Reply(body=json.dumps(listed).encode())
        sent = request.json
        for names in self.refuses:
            if all(
                name in sent and sent[name] is not False and (name != "n" or sent["n"] > 1) for name in names.split("+")
            ):
                quoted = " and ".join(f"'{name}'" for name in names.split("+"))
                return Reply(status=400, body=json.dumps({"error": {"message": f"{quoted} not supported"}}).encode())
        pictures = [part for part in sent["messages"][0]["content"] if part["type"] == "image_url"]
        if len(pictures) == 2:
            text = JUDGEMENT
        elif pictures:
            pixels = Image.open(io.BytesIO(base64.b64decode(pictures[0]["image_url"]["url"].split(",")[1]))).convert(
                "RGB"
            )
            text = "Red." if "images" in self.features and pixels.getpixel((0, 0)) == (255, 0, 0) else "I see nothing."
        else:
            self.count += 1
            seed = sent["seed"] if "seed" in self.features and "seed" in sent else self.count
            text = json.dumps({"fruits": [f"apple {seed}"]}) if "json" in self.features else "apples"
            text = f"{text} " if "seed" not in self.features and self.count % 2 else text
        number = sent.get("n", 1) if "n" in self.features else 1
        choice = {"index": 0, "finish_reason": "stop", "message": {"content": text, **self.message}}
        if sent.get("logprobs") and "logprobs" in self.features:
            choice["logprobs"] = {"content": [{"token": text, "logprob": -0.5}]}
        return chat_reply(
            choices=[choice] * number, model=self.name, usage={"prompt_tokens": 600, "completion_tokens": 40}
        )


def examined(script, **settings):
    with ScriptedEndpoint(script=script) as endpoint:
        found = asyncio.run(Doctor(base_url=endpoint.base_url, model="judge", **settings).examine())
        with OpenAIEngine(base_url=endpoint.base_url, model="judge", profile=found.profile, **found.options) as engine:
            scorer = Scorer(engine=engine, dialect="v1", orders="given")
            shade = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
            comparison = scorer.compare(task="image_generation", text="a red square", first=shade[0], second=shade[1])
        assert comparison.status == "ok", comparison.detail
        assert found.num_requests == endpoint.num_requests - 2  # the list of models, and the comparison here
    return found


def test_an_endpoint_that_can_everything():
    found = examined(Endpoint())
    assert (found.profile, found.options, found.refused) == ("openai", {}, {})
    assert found.works == {"images": True, "logprobs": True, "n": True, "seed": True, "json": True}
    assert (found.judgement, found.usage.prompt_tokens, found.usage.completion_tokens) == ("ok", 600, 40)


@pytest.mark.parametrize("missing", ["images", "logprobs", "n", "seed", "json"])
def test_what_does_not_work_is_told(missing):
    features = [name for name in ("n", "seed", "logprobs", "json", "images") if name != missing]
    found = examined(Endpoint(features=features))
    assert [name for name, works in found.works.items() if not works] == [missing]


@pytest.mark.parametrize(
    ("script", "profile"),
    [
        (Endpoint(refuses=["max_tokens"]), "openai-reasoning"),
        (Endpoint(refuses=["max_tokens", "temperature", "top_p"]), "openai-reasoning"),
        (Endpoint(refuses=["temperature+top_p", "n"]), "anthropic"),
        (Endpoint(owned_by="vllm"), "vllm"),
        (Endpoint(owned_by="vllm", reasoning="because"), "vllm-reasoning"),
        (Endpoint(owned_by="vllm", reasoning_content="because"), "vllm-reasoning"),
        (Endpoint(owned_by="sglang", name="default"), "sglang"),
        (Endpoint(owned_by="llamacpp", name="/models/judge-q8.gguf"), "llama.cpp"),
        (Endpoint(owned_by="library", name="judge:latest"), "ollama"),
        (Endpoint(name="hosted_vllm/another"), "litellm"),
        (Endpoint(refuses=["response_format"]), "openai"),
    ],
)  # fmt: skip
def test_the_profile_that_fits(script, profile):
    assert examined(script).profile == profile


def test_what_no_profile_has_is_said_beside_it():
    found = examined(Endpoint(refuses=["seed", "max_tokens"], name="judge-other"), profile="openai")
    assert found.options == {
        "max_tokens_name": "max_completion_tokens",
        "leave_out": ["seed"],
        "accepted_models": ["judge-other"],
    }


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(status=401, body=b'{"error": {"message": "wrong key sk-canary-12345"}}'), "HTTP 401"),
        (Reply(status=404), "HTTP 404"),
        (Reply(status=307, headers={"Location": "http://user:secret@elsewhere/v1"}), "is not followed"),
        (Reply(sent_bytes=0, then="reset"), "can't be reached"),
        (Reply(delay_s=60), "did not answer"),
        (Reply(status=400, body=b"no"), "can't be asked"),
    ],
)
def test_an_endpoint_that_can_not_be_asked_is_one_line(reply, said):
    with ScriptedEndpoint(script=lambda request: reply) as endpoint:
        with pytest.raises(EngineError, match=said) as caught:
            asyncio.run(
                Doctor(base_url=endpoint.base_url, model="judge", api_key="sk-canary-12345", timeout_s=0.3).examine()
            )
    assert "canary" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_command(capsys):
    with ScriptedEndpoint(script=Endpoint(refuses=["max_tokens"])) as endpoint:
        options = [
            "--base-url",
            endpoint.base_url,
            "--model",
            "judge",
            "--prompt-price",
            "2",
            "--completion-price",
            "10",
        ]
        assert main(["doctor", *options]) == 0
        shown = capsys.readouterr().out
        assert "profile openai-reasoning" in shown
        assert "0.00160" in shown  # 600 tokens at 2 and 40 at 10 a million
        assert main(["doctor", *options, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["cost"] == pytest.approx(0.0016)
    assert main(["doctor", "--model", "judge"]) == 1
    assert "--base-url" in capsys.readouterr().err
