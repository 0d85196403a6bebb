"""What the page knows of one run, built up from events; the view is drawn from it and exports are made from it.

`follow` joins the three ways in which a run goes on: an event arrives, the user stops it, or nothing happens for a
moment and what was held back should be shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from ui.client import Event, Failure

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ui.client import Source

State = Literal["running", "done", "stopped", "failed"]
NOT_CHECKED = "not checked"

SHOW_EVERY_S = 0.1
"""How often growing answer text is shown; a step is shown at once."""


@dataclass(frozen=True)
class SeenStep:
    """A reasoning step and when it was complete, in seconds from the start of the run."""

    number: int
    text: str
    at_s: float


@dataclass
class Run:
    """One question to one model, from its start to its end."""

    request: dict[str, Any]
    prompt_text: str
    prompt_sha256: str
    model: str = ""
    digest: str | None = None
    recorded: str | None = None
    """When this answer was recorded, where it comes from a recording."""
    state: State = "running"
    steps: list[SeenStep] = field(default_factory=list)
    answer: str = ""
    other_samples: dict[int, int] = field(default_factory=dict)
    """Steps seen of samples other than the first, by their number."""
    red_flags: list[dict[str, Any]] | None = None
    """None: nothing checked for them. Empty: no rule fired."""
    response: dict[str, Any] | None = None
    failure: Failure | None = None
    began: float = field(default_factory=time.monotonic)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    elapsed_s: float = 0.0
    first_step_s: float | None = None

    def take(self, event: Event) -> None:
        """Take one event in."""
        self.elapsed_s = time.monotonic() - self.began
        sample = event.data.get("sample", 0)
        if event.name == "red_flags":
            self.red_flags = _flags(event.data.get("red_flags"))
        elif event.name == "step" and sample:
            self.other_samples[sample] = self.other_samples.get(sample, 0) + 1
        elif event.name == "step":
            self.steps.append(SeenStep(int(event.data["number"]), str(event.data["text"]), self.elapsed_s))
        elif event.name == "answer" and not sample:
            self.answer += str(event.data["delta"])
        elif event.name == "done":
            self._finish(event.data)

    def _finish(self, response: dict[str, Any]) -> None:
        self.response = response
        self.state = "done"
        self.answer = str(response.get("answer") or "")
        flags = _flags(response.get("red_flags"))
        self.red_flags = flags if flags is not None else self.red_flags
        told = [(int(step["number"]), str(step["text"])) for step in response["reasoning"]["steps"]]
        if told != [(step.number, step.text) for step in self.steps]:
            times = [step.at_s for step in self.steps]
            self.steps = [
                SeenStep(number, text, times[index] if index < len(times) else self.elapsed_s)
                for index, (number, text) in enumerate(told)
            ]
        provenance = response["provenance"]
        self.model, self.digest = str(provenance["model"]), str(provenance["artifact_digest"])

    def end(self, state: State, failure: Failure | None = None) -> None:
        """The run ended before its response came."""
        self.elapsed_s = time.monotonic() - self.began
        self.state, self.failure = state, failure


def _flags(value: object) -> list[dict[str, Any]] | None:
    return [flag for flag in value if isinstance(flag, dict)] if isinstance(value, list) else None


async def follow(run: Run, source: Source, stop: asyncio.Event) -> AsyncGenerator[Run]:
    """Ask `source` and yield `run` whenever there is something new to show; the last time it has ended.

    Setting `stop`, or leaving this generator, closes the connection, which frees the engine.
    """
    events: asyncio.Queue[Event | Failure | None] = asyncio.Queue()
    reader = asyncio.create_task(_read(source, run.request, events))
    stopped = asyncio.create_task(stop.wait())
    shown_at, pending = 0.0, False
    try:
        while True:
            getter = asyncio.create_task(events.get())
            patience = SHOW_EVERY_S if pending else None
            done, _ = await asyncio.wait({getter, stopped}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if stopped in done:
                getter.cancel()
                run.end("stopped")
                break
            if getter not in done:
                getter.cancel()
                shown_at, pending = time.monotonic(), False
                yield run
                continue
            event = getter.result()
            if not isinstance(event, Event):
                if event is not None:
                    run.end("failed", event)
                break
            try:
                run.take(event)
            except (KeyError, TypeError, ValueError):
                run.end("failed", Failure("broken", "an event is not what docs/api.md describes"))
                break
            if event.name == "answer" and time.monotonic() - shown_at < SHOW_EVERY_S:
                pending = True
                continue
            shown_at, pending = time.monotonic(), False
            yield run
    finally:
        for task in (reader, stopped):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reader
    yield run


async def _read(source: Source, request: dict[str, Any], events: asyncio.Queue[Event | Failure | None]) -> None:
    try:
        async with contextlib.aclosing(source.stream(request)) as stream:
            async for event in stream:
                await events.put(event)
        await events.put(None)
    except Failure as failure:
        await events.put(failure)
