"""Streaming to clients so that a client who leaves stops the engine.

Starlette's StreamingResponse abandons its iterator when the client disconnects (uvicorn speaks ASGI 2.3, and nothing
closes the generator), so the engine would go on generating for nobody. `EventStream` watches for the disconnect while
it sends, and always closes its source; `unless_disconnected` does the same for the time before the first byte.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from fastapi.responses import Response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from fastapi import Request
    from starlette.types import Receive, Scope, Send

T = TypeVar("T")


class ClientDisconnectedError(Exception):
    """The client went away; whatever was done for it has been cancelled."""


class EventStream(Response):
    """A server-sent-event response. `close` is called exactly once, whatever ends the stream.

    A client that reads too slowly to finish within `total_timeout_s` is cut off, since the engine works only as fast as
    it reads. `on_disconnect` is called when the client leaves first.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        source: AsyncGenerator[bytes],
        close: Callable[[], None],
        *,
        total_timeout_s: float,
        on_disconnect: Callable[[], None],
    ) -> None:
        super().__init__()
        self.total_timeout_s = total_timeout_s
        self.on_disconnect = on_disconnect
        self.source = source
        self.close = close
        self.raw_headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # nginx would otherwise collect the stream and send it at once
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the source or the client ends."""
        del scope
        pump = asyncio.create_task(self._pump(send))
        watcher = asyncio.create_task(_disconnect(receive))
        try:
            await asyncio.wait({pump, watcher}, timeout=self.total_timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if watcher.done() and not pump.done():
                self.on_disconnect()
        finally:
            try:
                for task in (pump, watcher):
                    task.cancel()
                results = await asyncio.gather(pump, watcher, return_exceptions=True)
                await self.source.aclose()
            finally:
                self.close()
        failure = results[0]
        if isinstance(failure, Exception):
            raise failure

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for chunk in self.source:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def unless_disconnected(request: Request, work: Coroutine[object, object, T]) -> T:
    """Await `work`, but cancel it when the client disconnects first. Raises ClientDisconnectedError then."""
    task = asyncio.ensure_future(work)
    watcher = asyncio.create_task(_disconnect(request.receive))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnectedError
        return task.result()
    finally:
        for each in (task, watcher):
            each.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
