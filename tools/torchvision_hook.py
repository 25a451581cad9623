"""Make `import torchvision` work beside a torch build that lacks its compiled operators, in this environment only.

torchvision's published Linux wheel is a CUDA build. Beside a CPU build of torch its library of operators does not load,
and `import torchvision` then fails, because `torchvision._meta_registrations` registers shape functions for two operators
that nobody declared: `torchvision::nms` and `torchvision::qnms`. vLLM and the Qwen-VL classes of transformers fail with it,
although image transforms need neither operator. Declaring both before that module loads is all that is missing.

    python tools/torchvision_hook.py      # tries the import; places the hook only where exactly this is the error

The hook is this very file, copied into site-packages, plus a `.pth` line that imports it whenever an interpreter of the
environment starts: vLLM's worker processes have it too. It imports nothing until torchvision is imported.
"""

import importlib.abc
import importlib.machinery
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

MODULE = "_urt_torchvision_hook"
SCHEMAS = {  # as torchvision/csrc/ops declares them
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
            for name, schema in SCHEMAS.items():
                if not hasattr(torch.ops.torchvision, name):
                    library.define(schema)
            _libraries.append(library)
        return None


def try_import() -> str:
    """The last line of the error of `import torchvision` in a fresh interpreter; empty where it works."""
    command = [sys.executable, "-W", "ignore", "-c", "import torchvision"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    return completed.stderr.strip().splitlines()[-1] if completed.returncode else ""


def main() -> None:
    site_packages = Path(sysconfig.get_path("purelib"))
    module, line = site_packages / f"{MODULE}.py", site_packages / f"{MODULE}.pth"
    line.unlink(missing_ok=True)
    module.unlink(missing_ok=True)

    error = try_import()
    if not error:
        return
    if "operator torchvision::nms does not exist" not in error:
        sys.exit(f"torchvision_hook: `import torchvision` fails for a reason that this hook does not mend: {error}")
    shutil.copyfile(__file__, module)
    line.write_text(f"import {MODULE}\n", encoding="utf-8")
    if error := try_import():
        sys.exit(f"torchvision_hook: `import torchvision` still fails with the hook in place: {error}")
    print(f"torchvision_hook: declared {', '.join(SCHEMAS)} from {line}")


if __name__ == "__main__":
    main()
elif __name__ == MODULE:
    sys.meta_path.insert(0, DeclareOperators())
