"""What can be typed, and what typing it loads."""

import subprocess
import sys


def test_wrong_usage_is_exit_code_2(urt):
    for options in (["compare", "--task", "audio"], ["judge"], []):
        done = subprocess.run([sys.executable, "-m", "urt_core.cli", *options], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert "usage: urt" in done.stderr


def test_the_help_loads_no_engine():
    code = (
        "import sys; from urt_core.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "urt compare --model" in done.stdout
    assert not {"torch", "openai", "transformers", "fastapi", "numpy"} & set(done.stdout.splitlines()[-1].split())
