"""Prometheus metrics of the gateway, in a registry of their own; labels are bounded and hold no text of a request."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, ProcessCollector, generate_latest

if TYPE_CHECKING:
    from server.admission import Admission
    from server.exchange import Exchange

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """All series of one gateway."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory, CPU, file descriptors
        tasks = Gauge("gazal_asyncio_tasks", "Tasks of the event loop; grows when something leaks.", registry=registry)
        tasks.set_function(lambda: len(asyncio.all_tasks()))
        self.requests = Counter("gazal_requests", "Finished HTTP requests.", ("route", "status"), registry=registry)
        self.errors = Counter(
            "gazal_errors", "Requests that ended with an error, by its code.", ("route", "code"), registry=registry
        )
        self.request_seconds = Histogram(
            "gazal_request_seconds", "Time to the end of the reply.", ("route",), buckets=_SECONDS, registry=registry
        )
        self.first_token_seconds = Histogram(
            "gazal_first_token_seconds",
            "Time to the first token of a stream.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.inter_token_seconds = Histogram(
            "gazal_inter_token_seconds",
            "Mean time between two tokens of a stream, once a stream.",
            ("route",),
            buckets=_TOKEN_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge("gazal_requests_in_flight", "Requests being served.", registry=registry)
        self.queued = Gauge("gazal_requests_queued", "Requests that wait for a place.", registry=registry)
        self.running = Gauge("gazal_requests_running", "Requests that hold a place at the engine.", registry=registry)
        self.queue_seconds = Histogram(
            "gazal_queue_seconds",
            "Time that a request waited for a place before the engine.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.disconnects = Counter(
            "gazal_client_disconnects", "Requests whose client left early.", ("route",), registry=registry
        )
        self.retries = Counter("gazal_engine_retries", "Requests sent to the engine a second time.", registry=registry)
        self.restarts = Counter("gazal_engine_restarts", "Restarts of the supervised engine.", registry=registry)
        self.engine_state = Enum(
            "gazal_engine_state",
            "What the gateway knows of the engine.",
            states=["starting", "ready", "stalled", "down"],
            registry=registry,
        )
        self.tokens = Counter("gazal_tokens", "Tokens by kind.", ("kind",), registry=registry)
        self.truncated = Counter(
            "gazal_truncated_replies", "Replies that the token budget ended.", ("route",), registry=registry
        )
        self.final_answers = Counter(
            "gazal_final_answers",
            "Clinical replies by outcome: answered, open, or the failure.",
            ("outcome",),
            registry=registry,
        )
        self.red_flags = Counter(
            "gazal_red_flags", "Emergency rules that held of a clinical request, by rule.", ("rule",), registry=registry
        )

        self.audit_sound = Gauge(
            "gazal_audit_chain_sound",
            "1 when the last check found the whole audit trail sound, 0 when not, NaN before the first.",
            registry=registry,
        )
        self.audit_sound.set(math.nan)

    def watch(self, admission: Admission) -> None:
        """Read queue and running places when scraped."""
        self.queued.set_function(lambda: admission.waiting)
        self.running.set_function(lambda: admission.running)
        admission.on_waited = self.queue_seconds.observe

    def finished(self, route: str, exchange: Exchange, seconds: float) -> None:
        """Count a request that is over."""
        self.requests.labels(route, str(exchange.status)).inc()
        self.request_seconds.labels(route).observe(seconds)
        if exchange.outcome == "client_left":
            self.disconnects.labels(route).inc()
        elif exchange.outcome != "ok":
            self.errors.labels(route, exchange.outcome).inc()
        if exchange.truncated:
            self.truncated.labels(route).inc()
        usage = exchange.usage or {}
        written = usage.get("completion_tokens", 0)
        if exchange.streamed and exchange.first_token_s is not None:
            self.first_token_seconds.labels(route).observe(exchange.first_token_s)
            if written > 1:
                self.inter_token_seconds.labels(route).observe((seconds - exchange.first_token_s) / (written - 1))
        if usage:
            self.tokens.labels("prompt").inc(usage.get("prompt_tokens", 0))
            self.tokens.labels("completion").inc(written)
            reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
            if reasoning is not None:
                self.tokens.labels("reasoning").inc(reasoning)
                self.tokens.labels("answer").inc(max(0, written - reasoning))

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
