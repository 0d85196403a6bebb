"""What every route needs, in one object that is passed in: the model served, the engine, metrics and settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from gazal.trace import template_opens_reasoning
from server.errors import ApiError
from server.metrics import Metrics
from server.streaming import EventStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from gazal.models import Model
    from server.settings import Settings
    from server.upstream import Upstream

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
    metrics: Metrics = field(default_factory=Metrics)

    def event_stream(self, events: AsyncGenerator[bytes], close: Callable[[], None], route: str) -> EventStream:
        """A streaming response of `route` that ends with its client or its deadline, whichever is first."""
        return EventStream(
            events,
            close,
            total_timeout_s=self.settings.total_timeout_s,
            on_disconnect=self.metrics.disconnects.labels(route).inc,
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


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


InjectedGateway = Annotated[Gateway, Depends(_gateway)]
