"""Settle on a GPU what a CPU can't: python apps/gpu_acceptance.py [device=cuda] [out=outputs/acceptance] [parts=kernels,flex] [again=false]

    python apps/gpu_acceptance.py                       every part, the most valuable first; each takes nine minutes at most
    python apps/gpu_acceptance.py list=true             the parts, and what each of them needs
    python apps/gpu_acceptance.py device=cpu            the same program at shapes for a CPU: shows that it runs, not how fast
    torchrun --nproc-per-node 8 is started by the parts that need a node, where there are several GPUs

Started again, it goes on with the parts that have not passed under this commit. Writes acceptance.json and acceptance.md into `out`; a
part whose package or device is missing says so. Needs nothing from the network.
"""

import json
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.acceptance.parts import Part, parts
from benchmarks.program import run_script
from urt_core.errors import ConfigError
from urt_data.prepare import parse_values
from urt_train.runtime.run_folder import environment

DEFAULTS = {"device": "cuda", "out": "outputs/acceptance", "parts": "", "again": False, "list": False, "model": ""}
LIMIT_S = 540
"""Seconds of one part."""
TAIL = 6_000
"""Characters of a part's output that are kept."""


def main(arguments: list[str]) -> int:
    given = parse_values(arguments)
    if unknown := given.keys() - DEFAULTS.keys():
        raise ConfigError(f"there is no setting {', '.join(sorted(unknown))}; allowed: {', '.join(DEFAULTS)}")
    settings = {**DEFAULTS, **given}
    if settings["device"] not in ("cuda", "cpu"):
        raise ConfigError(f"device is {settings['device']!r}; allowed: cuda, cpu")
    if settings["device"] == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, and this machine has none; allowed here: device=cpu")
    console, out = Console(), Path(settings["out"]).absolute()
    known = parts(device=settings["device"], out=out, model=settings["model"])
    wanted = [name for name in str(settings["parts"]).split(",") if name]
    if strange := set(wanted) - {part.name for part in known}:
        raise ConfigError(
            f"parts names {', '.join(sorted(strange))}; allowed: {', '.join(part.name for part in known)}"
        )
    chosen = [part for part in known if not wanted or part.name in wanted]
    if settings["list"]:
        for part in chosen:
            console.print(f"{part.name}: {part.title}; needs {part.needs or 'nothing more'}", highlight=False)
        return 0
    out.mkdir(parents=True, exist_ok=True)
    machine = describe()
    results = read(out / "acceptance.json", machine=machine)
    for part in chosen:
        done = results.get(part.name, {})
        if done.get("status") == "passed" and not settings["again"]:
            console.print(f"{part.name}: passed before", highlight=False)
            continue
        results[part.name] = run(part, console=console)
        write(out, machine, results, known)
    console.print(f"{out / 'acceptance.md'}", highlight=False, soft_wrap=True)
    return int(any(result["status"] in ("failed", "too slow") for result in results.values()))


def describe() -> dict[str, str]:
    """What the figures hold for: {"commit": "c595aac...", "torch": "2.11.0+cu130", "device": "NVIDIA H200", "devices": "1", ...}"""
    has_gpu = torch.cuda.is_available()
    return {
        **environment(),
        "device": torch.cuda.get_device_name() if has_gpu else platform.processor() or "CPU",
        "devices": str(torch.cuda.device_count()),
    }


def run(part: Part, *, console: Console) -> dict[str, Any]:
    missing = part.missing()
    if missing:
        console.print(f"{part.name}: not run, {missing}", highlight=False)
        return {"status": "not run", "reason": missing}
    console.print(f"{part.name}: {part.title}", highlight=False)
    start = time.monotonic()
    output, status, figures = "", "passed", {}
    for command in part.commands:
        left = LIMIT_S - (time.monotonic() - start)
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=max(left, 1),
                check=False,
                env=part.environment(),
            )
        except subprocess.TimeoutExpired as error:
            output += (error.stdout or b"").decode(errors="replace") if isinstance(error.stdout, bytes) else ""
            status = "too slow"
            break
        output += done.stdout
        if done.returncode:
            status = "failed"
            break
    for line in output.splitlines():
        if line.startswith("FIGURES "):
            figures |= json.loads(line.removeprefix("FIGURES "))
    seconds = time.monotonic() - start
    console.print(f"    {status} in {seconds:.0f} s", highlight=False)
    return {
        "status": status,
        "seconds": round(seconds, 1),
        "commands": [" ".join(command) for command in part.commands],
        "figures": figures,
        "output": output[-TAIL:],
    }


def read(path: Path, *, machine: dict[str, str]) -> dict[str, Any]:
    """What was found before on this machine with this commit."""
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["parts"] if content["machine"] == machine else {}


def write(out: Path, machine: dict[str, str], results: dict[str, Any], known: list[Part]) -> None:
    content = {"machine": machine, "parts": results}
    (out / "acceptance.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (out / "acceptance.md").write_text(page(machine, results, known), encoding="utf-8")


def page(machine: dict[str, str], results: dict[str, Any], known: list[Part]) -> str:
    lines = ["# Acceptance", "", f"{', '.join(f'{name} {value}' for name, value in machine.items())}.", ""]
    lines += ["| part | what it shows | result | s | figures |", "| --- | --- | --- | --- | --- |"]
    for part in known:
        result = results.get(part.name, {"status": "not run", "reason": "not asked for"})
        figures = "; ".join(f"{name} {value}" for name, value in result.get("figures", {}).items())
        status = result["status"] + (f": {result['reason']}" if "reason" in result else "")
        lines.append(f"| {part.name} | {part.title} | {status} | {result.get('seconds', '')} | {figures} |")
    for part in known:
        result = results.get(part.name, {})
        if "output" in result:
            commands = "\n".join(result["commands"])
            lines += ["", f"## {part.name}", "", "```text", commands, "", result["output"].strip(), "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_script(main, text=__doc__)
