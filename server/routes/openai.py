"""The OpenAI-compatible endpoints: models, chat completions, completions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.errors import ApiError
from server.gateway import Gateway, InjectedGateway
from server.reasoning import ChatStream, normalise_chat, normalise_completion
from server.schemas import ChatRequest, CompletionRequest
from server.sse import DONE, encode
from server.streaming import unless_disconnected

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from server.upstream import EngineStream

router = APIRouter(prefix="/v1", tags=["OpenAI"])

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


@router.get("/models")
async def list_models(gateway: InjectedGateway) -> dict[str, Any]:
    """The model served here, with the digest of its artifact."""
    served = gateway.served
    model = {
        "id": served.name,
        "object": "model",
        "created": 0,
        "owned_by": "gazal",
        "artifact_digest": served.digest,
        "aliases": sorted(served.aliases),
        "licence": served.licence,
    }
    return {"object": "list", "data": [model]}


@router.post("/chat/completions")
async def chat_completions(body: ChatRequest, request: Request, gateway: InjectedGateway) -> Response:
    """Chat with the model; reasoning arrives apart from the content."""
    gateway.check_model(body.model)
    limit = (
        gateway.token_limit(body.max_completion_tokens, "max_completion_tokens")
        if body.max_completion_tokens is not None
        else gateway.token_limit(body.max_tokens)
    )
    engine_body = body.to_engine() | limit | {"model": gateway.served.name}
    opened = gateway.served.opens_reasoning
    if body.stream:
        include_usage = body.stream_options is not None and body.stream_options.include_usage
        return await _streamed(
            gateway, request, CHAT, engine_body, ChatStream(opened=opened).chunk, include_usage=include_usage
        )
    reply = normalise_chat(await unless_disconnected(request, gateway.upstream.post(CHAT, engine_body)), opened=opened)
    gateway.metrics.count_usage(reply["usage"])
    return _json(reply)


@router.post("/completions")
async def completions(body: CompletionRequest, request: Request, gateway: InjectedGateway) -> Response:
    """Continue a raw text; no chat template, no splitting."""
    gateway.check_model(body.model)
    engine_body = body.to_engine() | gateway.token_limit(body.max_tokens) | {"model": gateway.served.name}
    if body.stream:
        include_usage = body.stream_options is not None and body.stream_options.include_usage
        return await _streamed(
            gateway,
            request,
            COMPLETIONS,
            engine_body,
            lambda event: [normalise_completion(event)],
            include_usage=include_usage,
        )
    reply = normalise_completion(await unless_disconnected(request, gateway.upstream.post(COMPLETIONS, engine_body)))
    gateway.metrics.count_usage(reply.get("usage"))
    return _json(reply)


async def _streamed(
    gateway: Gateway,
    request: Request,
    path: str,
    body: dict[str, Any],
    shape: Callable[[dict[str, Any]], list[dict[str, Any]]],
    *,
    include_usage: bool,
) -> Response:
    """Open the engine's stream, so that refusals still have their HTTP status, and pass its events on."""
    engine_body = body | {"stream": True, "stream_options": {"include_usage": True}}
    started = time.perf_counter()
    stream = await unless_disconnected(request, gateway.upstream.stream(path, engine_body))
    events = _events(gateway, path, stream, shape, started, include_usage=include_usage)
    return gateway.event_stream(events, stream.close, path)


async def _events(
    gateway: Gateway,
    path: str,
    stream: EngineStream,
    shape: Callable[[dict[str, Any]], list[dict[str, Any]]],
    started: float,
    *,
    include_usage: bool,
) -> AsyncGenerator[bytes]:
    first = True
    try:
        async for event in stream.events():
            if first:
                gateway.metrics.first_token_seconds.labels(path).observe(time.perf_counter() - started)
                first = False
            gateway.metrics.count_usage(event.get("usage"))
            for chunk in shape(event):
                if chunk["choices"] or include_usage:
                    yield encode(orjson.dumps(chunk))
    except ApiError as error:
        yield encode(orjson.dumps(error.body()))
    yield DONE


def _json(value: dict[str, Any]) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
