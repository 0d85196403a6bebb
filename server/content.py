"""The text of clinical requests and replies, kept only where the operator and the request both ask for it.

Off unless `GAZAL_CONTENT_DIR` is set, and then only for requests with the header `x-gazal-keep-content: yes`. Records
are redacted (`gazal.identifiers`) unless told otherwise, stand in files that only the owner may read, and are deleted
before they are older than the time to live: a file holds one slot of time, a 24th of that, and goes as a whole a
little before its first record is due. Deletion unlinks; what backups or the disk keep is the operator's to know.
While no server runs nothing is deleted: run `python -m server content purge` from a timer then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from gazal.identifiers import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

HEADER = "x-gazal-keep-content"
_NAME = re.compile(r"content-(\d{1,12})\.jsonl")
_SHORTEST_SLOT_S = 1
_SLOTS_A_LIFE = 24

log = structlog.get_logger(__name__)


class ContentError(RuntimeError):
    """The content cannot be kept or deleted; the message names the fix."""


@dataclass(frozen=True)
class Kept:
    """What is on the disk."""

    files: int
    records: int
    oldest: float | None
    """Start of the oldest slot, in seconds since 1970."""


class ContentStore:
    """Writes, counts and deletes records below `directory`, each at most `keep_s` seconds old."""

    def __init__(
        self,
        directory: Path,
        keep_s: float,
        *,
        redacted: bool = True,
        purge: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory, self._keep_s, self._redacted, self._clock = directory, keep_s, redacted, clock
        self._slot_s = max(_SHORTEST_SLOT_S, keep_s / _SLOTS_A_LIFE)
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            directory.chmod(0o700)
        except OSError as error:
            raise ContentError(
                f"{directory} cannot be used for content ({error.strerror}); correct GAZAL_CONTENT_DIR"
            ) from error
        if purge:
            self.purge()

    @property
    def sweep_every_s(self) -> float:
        """How often to call `purge`, so that nothing outlives its time by more than this."""
        return self._slot_s / 2

    def keep(self, facts: Mapping[str, object], texts: Mapping[str, str]) -> None:
        """Append one record. A disk that cannot take it is logged, without the text, and fails no request."""
        now = self._clock()
        record: dict[str, Any] = {
            "time": now,
            "redacted": self._redacted,
            **facts,
            **{name: redact(text) if self._redacted else text for name, text in texts.items()},
        }
        path = self._directory / f"content-{int(now // self._slot_s * self._slot_s)}.jsonl"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
            finally:
                os.close(descriptor)
        except OSError as error:
            log.error("content could not be kept", reason=error.strerror)

    def purge(self, *, everything: bool = False) -> int:
        """Delete what is too old, or all; returns the number of files. Raises ContentError when one cannot go."""
        too_old = self._clock() - self._keep_s + self._slot_s / 2
        gone = 0
        for start, path in self._files():
            if everything or start <= too_old:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise ContentError(f"{path} cannot be deleted ({error.strerror}); delete it by hand") from error
                gone += 1
        return gone

    async def sweep(self) -> None:
        """Purge again and again, until cancelled."""
        while True:
            await asyncio.sleep(self.sweep_every_s)
            try:
                self.purge()
            except ContentError as error:
                log.error("content could not be deleted", reason=str(error))

    def kept(self) -> Kept:
        """Count what is on the disk."""
        files = self._files()
        records = 0
        for _, path in files:
            with contextlib.suppress(FileNotFoundError):
                records += path.read_bytes().count(b"\n")
        return Kept(len(files), records, min((start for start, _ in files), default=None))

    def _files(self) -> list[tuple[int, Path]]:
        found = ((_NAME.fullmatch(path.name), path) for path in self._directory.iterdir())
        return sorted((int(match[1]), path) for match, path in found if match)
