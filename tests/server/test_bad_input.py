"""Bad input: always a 4xx with an OpenAI error object that names the field, and never the text that was sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import aiohttp

    from tests.fakes.engine import FakeEngine

USER = [{"role": "user", "content": "x"}]
CANARY = "Zebediah Canary"

CHAT_CASES: list[tuple[str, Any, int, str | None]] = [
    ("no model", {"messages": USER}, 400, "model"),
    ("no messages", {"model": "fake"}, 400, "messages"),
    ("empty messages", {"model": "fake", "messages": []}, 400, "messages"),
    ("empty content", {"model": "fake", "messages": [{"role": "user", "content": ""}]}, 400, "messages.0.content"),
    ("null content", {"model": "fake", "messages": [{"role": "user", "content": None}]}, 400, "messages.0.content"),
    ("unknown role", {"model": "fake", "messages": [{"role": "wizard", "content": "x"}]}, 400, "messages.0.role"),
    ("unknown field", {"model": "fake", "messages": USER, "chat_template": CANARY}, 400, "chat_template"),
    ("unknown field in a message", {"model": "fake", "messages": [USER[0] | {"x": 1}]}, 400, "messages.0.x"),
    ("unknown model", {"model": CANARY, "messages": USER}, 404, "model"),
    ("wrong type", {"model": "fake", "messages": USER, "temperature": CANARY}, 400, "temperature"),
    ("number as text", {"model": "fake", "messages": USER, "max_tokens": "5"}, 400, "max_tokens"),
    ("negative max_tokens", {"model": "fake", "messages": USER, "max_tokens": -1}, 400, "max_tokens"),
    ("zero max_tokens", {"model": "fake", "messages": USER, "max_tokens": 0}, 400, "max_tokens"),
    ("huge max_tokens", {"model": "fake", "messages": USER, "max_tokens": 10**12}, 400, "max_tokens"),
    (
        "huge newer name",
        {"model": "fake", "messages": USER, "max_completion_tokens": 10**30},
        400,
        "max_completion_tokens",
    ),
    ("n too large", {"model": "fake", "messages": USER, "n": 9}, 400, "n"),
    ("too many stops", {"model": "fake", "messages": USER, "stop": ["a"] * 9}, 400, "stop"),
    ("seed too large", {"model": "fake", "messages": USER, "seed": 2**70}, 400, "seed"),
    (
        "image",
        {"model": "fake", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        400,
        "messages.0.content",
    ),
    (
        "half a character",
        {"model": "fake", "messages": [{"role": "user", "content": "\ud800"}]},
        400,
        "messages.0.content",
    ),
    (
        "half a character in a part",
        {"model": "fake", "messages": [{"role": "user", "content": [{"type": "text", "text": "\ud800"}]}]},
        400,
        "messages.0.content.0.text",
    ),
    (
        "a number in a schema that no JSON of 64 bits holds",
        {
            "model": "fake",
            "messages": USER,
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"maximum": 10**400}}}],
        },
        400,
        "tools.0.function.parameters",
    ),
    ("half a character in a stop", {"model": "fake", "messages": USER, "stop": ["\ud800"]}, 400, "stop.0"),
    ("a list as body", [1, 2], 400, None),
    ("nothing as body", None, 415, None),
]


@pytest.mark.parametrize(("body", "status", "param"), [case[1:] for case in CHAT_CASES], ids=[c[0] for c in CHAT_CASES])
async def test_chat_refuses_by_field(
    client: aiohttp.ClientSession, engine: FakeEngine, body: Any, status: int, param: str | None
) -> None:
    async with client.post("/v1/chat/completions", json=body) as response:
        text = await response.text()
    error = json.loads(text)["error"]
    assert (response.status, error["param"]) == (status, param)
    assert error["type"] == "invalid_request_error"
    assert CANARY not in text
    assert engine.bodies == []


REASON = "/v1/clinical/reason"
REASON_CASES: list[tuple[str, Any, str | None]] = [
    ("nothing", {}, None),
    ("both sources", {"vignette": "x", "case": {"complaint": "x"}}, None),
    ("unknown mode", {"vignette": "x", "mode": "oracle"}, "mode"),
    ("one option", {"vignette": "x", "mode": "mcq", "options": {"A": "a"}}, "options"),
    ("no options", {"vignette": "x", "mode": "mcq"}, "options"),
    ("options in an open mode", {"vignette": "x", "options": {"A": "a", "B": "b"}}, "options"),
    ("odd labels", {"vignette": "x", "mode": "mcq", "options": {"A": "a", "C": "b"}}, "options"),
    ("research without a question", {"vignette": "x", "mode": "research"}, "question"),
    ("blank vignette", {"vignette": "  "}, "vignette"),
    ("unknown case field", {"case": {"complaint": "x", "mood": CANARY}}, "case.mood"),
    ("unknown vital", {"case": {"vitals": {"aura": 5}}}, "case.vitals"),
    ("implausible vital", {"case": {"vitals": {"temperature": 371}}}, "case.vitals"),
    ("wrong unit", {"case": {"vitals": {"temperature": {"value": 37, "unit": "K"}}}}, "case.vitals"),
    ("negative age", {"case": {"complaint": "x", "age": -1}}, "case.age"),
    ("empty case", {"case": {}}, "case"),
    ("huge max_tokens", {"vignette": "x", "max_tokens": 10**9}, "max_tokens"),
    ("negative max_tokens", {"vignette": "x", "max_tokens": -5}, "max_tokens"),
    ("half a character", {"vignette": "\ud800"}, "vignette"),
    (
        "half a character in an option",
        {"vignette": "x", "mode": "mcq", "options": {"A": "\ud800", "B": "b"}},
        "options.A",
    ),
]


@pytest.mark.parametrize(("body", "param"), [case[1:] for case in REASON_CASES], ids=[c[0] for c in REASON_CASES])
async def test_the_clinical_endpoint_refuses_by_field(
    client: aiohttp.ClientSession, body: Any, param: str | None
) -> None:
    async with client.post(REASON, json=body) as response:
        text = await response.text()
    assert response.status == 400
    assert json.loads(text)["error"]["param"] == param
    assert CANARY not in text


@pytest.mark.parametrize("raw", [b"{", b"", b"\xff\xfe", b'{"a": NaN', b"[" * 100_000])
async def test_malformed_json_is_a_400(client: aiohttp.ClientSession, raw: bytes) -> None:
    headers = {"content-type": "application/json"}
    async with client.post("/v1/chat/completions", data=raw, headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_two_mebibyte_body_is_a_413(client: aiohttp.ClientSession, engine: FakeEngine, chunked: bool) -> None:
    raw = json.dumps({"model": "fake", "messages": [{"role": "user", "content": "x" * (2 << 20)}]}).encode()

    async def pieces() -> Any:
        for start in range(0, len(raw), 1 << 16):
            yield raw[start : start + (1 << 16)]

    data = pieces() if chunked else raw
    async with client.post("/v1/chat/completions", data=data, headers={"content-type": "application/json"}) as response:
        assert response.status == 413
        assert (await response.json())["error"]["code"] == "body_too_large"
    assert engine.bodies == []


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v2/x", 404), ("GET", "/v1/chat/completions", 405)])
async def test_wrong_paths_and_methods_have_the_same_error_form(
    client: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    async with client.request(method, path) as response:
        assert response.status == status
        assert (await response.json())["error"]["message"]


ECHOES: list[tuple[str, Any]] = [
    ("/v1/clinical/reason", {"vignette": "x", "mode": "mcq", "options": {CANARY: 1}}),
    ("/v1/clinical/reason", {"case": {"complaint": "x", "labs": {CANARY: "y"}}}),
    ("/v1/clinical/reason", {"case": {"complaint": "x", "labs": {"\ud800" + CANARY: 1}}}),
    ("/v1/clinical/reason", {"case": {"labs": {"sodium": {"value": 5, "unit": CANARY}}}}),
    ("/v1/clinical/reason", {"case": {"vitals": {CANARY: 1}}}),
    ("/v1/clinical/reason", {"case": {"vitals": {"temperature": 47.111}}}),
    ("/v1/chat/completions", {"model": "fake", "messages": USER, CANARY: 1}),
    ("/v1/chat/completions", {"model": "fake", "messages": USER, "x" * 5000: 1}),
    ("/v1/chat/completions", {"model": "fake", "messages": USER, "": 1}),
    (f"/v1/{CANARY}", {}),
]


@pytest.mark.parametrize(("path", "body"), ECHOES)
async def test_an_error_repeats_neither_text_nor_made_up_keys(
    client: aiohttp.ClientSession, path: str, body: Any
) -> None:
    async with client.post(path, json=body) as response:
        text = await response.text()
    assert response.status in (400, 404)
    assert json.loads(text)["error"]["message"]
    for secret in (CANARY, "Canary", "47.111", "xxxxx", "None:"):
        assert secret not in text
