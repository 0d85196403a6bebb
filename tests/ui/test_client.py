"""The page's HTTP client: events however they are cut, every refusal by its name, a connection that really closes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import unused_port
from ui.client import Event, Failure, ServerClient, read_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STREAM = (
    b'event: step\ndata: {"number": 1, "text": "\xd8\xa3"}\n\n'
    b': still working\n\nevent: done\r\ndata: {"a":\r\ndata: 1}\r\n\r\n'
)


async def chunks_of(data: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    for start, end in itertools.pairwise(edges):
        yield data[start:end]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 200), max_size=12))
def test_events_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    async def read() -> list[Event]:
        return [event async for event in read_events(chunks_of(STREAM, cuts))]

    assert asyncio.run(read()) == [Event("step", {"number": 1, "text": "أ"}), Event("done", {"a": 1})]


@pytest.mark.parametrize("data", [b"data: [1]\n\n", b"data: nonsense\n\n", b"data: " + b"x" * (9 << 20)])
async def test_nonsense_in_a_stream_is_a_broken_reply(data: bytes) -> None:
    with pytest.raises(Failure) as caught:
        [event async for event in read_events(chunks_of(data, [5]))]
    assert caught.value.kind == "broken"


@contextlib.asynccontextmanager
async def server(answer: Any) -> AsyncIterator[ServerClient]:
    app = web.Application()
    app.router.add_post("/v1/clinical/reason", answer)
    app.router.add_get("/v1/models", answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    yield ServerClient(f"http://127.0.0.1:{port}", "gazal_key", 1.0, 0.3)
    await runner.cleanup()


async def failure_of(answer: Any) -> Failure:
    async with server(answer) as client:
        with pytest.raises(Failure) as caught:
            [event async for event in client.stream({"mode": "diagnosis"})]
    return caught.value


def refusing(status: int, code: str = "x", **headers: str) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "the fix", "code": code}}, status=status, headers=headers)

    return answer


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid_value", "refused"),
        (401, "invalid_api_key", "unauthorized"),
        (403, "insufficient_scope", "forbidden"),
        (404, "not_found", "refused"),
        (413, "body_too_large", "too_large"),
        (429, "rate_limit_exceeded", "rate_limited"),
        (500, "internal_error", "engine"),
        (502, "engine_error", "engine"),
        (503, "overloaded", "busy"),
        (504, "engine_timeout", "engine"),
    ],
)
async def test_each_status_is_a_failure_with_the_servers_words(status: int, code: str, kind: str) -> None:
    failure = await failure_of(refusing(status, code, **{"retry-after": "7", "x-request-id": "r1"}))
    assert (failure.kind, failure.detail, failure.retry_after_s, failure.request_id) == (kind, "the fix", 7.0, "r1")


async def test_a_refusal_that_is_no_json_is_still_a_failure() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=502, text="<html>Bad Gateway</html>")

    assert (await failure_of(answer)).kind == "engine"


async def test_the_key_is_sent_and_the_body_asks_for_a_stream() -> None:
    seen: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.headers["authorization"], await request.json()))
        return web.Response(text='event: done\ndata: {"a": 1}\n\n')

    async with server(answer) as client:
        assert [event.name async for event in client.stream({"mode": "mcq"})] == ["done"]
    assert seen == [("Bearer gazal_key", {"mode": "mcq", "stream": True})]


async def test_nobody_at_the_address() -> None:
    client = ServerClient(f"http://127.0.0.1:{unused_port()}", None, 1.0, 1.0)
    with pytest.raises(Failure) as caught:
        [event async for event in client.stream({})]
    assert caught.value.kind == "unreachable"
    with pytest.raises(Failure) as caught:
        await client.model()
    assert caught.value.kind == "unreachable"


def streaming(*parts: bytes, then: str = "end") -> Any:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        if then == "stall":
            await asyncio.sleep(30)
        if then == "reset":
            request.transport.abort()  # type: ignore[union-attr]
        return response

    return answer


async def test_a_stream_that_falls_silent_or_ends_early_or_breaks() -> None:
    step = b'event: step\ndata: {"number": 1, "text": "x"}\n\n'
    assert (await failure_of(streaming(step, then="stall"))).kind == "silent"
    assert (await failure_of(streaming(step))).kind == "broken"
    assert (await failure_of(streaming(step, then="reset"))).kind == "broken"


async def test_an_error_within_the_stream_is_a_failure() -> None:
    error = b'event: error\ndata: {"error": {"message": "engine is away", "code": "engine_unavailable"}}\n\n'
    failure = await failure_of(streaming(error))
    assert (failure.kind, failure.detail) == ("busy", "engine is away")


async def test_leaving_the_stream_closes_the_connection() -> None:
    closed = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'event: step\ndata: {"number": 1, "text": "x"}\n\n')
        try:
            await asyncio.sleep(30)
        finally:
            closed.set()
        return response

    async with server(answer) as client:
        async with contextlib.aclosing(client.stream({})) as events:
            async for _ in events:
                break
        await asyncio.wait_for(closed.wait(), 2)


async def test_what_is_served_is_named_with_its_digest() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "gazal-r1-nano", "artifact_digest": "abc"}]})

    async with server(answer) as client:
        info = await client.model()
    assert (info.name, info.digest) == ("gazal-r1-nano", "abc")


async def test_another_kind_of_server_is_said_to_be_one() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"models": []})

    async with server(answer) as client:
        with pytest.raises(Failure) as caught:
            await client.model()
    assert "Gazal server" in caught.value.detail


def test_the_key_is_not_in_the_clients_own_text() -> None:
    assert "secret" not in repr(ServerClient("http://x", "secret", 1, 1))
