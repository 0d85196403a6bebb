"""What happens to every request: an id, a size limit, the artifact header, metrics and one content-free log line.

Plain ASGI, because Starlette's BaseHTTPMiddleware hides client disconnects from the routes behind it.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import structlog
from starlette.exceptions import HTTPException

from server.errors import body_too_large

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from server.metrics import Metrics

log = structlog.get_logger("server.requests")


class RequestMiddleware:
    """Wraps the application; `digest` is the served artifact's."""

    def __init__(self, app: ASGIApp, *, digest: str, max_body_bytes: int, metrics: Metrics) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.metrics = metrics
        self._digest = digest.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = uuid.uuid4().hex
        status = 0
        body_bytes = 0

        async def counted_receive() -> Message:
            nonlocal body_bytes
            message = await receive()
            body_bytes += len(message.get("body", b""))
            if body_bytes > self.max_body_bytes:
                raise HTTPException(413)
            return message

        async def tagged_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                    (b"x-gazal-artifact", self._digest),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        self.metrics.in_flight.inc()
        try:
            declared = dict(scope["headers"]).get(b"content-length", b"0")
            if declared.isdigit() and int(declared) > self.max_body_bytes:
                await body_too_large().response()(scope, receive, tagged_send)
            else:
                await self.app(scope, counted_receive, tagged_send)
        finally:
            self.metrics.in_flight.dec()
            route = getattr(scope.get("route"), "path", "unmatched")
            seconds = time.perf_counter() - started
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.request_seconds.labels(route).observe(seconds)
            log.info("request", request_id=request_id, route=route, status=status, seconds=round(seconds, 3))
