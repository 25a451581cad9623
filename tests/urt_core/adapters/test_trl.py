"""TRL: a reward function with its keyword signature, alone and inside a real GRPOTrainer on CPU."""

import importlib.util
import math
from typing import Any

import pytest

from urt_core.adapters.trl import make_reward_func
from urt_core.errors import ConfigError, EngineError


def ask(reward_func, prompts, completions, **columns):
    """As TRL calls it: everything by keyword, data set columns as lists."""
    metrics = {}
    rewards = reward_func(
        prompts=prompts,
        completions=completions,
        completion_ids=[[1, 2]] * len(prompts),
        trainer_state=None,
        log_extra=lambda name, values: None,
        log_metric=metrics.__setitem__,
        **columns,
    )
    return rewards, metrics


def columns(medium, number, **more):
    return {"question": ["what?"] * number, "image": [medium] * number} | more


def test_win_rates_within_each_prompt(scorer, medium):
    prompts = ["p", "p", "p", "q", "q"]
    rewards, metrics = ask(make_reward_func(scorer), prompts, ["aaa", "a", "aa", "b", "bbbb"], **columns(medium, 5))
    assert rewards == [1.0, 0.0, 0.5, 0.0, 1.0]
    assert metrics == {"urt_failure_rate": 0.0}


def test_conversational_completions(scorer, medium):
    answers = [
        [{"role": "assistant", "content": "aaa"}],
        [{"role": "assistant", "content": [{"type": "text", "text": "a"}]}],
    ]
    prompts = [[{"role": "user", "content": "what?"}]] * 2
    assert ask(make_reward_func(scorer), prompts, answers, **columns(medium, 2))[0] == [1.0, 0.0]


def test_scores_and_references(scorer, medium):
    score = make_reward_func(scorer, mode="score", contract="final_score")
    assert ask(score, ["p"], ["x" * 40], **columns(medium, 1))[0] == pytest.approx([0.4])
    reference = make_reward_func(scorer, mode="reference")
    rewards, _ = ask(reference, ["p", "p"], ["long answer", "x"], **columns(medium, 2, reference=["ref", "ref"]))
    assert rewards == [1.0, 0.0]
    assert (score.__name__, reference.__name__) == ("urt_score", "urt_reference")


def test_failures(scorer, medium):
    answers = ["aaa", "odd", "a"]
    rewards, metrics = ask(make_reward_func(scorer), ["p"] * 3, answers, **columns(medium, 3))
    assert (rewards[0], rewards[2]) == (1.0, 0.0)
    assert math.isnan(rewards[1])
    assert metrics == {"urt_failure_rate": pytest.approx(1 / 3)}
    drop = make_reward_func(scorer, on_failure="drop")
    assert ask(drop, ["p"] * 3, answers, **columns(medium, 3))[0] == [1.0, 0.5, 0.0]
    with pytest.raises(EngineError, match="1 of 3"):
        ask(make_reward_func(scorer, on_failure="raise"), ["p"] * 3, answers, **columns(medium, 3))
    with pytest.raises(ConfigError, match="no column 'question'"):
        ask(make_reward_func(scorer), ["p"], ["a"], image=[medium])
    with pytest.raises(ConfigError, match="mode"):
        make_reward_func(scorer, task="image_generation")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # TRL and its companions warn about their own future
@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="needs trl (make test installs it)")
def test_inside_a_real_trainer(scorer, medium, tmp_path):
    """Two steps of GRPO on a random language model."""
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    words = ["<pad>", "<eos>", *"abcdefghijklmnopqrstuvwxyz"]
    letters = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<pad>"))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=letters, pad_token="<pad>", eos_token="<eos>")
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            pad_token_id=0,
            eos_token_id=1,
        )
    )
    medium.save(tmp_path / "a.png")
    rows = [
        {"prompt": text, "question": "what?", "picture": str(tmp_path / "a.png")} for text in ("ab", "cd", "ef", "gh")
    ]
    before = {name: value.clone() for name, value in model.named_parameters()}
    reward_func: Any = make_reward_func(scorer, media_column="picture")  # TRL wants a list that may hold None
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=reward_func,
        args=GRPOConfig(
            output_dir=str(tmp_path / "out"),
            max_steps=2,
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=6,
            learning_rate=1e-2,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "rewards/urt_win_rate/mean" in entry]
    assert [entry["rewards/urt_win_rate/mean"] for entry in logged] == [0.5, 0.5]  # half of all comparisons are won
    assert [entry["urt_failure_rate"] for entry in logged] == [0.0, 0.0]
    assert all(torch.isfinite(value).all() for value in model.parameters())
    assert any(not torch.equal(value, before[name]) for name, value in model.named_parameters())
