"""Counters in Prometheus' text format."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from urt_core.engines import Status, Usage

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Of one server: each has a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("urt_requests", "HTTP requests", ["route", "code"], registry=self.registry)
        self.results = Counter("urt_results", "Judged items", ["kind", "status"], registry=self.registry)
        self.tokens = Counter("urt_tokens", "Tokens", ["kind"], registry=self.registry)
        self.running = Gauge("urt_running_requests", "Requests being judged", registry=self.registry)
        self.waiting = Gauge("urt_waiting_requests", "Requests that wait", registry=self.registry)
        self.closed = Counter("urt_closed_connections", "Closed unanswered", ["why"], registry=self.registry)
        self.seconds = Histogram(
            "urt_request_seconds", "Time to answer", ["route"], buckets=SECONDS, registry=self.registry
        )

    def count(self, kind: str, status: Status, usage: Usage) -> None:
        self.results.labels(kind, str(status)).inc()
        self.tokens.labels("prompt").inc(usage.prompt_tokens)
        self.tokens.labels("completion").inc(usage.completion_tokens)

    def text(self) -> bytes:
        return generate_latest(self.registry)
