"""Write the hashes of everything that the Makefile installs: python tools/lock.py   (needs uv: pip install uv)

    locks/build.txt   what builds our own packages
    locks/demo.txt    what `make demo` needs, for every platform
    locks/docs.txt    what `make docs` needs on top
    locks/test.txt    what `make test` needs, on Linux

Each names versions (those of constraints.txt) and the hashes of all their files; pip refuses a file with another one.
Left out is torch with its companions: builds for a CPU and for each CUDA come from different indexes and share a
version and no hash. Our own packages are installed from this folder.

Run it after any change to a requirement or to constraints.txt; `make audit` says where the two disagree.
"""

import subprocess
import tempfile
from pathlib import Path

from audit import BY_BUILD, ROOT

OWN = ("urt-core", "urt-data", "urt-kernels", "urt-train")
CUDA = ("cuda-", "nvidia-")
"""How the libraries begin that builds of torch for CUDA bring along."""
BUILD = "setuptools\nwheel\nhatchling\neditables\n"
LINUX = ("--python-platform", "x86_64-manylinux_2_34")


def lock(requirements: Path, *platform: str) -> str:
    """The lines of a lock. Resolved beside the published torch, whose CUDA libraries differ from build to build."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = Path(folder) / "overrides.txt"
        overrides.write_text(f"{torch_pin()}\n{triton_pin()}\n", encoding="utf-8")
        left_out = [word for name in (*OWN, *sorted(BY_BUILD)) for word in ("--no-emit-package", name)]
        done = subprocess.run(
            [
                *("uv", "pip", "compile", "--quiet", "--generate-hashes", "--python-version=3.11.9"),
                *("--no-annotate", "--no-header", "--constraint=constraints.txt", f"--override={overrides}"),
                *left_out,
                *platform,
                str(requirements),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return without_cuda(done.stdout)


def without_cuda(text: str) -> str:
    """
    >>> print(without_cuda("attrs==26.1.0 \\\\\\n    --hash=sha256:aa\\nnvidia-nvtx==13.0.85 \\\\\\n    --hash=sha256:bb\\n"))
    attrs==26.1.0 \\
        --hash=sha256:aa
    <BLANKLINE>
    """
    kept, is_kept = [], True
    for line in text.splitlines(keepends=True):
        if not line.startswith((" ", "#")):
            is_kept = not line.startswith(CUDA)
        kept += [line] * is_kept
    return "".join(kept)


def torch_pin() -> str:
    return next(line for line in read("constraints.txt") if line.startswith("torch=="))


def triton_pin() -> str:
    return next(line for line in read("requirements-test.txt") if line.startswith("triton=="))


def read(name: str) -> list[str]:
    return [line.partition("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]


def main() -> None:
    locks = ROOT / "locks"
    with tempfile.TemporaryDirectory() as folder:
        build = Path(folder) / "build.txt"
        build.write_text(BUILD, encoding="utf-8")
        for name, requirements, platform in (
            ("build", build, ("--universal",)),
            ("demo", ROOT / "requirements.txt", ("--universal",)),
            ("docs", ROOT / "requirements-docs.txt", ("--universal",)),
            ("test", ROOT / "requirements-test.txt", LINUX),
        ):
            (locks / f"{name}.txt").write_text(lock(requirements, *platform), encoding="utf-8")


if __name__ == "__main__":
    main()
