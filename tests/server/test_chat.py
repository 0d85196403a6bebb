"""Chat and text completions: what reaches the engine, what comes back, whole and streamed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import aiohttp

    from server.gateway import Gateway
    from tests.fakes.engine import FakeEngine

CHAT = "/v1/chat/completions"


def question(**fields: Any) -> dict[str, Any]:
    return {"model": "fake", "messages": [{"role": "user", "content": "hello"}]} | fields


async def events(response: aiohttp.ClientResponse) -> list[dict[str, Any]]:
    lines = (await response.text()).split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def joined(chunks: list[dict[str, Any]], name: str) -> str:
    return "".join(choice["delta"].get(name) or "" for chunk in chunks for choice in chunk["choices"])


@pytest.mark.parametrize("engine_reasoning", [False, True])
async def test_reasoning_and_content_are_separate_whoever_splits_them(
    client: aiohttp.ClientSession, engine: FakeEngine, engine_reasoning: bool
) -> None:
    engine.engine_reasoning = engine_reasoning
    async with client.post(CHAT, json=question()) as response:
        choice = (await response.json())["choices"][0]
    message = choice["message"]
    assert message["reasoning"] == message["reasoning_content"]
    assert "Step 2: Think." in message["reasoning"]
    assert "\\boxed{A}" in message["content"]
    assert "think>" not in message["content"] + message["reasoning"]
    assert choice["reasoning_complete"] is True


@pytest.mark.parametrize("chunk_chars", [1, 3, 7, 500])
async def test_a_stream_says_the_same_as_the_whole_reply(
    client: aiohttp.ClientSession, engine: FakeEngine, chunk_chars: int
) -> None:
    engine.chunk_chars = chunk_chars
    async with client.post(CHAT, json=question()) as response:
        message = (await response.json())["choices"][0]["message"]
    async with client.post(CHAT, json=question(stream=True)) as response:
        assert response.headers["x-accel-buffering"] == "no"
        chunks = await events(response)
    assert joined(chunks, "reasoning") == joined(chunks, "reasoning_content") == message["reasoning"]
    assert joined(chunks, "content") == message["content"]
    assert chunks[-1]["choices"][0] == {
        "index": 0,
        "delta": {},
        "finish_reason": "stop",
        "reasoning_complete": True,
    }
    assert not any({"reasoning", "content"} <= set(c["choices"][0]["delta"]) for c in chunks)


async def test_thinking_cut_off_by_the_budget_is_said_and_content_is_not_null(
    client: aiohttp.ClientSession, engine: FakeEngine
) -> None:
    engine.reply, engine.finish_reason = "<think>\nStep 1: never ends", "length"
    async with client.post(CHAT, json=question()) as response:
        choice = (await response.json())["choices"][0]
    assert choice["message"]["content"] == ""
    assert choice["reasoning_complete"] is False
    assert choice["finish_reason"] == "length"
    async with client.post(CHAT, json=question(stream=True)) as response:
        assert (await events(response))[-1]["choices"][0]["reasoning_complete"] is False


async def test_usage_is_sent_in_a_stream_only_when_asked_for(client: aiohttp.ClientSession) -> None:
    async with client.post(CHAT, json=question(stream=True)) as response:
        assert not any("usage" in chunk for chunk in await events(response))
    async with client.post(CHAT, json=question(stream=True, stream_options={"include_usage": True})) as response:
        last = (await events(response))[-1]
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


async def test_engine_private_fields_do_not_leave(client: aiohttp.ClientSession) -> None:
    async with client.post(CHAT, json=question()) as response:
        reply = await response.json()
    assert set(reply) == {"id", "object", "created", "model", "choices", "usage"}
    assert "token_ids" not in reply["choices"][0]


async def test_sampling_fields_reach_the_engine_and_unset_ones_do_not(
    client: aiohttp.ClientSession, engine: FakeEngine
) -> None:
    body = question(temperature=0.2, seed=3, stop=["END"], n=2, max_tokens=9, user="dr-smith")
    async with client.post(CHAT, json=body) as response:
        assert len((await response.json())["choices"]) == 2
    assert engine.bodies[-1] == {
        "model": "fake",
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0.2,
        "seed": 3,
        "stop": ["END"],
        "n": 2,
        "max_tokens": 9,
    }


async def test_text_parts_and_the_developer_role_are_flattened(
    client: aiohttp.ClientSession, engine: FakeEngine
) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": parts, "type": "text"}]
    async with client.post(CHAT, json=question(messages=messages)) as response:
        assert response.status == 200
    assert engine.bodies[-1]["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "ab"},
    ]


async def test_completions_pass_the_raw_text(client: aiohttp.ClientSession, engine: FakeEngine) -> None:
    async with client.post("/v1/completions", json={"model": "nano", "prompt": "x"}) as response:
        assert (await response.json())["choices"][0]["text"] == engine.reply
    async with client.post("/v1/completions", json={"model": "nano", "prompt": "x", "stream": True}) as response:
        chunks = await events(response)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == engine.reply


async def test_every_response_names_the_artifact(client: aiohttp.ClientSession, gateway: Gateway) -> None:
    for path in ("/v1/models", "/livez", "/readyz", "/version", "/metrics", "/nowhere"):
        async with client.get(path) as response:
            assert response.headers["x-gazal-artifact"] == gateway.served.digest
            assert response.headers["x-request-id"]


async def test_models_lists_name_digest_and_aliases(client: aiohttp.ClientSession, gateway: Gateway) -> None:
    async with client.get("/v1/models") as response:
        (model,) = (await response.json())["data"]
    assert (model["id"], model["artifact_digest"], model["aliases"]) == ("fake", gateway.served.digest, ["nano"])
