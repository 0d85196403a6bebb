"""Presidio beside our own patterns: joined, filtered, and optional. The real one is tried where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass

import pytest

from gazal.identifiers import Identifier
from gazal.presidio import analyzer, find


@dataclass
class Found:
    entity_type: str
    start: int
    end: int
    score: float


class FakeAnalyzer:
    """Finds what it was told to find."""

    def __init__(self, *found: Found) -> None:
        self.found = found

    def analyze(self, text: str, language: str) -> list[Found]:
        assert language == "en"
        return list(self.found)


TEXT = "Zorba met Mrs Doe."


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], [Identifier("name", 10, 17)]),
        ([Found("PERSON", 0, 5, 0.85)], [Identifier("name", 0, 5), Identifier("name", 10, 17)]),
        ([Found("PERSON", 0, 5, 0.3)], [Identifier("name", 10, 17)]),
        ([Found("NRP", 0, 5, 0.9)], [Identifier("name", 10, 17)]),
        ([Found("PERSON", 14, 17, 0.9)], [Identifier("name", 10, 17)]),
        ([Found("LOCATION", 6, 17, 0.9)], [Identifier("address", 6, 17)]),
    ],
    ids=["nothing", "a name more", "unsure", "a type we do not hide", "inside ours", "around ours"],
)
def test_what_both_find_is_joined(found: list[Found], expected: list[Identifier]) -> None:
    assert find(TEXT, FakeAnalyzer(*found)) == expected


def test_without_the_package_its_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(ImportError, match="pip install presidio-analyzer"):
        analyzer()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("presidio_analyzer") is None, reason="presidio-analyzer is not installed")
def test_the_real_one_adds_and_looks_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    text = "Mrs Doe, SSN 078-05-1120, jane@example.org, https://example.org."
    types = [each.type for each in find(text, analyzer())]
    assert types == ["name", "national_id", "email", "url"]
