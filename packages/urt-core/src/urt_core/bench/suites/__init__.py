"""Suites that need no labels of others: what moves a judge that should not, and whether it means what it says."""

from urt_core.bench.suites.running import SuiteReport, run_suites

__all__ = ["SuiteReport", "run_suites"]
