"""The public surface: what `import urt_core` offers, and what it costs."""

import subprocess
import sys

import pytest

import urt_core

CONTRACT = (
    *("Task", "Preference", "PreferenceRecord", "Dialect", "render", "parse_judgement", "Judgement", "ParseFailure"),
    *("Scorer", "Comparison", "Completion", "SamplingParams"),
)


@pytest.mark.parametrize("name", sorted({*CONTRACT, *urt_core.__all__}))
def test_every_public_name_is_there(name: str) -> None:
    assert name in urt_core.__all__
    assert getattr(urt_core, name) is not None
    assert name in dir(urt_core)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'urt_core' has no attribute 'Scorers'"):
        urt_core.Scorers  # noqa: B018


IMPORT = """
import sys, time
before = set(sys.modules)
started = time.process_time()
import urt_core
seconds = time.process_time() - started
loaded = {name.split(".")[0] for name in set(sys.modules) - before}
print(seconds, *sorted(loaded - set(sys.stdlib_module_names)))
"""


def test_importing_is_quick_and_loads_nothing_but_python() -> None:
    """The fastest of five, so that a busy machine does not count."""
    runs = [
        subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(5)
    ]
    assert {name for run in runs for name in run[1:]} == {"urt_core"}
    assert min(float(run[0]) for run in runs) <= 0.15


@pytest.mark.parametrize("name", ["parse_judgement", "render", "judge_reward", "PreferenceRecord", "SamplingParams"])
def test_the_language_half_needs_no_third_party_module(name: str) -> None:
    code = f"import sys; from urt_core import {name}; print(*{{module.split('.')[0] for module in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "PIL", "openai", "httpx", "pydantic", "transformers"} & set(done.stdout.split())
