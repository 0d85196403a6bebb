"""POST /v1/clinical/reason: a case in, a reasoned answer out, whole or as it is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from gazal.prompting import MODES, template, templates_sha256
from gazal.trace import Step
from server.clinical import AnswerDelta, ReasonRequest, ReasonResponse, engine_body, reason
from server.content import HEADER
from server.emergencies import red_flags
from server.gateway import exchange_of, gateway_of
from server.routing import JsonRoute
from server.sse import encode
from server.streaming import EventStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from server.errors import ApiError
    from server.gateway import Gateway
    from server.upstream import EngineStream

router = APIRouter(prefix="/v1/clinical", tags=["clinical"], route_class=JsonRoute)


@router.get("/prompts")
async def show_prompts(_: Request) -> Response:
    """The prompt templates in use, one a mode, with their versions and hashes."""
    templates = [template(mode) for mode in MODES]
    prompts = [
        {"mode": each.mode, "version": each.version, "sha256": each.sha256, "template": each.text} for each in templates
    ]
    return Response(
        orjson.dumps({"prompts": prompts, "templates_sha256": templates_sha256()}), media_type="application/json"
    )


@router.post("/reason", response_model=ReasonResponse)
async def reason_about_case(body: ReasonRequest, request: Request) -> Response:
    """Reason through a clinical case step by step.

    With `stream: true` the reply is server-sent events: `red_flags` first, then `step` for each reasoning step as it
    is completed, `answer` with the next part of the answer, then `done` with the whole response, or `error`. With
    several `samples` a step and a part of an answer also tell which sample they belong to.
    """
    gateway, exchange = gateway_of(request), exchange_of(request)
    if body.model is not None:
        gateway.check_model(body.model)
    prompt = body.prompt()
    limit = gateway.token_limit(body.max_tokens)
    caller = await gateway.admit(exchange, len(prompt.text), limit["max_tokens"], body.samples)
    upstream_body = engine_body(body, prompt, gateway) | limit | caller
    flags = None
    if body.mode != "research":
        flags = await red_flags(body.case or body.vignette or "", body.question, exchange, gateway.metrics)
    first = (
        b""
        if flags is None
        else encode(orjson.dumps({"red_flags": [flag.model_dump() for flag in flags]}), "red_flags")
    )

    async def events(stream: EngineStream) -> AsyncGenerator[bytes]:
        if first and not flags:
            yield first
        async for part in reason(body, prompt, stream, gateway, exchange, flags):
            if part is None:
                yield b""
            elif isinstance(part, ReasonResponse):
                await _keep(gateway, request, body, part)
                yield encode(part.model_dump_json().encode(), "done")
            else:
                index, piece = part
                name, data = _event(piece)
                yield encode(orjson.dumps(data if body.samples == 1 else {"sample": index} | data), name)

    if body.stream:
        return EventStream(
            gateway, exchange, upstream_body, events, at_once=first if flags else b"", error_event=_error
        )
    async with exchange.interruptible(request.receive, gateway.settings.total_timeout_s), gateway.place(exchange):
        stream = await gateway.upstream.stream("/v1/chat/completions", upstream_body)
        try:
            async for part in reason(body, prompt, stream, gateway, exchange, flags):
                if isinstance(part, ReasonResponse):
                    response = part
        finally:
            stream.close()
    await _keep(gateway, request, body, response)
    return Response(response.model_dump_json(), media_type="application/json")


async def _keep(gateway: Gateway, request: Request, body: ReasonRequest, response: ReasonResponse) -> None:
    """Keep the text where both the operator and this request ask for it; redaction of long text takes a while."""
    if gateway.content is None or request.headers.get(HEADER) != "yes":
        return
    flags = [flag.id for flag in response.red_flags or ()]
    facts = {
        "request_id": exchange_of(request).request_id,
        "mode": body.mode,
        "artifact": gateway.served.digest,
        "red_flags": flags,
    }
    texts = {
        "case": body.case.to_text() if body.case else body.vignette or "",
        "question": body.question,
        "reasoning": response.reasoning.text,
        "answer": response.answer,
    }
    await asyncio.to_thread(gateway.content.keep, facts, texts)


def _event(piece: Step | AnswerDelta) -> tuple[str, dict[str, Any]]:
    if isinstance(piece, Step):
        return "step", {"number": piece.number, "text": piece.text}
    return "answer", {"delta": piece.text}


def _error(error: ApiError) -> bytes:
    return encode(orjson.dumps(error.body()), "error")
