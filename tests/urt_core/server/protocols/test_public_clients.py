"""What public reward clients send, field by field in their wire formats, and how they read the answer.

Each is written here from its format, not copied: one function a client, which posts what it posts and returns what it
would reward. Behind the server stands an endpoint whose answers are known and which records what reaches it."""

import json
import re

import pytest
from fastapi.testclient import TestClient
from openai.types.chat import ChatCompletion

from tests.urt_core.server.protocols.conftest import FINAL, THINK, base64_of, text
from urt_core import Scorer
from urt_core.engines.openai import OpenAIEngine
from urt_core.server import create_app

CHAT = "/v1/chat/completions"


ACS = "Alignment Score (1-5): 3.9\nCoherence Score (1-5): 4.1\nStyle Score (1-5): 4.0"


def image(colour="red", *, kind="JPEG", prefix="data:image/jpeg;base64,", **more):
    return {"type": "image_url", "image_url": {"url": prefix + base64_of(colour, kind=kind), **more}}


def test_unifiedreward_pairs(judge):
    """UnifiedReward's and Pref-GRPO's request scripts: images first, then one text, `do_sample`, the same model name
    always."""
    for number in (2, 3, 16):
        content = [*(image() for _ in range(number)), text("Which is better?")]
        body = {
            "model": "UnifiedReward",
            "messages": [{"role": "user", "content": content}],
            "do_sample": False,
            "max_tokens": 4096,
        }
        answer = judge.ask(CHAT, body, says=THINK)
        assert answer.json()["choices"][0]["message"]["content"] == THINK
        assert judge.seen() == [("user", ["image"] * number + ["Which is better?"])]
        assert (judge.state.body["max_tokens"], judge.state.body["temperature"]) == (4096, 0.0)


def test_unifiedreward_for_sglang_and_flow_grpo(judge):
    """`<image>` before the text, a data URI without a subtype, no `max_tokens`; reads `Final Score: x` and divides by
    5."""
    content = [
        image(kind="PNG", prefix="data:image;base64,"),
        text("<image>\nJudge it.\nFinal Score: x, x from 1 to 5."),
    ]
    body = {"model": "UnifiedReward-7b-v1.5", "messages": [{"role": "user", "content": content}], "temperature": 0}
    answer = judge.ask(CHAT, body, says=FINAL).json()["choices"][0]["message"]["content"]
    found = re.search(r"Final Score:\s*([0-9.]+)", answer)
    assert found is not None
    assert float(found[1]) / 5 == 0.7
    assert judge.seen() == [("user", ["image", "Judge it.\nFinal Score: x, x from 1 to 5."])]


def test_flow_factory_probability_of_yes(judge):
    """One token with its twenty likeliest: the share of yes among yes and no."""
    top = [{"token": word, "logprob": number} for word, number in (("Yes", -0.22), ("No", -1.65), ("yes", -5.1))]
    says = {"logprobs": {"content": [{"token": "Yes", "logprob": -0.22, "top_logprobs": top}]}}
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": [image(), text("Does it show a cat?")]}],
        "temperature": 0.0,
    }
    body |= {"max_completion_tokens": 1, "logprobs": True, "top_logprobs": 20}
    answer = judge.ask(CHAT, body, says="Yes", **says).json()
    likely = {one["token"]: one["logprob"] for one in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]}
    assert likely == {"Yes": -0.22, "No": -1.65, "yes": -5.1}
    assert (judge.state.body["max_tokens"], judge.state.body["top_logprobs"]) == (1, 20)
    silent = judge.ask(CHAT, body, says="Yes")  # an endpoint that gives none must not be read as "neither is likely"
    assert (silent.status_code, silent.json()["error"]["param"]) == (502, "top_logprobs")


def test_flow_factory_rational_rewards(judge):
    messages = [
        {"role": "system", "content": "You rate pictures."},
        {"role": "user", "content": [image(), text("Rate it.")]},
    ]
    body = {"model": "m", "messages": messages, "temperature": 0.1, "max_tokens": 2048}
    assert judge.ask(CHAT, body, says="4").status_code == 200
    assert judge.seen() == [("system", ["You rate pictures."]), ("user", ["image", "Rate it."])]


def test_editscore(judge):
    """Text before the images, and no sampling field at all."""
    content = [text("Rate the edit."), image("red"), image("blue")]
    assert (
        judge.ask(CHAT, {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}, says="{}").status_code
        == 200
    )
    assert judge.seen() == [("user", ["Rate the edit.", "image", "image"])]


def test_verl_generative_rewards(judge):
    """Content as a string; every field that the official type requires is there."""
    body = {"model": "Qwen/Qwen2.5-1.5B-Instruct", "messages": [{"role": "user", "content": "2 + 3 = 5? One number."}]}
    answer = judge.ask(CHAT, body | {"temperature": 0.7, "top_p": 0.8, "max_tokens": 4096}, says="10")
    completion = ChatCompletion(**answer.json())
    assert completion.choices[0].message.content == "10"
    assert ChatCompletion.model_validate(answer.json(), strict=True) == completion


def test_verl_omni_unified_reward(judge):
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": [image(kind="PNG"), text("Rate it on three axes.")]}],
    }
    answer = judge.ask(CHAT, body | {"temperature": 0.0, "top_p": 1.0, "max_tokens": 512}, says=ACS).json()
    scores = [
        float(number) for number in re.findall(r"Score \(1-5\): ([0-9.]+)", answer["choices"][0]["message"]["content"])
    ]
    assert sum((score - 1) / 4 for score in scores) / 3 == pytest.approx(0.75)


@pytest.mark.parametrize("tokens", ["max_tokens", "max_completion_tokens"])
def test_lmms_eval_judge(judge, tokens):
    """Text first, images appended to the user turn, a system turn where it has one, and JSON mode on request."""
    messages = [{"role": "system", "content": "You compare."}, {"role": "user", "content": [text("Which?"), image()]}]
    body = {"model": "gpt-5", "messages": messages, tokens: 1024, "response_format": {"type": "json_object"}}
    assert judge.ask(CHAT, body, says='{"score": 3}').status_code == 200
    assert judge.seen() == [("system", ["You compare."]), ("user", ["Which?", "image"])]
    assert judge.state.body["response_format"] == {"type": "json_object"}
    assert judge.state.body["max_tokens"] == 1024


def test_vlmevalkit(judge):
    """`detail` beside the address; with `stream` it reads `data:` lines until `[DONE]`."""
    messages = [
        {"role": "system", "content": "Be fair."},
        {"role": "user", "content": [image(detail="low"), text("Which?")]},
    ]
    body = {"model": "m", "messages": messages, "temperature": 0, "max_tokens": 512, "n": 1, "stream": True}
    pieces = []
    for line in judge.ask(CHAT, body, says=THINK).text.split("\n"):
        if line == "data: [DONE]":
            break
        if line.startswith("data: "):
            pieces.append(json.loads(line[6:])["choices"][0]["delta"].get("content") or "")
    else:
        pytest.fail("the stream does not end")
    assert "".join(pieces) == THINK


def test_lightrft(judge):
    """A system turn, then a user turn for each image."""
    turns = [[text(f"**Image {index}:**"), image()] for index in (1, 2)]
    messages = [
        {"role": "system", "content": [text("Compare.")]},
        *({"role": "user", "content": turn} for turn in turns),
    ]
    assert judge.ask(CHAT, {"model": "m", "messages": messages}, says=THINK).status_code == 200
    assert judge.seen() == [
        ("system", ["Compare."]),
        ("user", ["**Image 1:**", "image"]),
        ("user", ["**Image 2:**", "image"]),
    ]


def flow_factory_remote(judge, prompts, reward="win_rate", **sent):
    """RemoteRewardClient: base64 without a prefix, null for what there is none of; shows `error` of a 200 body."""
    nothing = {"image": None, "video": None, "condition_images": None, "condition_videos": None}
    answer = judge.ask(
        "/compute", {"prompt": prompts} | nothing | sent, says=FINAL if reward == "score" else THINK, reward=reward
    )
    assert answer.status_code == 200, answer.text
    assert "error" not in answer.json()
    return answer.json()["rewards"]


def test_flow_factory_remote_client(judge):
    three = [base64_of(colour) for colour in ("red", "green", "blue")]
    # The endpoint prefers whatever stands first, so each pair is a tie over both orders.
    assert flow_factory_remote(judge, ["a"] * 3, image=three) == [0.5] * 3
    assert flow_factory_remote(judge, ["a", "b", "c"], image=three, reward="score") == [0.625] * 3
    mixed = flow_factory_remote(judge, ["a", "a", "b"], image=three)
    assert mixed[:2] == [0.5, 0.5]
    assert mixed[2] != mixed[2]


def test_flow_factory_edits_are_shown_beside_their_source(judge):
    body = {"prompt": ["a", "a"], "image": [base64_of("red")] * 2, "condition_images": [[base64_of("blue")]] * 2}
    answer = judge.ask("/compute", body, says=THINK)
    assert answer.json()["rewards"] == [0.5, 0.5]
    [(_, parts)] = judge.seen()
    assert parts.count("image") == 3


def test_pickle_is_never_read(judge):
    """EditScore's and flow_grpo's reward servers are sent pickles; here the body's kind is refused."""
    client = TestClient(
        create_app(Scorer(engine=OpenAIEngine(base_url="http://localhost:1/v1", model="m"), allow_paths=False))
    )
    client.base_url = "http://localhost"
    answer = client.post("/", content=b"\x80\x04K\x01.", headers={"content-type": "application/octet-stream"})
    assert answer.status_code == 415
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "verdict"}}], "tool_choice": "required"}, "tools"),
        ({"n": 64}, "n"),
        ({"max_tokens": 65536}, "max_tokens"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"prediction": {"type": "content", "content": "a"}}, "prediction"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"guided_json": {}}, "guided_json"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_name(judge, body, param):
    answer = judge.ask(CHAT, {"model": "judge", "messages": [{"role": "user", "content": "Which?"}]} | body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert param in answer.json()["error"]["message"]
    assert judge.state.body is None
