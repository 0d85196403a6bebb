"""The page's side of the REST API: stream one reasoned answer, or say plainly why there is none.

Every run has a connection of its own. Leaving the generator closes it, which is what makes the server stop the engine;
a pooled connection could stay open unseen.

    async with aclosing(client.stream(request)) as events:
        async for event in events: ...
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    import aiohttp

MAX_EVENT_BYTES = 8 << 20

FailureKind = Literal[
    "unreachable",
    "unauthorized",
    "forbidden",
    "rate_limited",
    "busy",
    "refused",
    "too_large",
    "engine",
    "silent",
    "broken",
    "no_recording",
]


@dataclass(frozen=True)
class Event:
    """One server-sent event: `red_flags`, `step`, `answer` or `done`."""

    name: str
    data: dict[str, Any]


@dataclass
class Failure(Exception):
    """Why a run ended without a whole answer."""

    kind: FailureKind
    detail: str = ""
    """The server's own words; they name a field and a fix and never repeat what was sent."""
    retry_after_s: float | None = None
    request_id: str | None = None


@dataclass(frozen=True)
class ModelInfo:
    """What a server says it serves."""

    name: str
    digest: str | None


class Source(Protocol):
    """Where answers come from: a server, or recordings."""

    async def model(self) -> ModelInfo:
        """What answers here. Raises Failure."""
        ...

    def stream(self, request: dict[str, Any]) -> AsyncGenerator[Event]:
        """The events of one run, the last of which is `done`. Raises Failure."""
        ...


@dataclass(frozen=True)
class ServerClient:
    """A client of one server."""

    base: str
    key: str | None = field(repr=False)
    connect_timeout_s: float
    silence_timeout_s: float

    async def model(self) -> ModelInfo:
        """The first model of /v1/models. Raises Failure."""
        async with self._session(total_s=self.connect_timeout_s) as session, _as_failures():
            async with session.get(f"{self.base}/v1/models") as response:
                await _refuse(response)
                listing = await response.json()
            first = listing["data"][0]
            digest = first.get("artifact_digest") or first.get("digest") or response.headers.get("x-gazal-artifact")
            return ModelInfo(str(first["id"]), digest)

    async def stream(self, request: dict[str, Any]) -> AsyncGenerator[Event]:
        """Ask and yield the events as they come. Raises Failure."""
        async with self._session() as session, _as_failures():
            response = await session.post(f"{self.base}/v1/clinical/reason", json=request | {"stream": True})
            try:
                await _refuse(response)
                finished = False
                async for event in read_events(response.content.iter_any()):
                    if event.name == "error":
                        raise _failure_of(event.data, 502, response)
                    finished = finished or event.name == "done"
                    yield event
                if not finished:
                    raise Failure("broken", request_id=response.headers.get("x-request-id"))
            finally:
                response.close()

    def _session(self, total_s: float | None = None) -> aiohttp.ClientSession:
        import aiohttp

        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        timeout = aiohttp.ClientTimeout(
            total=total_s, sock_connect=self.connect_timeout_s, sock_read=self.silence_timeout_s
        )
        return aiohttp.ClientSession(headers=headers, timeout=timeout, auto_decompress=True)


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[Event]:
    """Server-sent events out of byte chunks, however they are cut. Comments are skipped. Raises Failure."""
    held = b""
    name, data = "", []
    async for chunk in chunks:
        held += chunk
        if len(held) > MAX_EVENT_BYTES:
            raise Failure("broken", "an event is longer than 8 MiB")
        *lines, held = held.split(b"\n")
        for raw in lines:
            line = raw.removesuffix(b"\r")
            if line.startswith(b"event:"):
                name = line[6:].strip().decode("utf-8", "replace")
            elif line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                yield Event(name, _object(b"\n".join(data)))
                name, data = "", []


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError:
        raise Failure("broken", "an event is no JSON") from None
    if not isinstance(value, dict):
        raise Failure("broken", "an event is no JSON object")
    return value


@contextlib.asynccontextmanager
async def _as_failures() -> AsyncIterator[None]:
    """Turn what can go wrong with a connection into a Failure."""
    import aiohttp

    try:
        yield
    except (TimeoutError, aiohttp.ServerTimeoutError) as error:
        connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
        raise Failure("unreachable" if connecting else "silent") from None
    except aiohttp.ClientConnectorError:
        raise Failure("unreachable") from None
    except (aiohttp.ClientError, ConnectionError):
        raise Failure("broken") from None
    except (KeyError, IndexError, TypeError, ValueError):
        raise Failure(
            "broken", "the reply is not what docs/api.md describes; is this address a Gazal server?"
        ) from None


async def _refuse(response: aiohttp.ClientResponse) -> None:
    """Raise the Failure that a status stands for."""
    if response.status == 200:
        return
    try:
        body = json.loads(await response.content.read(65_536))
    except ValueError:
        body = {}
    raise _failure_of(body if isinstance(body, dict) else {}, response.status, response)


_KINDS: dict[int, FailureKind] = {401: "unauthorized", 403: "forbidden", 413: "too_large", 429: "rate_limited"}
_KINDS |= {502: "engine", 504: "engine", 503: "busy", 500: "engine"}


def _failure_of(body: dict[str, Any], status: int, response: aiohttp.ClientResponse) -> Failure:
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    kind = _KINDS.get(status, "refused" if 400 <= status < 500 else "broken")
    if error.get("code") in ("engine_unavailable", "engine_overloaded", "overloaded", "shutting_down"):
        kind = "busy"
    wait = response.headers.get("retry-after", "")
    return Failure(
        kind,
        str(error.get("message") or "")[:500],
        float(wait) if wait.isdigit() else None,
        response.headers.get("x-request-id"),
    )
