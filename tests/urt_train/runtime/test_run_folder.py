"""A folder never mixes two runs; a run that goes on with other settings says so."""

import json
from typing import Any

import pytest

from urt_core.atomic import write_whole
from urt_core.errors import ConfigError
from urt_train.runtime import run_folder
from urt_train.runtime.run_folder import environment, finish, folder_hash, open_folder

IDENTITY = {"grpo.kl_coef": 0.04, "grpo.max_steps": 4, "seed": 0, "data": "d1", "initial/model.safetensors": "m1"}


def opened(folder, *, accepted=(), is_anew=False, **changed):
    identity = IDENTITY | {name.replace("__", "."): value for name, value in changed.items()}
    return open_folder(folder, identity=identity, config=f"{identity}\n", is_anew=is_anew, accepted=accepted)


def test_what_was_run_is_written_down(tmp_path):
    run = opened(tmp_path / "grpo")
    assert (run.segment, run.is_finished) == (1, False)
    assert "kl_coef" in (run.folder / "config.yaml").read_text()
    assert json.loads((run.folder / "identity.json").read_text()) == IDENTITY
    assert json.loads((run.folder / "environment.json").read_text()).keys() >= {
        "commit", "python", "torch", "transformers",
    }  # fmt: skip
    assert environment()["torch"].startswith("2.")


def test_going_on_needs_the_same_identity(tmp_path):
    first = opened(tmp_path)
    assert opened(tmp_path).id == first.id
    changes: tuple[tuple[dict[str, Any], str], ...] = (
        ({"grpo__kl_coef": 0.1}, r"grpo\.kl_coef was 0\.04, is 0\.1.*go_on_with=\[grpo\.kl_coef\].*ckpt_path=null"),
        ({"data": "d2"}, r"data was d1, is d2\): keep them, choose another"),
        ({"seed": 1}, r"seed was 0, is 1\): keep them, choose another"),
    )
    for changed, said in changes:
        before = (tmp_path / "config.yaml").read_text()
        with pytest.raises(ConfigError, match=said):
            opened(tmp_path, **changed)
        assert (tmp_path / "config.yaml").read_text() == before


def test_a_said_change_is_a_new_segment_once(tmp_path):
    opened(tmp_path)
    finish(tmp_path, identity=IDENTITY)
    assert opened(tmp_path).is_finished
    longer = opened(tmp_path, grpo__max_steps=8, accepted=["grpo.max_steps"])
    assert (longer.segment, longer.is_finished) == (2, False)
    assert [json.loads(line) for line in (tmp_path / "segments.jsonl").read_text().splitlines()] == [
        {"from_step": 1, "changes": {"grpo.max_steps": [4, 8]}}
    ]
    again = opened(tmp_path, grpo__max_steps=8, accepted=["grpo.max_steps"])
    assert again.segment == 2, "the same command goes on"
    finish(tmp_path, identity=IDENTITY | {"grpo.max_steps": 8})
    assert opened(tmp_path, grpo__max_steps=8).is_finished
    with pytest.raises(ConfigError, match=r"max_steps was 8, is 4"):
        opened(tmp_path)


@pytest.mark.parametrize("number", range(1, 5))
def test_killed_anywhere_while_it_is_opened_it_opens_again(tmp_path, monkeypatch, number):
    """Before the n-th file that is written down, of a new run and of one that goes on with a change."""

    class Killed(BaseException):
        pass

    def dies_at(number: int):
        written = []

        def write(path, text):
            written.append(path)
            if len(written) == number:
                raise Killed
            write_whole(path, text)

        return write

    changes: tuple[tuple[dict[str, Any], list[str], int], ...] = (
        ({}, [], 1),
        ({"grpo__max_steps": 8}, ["grpo.max_steps"], 2),
    )
    for changed, accepted, segment in changes:
        if not (changed and number == 4):  # one that goes on has its id
            with monkeypatch.context() as patch:
                patch.setattr(run_folder, "write_whole", dies_at(number))
                with pytest.raises(Killed):
                    opened(tmp_path, accepted=accepted, **changed)
        assert opened(tmp_path, accepted=accepted, **changed).segment == segment


def test_starting_anew_clears_the_folder(tmp_path):
    first = opened(tmp_path)
    (tmp_path / "metrics.csv").write_text("step\n")
    (tmp_path / "checkpoints").mkdir()
    anew = opened(tmp_path, is_anew=True, grpo__kl_coef=0.1)
    assert anew.id != first.id
    assert not (tmp_path / "metrics.csv").exists()
    assert not (tmp_path / "checkpoints").exists()
    assert json.loads((tmp_path / "identity.json").read_text())["grpo.kl_coef"] == 0.1


def test_a_run_of_an_older_version_is_named(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    with pytest.raises(ConfigError, match=r"without identity\.json, of an older version.*ckpt_path=null"):
        opened(tmp_path)


def test_weights_identify_a_model(tmp_path):
    assert folder_hash("Qwen/Qwen3-VL-8B-Instruct") == "Qwen/Qwen3-VL-8B-Instruct"
    (tmp_path / "model.safetensors").write_bytes(b"a")
    first = folder_hash(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"b")
    assert folder_hash(tmp_path) != first
