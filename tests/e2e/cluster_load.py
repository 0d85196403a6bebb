"""The load of `make e2e-cluster`: clients that ask again and again, half for streams, and note how each ended."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from dataclasses import dataclass, field
from typing import Literal

import aiohttp

Ending = Literal["complete", "interrupted", "lost"]


@dataclass
class Outcome:
    """One request."""

    began_s: float
    streamed: bool
    ending: Ending = "lost"
    first_s: float | None = None
    """When the first token came, from the start of the request."""
    total_s: float = 0.0
    why: str = ""


@dataclass
class Load:
    """Running clients and what they saw; `interrupted` streams had begun, `lost` requests had given nothing."""

    base: str
    key: str
    trust: ssl.SSLContext
    clients: int
    think_s: float
    """Pause of a client between two requests, so that the load is steady and no flood."""
    outcomes: list[Outcome] = field(default_factory=list)
    _stop: bool = False

    async def run(self) -> None:
        """Until `stop`; every request that was begun is waited for."""
        connector = aiohttp.TCPConnector(ssl=self.trust, limit=0)
        headers = {"authorization": f"Bearer {self.key}"}
        timeout = aiohttp.ClientTimeout(total=180)
        async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
            await asyncio.gather(*(self._client(session, number % 2 == 0) for number in range(self.clients)))

    def stop(self) -> None:
        """Ask no more."""
        self._stop = True

    def since(self, began_s: float) -> list[Outcome]:
        """The finished requests that began after a moment."""
        return [outcome for outcome in self.outcomes if outcome.began_s >= began_s]

    async def _client(self, session: aiohttp.ClientSession, streamed: bool) -> None:
        while not self._stop:
            outcome = Outcome(time.monotonic(), streamed)
            try:
                await (self._stream(session, outcome) if streamed else self._whole(session, outcome))
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                outcome.why = outcome.why or type(error).__name__
                outcome.ending = "interrupted" if outcome.first_s is not None else "lost"
            outcome.total_s = time.monotonic() - outcome.began_s
            self.outcomes.append(outcome)
            await asyncio.sleep(self.think_s)

    def _body(self, streamed: bool) -> dict[str, object]:
        messages = [{"role": "user", "content": "A 64-year-old man with chest pain."}]
        return {"model": "tiny-qwen3", "messages": messages, "max_tokens": 90, "stream": streamed, "temperature": 0}

    async def _whole(self, session: aiohttp.ClientSession, outcome: Outcome) -> None:
        async with session.post(f"{self.base}/v1/chat/completions", json=self._body(False)) as reply:
            text = await reply.text()
            if reply.status != 200:
                outcome.why = f"{reply.status} {_code(text)}"
                return
            outcome.ending = "complete" if "boxed" in text else "lost"

    async def _stream(self, session: aiohttp.ClientSession, outcome: Outcome) -> None:
        async with session.post(f"{self.base}/v1/chat/completions", json=self._body(True)) as reply:
            if reply.status != 200:
                outcome.why = f"{reply.status} {_code(await reply.text())}"
                return
            async for line in reply.content:
                if not line.startswith(b"data: "):
                    continue
                if line.startswith(b"data: [DONE]"):
                    outcome.ending = "complete" if not outcome.why else outcome.ending
                    return
                event = json.loads(line[6:])
                if "error" in event:
                    outcome.why = event["error"]["code"]
                    outcome.ending = "interrupted" if outcome.first_s is not None else "lost"
                elif outcome.first_s is None and _has_text(event):
                    outcome.first_s = time.monotonic() - outcome.began_s


def _has_text(event: dict) -> bool:
    deltas = [choice["delta"] for choice in event.get("choices", [])]
    return any(delta.get("content") or delta.get("reasoning") for delta in deltas)


def _code(text: str) -> str:
    try:
        return str(json.loads(text)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return text[:80]
