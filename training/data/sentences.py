"""Prose as sentences, and sentences as a handful of steps of about equal length.

Medical prose is full of points that end nothing ("e.g.", "S. aureus", "vs.", "7.35"), so a point ends a sentence only
where a capital, or the number of a list, follows and no known abbreviation stands before it.

    steps = balanced(sentences("It is red. It hurts. So it is inflamed."), parts=2)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from training.data.words import words

if TYPE_CHECKING:
    from collections.abc import Sequence

_END = re.compile(r"""(?<=[.?!])["')\]]*\s+(?=["'(\[]*(?:[A-Z]|[1-9](?:\.-|[.:)]\s| is\b| are\b)))|\s*\n+\s*""")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|vs|cf|approx|ca|dr|drs|mr|mrs|prof|fig|no|nr|al|st|sp|spp|resp|incl|min|max|vol|ed|p|pp)|"
    r"(?:^|[\s(])[A-Z]|\b[A-Z]\.[A-Z])\.$",
    re.IGNORECASE,
)
_INITIAL = re.compile(r"(?:^|[\s(])[A-Z]\.$")
_COMMON = frozenset(
    words(
        "the a an of and or in to is are was were be been with for on at by from as that this which it its not no if "
        "we would should can could may more most than but so because since he she his her patient treatment all any"
    )
)
_MIN_WORD = 4


def sentences(text: str) -> list[str]:
    """The sentences of a text in order, each on one line."""
    found: list[str] = []
    start = 0
    for end in _END.finditer(text):
        head = text[start : end.start()]
        breaks = "\n" in end.group()
        if not breaks and (_INITIAL.search(head) or _ABBREVIATION.search(head.lower())):
            continue
        found.append(f"{head}{end.group().rstrip()}")
        start = end.end()
    found.append(text[start:])
    return [plain for each in found if (plain := " ".join(each.split()))]


def balanced(listed: Sequence[str], parts: int) -> list[str]:
    """At most `parts` runs of consecutive sentences, of about equal numbers of words; a sentence is never cut."""
    total = sum(len(each.split()) for each in listed)
    groups: list[list[str]] = []
    before = 0
    for each in listed:
        length = len(each.split())
        middle = before + length / 2
        wanted = min(parts - 1, int(middle * parts / total))
        if not groups or wanted >= len(groups):
            groups.append([])
        groups[-1].append(each)
        before += length
    return [" ".join(group) for group in groups]


def telling_words(text: str) -> set[str]:
    """The words of a text that say what it is about: neither short nor everywhere."""
    return {word for word in words(text) if len(word) >= _MIN_WORD and word not in _COMMON}
