"""Install each wheel in an empty environment, and do there what its README says.

    python tools/try_wheels.py dist [--only urt-core] [--constraint constraints.txt]

`dist` holds the wheels of one release (`make wheels`); all else comes from the index that pip is set to. An environment
sees one package with its requirements and nothing of the repository; every command runs in an empty folder.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """Trial(needs=("urt-core",), commands=("urt-data verify pairs",))"""

    needs: tuple[str, ...] = ()
    """Siblings whose wheels are installed along."""
    extras: str = ""
    """Of the package itself, such as "[transformers]"."""
    commands: tuple[str, ...] = ()
    """Run after the README's examples in Python, in the same folder."""


TRIALS = {
    "urt-core": Trial(extras="[transformers]", commands=("urt compare --example", "urt bench list")),
    "urt-data": Trial(
        needs=("urt-core",), commands=("urt-data verify pairs", "urt-data stats pairs", "urt-data convert")
    ),
    "urt-kernels": Trial(),
    "urt-train": Trial(
        needs=("urt-core", "urt-data", "urt-kernels"),
        commands=(
            "urt-train dry_run recipe=qwen3_vl_8b dry_run.devices=8",
            "urt-train stage=cold_start cold_start.max_steps=8",
        ),
    ),
}


def examples(wheel: Path) -> str:
    """The Python of the package's README, which travels in the wheel's metadata."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        readme = str(Parser().parsestr(archive.read(name).decode()).get_payload())
    return "\n".join(re.findall(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE))


def run(command: list[str], *, folder: Path, environment: Path) -> None:
    """Raises CalledProcessError where the command fails; what it printed is on the terminal by then."""
    shown = shlex.join(command)
    print(f"$ {shown if len(shown) < 200 else shown[:200] + '...'}", flush=True)
    started = time.monotonic()
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    path = f"{environment / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    subprocess.run(command, cwd=folder, env={**outside, "PATH": path}, check=True)
    print(f"  {time.monotonic() - started:.1f} s", flush=True)


def try_wheel(name: str, wheels: dict[str, Path], *, folder: Path, constraint: str | None) -> None:
    trial = TRIALS[name]
    environment, empty = folder / "environment", folder / "empty"
    venv.create(environment, with_pip=True)
    empty.mkdir()
    install = ["python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["--constraint", str(Path(constraint).resolve())] if constraint else []
    install += [f"{wheels[name]}{trial.extras}", *(str(wheels[sibling]) for sibling in trial.needs)]
    run(install, folder=empty, environment=environment)
    if code := examples(wheels[name]):
        run(["python", "-c", code], folder=empty, environment=environment)
    for command in trial.commands:
        run(shlex.split(command), folder=empty, environment=environment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dist", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--constraint")
    options = parser.parse_args()
    wheels = {}
    for name in TRIALS:
        found = sorted(options.dist.resolve().glob(f"{name.replace('-', '_')}-*.whl"))
        if len(found) != 1:
            sys.exit(f"{options.dist} holds {len(found)} wheels of {name}; wanted: one, made by `make wheels`")
        wheels[name] = found[0]
    for name in options.only:
        print(f"== {name}: {wheels[name].name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            try_wheel(name, wheels, folder=Path(folder), constraint=options.constraint)


if __name__ == "__main__":
    main()
