"""The rules of the house that no single package can check: who imports whom, what a file may be called, hold or use."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PACKAGES = ("urt_core", "urt_data", "urt_kernels", "urt_train")
MAY_IMPORT = {
    "urt_core": set(),
    "urt_data": {"urt_core"},
    "urt_kernels": set(),
    "urt_train": {"urt_core", "urt_data", "urt_kernels"},
}
MAX_LINES = 400


def source_of(package: str) -> Path:
    return ROOT / "packages" / package.replace("_", "-") / "src" / package


@cache
def tracked_files() -> tuple[Path, ...]:
    """What git tracks and the work tree still has; a copy without git has no such list."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs a git checkout: {error}")
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def tracked_python() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".py"]


def imports(path: Path) -> set[str]:
    """The top-level names of all modules that a file imports, wherever the import stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


def requirements(package: str) -> list[list[str]]:
    """The requirements of a package, then those of each of its extras."""
    path = ROOT / "packages" / package.replace("_", "-") / "pyproject.toml"
    declared = tomllib.loads(path.read_text(encoding="utf-8"))
    project = declared["project"]
    if "dependencies" in project.get("dynamic", ()):  # a hook adds the release's version to the siblings
        needed = declared["tool"]["hatch"]["metadata"]["hooks"]["custom"]["dependencies"]
    else:
        needed = project["dependencies"]
    return [needed, *project.get("optional-dependencies", {}).values()]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package: str) -> None:
    forbidden = ({*PACKAGES, "apps", "tests"} - {package}) - MAY_IMPORT[package]
    offences = {
        str(path.relative_to(ROOT)): wrong
        for path in source_of(package).rglob("*.py")
        if (wrong := sorted(imports(path) & forbidden))
    }
    assert not offences, f"{package} may import only {sorted(MAY_IMPORT[package])} of its siblings"


def test_what_several_packages_need_has_one_floor_which_the_tested_set_meets() -> None:
    """torch 2.11 and transformers 5.16 are the oldest that the project has been used with, vLLM 0.32 the only one. The
    kernels, which others install by themselves, have been used with torch 2.8."""
    floors: dict[str, set[str]] = {}
    for package in PACKAGES:
        for group in requirements(package):
            for requirement in map(Requirement, group):
                floors.setdefault(requirement.name, set()).add(str(requirement.specifier))
    assert [str(each) for each in map(Requirement, requirements("urt_kernels")[0])] == ["torch>=2.8"]
    floors["torch"].remove(">=2.8")
    assert {name: sorted(found) for name, found in floors.items() if len(found) > 1} == {}
    assert (floors["torch"], floors["transformers"], floors["vllm"]) == ({">=2.11"}, {">=5.16"}, {">=0.32"})
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            for floor in floors.get(name.removesuffix("-cpu"), ()):
                assert SpecifierSet(floor).contains(version), f"{name} {version} is tested, {floor} is asked for"


ROOMS = (
    *("config", "errors", "runtime", "model", "datasets", "rollouts", "stages"),
    *("cli", "experiment", "programs", "__main__"),
)
"""Of urt_train, each of which imports none behind it."""
WHOLE_CONFIG = {"config", "experiment", "cli", "programs"}
"""The rooms that may be given a whole `TrainConfig`; the others are given what they need of it."""


def room_of(path: Path) -> str:
    """The folder or module of urt_train that a file stands in."""
    return path.relative_to(source_of("urt_train")).parts[0].removesuffix(".py")


def rooms_behind(path: Path) -> set[str]:
    """The rooms behind its own that a module of urt_train imports, wherever the import stands."""
    behind = {f"urt_train.{room}" for room in ROOMS[ROOMS.index(room_of(path)) + 1 :]}
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in (".".join(each.split(".")[:2]) for each in found) if name in behind}


def test_a_room_of_the_trainer_imports_none_behind_it() -> None:
    modules = [path for path in source_of("urt_train").rglob("*.py") if path.parent != source_of("urt_train")]
    modules += [source_of("urt_train") / f"{name}.py" for name in ("cli", "errors", "__main__")]
    assert {room_of(path) for path in modules} == set(ROOMS), "a new room has its place in the order"
    offences = {str(path.relative_to(ROOT)): sorted(wrong) for path in modules if (wrong := rooms_behind(path))}
    assert not offences


def whole_configs(tree: ast.AST) -> list[int]:
    """Lines on which something is annotated as a whole `TrainConfig`: an argument, a field, a variable."""
    annotated = [node for node in ast.walk(tree) if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation]
    return sorted(node.lineno for node in annotated if re.search(r"\bTrainConfig\b", ast.unparse(node.annotation)))  # pyright: ignore[reportArgumentType]


def test_below_the_experiment_no_whole_config_travels() -> None:
    offences = {
        str(path.relative_to(ROOT)): lines
        for path in source_of("urt_train").rglob("*.py")
        if room_of(path) not in WHOLE_CONFIG and (lines := whole_configs(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert not offences, "take what is needed of it"


def test_rooms_and_whole_configs_are_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from urt_train.stages import a\nfrom urt_train import rollouts, config\nimport urt_train.model.policy\n"
    code += "def f(config: 'TrainConfig | None', other: TrainerConfig): ...\nclass A:\n    whole: TrainConfig\n"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "x.py").write_text(code)
    monkeypatch.setitem(globals(), "source_of", lambda package: tmp_path)
    assert rooms_behind(tmp_path / "model" / "x.py") == {"urt_train.stages", "urt_train.rollouts"}
    assert whole_configs(ast.parse(code)) == [4, 6]


COMPUTED = {
    "urt-core/src/urt_core/__init__.py": "its own modules, when a name is first used",
    "urt-core/src/urt_core/doors.py": "what a user names by its import path",
    "urt-kernels/src/urt_kernels/surrogates.py": "a user's own objective, by its import path",
    "urt-train/src/urt_train/runtime/machine.py": "third-party classes from an allow-list",
}
"""Files that import a module whose name they compute, and which."""


def imports_by_text(tree: ast.AST) -> set[str]:
    """The top-level names of modules that are imported by a string; "?" where it does not begin with a name written
    there."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
            name = ast.unparse(node.args[0])
            written = re.match(r"'([\w.]+)'|f'(\w+)\.", name)
            names.add((written[1] or written[2]).split(".")[0] if written else "?")
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_an_import_by_text_runs_the_same_way(package: str) -> None:
    """Programs are modules too: a library that imports one by name would run its own users."""
    programs = {path.stem for path in (ROOT / "apps").glob("*.py")}
    forbidden = ({*PACKAGES, "apps", "tests", *programs, "?"} - {package}) - MAY_IMPORT[package]
    found = {
        str(path.relative_to(ROOT / "packages")): imports_by_text(ast.parse(path.read_text(encoding="utf-8")))
        for path in source_of(package).rglob("*.py")
    }
    offences = {name: names & forbidden - ({"?"} if name in COMPUTED else set()) for name, names in found.items()}
    assert not {name: wrong for name, wrong in offences.items() if wrong}


def test_imports_by_text_are_recognised() -> None:
    code = "import_module('train')\nimportlib.import_module(f'urt_core.cli.{x}')\n__import__(step.program)\nimport_module(f'{x}.y')"
    assert imports_by_text(ast.parse(code)) == {"train", "urt_core", "?"}


def test_an_app_imports_no_other_app() -> None:
    apps = {path.stem: path for path in (ROOT / "apps").glob("*.py")}
    offences = {name: wrong for name, path in apps.items() if (wrong := sorted(imports(path) & apps.keys()))}
    assert not offences, "what two apps share belongs to a package"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_declares_what_it_imports(package: str) -> None:
    """So that it installs alone: every third-party import is a dependency or belongs to an extra."""
    declared = {
        re.split(r"[^\w.-]", requirement)[0].lower().replace("-", "_")
        for group in requirements(package)
        for requirement in group
    }
    distributions = {
        "PIL": "pillow",
        "hydra": "hydra_core",
        "yaml": "pyyaml",
        "attr": "attrs",
        "vl_convert": "vl_convert_python",
    }
    used = {name for path in source_of(package).rglob("*.py") for name in imports(path)}
    third_party = {distributions.get(name, name) for name in used - sys.stdlib_module_names - {package}}
    if package == "urt_kernels":
        third_party.discard("jaxtyping")  # a tool of the test run: imported only where it happens to be installed
    assert third_party <= declared, f"add to pyproject.toml of {package}: {sorted(third_party - declared)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_that_it_is_typed_and_what_it_is(package: str) -> None:
    assert (source_of(package) / "py.typed").is_file()
    assert (ROOT / "packages" / package.replace("_", "-") / "README.md").is_file()


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("urt_core", None),  # None: no third-party module at all
        ("urt_core.records", None),
        ("urt_core.judgement", None),
        ("urt_data", {"torch", "transformers", "lightning"}),
        ("urt_train.config", {"torch", "transformers", "lightning"}),
        ("urt_train.cli", {"torch", "transformers", "lightning"}),
    ],
)
def test_a_light_module_loads_nothing_heavy(module: str, forbidden: set[str] | None) -> None:
    """In an interpreter of its own; what the environment itself loads at start-up does not count."""
    code = (
        "import sys; before = set(sys.modules)\n"
        f"import {module}\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(completed.stdout.split()) - sys.stdlib_module_names - set(PACKAGES)
    assert not (loaded if forbidden is None else loaded & forbidden)


@pytest.mark.parametrize("package", PACKAGES)
def test_exported_names_are_those_of_all(package: str) -> None:
    module = importlib.import_module(package)
    exported = getattr(module, "__all__", ())  # a package without the list exports nothing
    assert sorted(exported) == sorted(set(exported)), "a name stands twice"
    missing = [name for name in exported if not hasattr(module, name)]
    assert not missing
    defined_here = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and getattr(value, "__module__", "").startswith(package)
    }
    assert defined_here <= set(exported)


def test_no_file_is_long() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in tracked_python()}
    long = {str(path): length for path, length in lengths.items() if length > MAX_LINES}
    assert not long, f"over {MAX_LINES} lines: which concept is missing?"


def test_a_change_of_a_page_can_be_read_line_by_line() -> None:
    """No line of a page is over 120 columns, but for what cannot be broken: a row of a table, an address, data."""
    pages = [path for path in tracked_files() if path.suffix == ".md"]
    long = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in pages
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if len(line) > 120 and not line.startswith("|") and "://" not in line and "data:" not in line
    ]
    assert not long, "wrap these lines"


def test_no_file_is_a_grab_bag() -> None:
    grab_bags = {"util", "utils", "helper", "helpers", "common", "misc"}
    offences = [
        str(path)
        for path in (path.relative_to(ROOT) for path in tracked_files())
        if grab_bags & {*path.parts, path.stem}
    ]
    assert not offences, "name a file after the thing it holds"


def unsafe_uses(tree: ast.AST) -> list[str]:
    """Ways to run what a file, a checkpoint or a model hub says."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [
                f"line {node.lineno}: imports {name}" for name in names if name in {"pickle", "dill", "cloudpickle"}
            ]
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec"}:
                found.append(f"line {node.lineno}: calls {node.func.id}")
            for keyword in node.keywords:
                if ast.unparse(keyword) in {"trust_remote_code=True", "weights_only=False", "shell=True"}:
                    found.append(f"line {node.lineno}: {ast.unparse(keyword)}")
    return found


def test_nothing_runs_what_a_file_says() -> None:
    offences = {
        str(path.relative_to(ROOT)): found
        for path in tracked_python()
        if not path.is_relative_to(ROOT / "tests")
        and (found := unsafe_uses(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert not offences


def test_unsafe_uses_are_recognised() -> None:
    code = "import pickle\neval('1')\nload(p, trust_remote_code=True, weights_only=False)\nmodel.eval()\nload(p, shell=False)"
    assert [line.split(":")[0] for line in unsafe_uses(ast.parse(code))] == ["line 1", "line 2", "line 3", "line 3"]


def test_no_tracked_file_names_a_place_on_one_machine() -> None:
    """Absolute paths of somebody's machine and package index settings: both belong to the environment, not to the
    project."""
    place = re.compile(
        rb"(?<![\w.~$}])/(?:work|root|farm|home|Users|tmp/v[\w-]*|opt)/[\w.-]+|(?:^|\s)--?(?:extra-)?index-url|find-links"
    )
    offences = {
        str(path.relative_to(ROOT)): sorted({found.group().decode() for found in matches})
        for path in tracked_files()
        if path != Path(__file__)
        and b"\0" not in (content := path.read_bytes())
        and (matches := list(place.finditer(content)))
    }
    assert not offences
