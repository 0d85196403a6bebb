"""What happens to every request: an id, a size limit, the artifact header, metrics and one content-free log line.

Plain ASGI, because Starlette's BaseHTTPMiddleware hides client disconnects from the routes behind it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING

import structlog
from starlette.exceptions import HTTPException

from server.errors import body_too_large, internal_error

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from server.metrics import Metrics

_LONGEST_LENGTH_DIGITS = 18

log = structlog.get_logger("server.requests")


class RequestMiddleware:
    """Wraps the application; `digest` is the served artifact's."""

    def __init__(
        self, app: ASGIApp, *, digest: str, max_body_bytes: int, body_timeout_s: float, metrics: Metrics
    ) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.body_timeout_s = body_timeout_s
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
        body_ended = False

        async def counted_receive() -> Message:
            nonlocal body_bytes, body_ended
            if body_ended:  # from now on only a disconnect can come, whenever it likes
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), started + self.body_timeout_s - time.perf_counter())
            except TimeoutError:
                raise HTTPException(408) from None
            body_ended = not message.get("more_body", False)
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
            digits = declared.lstrip(b"0")
            if len(digits) > _LONGEST_LENGTH_DIGITS or (digits.isdigit() and int(digits) > self.max_body_bytes):
                await body_too_large().response()(scope, receive, tagged_send)
            else:
                await self.app(scope, counted_receive, tagged_send)
        except Exception as error:
            # Not raised again: uvicorn would log the traceback, and its values may hold clinical text.
            log.error("unhandled error", request_id=request_id, error_type=type(error).__name__, place=_place(error))
            if not status:
                await internal_error().response()(scope, receive, tagged_send)
        finally:
            self.metrics.in_flight.dec()
            route = getattr(scope.get("route"), "path", "unmatched")
            seconds = time.perf_counter() - started
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.request_seconds.labels(route).observe(seconds)
            log.info("request", request_id=request_id, route=route, status=status, seconds=round(seconds, 3))


def _place(error: Exception) -> str | None:
    """File and line where the error arose: enough to find it, and nothing of what it was about."""
    last = error.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    return f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last else None
