"""What one browser page has on the server, in memory alone: its run, its pair, its feedback and votes.

`Stops` lets a button, or the closing of the page, end the runs of one page: Gradio gives each page a name of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ui.compare import Pair
    from ui.run import Run


@dataclass
class Session:
    """One page's memory; forgotten when it is cleared, and with the page."""

    run: Run | None = None
    own: str = ""
    pair: Pair | None = None
    feedback: list[dict[str, Any]] = field(default_factory=list)
    votes: list[dict[str, Any]] = field(default_factory=list)
    warned_of: str = ""
    """Hash of the text whose identifiers were pointed out."""
    saved: int = 0
    """Files made so far, so that each is new to the browser."""

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]

    def must_warn(self, text: str) -> bool:
        """Whether identifiers of this very text have not been pointed out yet; they are after this."""
        digest = hashlib.sha256(text.encode()).hexdigest()
        new = digest != self.warned_of
        self.warned_of = digest
        return new


class Stops:
    """The running runs by page."""

    def __init__(self) -> None:
        self._events: dict[str, set[asyncio.Event]] = {}

    def begin(self, page: str) -> asyncio.Event:
        """A new run of this page, and what ends it. One that still runs is ended."""
        self.stop(page)
        event = asyncio.Event()
        self._events.setdefault(page, set()).add(event)
        return event

    def end(self, page: str, event: asyncio.Event) -> None:
        """The run has ended."""
        events = self._events.get(page, set())
        events.discard(event)
        if not events:
            self._events.pop(page, None)

    def stop(self, page: str) -> None:
        """End all runs of this page."""
        for event in self._events.get(page, set()):
            event.set()
