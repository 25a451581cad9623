"""`urt bench`: the rules of public benchmarks as data, and the numbers that they make of what a judge has said."""

from urt_core.bench.rescoring import find_benchmark, rescore
from urt_core.bench.result import BenchResult
from urt_core.bench.rules.catalogue import BENCHMARKS
from urt_core.bench.rules.rule import Benchmark, Rule

__all__ = ["BENCHMARKS", "BenchResult", "Benchmark", "Rule", "find_benchmark", "rescore"]
