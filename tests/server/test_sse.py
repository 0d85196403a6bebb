"""The event reader: any cutting of the bytes gives the same events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.sse import EventReader, EventTooLongError, encode

STREAM = (
    b": heartbeat\n\n"
    b'data: {"a": 1}\r\n\r\n'
    b"event: step\ndata: one\ndata: two\n\n"
    b"data:no space\r\r"
    b"data: \xc3\xa9\xf0\x9f\x8c\x8d\n\n"
    b"id: 7\nretry: 10\n\n"
    b"data: [DONE]\n\n"
)
EVENTS = [b'{"a": 1}', b"one\ntwo", b"no space", "é🌍".encode(), b"[DONE]"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_every_cutting_gives_the_same_events(cuts: list[int]) -> None:
    reader, found, start = EventReader(), [], 0
    for end in [*sorted(cuts), len(STREAM)]:
        found += reader.feed(STREAM[start:end])
        start = end
    assert found == EVENTS


def test_an_unfinished_event_is_not_returned() -> None:
    assert EventReader().feed(b"data: half\n") == []


@given(st.binary(max_size=300))
def test_junk_never_raises(junk: bytes) -> None:
    assert all(isinstance(event, bytes) for event in EventReader().feed(junk))


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 50, b"x" * 50, b"data: 1234567\n"])
def test_an_endless_event_is_refused(piece: bytes) -> None:
    reader = EventReader(max_event_bytes=200)
    with pytest.raises(EventTooLongError):
        for _ in range(100):
            reader.feed(piece)


def test_what_is_encoded_can_be_read() -> None:
    assert EventReader().feed(encode(b'{"x": 1}', "done") + encode(b"2")) == [b'{"x": 1}', b"2"]
