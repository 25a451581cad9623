"""Rules are found by name, and the benchmark's own also as `official`."""

import pytest

from urt_core.bench.rules.catalogue import BENCHMARKS
from urt_core.bench.rules.groups import GROUPINGS
from urt_core.bench.rules.rule import Benchmark, Rule
from urt_core.errors import ConfigError

STRICT, LENIENT = Rule(name="strict", wording="one"), Rule(name="lenient", wording="other")
SET = Benchmark(name="set", title="Set", source="", rules=(STRICT, LENIENT), official="lenient")


def test_the_official_rule_has_two_names() -> None:
    assert SET.rule("official") is SET.rule("lenient") is LENIENT
    assert SET.rule("strict") is STRICT


def test_an_unknown_rule_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"set has no rule 'best'; allowed: official \(which is lenient\), strict, lenient"
    ):
        SET.rule("best")


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
def test_what_a_benchmark_names_exists(benchmark: Benchmark) -> None:
    names = [rule.name for rule in benchmark.rules]
    assert len(set(names)) == len(names)
    assert benchmark.rule("official").name == benchmark.official
    assert {rule.groups for rule in benchmark.rules} <= {"", *GROUPINGS}
