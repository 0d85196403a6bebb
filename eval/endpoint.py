"""One OpenAI-compatible endpoint: what it serves, one question to it, and failures in words that name the fix.

Replies are streamed, which is how the first token's time is known; a server without streaming is found out by one short
request before the run and asked without. Nothing is retried here: a failure says whether a retry can help.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import orjson

from eval.completion import StreamedReply, error_text, whole_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from eval.store import Reply

API_KEY_VARIABLE = "OPENAI_API_KEY"
CONNECT_TIMEOUT_S = 10.0
_CONTEXT = re.compile(r"context length|max_model_len|context window|context_length", re.IGNORECASE)
_RETRYABLE_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_ARTIFACT_HEADER = "x-gazal-artifact"


class EndpointError(RuntimeError):
    """The endpoint cannot be evaluated; the message names the fix."""


@dataclass(eq=False)
class RequestError(Exception):
    """One request failed."""

    kind: str
    """connection, timeout, rate_limit, server_error, bad_reply, context_overflow, refused_request, not_streaming,
    authentication, wrong_model or wrong_artifact."""
    message: str
    retryable: bool = False
    fatal: bool = False
    """No other request can succeed either."""
    retry_after_s: float | None = None

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Served:
    """What runs behind the endpoint, as far as it says."""

    model: str
    artifact: str
    """The artifact digest, or `unverified:<model>` for a server that states none."""
    model_facts: dict[str, Any] = field(default_factory=dict)
    version_facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dialect:
    """What this server understands."""

    stream: bool = True
    token_field: str = "max_tokens"  # noqa: S105


@dataclass
class Endpoint:
    """A connection pool to `base_url` (".../v1"). Use as an async context manager."""

    base_url: str
    timeout_s: float = 1800.0
    """Longest time for one reply: a long reasoning answer of a large model under load."""
    dialect: Dialect = field(default_factory=Dialect)
    on_tokens: Callable[[int], None] | None = None
    """Told as tokens arrive (streamed chunks; without streaming, the usage of a whole reply)."""
    expected_artifact: str | None = None
    _session: aiohttp.ClientSession | None = field(default=None, init=False, repr=False)

    async def __aenter__(self) -> Endpoint:
        key = os.environ.get(API_KEY_VARIABLE)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15),
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=aiohttp.ClientTimeout(total=self.timeout_s, sock_connect=CONNECT_TIMEOUT_S),
            json_serialize=lambda value: orjson.dumps(value).decode(),
            read_bufsize=1 << 18,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def served(self, model: str | None) -> Served:
        """The model that will be evaluated: `model`, or the first that is listed. Raises EndpointError."""
        try:
            listing = await self._get_json(f"{self.base_url}/models")
            models = listing["data"]
            named = [entry for entry in models if model in (None, entry["id"], *(entry.get("aliases") or ()))]
        except RequestError as error:
            raise EndpointError(error.message) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise EndpointError(f"{self.base_url}/models is no OpenAI model list; give --base-url as .../v1") from error
        if not models:
            raise EndpointError(f"{self.base_url} lists no model; load one")
        if not named:
            known = ", ".join(str(entry["id"]) for entry in models[:8])
            raise EndpointError(f"model {model!r} is not served at {self.base_url}; use --model with one of: {known}")
        entry = named[0]
        digest = entry.get("artifact_digest")
        verified = isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest) is not None
        return Served(
            str(entry["id"]),
            digest if verified else f"unverified:{entry['id']}",
            {name: value for name, value in entry.items() if name != "permission"},
            await self._version(),
        )

    async def find_dialect(self, model: str, sampling: dict[str, Any]) -> Dialect:
        """One short request with the run's sampling, put in other ways while it is refused. Raises EndpointError."""
        messages = [{"role": "user", "content": "Reply with the word ready."}]
        body = sampling | {"model": model, "messages": messages, "seed": 0}
        refusals = []
        for dialect in (Dialect(), Dialect(stream=False), Dialect(token_field="max_completion_tokens")):  # noqa: S106
            self.dialect = dialect
            try:
                await self.ask(body, max_tokens=16)
            except RequestError as error:
                if error.kind not in ("refused_request", "not_streaming"):
                    raise EndpointError(error.message) from error
                refusals.append(error.message)
            else:
                return dialect
        advice = "change what it names (--top-k -1 sends no top_k)"
        raise EndpointError(f"{self.base_url} refuses the run's sampling or a plain chat: {refusals[0]}; {advice}")

    async def ask(self, body: dict[str, Any], max_tokens: int) -> Reply:
        """One chat completion. Raises RequestError."""
        body = body | {self.dialect.token_field: max_tokens}
        if self.dialect.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        started = time.perf_counter()
        try:
            async with self._pool.post(f"{self.base_url}/chat/completions", json=body) as response:
                if response.status != 200:
                    raise await self._refused(response)
                self._check_artifact(response)
                if not self.dialect.stream:
                    reply = whole_reply(await response.json(loads=orjson.loads, content_type=None))
                    if self.on_tokens and reply.completion_tokens:
                        self.on_tokens(reply.completion_tokens)
                elif response.content_type != "text/event-stream":
                    raise RequestError("not_streaming", f"{self.base_url} answers {response.content_type}, no stream")
                else:
                    reply = await self._streamed(response, started)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._broken(error) from error
        return replace(reply, latency_s=time.perf_counter() - started)

    async def complete(self, body: dict[str, Any]) -> tuple[str, str | None]:
        """Continue a raw text: what follows and why it ended. Raises RequestError."""
        try:
            async with self._pool.post(f"{self.base_url}/completions", json=body) as response:
                if response.status != 200:
                    raise await self._refused(response)
                choice = (await response.json(loads=orjson.loads, content_type=None))["choices"][0]
                return str(choice["text"]), choice.get("finish_reason")
        except (KeyError, IndexError, TypeError) as error:
            raise self._broken(ValueError("it is no completion")) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._broken(error) from error

    async def _streamed(self, response: aiohttp.ClientResponse, started: float) -> Reply:
        collected = StreamedReply()
        async for line in response.content:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                break
            if collected.add(orjson.loads(data)):
                if collected.first_token_s is None:
                    collected.first_token_s = time.perf_counter() - started
                if self.on_tokens:
                    self.on_tokens(1)
        return collected.reply()

    async def _version(self) -> dict[str, Any]:
        """What /version says beside /v1, where there is one: engine, flags, hardware."""
        parts = urlsplit(self.base_url)
        root = urlunsplit((parts.scheme, parts.netloc, parts.path.removesuffix("/v1"), "", ""))
        try:
            facts = await self._get_json(f"{root}/version")
        except RequestError:
            return {}
        return facts if isinstance(facts, dict) else {}

    async def _get_json(self, url: str) -> Any:  # noqa: ANN401
        try:
            async with self._pool.get(url, timeout=aiohttp.ClientTimeout(total=CONNECT_TIMEOUT_S)) as response:
                if response.status != 200:
                    raise await self._refused(response)
                return orjson.loads(await response.read())
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._broken(error) from error

    def _check_artifact(self, response: aiohttp.ClientResponse) -> None:
        digest = response.headers.get(_ARTIFACT_HEADER)
        if digest and self.expected_artifact and digest != self.expected_artifact:
            raise RequestError(
                "wrong_artifact",
                f"the server changed its weights while the run was on (artifact {digest[:12]}, began with "
                f"{self.expected_artifact[:12]}); serve the first again, or start another run",
                fatal=True,
            )

    async def _refused(self, response: aiohttp.ClientResponse) -> RequestError:
        status = response.status
        message, code = error_text(await response.read())
        said = f": {message}" if message else ""
        if status in (401, 403):
            advice = "check" if API_KEY_VARIABLE in os.environ else "set"
            return RequestError(
                "authentication",
                f"{self.base_url} answered {status}, not authorised; {advice} the API key in {API_KEY_VARIABLE}",
                fatal=True,
            )
        if status == 404:
            return RequestError(
                "wrong_model", f"{self.base_url} answered 404{said}; check --base-url and --model", fatal=True
            )
        if status in _RETRYABLE_STATUS:
            kind = "rate_limit" if status == 429 or code == "engine_overloaded" else "server_error"
            return RequestError(kind, f"the server answered {status}{said}", True, False, _retry_after(response))
        if status in (400, 413, 422) and (code == "context_length_exceeded" or _CONTEXT.search(message)):
            return RequestError(
                "context_overflow", f"prompt and budget do not fit the context{said}; lower --max-tokens"
            )
        return RequestError("refused_request", f"the server answered {status}{said}")

    def _broken(self, error: Exception) -> RequestError:
        if isinstance(error, TimeoutError):
            return RequestError(
                "timeout",
                f"no complete answer within {self.timeout_s:.0f} s; raise --timeout or lower --max-tokens",
                True,
            )
        if isinstance(error, ValueError) and not isinstance(error, aiohttp.InvalidURL):
            return RequestError("bad_reply", f"the reply of {self.base_url} cannot be read ({error})", True)
        return RequestError(
            "connection",
            f"no server at {self.base_url} ({error or type(error).__name__}); start one with `make serve` or correct "
            "--base-url",
            True,
        )

    @property
    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use the endpoint as an async context manager")
        return self._session


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    try:
        return min(60.0, max(0.0, float(response.headers.get("retry-after", ""))))
    except ValueError:
        return None
