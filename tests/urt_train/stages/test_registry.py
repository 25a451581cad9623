"""Stages by name and by import path: what is no stage is refused before anything is loaded."""

import subprocess
import sys
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from typing import ClassVar

import pytest

from tests.urt_train.stages.own_stage import EchoConfig
from urt_core import doors
from urt_core.errors import ConfigError
from urt_data.errors import LicenceError
from urt_train.config import TrainConfig
from urt_train.config.stage import StageConfig
from urt_train.stages import find_stage, known_stages, registry, train_config
from urt_train.stages.cold_start.config import ColdStartConfig


def named(name: str) -> type[EchoConfig]:
    return dataclass(kw_only=True)(type("Named", (EchoConfig,), {"path": name}))


@dataclass(kw_only=True)
class Unplanned(StageConfig):
    path: ClassVar[str] = "echo"


@dataclass(kw_only=True)
class Unset(EchoConfig):
    margin: float


@dataclass(kw_only=True)
class Untold(EchoConfig):
    words: set = field(default_factory=set)


@dataclass(kw_only=True)
class Refusing(EchoConfig):
    def __post_init__(self) -> None:
        raise ValueError("never right")


@pytest.fixture
def own():
    return find_stage("tests.urt_train.stages.own_stage:SPEC")


def test_a_recipe_has_the_stages_that_are_there_by_default_in_their_order():
    specs = known_stages()
    config = train_config()()
    assert config.stages == [spec.name for spec in specs if spec.by_default]
    assert config.stage == config.stages[0]
    before = [spec.starts_from for spec in specs if spec.by_default]
    assert before == [None, *config.stages[:-1]], "each starts from the one before"


def test_two_configs_share_no_list_of_stages():
    first, second = train_config()(), train_config()()
    first.stages.append("more")
    assert "more" not in second.stages


def test_a_stage_of_ones_own_is_a_section_and_is_named_by_its_path_to_other_processes(own):
    assert own in known_stages()
    assert find_stage(own.name) is own
    assert registry.spoken(own.name) == "tests.urt_train.stages.own_stage:SPEC"
    assert registry.spoken("grpo") == "grpo"
    assert isinstance(getattr(train_config()(), own.name), own.config)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("warm_start", r"stage is 'warm_start'; allowed: cold_start, "),
        ("no_such_package:SPEC", r"no_such_package"),
        ("urt_train.stages.registry:NO_SUCH", r"NO_SUCH"),
        ("urt_train.stages.registry:GROUP", r"is a str; expected: StageSpec\("),
    ],
)
def test_what_is_no_stage_is_named(path, message):
    with pytest.raises(ConfigError, match=message):
        find_stage(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "two words"}, r"has the name 'two words'.*expected: an identifier"),
        ({"config": ColdStartConfig}, r"config .*ColdStartConfig.*whose `path` is that name"),
        ({"config": type("Plain", (EchoConfig,), {})}, r"config .*Plain.*expected: .*a @dataclass derived from"),
        ({"name": "größe", "config": named("größe")}, r"has the name 'größe'.*an identifier in ASCII"),
        ({"name": "class", "config": named("class")}, r"has the name 'class'"),
        ({"reads": ["train"]}, r"reads \['train'\] and writes \(\); expected: a split and a tuple of splits"),
        ({"writes": "hard"}, r"writes 'hard'; expected: a split and a tuple of splits"),
        ({"build": lambda: None}, r"build of stage 'mine:SPEC' is <lambda>\(\); expected: a function of StageInputs"),
        ({"build": None}, r"build of stage 'mine:SPEC' is a NoneType"),
        ({"config": Unplanned}, r"settings Unplanned of stage 'mine:SPEC' can't be made .TypeError: .*abstract"),
        ({"config": Unset}, r"settings Unset of .*missing 1 required keyword-only argument: 'margin'"),
        ({"config": Untold}, r"settings Untold of .*Unexpected type annotation: set"),
        ({"config": Refusing}, r"settings Refusing of .*ValueError: never right"),
    ],
)
def test_name_and_section_of_a_stage_agree(own, changed, message):
    spec = replace(own)
    for name, value in changed.items():
        object.__setattr__(spec, name, value)  # past the types, which the tests check and a user's run does not
    with pytest.raises(ConfigError, match=message) as caught:
        registry._add(spec, "mine:SPEC")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["check", "prepares_from", "mixes_in", "build"])
@pytest.mark.parametrize(
    ("error", "said"), [(ValueError("no\n card"), "ValueError: no card"), (SystemExit(0), "SystemExit: 0")]
)
def test_what_a_function_of_a_users_stage_raises_is_one_line(own, name, error, said):
    def raising(*arguments):
        raise error

    with pytest.raises(
        ConfigError, match=f"^{name} of stage 'tests.*own_stage:SPEC' raised {said}; expected: "
    ) as caught:
        registry.asked(replace(own, **{name: raising}), name, None)
    assert "\n" not in str(caught.value)


def test_what_a_stage_says_itself_and_what_one_of_ours_raises_goes_on(own, monkeypatch):
    def refusing(settings, dialect):
        raise LicenceError("not allowed")

    with pytest.raises(LicenceError, match=r"^not allowed$"):
        registry.asked(replace(own, check=refusing), "check", None, None)
    ours = replace(own, mixes_in={}.__getitem__)
    monkeypatch.setattr(registry, "BUILT_IN", (ours,))
    with pytest.raises(KeyError):
        registry.asked(ours, "mixes_in", "grpo")


def test_a_stage_takes_no_name_that_is_taken(own):
    taken = dataclass(type("Taken", (own.config,), {"path": "judge"}))
    for name in ("judge", "output_dir", "prepare_data", "base"):
        taken.path = name
        with pytest.raises(ConfigError, match=rf"is called '{name}', and something else of the config is"):
            registry._add(replace(own, name=name, config=taken), "mine:SPEC")
    other = replace(own, title="another")
    with pytest.raises(ConfigError, match="choose another name"):
        registry._add(other, "mine:OTHER")


def test_an_installed_stage_that_cannot_be_added_costs_a_warning_and_no_other_stage(monkeypatch):
    declared = {"lost": "nowhere_at_all:SPEC", "echo": "tests.urt_train.stages.own_stage:SPEC", "odd": "math:pi"}
    points = tuple(EntryPoint(name=name, value=value, group=registry.GROUP) for name, value in declared.items())
    monkeypatch.setattr(registry, "installed", lambda group: points)
    monkeypatch.setattr(doors, "installed", lambda group: points)
    monkeypatch.setattr(registry, "_stages", dict(registry._stages))
    registry._add_installed.cache_clear()
    try:
        with pytest.warns(UserWarning, match="the installed stage '(lost|odd)' is left out: stage") as told:
            names = [spec.name for spec in known_stages()]
        with pytest.raises(ConfigError, match="stage 'nowhere_at_all:SPEC' does not import"):
            find_stage("lost")
    finally:
        registry._add_installed.cache_clear()
        monkeypatch.undo()
        known_stages()
    assert len(told) == 2
    assert {"cold_start", "grpo", "echo"} <= set(names)


def test_the_schema_is_a_train_config_with_sections():
    schema = train_config()
    assert issubclass(schema, TrainConfig)
    assert {spec.name for spec in known_stages()} <= schema.__dataclass_fields__.keys()


def test_stages_are_named_without_torch():
    code = "import sys; from urt_train.stages import train_config; train_config()(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
