"""Phrases of clinical and everyday language, and where they stand in a text.

A phrase is written as it is spoken, with six signs: `chest ~ pain` allows up to five words between, `radiat*` any
ending, `(arm|jaw)` one of several, `[left]` a word that may be missing, `ha?em` a letter that may be missing, `#` a
number of two or three digits. Phrases do not cross the end of a sentence, and gaps no comma. Each has anchors, letters
of which every match contains one, so that most phrases of a book are never searched for. All repetitions are bounded:
the time grows with the length of the text and no faster.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_BETWEEN = r"[^\w\n]{1,3}"
_SPACE = r"[^\w\n,:]{1,3}"
_GAP = rf"(?:{_SPACE}[\w'/.%]{{1,30}}){{0,5}}?{_SPACE}"
_TOKENS = re.compile(r"\([^)]*\)|\[[^]]*\]|\S+")


class Phrase:
    """A phrase, compiled when it is first needed, and the letters that a match must contain."""

    def __init__(self, expression: str, required: list[list[str]]) -> None:
        self.expression = expression
        self.anchors, *self._others = sorted(required, key=_telling, reverse=True)
        """Of each list in `required` a match contains one; `anchors` is the most telling list."""

    def may_stand_in(self, text: str) -> bool:
        """Whether the text holds the other letters too; a cheap test before the expression is tried."""
        return all(any(letters in text for letters in several) for several in self._others)

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """Over text that `normalised` made."""
        return re.compile(self.expression)


class PhraseBook:
    """Phrases by the name of what they say, found quickly: most are passed over by the first letters of an anchor."""

    def __init__(self, phrases: Mapping[str, tuple[Phrase, ...]]) -> None:
        self._short: dict[str, list[tuple[str, Phrase]]] = {}
        self._long: dict[str, dict[str, list[tuple[str, Phrase]]]] = {}
        for name, several in phrases.items():
            for phrase in several:
                for anchor in phrase.anchors:
                    where = self._short if len(anchor) < _GRAM else self._long.setdefault(anchor[:_GRAM], {})
                    where.setdefault(anchor, []).append((name, phrase))

    def candidates(self, text: str) -> dict[str, list[Phrase]]:
        """The phrases that may stand in a normalised text, by name."""
        found: dict[str, dict[Phrase, None]] = {}
        grams = {text[start : start + _GRAM] for start in range(len(text) - _GRAM + 1)}
        shelves = [self._short, *(self._long[gram] for gram in grams & self._long.keys())]
        for shelf in shelves:
            for anchor, entries in shelf.items():
                if anchor in text:
                    for name, phrase in entries:
                        found.setdefault(name, {})[phrase] = None
        return {name: [phrase for phrase in several if phrase.may_stand_in(text)] for name, several in found.items()}


_GRAM = 4


def compiled(phrase: str) -> Phrase:
    """The phrase as an expression over normalised text."""
    expression, glue = "", ""
    required: list[list[str]] = []
    for word in _TOKENS.findall(phrase):
        if word == "~":
            glue = _GAP
            continue
        if word.startswith("["):
            maybe = rf"\b(?:{_alternatives(word[1:-1])})(?!\w)"
            expression += rf"(?:{glue}{maybe})?" if expression else rf"(?:{maybe}{_BETWEEN})?"
            continue
        inner = word[1:-1] if word.startswith("(") else word
        expression += rf"{glue}\b(?:{_alternatives(inner)})(?!\w)"
        glue = _BETWEEN
        required.append([_letters(each) for each in inner.split("|")])
    return Phrase(expression, required)


def normalised(text: str) -> str:
    """Lower case, plain quotes, hyphens as blanks and a newline for each end of a sentence; no character is added or
    lost, so that positions are those of the text as it was written."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a few capitals have a longer small form
        lowered = "".join(small if len(small := character.lower()) == 1 else character for character in text)
    return _SENTENCE_END.sub("\n", lowered.translate(_PLAIN))


_PLAIN = str.maketrans(
    dict.fromkeys("\u2018\u2019", "'")
    | dict.fromkeys("\u201c\u201d", '"')
    | dict.fromkeys("-\u2010\u2011\u2013\t", " ")
    | {"\u2014": ",", "\r": "\n", "\u2082": "2"}
)
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


def _telling(anchors: list[str]) -> float:
    """How much a list of anchors narrows the search: long ones, few of them."""
    return min(map(len, anchors)) - 0.2 * len(anchors)
