"""Whether the engine makes progress, which is what "healthy" should mean.

vLLM's /health stays 200 while its core hangs. So every two seconds the engine's own metrics are read, and any change
of a `vllm:` line (tokens, cache use, queue) is progress, as is CPU time of a supervised engine, which a long prefill
burns without telling anybody. Work without progress for `stall_timeout_s` is a stall. An engine without work is asked
for one token now and then, since a hang would not show otherwise. One sign of progress makes it ready again. A router
says that it is unwell while one of several engines is down; a token that it gives then counts for more.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import structlog

from server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.metrics import Metrics
    from server.settings import Settings
    from server.upstream import Upstream

State = Literal["starting", "ready", "stalled", "down"]

_BUSY_SHARE = 0.2
"""An engine that computes burns at least this share of a core; one that is merely polled by us, a hundredth."""
_BUSY_IS_ENOUGH_FOR_S = 600.0
"""CPU time alone counts as progress no longer than this: an endless loop burns it too."""
_MISSES_TO_BE_DOWN = 2

log = structlog.get_logger(__name__)


class Progress:
    """The state of one engine. `in_flight` tells how many requests of ours it has; `group` is its process group."""

    def __init__(self, upstream: Upstream, settings: Settings, metrics: Metrics, in_flight: Callable[[], int]) -> None:
        self.state: State = "starting"
        self.reason = "the engine has not answered yet"
        self.group: int | None = None
        self._upstream = upstream
        self._settings = settings
        self._metrics = metrics
        self._in_flight = in_flight
        self._canary: asyncio.Task[None] | None = None
        self.restart()

    def restart(self) -> None:
        """Forget everything: another engine takes over."""
        now_s = time.monotonic()
        self._moved_s = self._told_s = now_s
        self._fingerprint = b""
        self._cpu_s = 0.0
        self._cpu_at_s = now_s
        self._misses = 0
        self._set("starting", "the engine is starting")

    async def watch(self) -> None:
        """Look every two seconds, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(self._settings.progress_interval_s)

    async def look(self) -> State:
        """Look once."""
        patience_s = min(2.0, self._settings.stall_timeout_s)
        page = await self._page(patience_s)
        if page is None:
            if not await self._gives_a_token(2 * patience_s):
                return self._missed()
            self._misses = 0
            self._told_s = self._moved_s = time.monotonic()
            self._set("ready", "")
            return self.state
        self._misses = 0
        lines = b"\n".join(line for line in page.split(b"\n") if line.startswith(b"vllm:"))
        fingerprint = hashlib.sha256(lines).digest()
        now_s = time.monotonic()
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint
            self._told_s = self._moved_s = now_s
        elif self._burns_cpu(now_s) and now_s - self._told_s < _BUSY_IS_ENOUGH_FOR_S:
            self._moved_s = now_s
        last_byte_s = self._upstream.last_byte_s
        if last_byte_s > self._moved_s:
            self._moved_s = self._told_s = last_byte_s
        still_s = now_s - self._moved_s
        working = self._in_flight() > 0 or _works(lines) or (self._canary is not None and not self._canary.done())
        if not working and still_s >= self._settings.canary_interval_s > 0:
            self._canary = asyncio.create_task(self._ask_for_a_token())
        if working and still_s > self._settings.stall_timeout_s:
            self._set("stalled", f"the engine has work and has made no progress for {still_s:.0f} s")
        elif not working or still_s < self._settings.stall_timeout_s / 2:
            self._set("ready", "")
        return self.state

    def close(self) -> None:
        """Stop the canary."""
        if self._canary:
            self._canary.cancel()

    async def _page(self, patience_s: float) -> bytes | None:
        """The engine's metrics; None when it says that it is unwell, or does not answer."""
        if not await self._upstream.healthy(patience_s):
            return None
        try:
            return await self._upstream.get("/metrics", patience_s)
        except ApiError as error:
            return b"" if error.status == 400 else None  # an engine without metrics: the canary alone tells

    async def _gives_a_token(self, patience_s: float) -> bool:
        """Whether an engine that seems unwell serves, as a router does while one of its engines is down."""
        try:
            async with asyncio.timeout(patience_s):
                await self._upstream.post("/v1/completions", self._canary_body())
        except (ApiError, TimeoutError):
            return False
        return True

    async def _ask_for_a_token(self) -> None:
        """One token, for nobody; its bytes count as progress like any others."""
        try:
            await self._upstream.post("/v1/completions", self._canary_body())
        except ApiError as error:
            if error.status != 400:
                log.warning("the engine did not give a token", code=error.code)

    def _canary_body(self) -> dict[str, object]:
        return {"model": self._upstream.model, "prompt": "a", "max_tokens": 1}

    def _missed(self) -> State:
        self._misses += 1
        if self._misses >= _MISSES_TO_BE_DOWN or self.state == "starting":
            self._set("down" if self.state != "starting" else "starting", "the engine does not answer")
        return self.state

    def _burns_cpu(self, now_s: float) -> bool:
        """Whether the supervised engine computed since the last look."""
        if self.group is None:
            return False
        cpu_s, elapsed_s = _group_cpu_s(self.group), now_s - self._cpu_at_s
        share = (cpu_s - self._cpu_s) / elapsed_s if elapsed_s > 0 else 0.0
        self._cpu_s, self._cpu_at_s = cpu_s, now_s
        return share >= _BUSY_SHARE

    def _set(self, state: State, reason: str) -> None:
        if state != self.state:
            log.log(30 if state in ("stalled", "down") else 20, "engine state", state=state, reason=reason)
        self.state, self.reason = state, reason
        self._metrics.engine_state.state(state)


def _works(lines: bytes) -> bool:
    """Whether vLLM says that it has running or waiting requests."""
    names = (b"vllm:num_requests_running", b"vllm:num_requests_waiting{", b"vllm:num_requests_waiting ")
    return any(line.rpartition(b" ")[2] not in (b"0.0", b"0") for line in lines.split(b"\n") if line.startswith(names))


def _group_cpu_s(group: int) -> float:
    """CPU time of all processes of a group so far (Linux; 0 elsewhere)."""
    ticks = 0
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # the process ended meanwhile
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
