"""A command's code is imported when the command runs."""

import argparse
from collections.abc import Callable
from importlib import import_module


def lazily(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """`run_<name>` of `urt_core.cli.<module>`."""
    return lambda options: getattr(import_module(f"urt_core.cli.{module}"), f"run_{name}")(options)
