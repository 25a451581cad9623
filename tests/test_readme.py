"""What README and docs say is there is there: links, make targets, commands, examples."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from itertools import dropwhile
from pathlib import Path

import pytest
from PIL import Image

from tests.shell import commands_of
from urt_core import Dialect, JudgeSpec, Status
from urt_data import ShardFolder, sources
from urt_train.cli import compose
from urt_train.model.embedded import model_source
from urt_train.programs import PROGRAMS
from urt_train.stages import registry

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("packages/*/README.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def command_lines() -> list[list[str]]:
    """The words of each command line of all pages, without the pages' remarks behind `#`."""
    return [command for page in PAGES for block in blocks(page, "bash") for command in commands_of(block)]


def commands(first_word: str) -> list[list[str]]:
    return [line for line in command_lines() if line[0] == first_word]


def config_commands() -> list[tuple[str, tuple[str, ...]]]:
    """(program, overrides) of every line that starts a program, by its command, by torchrun or as a script of apps/.

    Flags are Hydra's or torchrun's; variables in front are the environment's.
    """
    found = []
    for line in command_lines():
        words = list(dropwhile(lambda word: re.fullmatch(r"[A-Z_]+=.*", word), line))
        overrides = tuple(word for word in words[1:] if re.match(r"[a-z_.]+=", word))
        if words[:1] == ["urt-train"] or (words[0] == "torchrun" and "urt_train" in words):
            behind = words[words.index("urt_train") + 1 if "urt_train" in words else 1 :]
            named = behind and "=" not in behind[0] and not behind[0].startswith("-")
            found.append((behind[0] if named else "train", overrides))
        elif words[0] in ("python", "torchrun"):
            found += [(word, overrides) for word in words if word.startswith("apps/")]
    return sorted(set(found))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("target", sorted({line[1] for line in commands("make")}))
def test_a_make_target_exists(target: str) -> None:
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert phony
    assert re.findall(r"make ([a-z]+)", listed) == phony[1].split()


@pytest.mark.parametrize(
    ("program", "overrides"),
    config_commands(),
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_a_command_names_a_program_and_valid_settings(
    program: str, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")  # as docs/extending.md says
    monkeypatch.setattr(registry, "_stages", dict(registry._stages))
    assert program in PROGRAMS or (ROOT / program).is_file()
    settings = dict(override.split("=", 1) for override in overrides)
    if "input" in settings:  # the conversion of a published set has settings of its own
        assert sources.get(settings["data"])
    else:
        compose(list(overrides))


def test_what_is_installed_is_there_with_its_extras() -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0].replace("_", "-").lower() for line in constraints}
    installs = [line for line in commands("pip") if line[1] == "install" and "--no-index" not in line]
    for line in commands("pip"):
        if line[1] != "install":  # collected for a machine without a network
            # A version of its own is a smaller wheel than the tested one.
            assert {word.split("==")[0] for word in line[2:] if not word.startswith("-")} <= pinned, line
    asked = sorted({word for line in installs for word in line[2:] if not word.startswith("-")})
    assert any("[" in word for word in asked)
    for word in asked:
        found = re.fullmatch(r"(?:packages/)?(urt-\w+)(?:\[([\w,]+)\])?", word)
        if found is None:
            assert (ROOT / word).is_file(), word
            continue
        project = tomllib.loads((ROOT / "packages" / found[1] / "pyproject.toml").read_text(encoding="utf-8"))
        extras = set(found[2].split(",")) if found[2] else set()
        assert extras <= project["project"]["optional-dependencies"].keys(), word


def served_folders() -> list[tuple[str, dict[str, str]]]:
    """(model folder, flags) of every `vllm serve`."""
    found = []
    for line in command_lines():
        words = line[line.index("vllm") :] if "vllm" in line else []
        if words[1:2] == ["serve"]:
            found.append((words[2], dict(zip(words[3::2], words[4::2], strict=True))))
    return found


def test_vllm_serves_a_judge_as_its_recipe_shows_it() -> None:
    package = importlib.util.find_spec("vllm")
    known = Path(str(package.origin)).with_name("engine") / "arg_utils.py" if package else None
    served = served_folders()
    assert len(served) >= 2
    for folder, flags in served:
        config = compose([f"recipe={Path(folder).parts[1]}"])
        judge, grpo = config.judge, config.grpo
        size = {"shortest_edge": judge.min_pixels, "longest_edge": judge.max_pixels}
        assert json.loads(flags["--mm-processor-kwargs"]) == {"size": size}
        assert json.loads(flags["--limit-mm-per-prompt"]) == {"image": 2 * judge.num_frames, "video": 0}
        assert int(flags["--max-model-len"]) >= grpo.max_prompt_tokens + grpo.max_completion_tokens
        assert config.evaluation.max_completion_tokens <= grpo.max_completion_tokens
        assert flags["--dtype"] == config.served_dtype
        if known is not None:  # vLLM itself takes longer to import than all of this file
            text = known.read_text(encoding="utf-8")
            assert [flag for flag in flags if flag != "--port" and f'"{flag}"' not in text] == []


def example(first_use: str) -> str:
    (found,) = [block for block in blocks(ROOT / "README.md", "python") if first_use in block]
    return found


@pytest.fixture
def folder_with_images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (64, 64), colour).save(tmp_path / "images" / f"{name}.png")
    return tmp_path


def run(code: str, *, cwd: Path) -> str:
    completed = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr[-2000:]
    return completed.stdout


def test_the_example_of_own_pairs_runs(folder_with_images: Path) -> None:
    run(example("ShardWriter"), cwd=folder_with_images)
    shards = ShardFolder(folder_with_images / "pairs" / "train")
    assert len(shards) == 1
    assert shards[0].text == "a red car in the snow"


def test_the_example_of_a_judge_runs(folder_with_images: Path) -> None:
    """On the base model in the place of a trained judge: it can be asked, and whatever it writes has a status."""
    judge = folder_with_images / "outputs" / "tiny" / "grpo" / "model"
    shutil.copytree(model_source("embedded:tiny"), judge)
    JudgeSpec(
        dialect=Dialect.V1,
        dimensions={},
        min_pixels=4096,
        max_pixels=4096,
        num_frames=4,
        stage="base",
        base="embedded:tiny",
        max_completion_tokens=64,
    ).save(judge)
    preference, _, status = run(example("Scorer"), cwd=folder_with_images).split()
    assert status in set(Status)
    assert (preference == "None") == (status != Status.OK)
