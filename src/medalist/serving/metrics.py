"""Prometheus counters of the server. No label or value contains anything that a client sent."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one server, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "medalist_requests",
            'Requests; route is an address of the interface, "page" or "other", and status 499 is a client that left.',
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "medalist_request_seconds",
            "Seconds from the first line of a request to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.texts = Counter("medalist_texts", "Texts expanded.", registry=self.registry)
        self.characters = Counter("medalist_characters", "Characters of the texts expanded.", registry=self.registry)
        self.short_forms = Counter(
            "medalist_short_forms",
            "Short forms found, by the evidence of the answer.",
            ["evidence"],
            registry=self.registry,
        )
        self.passes = Histogram(
            "medalist_pass_texts", "Texts that the model read in one pass.", buckets=TEXTS, registry=self.registry
        )
        self.model_seconds = Counter("medalist_model_seconds", "Seconds spent expanding.", registry=self.registry)
        self.failures = Counter("medalist_failures", "Requests that the expander failed on.", registry=self.registry)
        self.waiting = Gauge("medalist_waiting_requests", "Requests that wait for the model.", registry=self.registry)

    def page(self) -> bytes:
        """All counters, in Prometheus' text format."""
        return generate_latest(self.registry)
