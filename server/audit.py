"""The audit trail: one JSON line a request, without content, in a chain that shows any later edit, deletion or reorder.

Each line holds a sequence number, the code (HMAC-SHA256) of the line before it and its own, made under a key that
derives from the gateway's secret. `<path>.head` holds the number and code of the last line, so that a cut-off end
shows as well. Files are rotated by size to `<path>.<first number of the next file>`; the chain goes on across them.

Limits: who holds the secret can forge the chain; who can write all files can put back an older state of all of them at
once, unless the head is also kept elsewhere; lines are handed to the operating system at once and synced to disk once a
second, so a power failure can lose a second.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from server.keys import derived

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_START = "0" * 64
_SYNC_EVERY_S = 1.0
_HEAD_BYTES = 97


class AuditError(RuntimeError):
    """The trail cannot be written or continued."""


class AuditLog:
    """Appends to the trail at `path`; one process writes it."""

    def __init__(self, path: Path, secret: bytes, rotate_bytes: int) -> None:
        self._path = path
        self._key = derived(secret, "audit")
        self._rotate_bytes = rotate_bytes
        self._synced_s = time.monotonic()
        self._sequence, self._mac = 0, _START
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _exclusive(path.with_name(path.name + ".lock"))
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._head = os.open(_head_path(path), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise AuditError(
                f"the audit trail {path} cannot be written ({error.strerror}); set GAZAL_AUDIT_FILE"
            ) from error
        dropped = self._recover()
        self._size = os.fstat(self._file).st_size
        self.write({"event": "start", **({"dropped_bytes": dropped} if dropped else {})})

    def write(self, record: dict[str, Any]) -> None:
        """Append a record."""
        if self._size > self._rotate_bytes:
            self._rotate()
        self._sequence += 1
        body = {"seq": self._sequence, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), **record}
        line, self._mac = _sealed(self._key, body, self._mac)
        os.write(self._file, line)
        os.pwrite(self._head, _head_line(self._key, self._sequence, self._mac), 0)
        self._size += len(line)
        now_s = time.monotonic()
        if now_s - self._synced_s > _SYNC_EVERY_S:
            self._synced_s = now_s
            os.fdatasync(self._file)

    def close(self) -> None:
        """Note the end and close."""
        self.write({"event": "stop"})
        os.fsync(self._file)
        for descriptor in (self._file, self._head, self._lock):
            os.close(descriptor)

    def _recover(self) -> int:
        """Continue after the last whole line; a half-written one, left by a crash, is dropped and its length noted."""
        size = os.fstat(self._file).st_size
        tail = os.pread(self._file, min(size, 1 << 16), max(0, size - (1 << 16)))
        whole, _, torn = tail.rpartition(b"\n")
        if torn:
            os.ftruncate(self._file, size - len(torn))
        if whole:
            last = orjson.loads(whole.rpartition(b"\n")[2])
            self._sequence, self._mac = last["seq"], last["mac"]
        else:
            head = _read_head(self._key, os.pread(self._head, _HEAD_BYTES, 0))
            if head:  # the file was rotated and nothing written since
                self._sequence, self._mac = head
        return len(torn)

    def _rotate(self) -> None:
        os.fsync(self._file)
        os.close(self._file)
        self._path.rename(self._path.with_name(f"{self._path.name}.{self._sequence + 1:012d}"))
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = 0


@dataclass(frozen=True)
class Verdict:
    """What `verify` found: how many records, and the first thing that is wrong."""

    records: int
    problem: str | None


def verify(path: Path, secret: bytes) -> Verdict:
    """Check the whole chain, rotated files first."""
    key = derived(secret, "audit")
    sequence, mac = 0, _START
    # The head is read first: what a running gateway appends meanwhile must not look like a missing end.
    head_file = _head_path(path)
    head = _read_head(key, head_file.read_bytes()) if head_file.exists() else None
    for file, number, line in _lines(path):
        where = f"{file.name}, line {number}"
        try:
            record = orjson.loads(line)
            stated, previous, seq = record.pop("mac"), record.pop("prev"), record["seq"]
        except (orjson.JSONDecodeError, KeyError, AttributeError, TypeError):
            return Verdict(sequence, f"{where}: not a whole record")
        if seq != sequence + 1:
            return Verdict(
                sequence, f"{where}: record {seq} follows record {sequence}; records are missing or out of order"
            )
        if previous != mac:
            return Verdict(sequence, f"{where}: record {seq} does not continue the one before it")
        if _sealed(key, record, mac) != (line + b"\n", stated):
            return Verdict(sequence, f"{where}: record {seq} was changed, or this is another gateway's secret")
        sequence, mac = seq, stated
        if head and head[0] == sequence and head[1] != mac:
            return Verdict(sequence, f"{head_file.name} belongs to another chain")
    if not sequence:
        return Verdict(0, f"{path} holds no records")
    if head is None:
        return Verdict(sequence, f"{head_file.name} is missing or damaged, so a cut-off end would not show")
    if head[0] > sequence:
        return Verdict(sequence, f"the end is missing: record {head[0]} was written, the last one here is {sequence}")
    return Verdict(sequence, None)


def _lines(path: Path) -> Iterator[tuple[Path, int, bytes]]:
    rotated = sorted(file for file in path.parent.glob(f"{path.name}.*") if file.suffix[1:].isdigit())
    for file in [*rotated, path]:
        if file.exists():
            with file.open("rb") as stream:
                for number, line in enumerate(stream, 1):
                    yield file, number, line.removesuffix(b"\n") if line.endswith(b"\n") else line + b" "


def _sealed(key: bytes, body: dict[str, Any], previous: str) -> tuple[bytes, str]:
    """The line of a record and its code, which covers the record and the code before it."""
    text = orjson.dumps(body | {"prev": previous})
    mac = hmac.digest(key, text, "sha256").hex()
    return text[:-1] + b',"mac":"' + mac.encode() + b'"}\n', mac


def _head_path(path: Path) -> Path:
    return path.with_name(path.name + ".head")


def _head_line(key: bytes, sequence: int, mac: str) -> bytes:
    """Fixed width, so that writing it over the last one is a single small write."""
    text = f"{sequence:015d} {mac} "
    return (text + hmac.digest(key, text.encode(), "sha256").hex()[:15] + "\n").encode()


def _read_head(key: bytes, raw: bytes) -> tuple[int, str] | None:
    with contextlib.suppress(ValueError, IndexError):
        number, mac, _ = raw.decode("ascii").split()
        if hmac.compare_digest(raw, _head_line(key, int(number), mac)):
            return int(number), mac
    return None


def _exclusive(path: Path) -> int:
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise AuditError(
            f"another gateway writes {path.with_suffix('')}; give each its own GAZAL_AUDIT_FILE"
        ) from error
    return descriptor
