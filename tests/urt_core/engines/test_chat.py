"""The chat wire format: turns, log-probabilities and further fields, as an endpoint sees and sends them."""

import io
import math

import pytest
from PIL import Image

from urt_core import SamplingParams
from urt_core.engines.endpoint.retrying import RetryPolicy
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply
from urt_core.engines.wrappers.cache import completion_from_json, completion_to_json
from urt_core.prompts import Prompt, Turn
from urt_core.records import Media, MediaKind


def image(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return Media(kind=MediaKind.IMAGE, files=("a.png",), data=(buffer.getvalue(),))


def ask(script, sampling=None, prompt=None):
    """(completions, number of requests) of one prompt."""
    retry = RetryPolicy(max_attempts=2, first_delay_s=0.001, max_delay_s=0.002)
    with ScriptedEndpoint(script=script) as endpoint:
        with OpenAIEngine(base_url=endpoint.base_url, model="judge", retry=retry) as engine:
            [completions] = engine.generate([prompt or Prompt(parts=("which?",))], sampling or SamplingParams())
        return completions, endpoint.num_requests


def test_token_logprobs():
    choice = {"index": 0, "finish_reason": "stop", "message": {"content": "Image 1"}}
    choice["logprobs"] = {"content": [{"token": "Image", "logprob": -0.5}, {"token": " 1", "logprob": -0.25}]}
    completions, _ = ask(lambda request: chat_reply(choices=[choice]), SamplingParams(logprobs=True))
    assert completions[0].token_texts == ("Image", " 1")
    assert completions[0].logprobs == (-0.5, -0.25)


def test_the_likeliest_tokens_are_asked_for_and_read():
    bodies = []

    def script(request):
        bodies.append(request.json)
        top = [{"token": "Yes", "logprob": -0.22}, {"token": "No", "logprob": -1.65}]
        choice = {"index": 0, "finish_reason": "stop", "message": {"content": "Yes"}}
        return chat_reply(
            choices=[choice | {"logprobs": {"content": [{"token": "Yes", "logprob": -0.22, "top_logprobs": top}]}}]
        )

    [completion], _ = ask(script, SamplingParams(logprobs=True, top_logprobs=2))
    assert bodies[0]["top_logprobs"] == 2
    assert completion.top_logprobs == ((("Yes", -0.22), ("No", -1.65)),)
    assert completion_from_json(completion_to_json(completion)) == completion


@pytest.mark.parametrize("number", [math.nan, math.inf, 5.0, -math.inf, 10**400, "0.5", True, None])
def test_a_number_that_is_no_logprob_is_never_passed_on(number):
    choice = {"index": 0, "finish_reason": "stop", "message": {"content": "Yes"}}
    choice["logprobs"] = {"content": [{"token": "Yes", "logprob": number}]}
    [completion], _ = ask(lambda request: chat_reply(choices=[choice]), SamplingParams(logprobs=True))
    assert (completion.finish_reason, completion.logprobs) == ("http_error", ())


def test_turns_stops_and_further_fields_are_sent():
    bodies = []

    def script(request):
        bodies.append(request.json)
        return chat_reply("a")

    before = (Turn(role="system", parts=("Be brief.",)), Turn(role="user", parts=(image("red"), "first?")))
    prompt = Prompt(parts=("second?", image("blue")), before=(*before, Turn(role="assistant", parts=("red",))))
    extra = {"response_format": {"type": "json_object"}, "presence_penalty": 0.5}
    ask(script, SamplingParams(stop=("</answer>",), extra=extra), prompt)
    [body] = bodies
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
    assert body["messages"][0]["content"] == "Be brief."
    assert [part["type"] for part in body["messages"][1]["content"]] == ["image_url", "text"]
    assert [part["type"] for part in body["messages"][3]["content"]] == ["text", "image_url"]
    assert (body["stop"], body["response_format"], body["presence_penalty"]) == (
        ["</answer>"],
        {"type": "json_object"},
        0.5,
    )
