"""A fake engine: speaks vLLM's chat and completion API, says what it is told, and misbehaves on request.

`FakeEngine.reply` is the text it streams, cut into `chunk_chars`; `fault` names what goes wrong. It notes the bodies it
got and counts the streams whose client left, so that tests can assert cancellation.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

Fault = Literal[
    "status_500",
    "status_503",
    "context",
    "leaky_400",
    "odd_400",
    "redirect",
    "error_event",
    "cut",
    "stall",
    "html",
    "broken_json",
    "died",
    "no_headers",
    "reset",
    "stall_midstream",
    "crlf",
    "packed",
    "cut_characters",
    "huge_chunk",
]

CONTEXT_MESSAGE = (
    "This model's maximum context length is 8192 tokens. However, your prompt contains at least 9000 input tokens"
)


@dataclass
class FakeEngine:
    """State and behaviour of one fake engine."""

    reply: str = "<think>\nStep 1: Look.\nStep 2: Think.\n</think>\n\n## Clinical Assessment\nFinal answer: \\boxed{A}"
    finish_reason: str = "stop"
    chunk_chars: int = 7
    delay_s: float = 0.0
    fault: Fault | None = None
    engine_reasoning: bool = False
    """Send the reasoning in its own field, as vLLM does with a reasoning parser."""
    raw: str | None = None
    """Sent as it stands: as the whole JSON reply, or as the only event before the end of a stream."""
    healthy: bool = True
    """False: dead, so it serves nothing either, as vLLM."""
    unwell: bool = False
    """Only the health check fails, as a router's does while one of its engines is down."""
    tool_calls: list[dict[str, Any]] | None = None
    """Answer with these calls in place of the text."""
    progress: int = 0
    """Shown in the metrics, as vLLM shows its tokens; tests move it."""
    pretend_running: int = 0
    silent_canary: bool = False
    """Do not answer requests for a single token."""
    refusals_left: int = 0
    """Cut so many connections before a byte of the reply, then behave."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    running: int = 0
    aborted: int = 0
    redirected: int = 0
    """How often a redirect to another place was followed."""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/version", self._version)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_route("*", "/elsewhere", self._elsewhere)
        return app

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self.healthy and not self.unwell else 500)

    async def _metrics(self, _: web.Request) -> web.Response:
        running = self.running + self.pretend_running
        return web.Response(
            text=f"vllm:num_requests_running {running}.0\nvllm:generation_tokens_total {self.progress}.0\nother 1\n"
        )

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "0.32.0"})

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "fake", "object": "model"}]})

    async def _elsewhere(self, _: web.Request) -> web.Response:
        self.redirected += 1
        return web.json_response({})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, "chat.completion", self._message, self._delta)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, "text_completion", lambda: {"text": self.reply}, lambda part: {"text": part})

    def _message(self) -> dict[str, Any]:
        reasoning, content = self._sides()
        message = {"role": "assistant", "content": content or None, "reasoning": reasoning, "refusal": None}
        if self.tool_calls:
            message |= {"content": None, "tool_calls": self.tool_calls}
        return {"message": message}

    def _delta(self, part: str) -> dict[str, Any]:
        return {"delta": {"content": part}}

    def _sides(self) -> tuple[str | None, str]:
        if not self.engine_reasoning:
            return None, self.reply
        reasoning, _, content = self.reply.removeprefix("<think>").partition("</think>")
        return reasoning, content

    async def _serve(self, request: web.Request, kind: str, whole: Any, part: Any) -> web.StreamResponse:
        body = await request.json()
        if not self.healthy:
            return web.json_response({"error": {"message": "EngineDeadError"}}, status=500)
        if body.get("max_tokens") == 1 and body.get("prompt") == "a":  # the gateway's canary
            while self.silent_canary:
                await asyncio.sleep(0.01)
            self.progress += 1
            return web.json_response({"choices": [{"index": 0, "text": "a"}]})
        self.bodies.append(body)
        if self.fault == "died" or self.refusals_left:
            self.refusals_left -= 1
            request.transport.close()  # type: ignore[union-attr]
            raise ConnectionResetError
        refusal = self._refusal()
        if refusal is not None:
            return refusal
        self.running += 1
        try:
            if body.get("stream"):
                return await self._stream(request, body, kind, part)
            await self._wait(request)
            if self.raw is not None:
                return web.Response(text=self.raw, content_type="application/json")
            usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
            choices = [
                {"index": index, "finish_reason": self.finish_reason, "token_ids": None} | whole()
                for index in range(body.get("n", 1))
            ]
            if self.fault == "huge_chunk":
                choices[0] |= {"padding": "x" * 20_000_000}
            if self.fault == "reset":
                request.transport.abort()  # type: ignore[union-attr]
                raise ConnectionResetError
            reply = {
                "id": "x",
                "object": kind,
                "created": 1,
                "model": body["model"],
                "choices": choices,
                "usage": usage,
            }
            if self.fault == "broken_json":
                return web.Response(text=json.dumps(reply)[:-5], content_type="application/json")
            return web.json_response(reply | {"prompt_token_ids": None})
        except (asyncio.CancelledError, ConnectionError):
            self.aborted += 1
            raise
        finally:
            self.running -= 1

    def _refusal(self) -> web.Response | None:
        messages = {
            "status_500": (500, "boom"),
            "status_503": (503, "queue full"),
            "context": (400, CONTEXT_MESSAGE),
            "leaky_400": (400, "bad prompt: John Smith, born 1950"),
        }
        if self.fault == "redirect":
            return web.Response(status=307, headers={"location": "/elsewhere"})
        if self.fault == "odd_400":
            return web.json_response({"error": {"message": ["x"], "param": ["y"]}}, status=400)
        if self.fault not in messages:
            return None
        status, message = messages[self.fault]
        return web.json_response(
            {"error": {"message": message, "type": "BadRequestError", "param": None}}, status=status
        )

    async def _wait(self, request: web.Request) -> None:
        stalls = self.fault in ("stall", "no_headers")
        deadline = asyncio.get_running_loop().time() + (3600 if stalls else self.delay_s)
        while asyncio.get_running_loop().time() < deadline:
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError
            await asyncio.sleep(0.01)

    async def _stream(self, request: web.Request, body: dict[str, Any], kind: str, part: Any) -> web.StreamResponse:
        content_type = "text/html" if self.fault == "html" else "text/event-stream"
        response = web.StreamResponse(headers={"content-type": content_type})
        if self.fault == "no_headers":
            await self._wait(request)
        await response.prepare(request)
        if self.raw is not None:
            await response.write(f"data: {self.raw}\n\ndata: [DONE]\n\n".encode())
            return response
        if self.fault in ("crlf", "packed", "cut_characters", "huge_chunk"):
            return await self._odd_stream(response, body, kind, part)
        for number, delta in enumerate(self._parts(part)):
            await self._wait(request)
            for index in range(body.get("n") or 1):
                await self._event(response, body, kind, [{"index": index, "finish_reason": None} | delta])
            if self.fault == "stall_midstream" and number == 2:
                while not request.transport.is_closing():  # type: ignore[union-attr]
                    await asyncio.sleep(0.01)
                raise ConnectionResetError
            if self.fault == "reset" and number == 2:
                request.transport.abort()  # type: ignore[union-attr]
                raise ConnectionResetError
            if self.fault == "cut":
                return response
            if self.fault == "error_event":
                await response.write(b'data: {"error": {"message": "CUDA error", "code": 500}}\n\ndata: [DONE]\n\n')
                return response
        for index in range(body.get("n") or 1):
            await self._event(response, body, kind, [{"index": index, "finish_reason": self.finish_reason} | part("")])
        await self._event(
            response, body, kind, [], usage={"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
        )
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _odd_stream(
        self, response: web.StreamResponse, body: dict[str, Any], kind: str, part: Any
    ) -> web.StreamResponse:
        """The whole stream as one text, in other line ends or other packets than usual."""
        deltas = [{"index": 0, "finish_reason": None} | delta for delta in self._parts(part)]
        last = {"index": 0, "finish_reason": self.finish_reason} | part("")
        base = {"id": "x", "object": f"{kind}.chunk", "created": 1, "model": body["model"]}
        events = [base | {"choices": [choice]} for choice in (*deltas, last)]
        lines = [f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events]
        if self.fault == "huge_chunk":
            lines.insert(1, "data: " + "x" * 10_000_000)
        text = "".join([*lines, "data: [DONE]\n\n"])
        raw = (text.replace("\n", "\r\n") if self.fault == "crlf" else text).encode()
        size = {"cut_characters": 3, "crlf": 11}.get(self.fault or "", len(raw))
        for start in range(0, len(raw), size):
            await response.write(raw[start : start + size])
            if self.fault == "cut_characters":
                await asyncio.sleep(0)
        return response

    def _parts(self, part: Any) -> list[dict[str, Any]]:
        if self.tool_calls and "delta" in part(""):
            return [{"delta": {"tool_calls": [{"index": i} | call]}} for i, call in enumerate(self.tool_calls)]
        reasoning, content = self._sides()
        parts = [{"delta": {"role": "assistant", "content": ""}}] if "delta" in part("") else []
        parts += [{"delta": {"reasoning": piece}} for piece in self._cut(reasoning or "")]
        return parts + [part(piece) for piece in self._cut(content)]

    def _cut(self, text: str) -> list[str]:
        return [text[i : i + self.chunk_chars] for i in range(0, len(text), self.chunk_chars)]

    async def _event(
        self, response: web.StreamResponse, body: dict[str, Any], kind: str, choices: list[Any], **extra: Any
    ) -> None:
        event = {"id": "x", "object": f"{kind}.chunk", "created": 1, "model": body["model"], "choices": choices} | extra
        await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
