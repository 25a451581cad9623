"""What public reward clients send, field by field in their wire formats, and how they read the answer.

Each is written here from its format, not copied: one function a client, which posts what it posts and returns what it
would reward. Behind the server stands an endpoint whose answers are known and which records what reaches it.
"""

import base64
import io
import json
import re
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from openai.types.chat import ChatCompletion
from PIL import Image

from urt_core import Dialect, Scorer
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply
from urt_core.media import MediaPolicy
from urt_core.server import ServerSettings, create_app

CHAT = "/v1/chat/completions"
THINK = "<think>\nOverall Quality: Image 1 (8/10) - good; Image 2 (6/10) - fair\n</think>\n<answer>Image 1 is better</answer>"
ACS = "Alignment Score (1-5): 3.9\nCoherence Score (1-5): 4.1\nStyle Score (1-5): 4.0"
FINAL = "It fits.\nFinal Score: 3.5"


def base64_of(colour, *, kind="PNG", size=(32, 32)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return base64.b64encode(buffer.getvalue()).decode()


def image(colour="red", *, kind="JPEG", prefix="data:image/jpeg;base64,", **more):
    return {"type": "image_url", "image_url": {"url": prefix + base64_of(colour, kind=kind), **more}}


def text(words):
    return {"type": "text", "text": words}


@pytest.fixture(scope="module")
def judge():
    """`judge.ask(route, body, says=...)` -> the answer; `judge.seen` is the last body at the endpoint, turned into
    roles and parts."""
    state = SimpleNamespace(reply=chat_reply(""), body=None)

    def script(request):
        state.body = request.json
        return state.reply

    with (
        ScriptedEndpoint(script=script) as endpoint,
        OpenAIEngine(base_url=endpoint.base_url, model="judge", policy=MediaPolicy(min_pixels=1)) as engine,
    ):
        scorer = Scorer(engine=engine, dialect=Dialect.V1, allow_paths=False)
        clients = {
            reward: TestClient(
                create_app(scorer, ServerSettings(reward=reward, contract="final_score")), base_url="http://localhost"
            )
            for reward in ("win_rate", "score")
        }

        def ask(route, body, *, says="", reward="win_rate", **choice):
            state.body, state.reply = None, chat_reply(says)
            if choice:
                [plain] = json.loads(state.reply.body)["choices"]
                state.reply = chat_reply(choices=[plain | choice])
            return clients[reward].post(route, json=body)

        def seen():
            turns = []
            for message in state.body["messages"]:
                content = message["content"]
                parts = [text(content)] if isinstance(content, str) else content
                turns.append((message["role"], [part.get("text", "image") for part in parts]))
            return turns

        yield SimpleNamespace(ask=ask, get=clients["score"].get, seen=seen, state=state)


# The chat route


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


# Routes of reward services


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


def test_unirl_reward_service(judge):
    """/health names the rewards; results and errors come in the order of the requests, each sample's error its own."""
    health = judge.get("/health").json()
    assert (health["status"], health["rewards"]) == ("ok", {"unified_reward": ["score"]})
    history = [{"text": "a red square", "image_b64": base64_of("red")}]
    requests = [
        {"history": history, "required_rewards": ["unified_reward"]},
        {"history": history, "required_rewards": ["unified_reward", "aesthetic"]},
        {"history": [{"text": "nothing"}], "required_rewards": ["unified_reward"]},
        {"history": [{"text": "broken", "image_b64": "%%%"}], "required_rewards": ["unified_reward"]},
    ]
    answer = judge.ask("/score", {"requests": requests}, says=FINAL).json()
    assert answer["results"] == [{"unified_reward": {"score": 0.625}}, {"unified_reward": {"score": 0.625}}, {}, {}]
    assert answer["errors"][0] == {}
    assert list(answer["errors"][1]) == ["aesthetic"]
    assert answer["errors"][2:] == [{"unified_reward": "bad_media"}] * 2


def test_openrlhf_remote_reward(judge):
    """Prompts with their answers, prompts, labels; a judge of pictures needs to know the picture."""
    label = json.dumps({"question": "What is it?", "media": f"data:image/png;base64,{base64_of('red')}"})
    body = {"query": ["ask: red", "ask: blue"], "prompts": ["ask: ", "ask: "], "labels": [label, label]}
    answer = judge.ask("/get_reward", body, says="Final Score: 75", reward="score").json()
    assert answer["rewards"] == [0.75, 0.75]
    assert re.search("blue|red", json.dumps(judge.state.body))
    refused = judge.ask("/get_reward", body | {"labels": ["5", "5"]})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "labels")
    assert "urt_core.adapters.openrlhf" in refused.json()["error"]["message"]


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


def test_nemo_gym_comparison_server(judge):
    """All answers to one conversation in one call; what could not be judged is a 503 and never a reward."""
    ask = {
        "role": "user",
        "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{base64_of('red')}"}],
    }
    ask["content"].append({"type": "input_text", "text": "Which colour?"})
    responses = [
        {
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "content": [{"type": "output_text", "text": words}]},
            ]
        }
        for words in ("red", "blue", "green")
    ]
    body = {"conversation_history": [ask], "response_objs": responses, "principle": None}
    says = THINK.replace("Image", "Answer")
    answer = judge.ask("/compare", body, says=says).json()
    assert answer["rewards"] == [0.5] * 3
    assert judge.ask("/compare", body | {"response_objs": []}).json()["rewards"] == []
    failed = judge.ask("/compare", body, says="I can't say.")
    assert (failed.status_code, failed.json()["error"]["code"]) == (503, "judge_failed")
    refused = judge.ask("/compare", body | {"principle": "Be brief."})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "principle")
    blind = judge.ask("/compare", body | {"conversation_history": [{"role": "user", "content": "Which colour?"}]})
    assert (blind.status_code, blind.json()["error"]["param"]) == (400, "conversation_history")
