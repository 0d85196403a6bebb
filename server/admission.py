"""A bounded place before the engine: so many requests run, so many wait in order, all others are told to come back.

Without it a burst would queue inside the engine, where waiting requests hold memory and nobody can say how long it
takes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Admission:
    """First come, first served; `running` and `waiting` are read by the metrics."""

    def __init__(self, max_running: int, max_waiting: int, max_wait_s: float) -> None:
        self.running = 0
        self.on_waited: Callable[[float], object] = lambda _: None
        """Told how many seconds each request waited, in vain or not."""
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold one of the running places, waiting for it if need be. Raises ApiError 503 when that is hopeless."""
        if self.running < self._max_running and not self._queue:
            self.running += 1
            self.on_waited(0.0)
        else:
            began = time.perf_counter()
            try:
                await self._wait()
            finally:
                self.on_waited(time.perf_counter() - began)
        try:
            yield
        finally:
            self._release()

    async def _wait(self) -> None:
        if len(self._queue) >= self._max_waiting:
            raise _full(self._max_wait_s)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(self._max_wait_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._release()  # the place came at the moment when nobody wanted it any more
            else:
                self._queue.remove(turn)
            if isinstance(error, TimeoutError):
                raise _full(self._max_wait_s) from None
            raise

    def _release(self) -> None:
        """Hand the place to the first who waits; `running` then stays as it is."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1


def _full(wait_s: float) -> ApiError:
    return ApiError(
        503, "overloaded", "too many requests are waiting; try again shortly", retry_after_s=max(1, round(wait_s / 4))
    )
