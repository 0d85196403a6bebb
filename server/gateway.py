"""What every route needs, in one object that is passed in: the model, the engine, access, limits and settings."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from gazal.trace import template_opens_reasoning
from server.access import ANONYMOUS, Access
from server.admission import Admission
from server.errors import ApiError
from server.keys import Limits
from server.limits import Limiter, MemoryCounter, RedisCounter
from server.metrics import Metrics
from server.progress import Progress

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from gazal.models import Model
    from server.agreement import Calibration
    from server.audit import AuditLog
    from server.content import ContentStore
    from server.exchange import Exchange
    from server.settings import Settings
    from server.tracing import Traces
    from server.upstream import Upstream

_CHARS_PER_TOKEN = 4
"""Enough for a reservation; the engine's count replaces it."""

UNVERIFIED = "unverified"


@dataclass(frozen=True)
class Served:
    """The model behind this gateway."""

    name: str
    """What the engine calls it and `/v1/models` shows."""
    digest: str
    """The artifact digest, or "unverified" for a foreign engine whose weights nobody here has hashed."""
    aliases: frozenset[str] = frozenset()
    """Other names that requests may use."""
    knows_grammar: bool = True
    """False for a base model; its clinical answers are then held to the grammar by the engine."""
    opens_reasoning: bool = False
    """Whether the chat template itself writes the opening tag."""
    licence: str | None = None

    @classmethod
    def from_model(cls, model: Model, reference: str) -> Served:
        """The identity of verified weights."""
        template = model.path / "chat_template.jinja"
        return cls(
            name=model.manifest.name,
            digest=model.manifest.digest,
            aliases=frozenset() if Path(reference).is_dir() else frozenset({reference}),
            knows_grammar=model.manifest.knows_grammar,
            opens_reasoning=template.is_file() and template_opens_reasoning(template.read_text(encoding="utf-8")),
            licence=model.manifest.licence,
        )


@dataclass
class Gateway:
    """The parts of one running gateway."""

    settings: Settings
    upstream: Upstream
    served: Served
    access: Access
    metrics: Metrics = field(default_factory=Metrics)
    audit: AuditLog | None = None
    traces: Traces | None = None
    content: ContentStore | None = None
    calibration: Calibration | None = None
    cache_salt_key: bytes = b""
    """Where it is set, each key's prompts are cached apart from the others' in the engine."""
    exchanges: set[Exchange] = field(default_factory=set)
    """The requests being served."""
    draining: bool = False
    """Set when the process is about to end: not ready any more, but still answering."""

    def __post_init__(self) -> None:
        settings = self.settings
        self.admission = Admission(settings.max_running, settings.max_waiting, settings.queue_timeout_s)
        counter = RedisCounter(settings.redis_url) if settings.redis_url else MemoryCounter()
        defaults = Limits(
            requests_per_minute=settings.requests_per_minute,
            tokens_per_minute=settings.tokens_per_minute,
            concurrent_streams=settings.concurrent_streams,
        )
        self.limiter = Limiter(counter, defaults)
        self.progress = Progress(self.upstream, settings, self.metrics, lambda: self.admission.running)
        self.metrics.watch(self.admission)
        self.upstream.model = self.served.name
        self.upstream.on_retry = self.metrics.retries.inc

    def place(self, exchange: Exchange) -> AbstractAsyncContextManager[None]:
        """A place before the engine; see `Admission.place`."""
        if exchange.streamed:
            self.limiter.stream(exchange)
        return self.admission.place()

    async def admit(
        self, exchange: Exchange, prompt_chars: int, max_tokens: int | None, replies: int = 1
    ) -> dict[str, str]:
        """Check the caller's limits; returns what the engine's request must say about the caller.

        Raises ApiError 429.
        """
        principal = exchange.principal
        headers = await self.limiter.request(principal)
        estimate = prompt_chars // _CHARS_PER_TOKEN + replies * (max_tokens or self.settings.max_tokens_default)
        headers |= await self.limiter.tokens(exchange, estimate)
        exchange.headers += [(name.encode(), value.encode()) for name, value in headers.items()]
        if not self.cache_salt_key or principal is ANONYMOUS:
            return {}
        return {"cache_salt": hmac.digest(self.cache_salt_key, principal.id.encode(), "sha256").hex()[:32]}

    def interrupt_all(self) -> None:
        """End every request that still runs; streams get an error event, others 503."""
        for exchange in list(self.exchanges):
            exchange.interrupt(
                ApiError(503, "shutting_down", "the server is shutting down; try again", retry_after_s=5)
            )

    def check_model(self, name: str) -> None:
        """Raise ApiError when a request asks for a model that is not served here."""
        if name != self.served.name and name not in self.served.aliases:
            raise ApiError(404, "model_not_found", f"model is not served here; use {self.served.name!r}", "model")

    def token_limit(self, asked: int | None, field_name: str = "max_tokens") -> dict[str, int]:
        """The engine's `max_tokens`, checked; nothing when not asked for, the engine then fills what fits."""
        limit = self.settings.max_tokens_limit
        if asked is not None and asked > limit:
            raise ApiError(400, "invalid_value", f"{field_name}: must be at most {limit}", field_name)
        return {} if asked is None else {"max_tokens": asked}


def gateway_of(request: Request) -> Gateway:
    """The gateway that serves a request."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def exchange_of(request: Request) -> Exchange:
    """What is noted about a request."""
    exchange: Exchange = request.scope["gazal.exchange"]
    return exchange


InjectedGateway = Annotated[Gateway, Depends(gateway_of)]
