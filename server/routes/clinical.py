"""POST /v1/clinical/reason: a case in, a reasoned answer out, whole or as it is written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from gazal.trace import Step
from server.clinical import AnswerDelta, ReasonRequest, ReasonResponse, engine_body, reason
from server.errors import ApiError
from server.gateway import InjectedGateway
from server.sse import encode
from server.streaming import unless_disconnected

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from server.upstream import EngineStream

router = APIRouter(prefix="/v1/clinical", tags=["clinical"])


@router.post("/reason", response_model=ReasonResponse)
async def reason_about_case(body: ReasonRequest, request: Request, gateway: InjectedGateway) -> Response:
    """Reason through a clinical case step by step.

    With `stream: true` the reply is server-sent events: `step` for each reasoning step as it is completed, `answer`
    with the next part of the answer, then `done` with the whole response, or `error`.
    """
    started = time.perf_counter()
    if body.model is not None:
        gateway.check_model(body.model)
    prompt = body.prompt()
    upstream_body = engine_body(body, prompt, gateway)
    stream = await unless_disconnected(request, gateway.upstream.stream("/v1/chat/completions", upstream_body))
    parts = reason(body, prompt, stream, gateway, started)
    if body.stream:
        return gateway.event_stream(_events(parts), stream.close, "/v1/clinical/reason")
    response = await unless_disconnected(request, _last(parts, stream))
    return Response(response.model_dump_json(), media_type="application/json")


async def _events(parts: AsyncIterator[Step | AnswerDelta | ReasonResponse]) -> AsyncGenerator[bytes]:
    try:
        async for part in parts:
            if isinstance(part, Step):
                yield encode(orjson.dumps({"number": part.number, "text": part.text}), "step")
            elif isinstance(part, AnswerDelta):
                yield encode(orjson.dumps({"delta": part.text}), "answer")
            else:
                yield encode(part.model_dump_json().encode(), "done")
    except ApiError as error:
        yield encode(orjson.dumps(error.body()), "error")


async def _last(parts: AsyncIterator[Step | AnswerDelta | ReasonResponse], stream: EngineStream) -> ReasonResponse:
    try:
        async for part in parts:
            if isinstance(part, ReasonResponse):
                return part
    finally:
        stream.close()
    raise RuntimeError("the answer had no end")
