"""Finds what may identify a person in clinical text, and can replace it by typed placeholders.

A warning before text is sent, and the redaction of exports, feedback and opt-in logs; never applied to what the model
reads, since dates and ages are medicine. Patterns and cues only, no model: quick, the same everywhere, and open to
reading. The price is recall on names without a title, a cue or a common given name; the test of this module prints the
figures. Terms named after people (Crohn's disease, Glasgow Coma Scale) stay, since a capital alone makes no name here.

    find("Mrs Jane Doe, DOB 03/04/1956")    # (name 0-12, date 18-28)
    redact("Mrs Jane Doe, DOB 03/04/1956")  # '[NAME], DOB [DATE]'
"""

from __future__ import annotations

from dataclasses import dataclass

from gazal.identifier_patterns import IdentifierType, patterns


@dataclass(frozen=True)
class Identifier:
    """A part of a text, `text[start:end]`, that may identify somebody."""

    type: IdentifierType
    start: int
    end: int


def find(text: str) -> list[Identifier]:
    """What may identify a person, in order and without overlaps; where two claims meet, the longer one stands."""
    found = [
        Identifier(pattern.type, *match.span("id"))
        for pattern in patterns()
        for match in pattern.regex.finditer(text)
        if pattern.holds is None or pattern.holds(match["id"])
    ]
    return joined(found)


def joined(found: list[Identifier]) -> list[Identifier]:
    """In order and without overlaps; where two claims meet, the longer one stands, and of equal ones the first."""
    kept: list[Identifier] = []
    for each in sorted(found, key=lambda item: (item.start, -item.end)):
        if not kept or each.start >= kept[-1].end:
            kept.append(each)
        elif each.end - each.start > kept[-1].end - kept[-1].start:
            kept[-1] = each
    return kept


def redact(text: str) -> str:
    """The text with each identifier replaced by its type in capitals, such as [NAME] or [RECORD NUMBER]."""
    parts = []
    position = 0
    for each in find(text):
        parts += [text[position : each.start], f"[{each.type.upper().replace('_', ' ')}]"]
        position = each.end
    return "".join([*parts, text[position:]])
