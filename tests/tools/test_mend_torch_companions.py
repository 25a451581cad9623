"""The test environment's torch, its companions and the engines that import them load together, in child processes
too."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "mend_torch_companions.py"


def run(code: str, *, cwd: Path) -> str:
    """Warnings are those of other projects here, and not asked about."""
    command = [sys.executable, "-W", "ignore", "-c", code]
    completed = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr[-2000:]
    return completed.stdout.strip()


def test_the_hook_declares_operators_before_their_shape_functions(tmp_path: Path) -> None:
    """A stand-in torchvision whose `_meta_registrations` does what makes the real one fail."""
    shutil.copyfile(TOOL, tmp_path / "_urt_torchvision_hook.py")
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("from torchvision import _meta_registrations\n", encoding="utf-8")
    (package / "_meta_registrations.py").write_text(
        "import torch\n"
        "@torch.library.register_fake('torchvision::nms')\n"
        "def nms(dets, scores, iou_threshold): ...\n"
        "@torch.library.register_fake('torchvision::qnms')\n"
        "def qnms(dets, scores, iou_threshold): ...\n",
        encoding="utf-8",
    )
    loaded = run("import sys, _urt_torchvision_hook; print('torch' in sys.modules)", cwd=tmp_path)
    assert loaded == "False", "the hook must cost an interpreter nothing that does not import torchvision"
    schema = run(
        "import _urt_torchvision_hook, torchvision, torch; print(torch.ops.torchvision.nms.default._schema)",
        cwd=tmp_path,
    )
    assert schema == "torchvision::nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="needs torchvision (make test installs it)")
def test_torchvision_transforms_work_in_a_child_process(tmp_path: Path) -> None:
    code = "import torch; from torchvision.transforms import v2; print(*v2.Resize((4, 6))(torch.rand(3, 8, 8)).shape)"
    assert (
        run(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], check=True)", cwd=tmp_path)
        == "3 4 6"
    )


@pytest.mark.slow
def test_engines_and_peers_load_in_one_process(tmp_path: Path) -> None:
    """With the processor classes that need torchvision."""
    engines = [
        "vllm",
        "deepspeed",
        "trl.trainer.grpo_trainer",
        "liger_kernel.transformers",
        "cut_cross_entropy",
        "peft",
    ]
    missing = [engine for engine in engines if importlib.util.find_spec(engine.partition(".")[0]) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (make test installs them)")
    run(f"import {', '.join(engines)}\nfrom transformers import Qwen3VLProcessor, Qwen3VLVideoProcessor", cwd=tmp_path)
