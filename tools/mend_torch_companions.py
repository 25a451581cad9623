"""Make vLLM and transformers importable beside a CPU build of torch, where the companions of torch came as CUDA builds.

vLLM requires torchvision, torchaudio and torchcodec. Their published Linux wheels are CUDA builds; beside a CPU build
of torch their compiled libraries do not load, each fails on import, and vLLM and the Qwen-VL classes of transformers,
which import whatever is installed, fail with them. Nothing in this project calls the compiled parts.

- **torchvision** is needed (image transforms are Python). Its import fails only because
  `torchvision._meta_registrations` registers shape functions for two operators that nobody declared, `torchvision::nms`
  and `torchvision::qnms`. The remedy is to declare both before that module loads. The hook that does so is this very
  file, copied into site-packages, plus a `.pth` line that imports it whenever an interpreter of the environment starts,
  so that vLLM's worker processes have it too. It imports nothing until torchvision is imported.
- **torchaudio** and **torchcodec** decode audio and video, which this project never does through them. They are
  uninstalled: both libraries treat them as optional.

    python tools/mend_torch_companions.py      # tries each import in this environment; mends only what fails so
"""

import importlib.abc
import importlib.machinery
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

HOOK = "_urt_torchvision_hook"
OPERATORS = {  # as torchvision/csrc/ops declares them
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_libraries = []  # torch drops a declaration when its Library object is collected


class DeclareOperators(importlib.abc.MetaPathFinder):
    """Finds no module; it only takes notice that `torchvision._meta_registrations` is about to load."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == "torchvision._meta_registrations":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "FRAGMENT")
            for name, schema in OPERATORS.items():
                if not hasattr(torch.ops.torchvision, name):
                    library.define(schema)
            _libraries.append(library)
        return None


def import_error(package: str) -> str:
    """The last line of what `import package` prints in a fresh interpreter when it fails; empty where it works."""
    command = [sys.executable, "-W", "ignore", "-c", f"import {package}"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    return completed.stderr.strip().splitlines()[-1] if completed.returncode else ""


def mend_torchvision() -> None:
    site_packages = Path(sysconfig.get_path("purelib"))
    hook, line = site_packages / f"{HOOK}.py", site_packages / f"{HOOK}.pth"
    line.unlink(missing_ok=True)  # what is asked is whether torchvision works without it
    hook.unlink(missing_ok=True)

    error = import_error("torchvision")
    if not error:
        return
    if "operator torchvision::nms does not exist" not in error:
        sys.exit(f"mend_torch_companions: `import torchvision` fails for a reason that is not mended here: {error}")
    shutil.copyfile(__file__, hook)
    line.write_text(f"import {HOOK}\n", encoding="utf-8")
    if error := import_error("torchvision"):
        sys.exit(f"mend_torch_companions: `import torchvision` still fails with its operators declared: {error}")
    print(f"torchvision: operators {', '.join(OPERATORS)} are declared by {line}")


def remove_where_unloadable(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        return
    error = import_error(package)
    if "Could not load this library" in error:
        subprocess.run([sys.executable, "-m", "pip", "uninstall", "--quiet", "--yes", package], check=True)
        print(f"{package}: uninstalled, its build does not fit this torch ({error})")


if __name__ == "__main__":
    mend_torchvision()
    remove_where_unloadable("torchaudio")
    remove_where_unloadable("torchcodec")
elif __name__ == HOOK:
    sys.meta_path.insert(0, DeclareOperators())
