"""What the base install brings along: counted from the installed distributions, so that nothing has to be
downloaded."""

import re
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

import urt_core


def required(name: str) -> list[str]:
    """Names that the distribution needs without extras, here and now."""
    found = []
    for requirement in distribution(name).requires or []:
        wanted, _, marker = requirement.partition(";")
        # Markers of this closure are extras, old Pythons and other systems.
        if not re.search(r"extra\s*==|python_version\s*<|python_full_version\s*<|sys_platform|platform_system", marker):
            found.append(re.split(r"[^\w.-]", wanted.strip())[0])
    return found


def closure(name: str) -> dict[str, Distribution]:
    found: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop().lower().replace("_", "-")
        if current not in found:
            found[current] = distribution(current)
            waiting += required(current)
    return found


def size(installed: Distribution) -> int:
    paths = [Path(str(installed.locate_file(file))) for file in installed.files or []]
    return sum(path.stat().st_size for path in paths if path.is_file())


def test_the_base_install_is_small_and_holds_no_torch() -> None:
    """At most 80 MB, compiled modules included; 38 MB were measured (docs/experiments.md)."""
    parts = closure("urt-core")
    assert {"aiohttp", "pillow", "pyyaml"} <= parts.keys()
    assert not {"torch", "numpy", "transformers", "fastapi", "pyarrow", "rich", "openai"} & parts.keys()
    own = sum(path.stat().st_size for path in Path(urt_core.__file__).parent.rglob("*.py"))
    assert own + sum(size(installed) for name, installed in parts.items() if name != "urt-core") < 80e6


def test_scoring_at_an_endpoint_needs_the_base_install_alone() -> None:
    code = """
import sys
from urt_core import Scorer
from urt_core.cli.arguments import build_parser
from urt_core.engines.openai import OpenAIEngine
from urt_core.engines.scripted_endpoint import ScriptedEndpoint, chat_reply
with ScriptedEndpoint(script=lambda request: chat_reply("Answer 1 is better.")) as endpoint:
    with OpenAIEngine(base_url=endpoint.base_url, model="judge") as engine:
        gif = bytes.fromhex("47494638376101000100f00000ff00000000002c00000000010001000002024401003b")
        scorer = Scorer(engine=engine, dialect="direct", orders="given")
        found = scorer.compare(task="image_understanding", text="q", first="a", second="b", media=gif)
print(found.status, *{name.split(".")[0] for name in sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, *modules = done.stdout.split()
    assert status == "ok"
    allowed = {name.replace("-", "_") for name in closure("urt-core")} | {"PIL", "_brotli", "_cffi_backend"}
    foreign = {"torch", "numpy", "transformers", "fastapi", "rich", "av", "pyarrow", "prometheus_client", "uvicorn"}
    assert not foreign & set(modules) - allowed
