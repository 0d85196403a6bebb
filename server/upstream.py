"""The gateway's client of the one engine behind it: JSON calls, event streams, and failures in our words.

Messages of the engine are passed on only when they are of a known, content-free form; anything else might repeat the
prompt. Closing a stream closes its connection, which is how vLLM learns to stop generating.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import orjson

from server.errors import ApiError
from server.sse import EventReader, EventTooLongError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from server.settings import Settings

_CONTEXT = re.compile(r"maximum context length is (\d{1,9}) tokens|greater than max_model_len=(\d{1,9})\b")
_SAFE_PARAMS = {"max_tokens", "input_tokens", "n", "stop", "temperature", "top_p", "logprobs", "prompt", "messages"}


@dataclass
class EngineStream:
    """An open event stream of the engine. `events` yields each event's data, without the final `[DONE]`."""

    response: aiohttp.ClientResponse

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Parsed events in order. Raises ApiError when the stream breaks, reports an error or ends too early."""
        reader = EventReader()
        answered = False
        try:
            async for chunk in self.response.content.iter_any():
                for data in reader.feed(chunk):
                    if data == b"[DONE]" and answered:
                        return
                    event = _checked(orjson.loads(data), "delta")
                    answered = answered or bool(event["choices"])
                    yield event
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError, EventTooLongError) as error:
            raise _broken(error) from error
        raise ApiError(502, "engine_error", "the engine's stream ended before the answer was complete; try again")

    def close(self) -> None:
        """End the connection, so that the engine stops."""
        self.response.close()


class Upstream:
    """A connection pool to the engine at `url` (`http://host:port` or `unix:/path`)."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.url = url
        self._settings = settings
        self._base = "http://engine" if url.startswith("unix:") else url
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Create the pool; call once, inside the running loop."""
        # limit=0: admission is the engine's queue, not a hidden pool. Keep-alive shorter than the engine's.
        options: dict[str, Any] = {"limit": 0, "keepalive_timeout": 15}
        connector: aiohttp.BaseConnector = (
            aiohttp.UnixConnector(self.url.removeprefix("unix:"), **options)
            if self.url.startswith("unix:")
            else aiohttp.TCPConnector(**options)
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            json_serialize=lambda value: orjson.dumps(value).decode(),
            timeout=aiohttp.ClientTimeout(
                total=self._settings.total_timeout_s, sock_connect=self._settings.connect_timeout_s
            ),
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session:
            await self._session.close()

    async def get_json(self, path: str, timeout_s: float = 5.0) -> dict[str, Any]:
        """GET a small JSON document. Raises ApiError."""
        try:
            async with self._pool.get(
                self._base + path, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=timeout_s)
            ) as response:
                if response.status != 200:
                    raise await _refused(response)
                return _object(await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _broken(error) from error

    async def healthy(self, timeout_s: float = 2.0) -> bool:
        """Whether the engine answers its health check."""
        try:
            async with self._pool.get(
                self._base + "/health", allow_redirects=False, timeout=aiohttp.ClientTimeout(total=timeout_s)
            ) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST and wait for the whole JSON reply. Cancelling closes the connection. Raises ApiError."""
        try:
            async with self._pool.post(self._base + path, json=body, allow_redirects=False) as response:
                if response.status != 200:
                    raise await _refused(response)
                reply = _checked(orjson.loads(await response.read()), "message")
                if not reply["choices"]:
                    raise ApiError(502, "engine_error", "the engine sent no answer; try again")
                return reply
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            raise _broken(error) from error

    async def stream(self, path: str, body: dict[str, Any]) -> EngineStream:
        """POST and return the open event stream; the caller must close it. Raises ApiError."""
        timeout = aiohttp.ClientTimeout(
            total=self._settings.total_timeout_s,
            sock_connect=self._settings.connect_timeout_s,
            sock_read=self._settings.idle_timeout_s,
        )
        try:
            response = await self._pool.post(self._base + path, json=body, allow_redirects=False, timeout=timeout)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _broken(error) from error
        try:
            if response.status != 200:
                raise await _refused(response)
            if response.content_type != "text/event-stream":
                raise ApiError(502, "engine_error", f"the engine sent {response.content_type}, not an event stream")
        except BaseException:
            response.close()
            raise
        return EngineStream(response)

    @property
    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("Upstream.open() was not called")
        return self._session


def _checked(reply: Any, content_field: str) -> dict[str, Any]:  # noqa: ANN401
    """A completion, or one event of it, in the shape that everything behind this relies on. Raises ApiError.

    Each choice has an index and either text or a dictionary under `content_field`; usage is counts or missing.
    """
    if isinstance(reply, dict) and reply.get("error") is not None:
        raise ApiError(502, "engine_error", "the engine failed while generating; try again")
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list) or not all(_is_choice(choice, content_field) for choice in choices):
        raise ApiError(502, "engine_error", "the engine sent a reply of an unknown form; is it OpenAI-compatible?")
    usage = reply.get("usage")
    counts = usage.items() if isinstance(usage, dict) else ()
    reply["usage"] = {name: count for name, count in counts if isinstance(count, int) and count >= 0} or None
    return cast("dict[str, Any]", reply)


def _is_choice(choice: Any, content_field: str) -> bool:  # noqa: ANN401
    if not isinstance(choice, dict) or not isinstance(choice.get("index"), int):
        return False
    if not isinstance(choice.get("finish_reason"), str | None):
        return False
    content = choice.get(content_field)
    if content is None:
        return isinstance(choice.get("text"), str)
    names = ("content", "reasoning", "reasoning_content", "role")
    return isinstance(content, dict) and all(isinstance(content.get(name), str | None) for name in names)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _broken(error) from error
    if not isinstance(value, dict):
        raise ApiError(502, "engine_error", "the engine's reply is not a JSON object")
    return value


async def _refused(response: aiohttp.ClientResponse) -> ApiError:
    """Our words for a status other than 200."""
    if response.status in (429, 503):
        return ApiError(503, "engine_overloaded", "the engine is at its limit; try again shortly", retry_after_s=5)
    if not 400 <= response.status < 500:
        return ApiError(502, "engine_error", f"the engine failed with status {response.status}; try again")
    try:
        error = _object(await response.read()).get("error")
    except (ApiError, aiohttp.ClientError, TimeoutError):
        error = None
    detail: dict[str, Any] = error if isinstance(error, dict) else {}
    message, param = str(detail.get("message", "")), detail.get("param")
    context = _CONTEXT.search(message)
    if context:
        return ApiError(
            400,
            "context_length_exceeded",
            f"prompt and max_tokens do not fit the model's context of {context[1] or context[2]} tokens; shorten the "
            "text or lower max_tokens",
            "max_tokens" if param == "max_tokens" else "messages",
        )
    return ApiError(
        400,
        "refused_by_engine",
        "the engine refused this combination of parameters",
        param if isinstance(param, str) and param in _SAFE_PARAMS else None,
    )


def _broken(error: Exception) -> ApiError:
    """Our words for a connection that failed."""
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ServerDisconnectedError):
        return ApiError(503, "engine_unavailable", "the engine cannot be reached; see /readyz", retry_after_s=5)
    if isinstance(error, TimeoutError):
        return ApiError(504, "engine_timeout", "the engine did not answer in time; try again or lower max_tokens")
    return ApiError(502, "engine_error", "the engine's reply could not be read; try again")
