"""Phrases of clinical and everyday language, and where they stand in a text.

A phrase is written as it is spoken, with six signs: `chest ~ pain` allows up to five words between, `radiat*` any
ending, `(arm|jaw)` one of several, `[left]` a word that may be missing, `ha?em` a letter that may be missing, `#` a
number of two or three digits. Phrases do not cross the end of a sentence. A search costs a substring test for most phrases, since each has an anchor: letters that every match
contains. All repetitions are bounded, so the time grows with the length of the text and no faster.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BETWEEN = r"[^\w\n]{1,3}"
_GAP = rf"(?:{_BETWEEN}[\w'/.%]{{1,30}}){{0,5}}?{_BETWEEN}"
_TOKENS = re.compile(r"\([^)]*\)|\[[^]]*\]|\S+")


@dataclass(frozen=True)
class Phrase:
    """A compiled phrase and the letters of which each match contains one."""

    regex: re.Pattern[str]
    anchors: tuple[str, ...]

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        """Where the phrase stands in a text that `normalised` made."""
        if any(anchor in text for anchor in self.anchors):
            yield from self.regex.finditer(text)


def compiled(phrase: str) -> Phrase:
    """The phrase as an expression over normalised text."""
    expression, glue, anchors = "", "", [""]
    for token in _TOKENS.findall(phrase):
        if token == "~":
            glue = _GAP
            continue
        if token.startswith("["):
            maybe = rf"\b(?:{_alternatives(token[1:-1])})(?!\w)"
            expression += rf"(?:{glue}{maybe})?" if expression else rf"(?:{maybe}{_BETWEEN})?"
            continue
        inner = token[1:-1] if token.startswith("(") else token
        expression += rf"{glue}\b(?:{_alternatives(inner)})(?!\w)"
        glue = _BETWEEN
        anchors = _better(anchors, [_letters(each) for each in inner.split("|")])
    return Phrase(re.compile(expression), tuple(anchors))


def normalised(text: str) -> str:
    """Lower case, plain quotes, hyphens as blanks and a newline for each end of a sentence; no character is added or
    lost, so that positions are those of the text as it was written."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a few capitals have a longer small form
        lowered = "".join(small if len(small := character.lower()) == 1 else character for character in text)
    return _SENTENCE_END.sub("\n", lowered.translate(_PLAIN))


_PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "-": " ", "–": " ", "—": ",", "‑": " ", "\t": " ", "\r": "\n", "₂": "2"})
_SENTENCE_END = re.compile(r"(?<!\bdr)(?<!\bmr)[.!?;](?=\s|$)|[!?;]")


def _alternatives(text: str) -> str:
    return "|".join(_BETWEEN.join(_word(word) for word in each.split()) for each in text.split("|"))


def _word(word: str) -> str:
    if word == "#":
        return r"\d{2,3}"
    if set(word) & set("~()"):
        raise ValueError(f"{word!r} stands within brackets, which hold plain alternatives only; write two phrases")
    stem = re.sub(r"[.+]", lambda sign: "\\" + sign[0], word.removesuffix("*"))
    return stem + (r"\w{0,20}" if word.endswith("*") else "")


def _letters(alternative: str) -> str:
    """The longest run of letters that every match of this alternative holds."""
    return max(re.split(r".\?|[^\w]", alternative), key=len)


def _better(first: list[str], second: list[str]) -> list[str]:
    """The more telling of two sets of anchors: fewer, and longer in their shortest member."""
    return max(first, second, key=lambda anchors: min(map(len, anchors)) - 0.2 * len(anchors) if all(anchors) else -100)
