"""Streaming to clients so that a client who leaves stops the engine.

Starlette's StreamingResponse abandons its iterator when the client disconnects (uvicorn speaks ASGI 2.3, and nothing
closes the generator), so the engine would go on generating for nobody. `EventStream` does all its work, the wait for a
place and for the engine included, inside `Exchange.interruptible`, and always closes its source.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import orjson
from fastapi.responses import Response

from server.errors import ApiError
from server.exchange import ClientLeftError, Exchange
from server.sse import HEARTBEAT, encode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.types import Receive, Scope, Send

    from server.gateway import Gateway
    from server.upstream import EngineStream

_HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),  # nginx would otherwise collect the stream and send it at once
    ],
}


class EventStream(Response):
    """A server-sent-event response made from the engine's stream.

    `shape` turns the open stream into the bytes to send, b"" standing for a silence in which a heartbeat is due; `end`
    is what follows the last of them, or an error event. `at_once` is sent before a place is waited for and the engine
    asked; what fails after that is an error event, whatever it is.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        gateway: Gateway,
        exchange: Exchange,
        body: dict[str, object],
        shape: Callable[[EngineStream], AsyncGenerator[bytes]],
        *,
        path: str = "/v1/chat/completions",
        end: bytes = b"",
        at_once: bytes = b"",
        error_event: Callable[[ApiError], bytes] = lambda error: encode(orjson.dumps(error.body())),
    ) -> None:
        super().__init__()
        self._gateway, self._exchange, self._body, self._shape = gateway, exchange, body, shape
        self._path, self._end, self._at_once, self._error_event = path, end, at_once, error_event
        self._began = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for a place, open the engine's stream, send. Errors before the first byte keep their HTTP status."""
        settings, exchange = self._gateway.settings, self._exchange
        exchange.streamed = True
        try:
            async with exchange.interruptible(receive, settings.total_timeout_s):
                if self._at_once:
                    await self._begin(send)
                    await self._send(send, self._at_once, settings.slow_reader_timeout_s)
                async with self._gateway.place(exchange):
                    await self._pump(send, settings.slow_reader_timeout_s)
        except ApiError as error:
            if not self._began:
                raise
            exchange.outcome = error.code
            await self._finish(scope, send, self._error_event(error) + self._end)
        except ClientLeftError:
            _abort(scope)
            raise
        else:
            await self._finish(scope, send, b"")

    async def _pump(self, send: Send, slow_reader_s: float) -> None:
        stream = await self._gateway.upstream.stream(self._path, self._body)
        try:
            await self._begin(send)
            async with aclosing(self._shape(stream)) as parts:
                async for data in parts:
                    await self._send(send, data or HEARTBEAT, slow_reader_s)
            if self._end:
                await self._send(send, self._end, slow_reader_s)
        finally:
            stream.close()

    async def _begin(self, send: Send) -> None:
        if not self._began:
            self._began = True
            await send(_HEAD)

    async def _finish(self, scope: Scope, send: Send, last: bytes) -> None:
        """Send the end, but wait no longer for a slow reader than before."""
        try:
            async with asyncio.timeout(self._gateway.settings.slow_reader_timeout_s):
                await send({"type": "http.response.body", "body": last, "more_body": False})
        except TimeoutError:
            _abort(scope)

    async def _send(self, send: Send, data: bytes, slow_reader_s: float) -> None:
        """Send; a client that takes nothing for `slow_reader_s` is as good as gone, for the engine waits for it."""
        slow = asyncio.get_running_loop().call_later(slow_reader_s, self._exchange.interrupt, ClientLeftError())
        try:
            await send({"type": "http.response.body", "body": data, "more_body": True})
        finally:
            slow.cancel()


def _abort(scope: Scope) -> None:
    """Cut the connection now: closing it in order would wait for a reader who does not read."""
    abort = scope.get("extensions", {}).get("gazal.abort")
    if abort:
        abort()
