"""Look at what would be installed: python tools/audit.py

    pins      every package of the tested set stands in constraints.txt in one version, and in locks/ with its hashes
    floors    what the four packages ask for admits no version that is known to be bad (KNOWN_BAD)
    advisories   with --advisories: pip-audit asks a source for every pin; where none can be reached it says so

    python tools/audit.py --sbom bom.json         the pins as a CycloneDX 1.6 list of components

Ends with 1 where something is wrong; a source that can't be reached is told and is no failure.
"""

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
KNOWN_BAD = {
    "aiohttp": ("3.13.3", "the first that no known advisory is about"),
    "fastapi": ("0.130", "the first that takes the starlette below"),
    "h11": ("0.16", "CVE-2025-43859: chunked bodies"),
    "hydra-core": ("1.3.8", "CVE-2026-68508: targets in logging sections"),
    "jinja2": ("3.1.6", "CVE-2025-27516: out of the sandbox"),
    "lightning": ("2.6.6", "2.6.2 and 2.6.3 are poisoned; CVE-2026-58659 up to 2.6.5"),
    "pillow": ("12.2", "CVE-2026-40192: FITS files that unfold without end"),
    "starlette": ("1.0.1", "CVE-2026-48710: a Host that changes the path"),
    "torch": ("2.8", "the first that was tested, by urt-kernels; below 2.6 CVE-2025-32434: weights_only runs code"),
    "transformers": ("5.16", "the first that was tested; below 5.5 CVE-2026-4372 and -5241: code of a hub"),
    "vllm": ("0.32", "the first that was tested; PYSEC-2026-4353 and older"),
}
"""Name -> the lowest version that is not known to be bad, and why."""
BY_BUILD = {"torch", "torchaudio", "torchcodec", "torchvision", "triton"}
"""Without hashes: builds for a CPU and for each CUDA come from different indexes and share a version."""


def pins(path: Path = ROOT / "constraints.txt") -> dict[str, str]:
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            requirement = Requirement(line.partition(" #")[0])
            found[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return found


def locks(root: Path = ROOT) -> Iterator[tuple[str, str, str, int]]:
    """(file, package, version, how many hashes): ("demo.txt", "attrs", "26.1.0", 2)"""
    for path in sorted(root.glob("locks/*.txt")):
        for entry in re.split(r"\n(?=\S)", path.read_text(encoding="utf-8").strip()):
            [requirement, *hashes] = re.split(r"\s*\\?\n\s*", entry)
            if found := re.match(r"([\w.-]+)==(\S+)", requirement):
                is_hash = [re.match(r"--hash=sha256:[0-9a-f]{64}\b", each) is not None for each in hashes]
                yield path.name, canonicalize_name(found[1]), found[2], sum(is_hash) if all(is_hash) else 0


def floors(root: Path = ROOT) -> Iterator[tuple[str, Requirement]]:
    """(package of ours, what it asks for), extras too."""
    for path in sorted(root.glob("packages/*/pyproject.toml")):
        declared = tomllib.loads(path.read_text(encoding="utf-8"))
        project = declared["project"]
        hook = declared.get("tool", {}).get("hatch", {}).get("metadata", {}).get("hooks", {}).get("custom", {})
        lists = [
            project.get("dependencies", ()),
            hook.get("dependencies", ()),
            *project.get("optional-dependencies", {}).values(),
        ]
        for text in dict.fromkeys(text for each in lists for text in each):
            yield path.parent.name, Requirement(text)


def problems(root: Path = ROOT) -> list[str]:
    pinned = pins(root / "constraints.txt")
    found = [
        f"{name}: constraints.txt says {version!r}, which is no one version"
        for name, version in pinned.items()
        if not _is_version(version)
    ]
    for name, (floor, why) in KNOWN_BAD.items():
        if name in pinned and _is_version(pinned[name]) and Version(pinned[name]) < Version(floor):
            found.append(f"{name}=={pinned[name]} is below {floor} ({why})")
    locked = set()
    for file, name, version, num_hashes in locks(root):
        locked.add(name)
        if pinned.get(name, version) != version:
            found.append(f"locks/{file}: {name}=={version}, pinned is {pinned[name]}; run tools/lock.py")
        if not num_hashes:
            found.append(f"locks/{file}: {name}=={version} without hashes; run tools/lock.py")
    found += [
        f"{name}=={version} stands in no lock; run tools/lock.py, or take it out of constraints.txt"
        for name, version in pinned.items()
        if name not in locked | BY_BUILD
    ]
    for package, requirement in floors(root):
        name = canonicalize_name(requirement.name)
        if name in KNOWN_BAD and (lowest := _lowest(requirement)) < Version(KNOWN_BAD[name][0]):
            found.append(f"{package} takes {name} from {lowest} on; below {KNOWN_BAD[name][0]}: {KNOWN_BAD[name][1]}")
    return found


def _is_version(text: str) -> bool:
    return re.fullmatch(r"\d[\w.+!]*", text) is not None


def _lowest(requirement: Requirement) -> Version:
    """The lowest version that it names with >=, > or ==; 0 where it names none."""
    return max(
        (Version(each.version) for each in requirement.specifier if each.operator in (">=", ">", "==", "~=")),
        default=Version("0"),
    )


def sbom() -> str:
    components = [
        {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"}
        for name, version in sorted(pins().items())
    ]
    return (
        json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}, indent=1)
        + "\n"
    )


def advisories() -> list[str]:
    """What pip-audit finds; a line that says so where it is not installed or its source can't be reached."""
    if importlib.util.find_spec("pip_audit") is None:
        print("advisories: not asked, pip-audit is not installed (pip install pip-audit)")
        return []
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--no-deps",
        "--disable-pip",
        "--format",
        "json",
        "-r",
        str(ROOT / "constraints.txt"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        [*_, why] = done.stderr.strip().splitlines() or ["no answer"]
        print(f"advisories: not asked, their source can't be reached ({why[:200]})")
        return []
    print(f"advisories: {len(packages)} packages asked about")
    return [f"{each['name']}=={each['version']}: {one['id']}" for each in packages for one in each.get("vulns", ())]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--advisories", action="store_true")
    parser.add_argument("--sbom", type=Path)
    options = parser.parse_args()
    if options.sbom:
        options.sbom.write_text(sbom(), encoding="utf-8")
    found = problems() + (advisories() if options.advisories else [])
    print(*found, sep="\n", end="\n" * bool(found))
    print(f"{len(pins())} pins, {len(KNOWN_BAD)} floors, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
