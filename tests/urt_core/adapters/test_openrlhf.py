"""OpenRLHF: a file with `reward_func(queries, prompts, labels)`, imported by path and called with lists of one."""

import json
import math
from typing import Any

import pytest
import torch

from urt_core.adapters.openrlhf import answer_of, make_reward_func
from urt_core.errors import ConfigError

PROMPT = "<|im_start|>user\nwhat?<|im_end|>\n<|im_start|>assistant\n"


def ask(reward_func, answer, medium_path, **label):
    row = {"question": "what?", "media": medium_path, "reference": "ref"} | label
    return reward_func([f"{PROMPT}{answer}<|im_end|>"], [PROMPT], [json.dumps(row)])


@pytest.fixture
def path(medium, tmp_path):
    medium.save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


def test_rewards(scorer, path):
    found = ask(make_reward_func(scorer), "longer answer", path)
    assert sorted(found) == ["extra_logs", "rewards", "scores"]
    for value in (found["rewards"], found["scores"]):
        assert torch.equal(value, torch.tensor([1.0]))
    assert found["extra_logs"]["urt_failure_rate"].tolist() == [0.0]
    assert ask(make_reward_func(scorer), "x", path)["rewards"].tolist() == [0.0]
    scored = ask(make_reward_func(scorer, mode="score", contract="final_score"), "x" * 40, path)
    assert scored["rewards"].tolist() == pytest.approx([0.4])


def test_failures(scorer, path):
    found = ask(make_reward_func(scorer), "odd", path)
    assert math.isnan(found["rewards"].item())
    assert found["extra_logs"]["urt_failure_rate"].tolist() == [1.0]
    assert ask(make_reward_func(scorer, on_failure="tie"), "odd", path)["rewards"].tolist() == [0.5]
    for label in ("{", "[]", '{"question": "q"}'):
        with pytest.raises(ConfigError, match="label"):
            make_reward_func(scorer)([PROMPT], [PROMPT], [label])
    unfit: list[dict[str, Any]] = [{"on_failure": "drop"}, {"task": "video_generation"}, {"mode": "win_rate"}]
    for settings in unfit:
        with pytest.raises(ConfigError):
            make_reward_func(scorer, **settings)


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (f"{PROMPT}two<|im_end|>", "two"),
        (f"{PROMPT} two <|im_end|><|endoftext|>", "two"),
        ("other template, assistant\ntwo</s>", "two"),
        (f"{PROMPT}a <|im_end|> inside", "a <|im_end|> inside"),
    ],
)
def test_the_answer_in_a_query(query, answer):
    assert answer_of(query, PROMPT, ("<|im_end|>", "<|endoftext|>", "</s>")) == answer
