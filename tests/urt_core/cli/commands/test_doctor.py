"""What the doctor says to a person, and its exit code."""

import json

import pytest

from urt_core.cli import main
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply

JUDGEMENT = "<think>Total score:\nImage 1: 9+7+8=24\nImage 2: 3+7+8=18</think><answer>Image 1 is better</answer>"


@pytest.fixture
def doctor(capsys):
    """doctor(script, *options) -> (exit code, what was printed)."""

    def run(text: str, *options: str) -> tuple[int, str]:
        with ScriptedEndpoint(script=lambda request: chat_reply(text, prompt_tokens=1000)) as endpoint:
            code = main(["doctor", "--base-url", endpoint.base_url, "--model", "judge", *options])
        return code, capsys.readouterr().out

    return run


def test_a_readable_judgement_ends_with_the_command_to_go_on(doctor) -> None:
    code, out = doctor(JUDGEMENT)
    assert code == 0
    assert "it can be read" in out
    command = out.splitlines()[-1]
    assert command.startswith("urt compare --base-url http://127.0.0.1:")
    assert "--model judge --profile " in command


def test_an_unreadable_one_is_exit_code_3(doctor) -> None:
    code, out = doctor("Both are nice.")
    assert code == 3
    assert "but not read (" in out


def test_prices_are_per_million_tokens(doctor) -> None:
    prices = ("--prompt-price", "2", "--completion-price", "8")
    code, out = doctor(JUDGEMENT, "--json", *prices)
    found = json.loads(out)
    assert code == 0
    usage = found["usage"]
    assert found["cost"] == pytest.approx((usage["prompt_tokens"] * 2 + usage["completion_tokens"] * 8) / 1e6)
    assert f"at these prices {found['cost']:.5f}" in doctor(JUDGEMENT, *prices)[1]


def test_an_endpoint_is_needed(capsys) -> None:
    assert main(["doctor", "--model", "judge"]) == 1
    assert "needs --base-url" in capsys.readouterr().err
