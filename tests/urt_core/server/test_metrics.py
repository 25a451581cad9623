"""Counters of one server, as Prometheus reads them."""

from prometheus_client.parser import text_string_to_metric_families

from urt_core.engines import Status, Usage
from urt_core.server.metrics import Metrics


def values(metrics: Metrics) -> dict[tuple, float]:
    """(name, values of the labels in alphabetical order of their names) -> value"""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_results_are_counted_by_kind_and_status_and_tokens_by_side() -> None:
    metrics = Metrics()
    metrics.count("compare", Status.OK, Usage(prompt_tokens=400, completion_tokens=100))
    metrics.count("compare", Status.OK, Usage(prompt_tokens=50, completion_tokens=7))
    metrics.count("score", Status.PARSE_ERROR, Usage(prompt_tokens=1, completion_tokens=0))
    found = values(metrics)
    assert found["urt_results_total", "compare", "ok"] == 2
    assert found["urt_results_total", "score", str(Status.PARSE_ERROR)] == 1
    assert found["urt_tokens_total", "prompt"] == 451
    assert found["urt_tokens_total", "completion"] == 107


def test_servers_of_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.requests.labels("/v1/compare", "200").inc()
    assert values(one)["urt_requests_total", "200", "/v1/compare"] == 1
    assert ("urt_requests_total", "200", "/v1/compare") not in values(other)
