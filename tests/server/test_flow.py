"""Faults of the engine and clients who leave: a bounded time, the right status, nothing left running."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from server.settings import Settings
from server.upstream import Upstream
from tests.conftest import running

if TYPE_CHECKING:
    from server.gateway import Gateway
    from tests.fakes.engine import FakeEngine

CHAT = "/v1/chat/completions"
ENDPOINTS: dict[str, dict[str, Any]] = {
    CHAT: {"model": "fake", "messages": [{"role": "user", "content": "x"}]},
    "/v1/completions": {"model": "fake", "prompt": "x"},
    "/v1/clinical/reason": {"vignette": "x"},
}


async def settled(engine: FakeEngine) -> None:
    async with asyncio.timeout(1):
        while engine.running:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("status_500", 502, "engine_error"),
        ("status_503", 503, "engine_overloaded"),
        ("context", 400, "context_length_exceeded"),
        ("leaky_400", 400, "refused_by_engine"),
    ],
)
async def test_refusals_keep_their_status_and_lose_their_content(
    client: aiohttp.ClientSession,
    engine: FakeEngine,
    endpoint: str,
    streaming: bool,
    fault: Any,
    status: int,
    code: str,
) -> None:
    engine.fault = fault
    async with client.post(endpoint, json=ENDPOINTS[endpoint] | {"stream": streaming}) as response:
        text = await response.text()
    assert response.status == status
    assert json.loads(text)["error"]["code"] == code
    assert "John Smith" not in text
    assert ("retry-after" in response.headers) == (status == 503)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("fault", ["cut", "error_event", "stall"])
async def test_a_stream_that_breaks_ends_with_an_error_event(
    client: aiohttp.ClientSession, engine: FakeEngine, endpoint: str, fault: Any
) -> None:
    engine.fault = fault
    async with asyncio.timeout(5), client.post(endpoint, json=ENDPOINTS[endpoint] | {"stream": True}) as response:
        text = await response.text()
    assert response.status == 200
    assert '"server_error"' in text
    assert "CUDA" not in text
    await settled(engine)


async def test_a_page_instead_of_a_stream_is_a_502(client: aiohttp.ClientSession, engine: FakeEngine) -> None:
    engine.fault = "html"
    async with client.post(CHAT, json=ENDPOINTS[CHAT] | {"stream": True}) as response:
        assert response.status == 502


async def test_a_reply_that_is_not_json_is_a_502(client: aiohttp.ClientSession, engine: FakeEngine) -> None:
    engine.fault = "broken_json"
    async with client.post(CHAT, json=ENDPOINTS[CHAT]) as response:
        assert response.status == 502


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("fault", [None, "stall"])
async def test_the_engine_stops_within_a_second_when_the_client_leaves(
    client: aiohttp.ClientSession, engine: FakeEngine, endpoint: str, streaming: bool, fault: Any
) -> None:
    engine.fault, engine.delay_s = fault, 2.0 if not streaming else 0.3
    with pytest.raises(asyncio.TimeoutError):
        async with (
            asyncio.timeout(0.5),
            client.post(endpoint, json=ENDPOINTS[endpoint] | {"stream": streaming}) as response,
        ):
            await response.read()
            raise AssertionError("the reply was too quick for this test")
    await settled(engine)
    assert engine.aborted == 1


async def test_an_engine_that_is_not_there_is_a_503_and_not_ready(gateway: Gateway, tmp_path: Any) -> None:
    gateway.upstream = Upstream(f"unix:{tmp_path}/nobody.sock", Settings())
    async with running(gateway) as base, aiohttp.ClientSession(base) as client:
        async with client.post(CHAT, json=ENDPOINTS[CHAT]) as response:
            assert response.status == 503
            assert (await response.json())["error"]["code"] == "engine_unavailable"
        async with client.get("/readyz") as response:
            assert response.status == 503
        async with client.get("/livez") as response:
            assert response.status == 200


async def test_readiness_follows_the_engine(client: aiohttp.ClientSession, engine: FakeEngine) -> None:
    async with client.get("/readyz") as response:
        assert response.status == 200
    engine.healthy = False
    async with client.get("/readyz") as response:
        assert response.status == 503


async def test_metrics_count_requests_tokens_and_outcomes(client: aiohttp.ClientSession) -> None:
    async with client.post("/v1/clinical/reason", json={"vignette": "x"}) as response:
        assert response.status == 200
    async with client.get("/metrics") as response:
        text = await response.text()
    assert 'gazal_requests_total{route="/v1/clinical/reason",status="200"} 1.0' in text
    assert 'gazal_tokens_total{kind="completion"} 7.0' in text
    assert 'gazal_final_answers_total{outcome="open"} 1.0' in text
    assert "gazal_requests_in_flight 1.0" in text  # this request for the metrics itself


async def test_no_text_of_a_request_is_logged(client: aiohttp.ClientSession, capfd: pytest.CaptureFixture[str]) -> None:
    body = {"model": "fake", "messages": [{"role": "user", "content": "Zebediah Canary"}]}
    for extra in ({}, {"temperature": "Zebediah Canary"}, {"Zebediah Canary": 1}):
        async with client.post(CHAT, json=body | extra) as response:
            await response.read()
    out, err = capfd.readouterr()
    assert "request" in out + err
    assert "Zebediah" not in out + err
