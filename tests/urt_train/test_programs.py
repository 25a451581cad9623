"""`urt-train`: which program a command line names, and what is the program's own."""

import sys
from types import SimpleNamespace

import pytest

from urt_train import programs


@pytest.fixture
def started(monkeypatch):
    """[(program, its words)] for a command line, without running it."""

    def start(*words: str) -> list[tuple[str, list[str]]]:
        seen: list[tuple[str, list[str]]] = []

        def load(path: str):
            return SimpleNamespace(main=lambda: seen.append((path.rpartition(".")[2], sys.argv[1:])))

        monkeypatch.setattr(sys, "argv", ["urt-train", *words])
        monkeypatch.setattr(programs, "import_module", load)
        programs.main()
        return seen

    return start


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ("train", [])),
        (("stage=grpo", "grpo.group_size=4"), ("train", ["stage=grpo", "grpo.group_size=4"])),
        (("--help",), ("train", ["--help"])),
        (("dry-run", "recipe=tiny"), ("dry_run", ["recipe=tiny"])),
        (("prepare_data",), ("prepare_data", [])),
        (("sample", "--fields", "grpo"), ("sample", ["--fields", "grpo"])),
    ],
)
def test_a_first_word_without_a_value_is_a_program_and_settings_alone_train(started, words, expected):
    assert started(*words) == [expected]


def test_an_unknown_program_is_answered_with_the_known_ones(started):
    with pytest.raises(
        SystemExit, match=r"error: there is no program trian; allowed: prepare_data, .*, or settings alone"
    ):
        started("trian", "stage=grpo")


def test_every_program_is_a_module_with_a_main():
    for name in programs.PROGRAMS:
        assert callable(__import__(f"urt_train.programs.{name}", fromlist=["main"]).main)


def test_the_help_of_the_command_names_every_program():
    text = __import__("urt_train.programs.train", fromlist=["main"]).__doc__
    assert [name for name in programs.PROGRAMS if name != "train" and f"urt-train {name} " not in text] == []
