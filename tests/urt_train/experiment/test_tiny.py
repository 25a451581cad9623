"""The committed base model: small, made as its code says, able to describe, unable to judge."""

import json
import random
from pathlib import Path

import pytest

from urt_core import Dialect, JudgeSpec, SamplingParams, Task, parse_judgement, render
from urt_core.judgement import Judgement
from urt_core.prompts import Prompt
from urt_data.sprites import Split, pairs
from urt_data.sprites.oracle import describe
from urt_data.sprites.pairs import View
from urt_data.sprites.world import COLOURS, COUNTS, MOTIONS, SHAPES, sample_scene
from urt_train.experiment.tiny import SPECIAL_TOKENS, TAGS, make_tokenizer
from urt_train.model.policy import Policy

FOLDER = Path(__file__).parents[3] / "packages/urt-train/src/urt_train/model/tiny"


@pytest.fixture(scope="module")
def policy() -> Policy:
    spec = JudgeSpec(
        dialect=Dialect.V1,
        dimensions={str(task): task.dimensions for task in Task},
        min_pixels=2304,
        max_pixels=3072,
        num_frames=4,
        stage="base",
        base="",
        urt_version="0",
    )
    return Policy.from_pretrained(FOLDER, spec=spec).eval()


def test_it_stays_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 8_000_000


def test_the_tokenizer_is_the_one_that_its_code_makes():
    made = json.loads(make_tokenizer(seed=0).backend_tokenizer.to_str())
    committed = json.loads((FOLDER / "tokenizer.json").read_text(encoding="utf-8"))
    assert made["model"]["vocab"] == committed["model"]["vocab"]
    assert made["model"]["merges"] == committed["model"]["merges"]
    assert made["pre_tokenizer"] == committed["pre_tokenizer"]


def test_text_survives_the_tokenizer_byte_for_byte(policy):
    for text in ('{"a": [1, 2]}', "één ✓ 🐟\n\t x", "two red stars on the left", " 10/10 - 9+8+9=26"):
        ids = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert policy.tokenizer.decode(ids) == text


def test_words_that_carry_information_are_one_token_each(policy):
    def tokens(text: str) -> list[str]:
        return [policy.tokenizer.decode([token]) for token in policy.tokenizer(text)["input_ids"]]

    assert tokens("one red star on the left")[:3] == ["one", " red", " star"]
    assert tokens("=26\nImage 2: 5+8")[-3:] == ["5", "+", "8"]


@pytest.mark.parametrize("words", [COUNTS, MOTIONS, COLOURS, SHAPES])
def test_words_that_are_compared_share_a_token(policy, words):
    for truth in words:
        for said in (*words, "vague"):
            assert len(policy.tokenizer(f" {truth}/{said}", add_special_tokens=False)["input_ids"]) == 1


def test_special_tokens_are_those_of_qwen3_vl(policy):
    ids = policy.tokenizer.convert_tokens_to_ids([*SPECIAL_TOKENS, *TAGS])
    assert len(set(ids)) == len(ids)
    assert policy.tokenizer.unk_token_id not in ids
    assert policy.model.config.image_token_id == policy.tokenizer.convert_tokens_to_ids("<|image_pad|>")


def test_media_and_role_tokens_are_never_sampled(policy):
    """A sampled image token would ask the trainer for an image that is not there."""
    ids = set(policy.tokenizer.convert_tokens_to_ids([*SPECIAL_TOKENS])) - {policy.tokenizer.eos_token_id}
    assert ids <= policy.engine().forbidden_token_ids


def test_it_describes_scenes_that_it_has_never_seen(policy):
    """At least 24 of 32 whole descriptions: six words each, so one in a hundred thousand by chance."""
    rng = random.Random(11)
    views = [View(scene=sample_scene(rng, clip=index % 2 == 1, split=Split.TEST)) for index in range(32)]
    prompts = [
        Prompt(parts=(view.draw("media", rng), "What does it show?"), key=str(n)) for n, view in enumerate(views)
    ]
    answers = policy.engine().generate(prompts, SamplingParams(max_tokens=32))
    exact = sum(completion.text.strip() == describe(view) for (completion,), view in zip(answers, views, strict=True))
    assert exact >= 24


def test_it_cannot_judge(policy):
    records = [record for task in Task for record in pairs(task, 4, split=Split.TEST, seed=0)]
    answers = policy.engine().generate(
        [render(record, Dialect.V1) for record in records], SamplingParams(max_tokens=128)
    )
    for record, (completion,) in zip(records, answers, strict=True):
        assert not isinstance(parse_judgement(completion.text, task=record.task, dialect=Dialect.V1), Judgement)
