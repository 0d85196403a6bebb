"""A fake server that sits an exam: it knows every right answer and misbehaves exactly as the script says.

Used in a test's own loop (`Examinee(script).app()`) or as a process of its own:

    python -m tests.fakes.examinee --port 9000 --sets clinic --token-delay-s 0.02 --log requests.jsonl
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Behaviour = Literal[
    "right",
    "right_in_content",
    "wrong",
    "two_letters",
    "letter_out_of_range",
    "no_answer",
    "truncated_in_reasoning",
    "truncated_after_answer",
    "reasoning_only",
    "null_content",
    "refusal",
    "error_always",
    "error_once",
    "error_in_stream",
    "cut_once",
    "overloaded_once",
    "context",
]
ROOT = Path(__file__).parents[2]
DIGEST = "e" * 64
THOUGHT = "Step 1: Read the question.\nStep 2: Weigh the options."


class Says(NamedTuple):
    """A reply in the script's own words."""

    content: str
    finish: str = "stop"


@dataclass
class Examinee:
    """`script(prompt, seed)` says how a request is answered; `answers` maps each prompt to (right, wrong) labels."""

    script: Callable[[str, int], Behaviour | Says]
    answers: dict[str, tuple[str, str]]
    token_delay_s: float = 0.0
    tokens: int = 12
    streams: bool = True
    api_key: str | None = None
    digest: str | None = DIGEST
    unknown_field: str | None = None
    """A request with this field is refused."""
    max_in_flight: int | None = None
    """More than this at a time get 429."""
    log: Path | None = None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    _seen: Counter[tuple[str, int]] = field(default_factory=Counter)

    def app(self) -> web.Application:
        """The server."""
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/version", self._version)
        app.router.add_post("/v1/chat/completions", self._chat)
        return app

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The bodies of exam questions, without the short request that comes before a run."""
        return [body for body in self.bodies if conversation(body["messages"]) in self.answers]

    async def _models(self, request: web.Request) -> web.Response:
        if refusal := self._unauthorised(request):
            return refusal
        model = {"id": "examinee", "object": "model"} | ({"artifact_digest": self.digest} if self.digest else {})
        return web.json_response({"object": "list", "data": [model]})

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"gazal": "test", "engine": {"vllm": "0.0"}})

    def _unauthorised(self, request: web.Request) -> web.Response | None:
        if self.api_key and request.headers.get("authorization") != f"Bearer {self.api_key}":
            return _error(401, "no valid key", "invalid_api_key")
        return None

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        if refusal := self._unauthorised(request):
            return refusal
        if self.unknown_field in body:
            return _error(400, f"Unrecognized request argument supplied: {self.unknown_field}")
        prompt, seed = conversation(body["messages"]), body.get("seed", 0)
        if prompt not in self.answers:
            return await self._send(request, body, "", "ready", "stop")
        if self.log:
            with self.log.open("a") as file:
                file.write(json.dumps([hashlib.sha256(prompt.encode()).hexdigest(), seed]) + "\n")
        if self.max_in_flight and self.in_flight >= self.max_in_flight:
            return _error(429, "too many requests", "rate_limit_exceeded", {"retry-after": "0.05"})
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(request, body, prompt, seed)
        except ConnectionError:  # the client has gone, as it does when it is killed
            return web.Response()
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request, body: dict[str, Any], prompt: str, seed: int) -> web.StreamResponse:
        right, wrong = self.answers[prompt]
        behaviour = self.script(prompt, seed)
        first = not self._seen[prompt, seed]
        self._seen[prompt, seed] += 1
        if behaviour == "error_always" or (behaviour == "error_once" and first):
            return _error(500, "boom")
        if behaviour == "overloaded_once" and first:
            return _error(503, "queue full", "engine_overloaded", {"retry-after": "0"})
        if behaviour == "context":
            return _error(400, "This model's maximum context length is 8192 tokens", "context_length_exceeded")
        says: dict[str, tuple[str, str, str]] = {
            "wrong": (THOUGHT, _final(wrong), "stop"),
            "two_letters": (THOUGHT, f"Final answer: \\boxed{{{right} or {wrong}}}", "stop"),
            "letter_out_of_range": (THOUGHT, "Final answer: \\boxed{Z}", "stop"),
            "no_answer": (THOUGHT, f"I am torn, but {right} looks good.", "stop"),
            "truncated_in_reasoning": (THOUGHT + f"\nSo \\boxed{{{right}}}", "", "length"),
            "truncated_after_answer": (THOUGHT, _final(right) + "\nAnd furthermore", "length"),
            "reasoning_only": (THOUGHT, "", "stop"),
            "null_content": ("", "", "stop"),
            "right_in_content": ("", f"<think>\n{THOUGHT}\n</think>\n\n{_final(right)}", "stop"),
        }
        if isinstance(behaviour, Says):
            return await self._send(request, body, THOUGHT, behaviour.content, behaviour.finish)
        reasoning, content, finish = says.get(behaviour, (THOUGHT, _final(right), "stop"))
        if "response_format" in body:
            allowed = body["response_format"]["json_schema"]["schema"]["enum"]
            label = wrong if behaviour == "wrong" else right
            reasoning, content = "", json.dumps(next(text for text in allowed if f"{{{label}}}" in text))
        fault = behaviour if behaviour == "error_in_stream" or (behaviour == "cut_once" and first) else None
        return await self._send(request, body, reasoning, content, finish, behaviour == "refusal", fault)

    async def _send(
        self,
        request: web.Request,
        body: dict[str, Any],
        reasoning: str,
        content: str,
        finish: str,
        refuses: bool = False,
        fault: str | None = None,
    ) -> web.StreamResponse:
        headers = {"x-gazal-artifact": self.digest} if self.digest else {}
        usage = {"prompt_tokens": 40, "completion_tokens": self.tokens, "total_tokens": 40 + self.tokens}
        usage["completion_tokens_details"] = {"reasoning_tokens": self.tokens // 2 if reasoning else 0}  # type: ignore[assignment]
        refusal = "I cannot help with that." if refuses else None
        if refuses:
            reasoning, content = "", ""
        if not (body.get("stream") and self.streams):
            await asyncio.sleep(self.token_delay_s * self.tokens)
            message = {"role": "assistant", "content": content or None, "reasoning": reasoning or None}
            choice = {"index": 0, "message": message | {"refusal": refusal}, "finish_reason": finish}
            return web.json_response({"id": "x", "choices": [choice], "usage": usage}, headers=headers)
        response = web.StreamResponse(headers=headers | {"content-type": "text/event-stream"})
        await response.prepare(request)
        half = self.tokens // 2
        reasoning += reasoning and " Still weighing." * (half // 16)  # enough text for that many tokens
        deltas = [{"reasoning": piece} for piece in _pieces(reasoning, half)]
        deltas += [{"content": piece} for piece in _pieces(content, self.tokens - len(deltas))]
        deltas += [{"refusal": refusal}] if refusal else []
        for number, delta in enumerate(deltas):
            if self.token_delay_s:
                await asyncio.sleep(self.token_delay_s)
            if fault and number == 1:
                if fault == "error_in_stream":
                    await response.write(b'data: {"error": {"message": "CUDA error"}}\n\ndata: [DONE]\n\n')
                return response
            await _event(response, {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        await _event(response, {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        await _event(response, {"choices": [], "usage": usage})
        await response.write(b"data: [DONE]\n\n")
        return response


def conversation(messages: Iterable[dict[str, str]]) -> str:
    """What stands for a request in a script: its prompt, after the turns before it where it has any."""
    return "\n".join(message["content"] for message in messages)


def _final(label: str) -> str:
    return f"## Clinical Assessment\n**Best Option**: {label}\n\nFinal answer: \\boxed{{{label}}}"


def _pieces(text: str, count: int) -> list[str]:
    count = min(len(text), max(1, count))
    return [text[len(text) * n // count : len(text) * (n + 1) // count] for n in range(count)]


def _error(status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": message, "code": code}}, status=status, headers=headers)


async def _event(response: web.StreamResponse, event: dict[str, Any]) -> None:
    await response.write(b"data: " + json.dumps({"id": "x"} | event).encode() + b"\n\n")


def answers_of(*set_names: str, variant: str = "original") -> dict[str, tuple[str, str]]:
    """Prompt to right and wrong label, for every question of the sets."""
    from eval.questions import find, load

    return {
        conversation([*question.history, *question.prompt.messages]): (
            question.answer,
            next(label for label in question.prompt.choices if label != question.answer),
        )
        for name in set_names
        for question in load(find(name), variant)
    }


def by_share(right: float) -> Callable[[str, int], Behaviour]:
    """A script that answers about `right` of the prompts right, always the same ones."""

    def script(prompt: str, _: int) -> Behaviour:
        share = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big") / 2**32
        return "right" if share < right else "wrong"

    return script


@contextmanager
def examinee_process(data: Path, *arguments: str) -> Iterator[str]:
    """An examinee in a process of its own, with the sets in `data`; yields its /v1."""
    from tests.conftest import unused_port

    port = unused_port()
    command = [sys.executable, "-m", "tests.fakes.examinee", "--port", str(port), "--sets", "medqa_usmle_test"]
    process = subprocess.Popen([*command, *arguments], cwd=ROOT, env=os.environ | {"GAZAL_DATA_DIR": str(data)})
    try:
        for _ in range(400):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sets", default="clinic")
    parser.add_argument("--right", type=float, default=0.6)
    parser.add_argument("--token-delay-s", type=float, default=0.0)
    parser.add_argument("--tokens", type=int, default=12)
    parser.add_argument("--log", type=Path)
    given = parser.parse_args()
    examinee = Examinee(
        by_share(given.right),
        answers_of(*given.sets.split(",")),
        token_delay_s=given.token_delay_s,
        tokens=given.tokens,
        log=given.log,
    )
    web.run_app(examinee.app(), host="127.0.0.1", port=given.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
