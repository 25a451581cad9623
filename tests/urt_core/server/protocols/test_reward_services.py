"""Clients of other reward services: UniRL, OpenRLHF and NeMo-Gym, in their wire formats."""

import json
import re

from tests.urt_core.server.protocols.conftest import FINAL, THINK, base64_of


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
