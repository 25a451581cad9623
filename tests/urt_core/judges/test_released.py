"""Judges by name: what `--judge` fills in, and what every answer of such a judge says about its prompts."""

import json
from pathlib import Path
from typing import Any

import pytest

from urt_core import Scorer
from urt_core.cli import main
from urt_core.contracts import load_contract
from urt_core.engines.scripted_endpoint import Reply, Request, ScriptedEndpoint, chat_reply
from urt_core.errors import ConfigError
from urt_core.judges.pretrained import load_spec
from urt_core.judges.released import OWN_WORDING, RELEASED, need_released, released
from urt_core.media import MediaPolicy
from urt_core.prompts import PointContract, point_scale
from urt_core.records import Task

V2 = "<think>a</think><answer>Answer 1 is better</answer>"


def test_every_judge_names_contracts_that_exist_and_limits_that_hold() -> None:
    assert len(RELEASED) == len({judge.hub_id for judge in RELEASED.values()}) == 36
    for name, judge in RELEASED.items():
        assert name == judge.hub_id.removeprefix("CodeGoat24/").lower()
        load_contract(judge.dialect)
        for contract in judge.point_contracts:
            assert any(_covers(contract, task) for task in Task)
        assert MediaPolicy() != judge.policy
        assert judge.hub_id in judge.vllm_command
        assert json.dumps(judge.to_json())


def _covers(contract: str, task: Task) -> bool:
    try:
        return bool(point_scale(PointContract(contract), task))
    except ValueError:
        return False


@pytest.mark.parametrize(
    "name",
    ["unifiedreward-think-qwen3vl-8b", "UnifiedReward-Think-qwen3vl-8B", "CodeGoat24/UnifiedReward-Think-qwen3vl-8b"],
)
def test_a_name_or_hub_id_fills_in_contract_and_limits(name: str) -> None:
    dialect, policy, max_tokens = load_spec(name, dialect=None, policy=None)
    assert (str(dialect), policy.num_frames, policy.max_pixels, max_tokens) == ("v2", 8, 1024 * 1024, 4096)
    assert str(load_spec(name, dialect="direct", policy=None)[0]) == "direct"


@pytest.mark.parametrize(
    ("name", "family", "near"),
    [
        ("flex-qwen3vl", "flex", {"unifiedreward-flex-qwen3vl-2b", "unifiedreward-flex-qwen3vl-32b"}),
        ("unifiedreward-2.0-qwen-4b", "2.0", {"unifiedreward-2.0-qwen-3b", "unifiedreward-2.0-qwen-7b"}),
        ("CodeGoat24/UnifiedReward-Edit-Qwen-8B", "edit", {"unifiedreward-edit-qwen-7b"}),
        ("unifiedreward-thnk-qwen3vl-8b", "think", {"unifiedreward-think-qwen3vl-8b"}),
    ],
)
def test_a_near_miss_is_answered_with_its_neighbours(name: str, family: str, near: set[str]) -> None:
    """A part of a name with those that hold it, anything else with those that are spelled like it."""
    assert released(name) is None
    with pytest.raises(ConfigError, match=r"; near: [^;]+; `urt judges` lists them all$") as caught:
        need_released(name)
    told = str(caught.value).split("near: ")[1].split("; ")[0].split(", ")
    assert near <= set(told) <= RELEASED.keys()
    assert len(told) <= 5
    assert all(family in one for one in told)


def test_a_name_like_no_other_has_no_neighbours() -> None:
    with pytest.raises(ConfigError, match=r"which is none of the released ones; `urt judges` lists them all$"):
        need_released("gpt-4o")


def test_the_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judges"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in RELEASED)
    assert "asked in urt's own wording" in " ".join(shown.split())
    assert main(["judges", "--json", "unifiedreward-2.0-qwen-3b"]) == 0
    [facts] = json.loads(capsys.readouterr().out)
    assert facts["base_licence"] == "Qwen Research (non-commercial)"
    assert facts["point_contracts"] == ["acs", "aps"]


def test_an_answer_says_that_the_wording_is_ours_and_only_then(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pair = ["--task", "image_understanding", "--text", "How many?", "--first", "One.", "--second", "Two."]
    (tmp_path / "a.png").write_bytes(_png())
    bodies: list[Any] = []

    def answer_with(request: Request) -> Reply:
        bodies.append(request.json)
        return chat_reply(V2, model="unifiedreward-think-qwen35-9b")

    with ScriptedEndpoint(script=answer_with) as endpoint:
        asked = [
            "compare",
            "--judge",
            "UnifiedReward-Think-qwen35-9b",
            "--base-url",
            endpoint.base_url,
            "--orders",
            "given",
            "--json",
        ]
        assert main([*asked, *pair, "--media", str(tmp_path / "a.png")]) == 0
        done = capsys.readouterr()
        answer = json.loads(done.out)
        assert answer["wording"] == OWN_WORDING
        assert done.err.count("own wording") == 1
        folder = tmp_path / "v2"
        folder.mkdir()
        (folder / "image_understanding.txt").write_text("{media}{question}{answer_1}{answer_2}")
        assert main([*asked, *pair, "--media", str(tmp_path / "a.png"), "--templates", str(tmp_path)]) == 0
        done = capsys.readouterr()
        assert "wording" not in json.loads(done.out)
        assert "own wording" not in done.err
        scorer = Scorer.from_pretrained("unifiedreward-think-qwen35-9b", base_url=endpoint.base_url, orders="given")
        comparison = scorer.compare(
            task="image_understanding", text="?", first="a", second="b", media=tmp_path / "a.png"
        )
        assert comparison.wording == OWN_WORDING
    # Qwen3.5 reasons in a place of its own unless it is told not to.
    assert bodies
    assert all(body["chat_template_kwargs"] == {"enable_thinking": False} for body in bodies)


def _png() -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    return buffer.getvalue()
