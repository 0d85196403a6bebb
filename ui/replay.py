"""Recordings: real answers of a real server, kept with their timing, and shown again without any server.

A recording is a JSONL file: first what it is (request, model, digest, date, note), then one line an event with the
second at which it came. `python -m ui record` makes them anew; nothing in them was written by hand.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ui.client import Event, Failure, ModelInfo

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from ui.client import Source

NOT_COMPARED = ("stream", "temperature", "max_tokens", "model")
"""Parts of a request that do not make it another question."""


MAX_PAUSE_S = 2.0
"""Longer pauses of a recording are shortened to this when it is shown."""


class RecordingError(ValueError):
    """A recording cannot be read; the message names the file."""


@dataclass(frozen=True)
class Recording:
    """One answer as it came."""

    request: dict[str, Any]
    model: str
    digest: str
    recorded: str
    """The day, as YYYY-MM-DD."""
    untrained: bool
    """The server held the model to the form of an answer, because it was never trained on it."""
    events: tuple[tuple[float, Event], ...]


def key_of(request: dict[str, Any]) -> str:
    """The question a request asks, as text to compare."""
    asked = {name: value for name, value in request.items() if name not in NOT_COMPARED and value not in (None, "")}
    return json.dumps(asked, sort_keys=True, ensure_ascii=False)


def load_recordings(directory: Path) -> list[Recording]:
    """All recordings of a directory, by file name. Raises RecordingError."""
    return [_load(path) for path in sorted(directory.glob("*.jsonl"))]


def _load(path: Path) -> Recording:
    try:
        head, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        events = tuple((float(line["at"]), Event(line["event"], line["data"])) for line in lines)
        if not events or events[-1][1].name != "done":
            raise ValueError("it does not end with the event 'done'")
        return Recording(**head, events=events)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"{path.name} is no recording ({error}); make it anew: python -m ui record") from error


async def record(source: Source, request: dict[str, Any], path: Path) -> Recording:
    """Ask `source` and write the answer as it came. Raises Failure."""
    started = time.monotonic()
    events = [(round(time.monotonic() - started, 3), event) async for event in source.stream(request)]
    provenance = events[-1][1].data["provenance"]
    head = {
        "request": request,
        "model": provenance["model"],
        "digest": provenance["artifact_digest"],
        "recorded": datetime.now(UTC).date().isoformat(),
        "untrained": bool(provenance["constrained"]),
    }
    lines = [head, *({"at": at, "event": event.name, "data": event.data} for at, event in events)]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return Recording(**head, events=tuple(events))


@dataclass(frozen=True)
class ReplaySource:
    """Answers from recordings, at the pace at which they came (`pace` 1; long pauses shortened), or at once (0)."""

    recordings: Sequence[Recording]
    pace: float = 1.0

    async def model(self) -> ModelInfo:
        """The model of the recordings. Raises Failure when there are none."""
        if not self.recordings:
            raise Failure("no_recording")
        return ModelInfo(self.recordings[0].model, self.recordings[0].digest)

    def find(self, request: dict[str, Any]) -> Recording | None:
        """The recording of this question: with the same seed, or else with any."""
        exact = key_of(request)
        loose = key_of(request | {"seed": None})
        return next(
            (each for each in self.recordings if key_of(each.request) == exact),
            None
            if request.get("seed") is not None
            else next((each for each in self.recordings if key_of(each.request | {"seed": None}) == loose), None),
        )

    async def stream(self, request: dict[str, Any]) -> AsyncGenerator[Event]:
        """The recorded events. Raises Failure where this question was never recorded."""
        recording = self.find(request)
        if recording is None:
            raise Failure("no_recording")
        passed = 0.0
        for at, event in recording.events:
            if self.pace:
                await asyncio.sleep(min(at - passed, MAX_PAUSE_S) * self.pace)
            passed = at
            yield event
