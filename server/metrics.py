"""Prometheus metrics of the gateway, in a registry of their own; labels are bounded and hold no text of a request."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)


class Metrics:
    """All series of one gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "gazal_requests", "Finished HTTP requests.", ("route", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "gazal_request_seconds",
            "Time to the end of the reply.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge("gazal_requests_in_flight", "Requests being served.", registry=self.registry)
        self.disconnects = Counter(
            "gazal_client_disconnects", "Requests whose client left early.", ("route",), registry=self.registry
        )
        self.first_token_seconds = Histogram(
            "gazal_first_token_seconds",
            "Time to the first token of a stream.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.tokens = Counter("gazal_tokens", "Tokens by kind.", ("kind",), registry=self.registry)
        self.final_answers = Counter(
            "gazal_final_answers",
            "Clinical replies by outcome: answered, open, or the failure.",
            ("outcome",),
            registry=self.registry,
        )

    def count_usage(self, usage: dict[str, int] | None) -> None:
        """Add the tokens of one reply."""
        if usage:
            self.tokens.labels("prompt").inc(usage.get("prompt_tokens", 0))
            self.tokens.labels("completion").inc(usage.get("completion_tokens", 0))

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
