"""Whether reasoning cites only what the case says: fabricated findings, found without a model.

It lies here and not in the evaluation because training may reward and the form may show the same judgement. Pure text
work, so it judges what can be judged that way: findings that a step enumerates in the words of our grammar
("Findings: a; b", "Against it: c", "less likely given d", "Because of e, avoid ...") or puts in quotation marks. A
citation is grounded when the case holds it word for word, or when one sentence of the case holds nearly all its content
words; its numbers must all be in the case, and what the case denies must not be cited as present, nor the reverse.
A free paraphrase with other words is called invented; for answers in our grammar, which cites, that is the intention.

    found = check(["Findings: fever of 39.4 °C; neck stiffness."], "A man with fever of 38.4 °C and no neck stiffness.")
    [each.kind for each in found.fabrications]      ->  ["number", "inverted"]
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["number", "inverted", "invented"]
"""number: a number that the case does not hold. inverted: denied there and cited as present, or the reverse.
invented: the case says nothing of the kind."""
KINDS: tuple[Kind, ...] = ("number", "inverted", "invented")

_END = r"(?=\.(?:\s+[A-Z]|\s*$)|$)"
_LISTS = re.compile(
    r"(?:\bfindings\s*:|\bkey findings (?:are|include)|\bagainst it\s*:|\bless likely given|\burgent because of)"
    rf"\s+(.+?){_END}",
    re.IGNORECASE | re.DOTALL,
)
_FACTOR = re.compile(r"\bbecause of (.+?), avoid\b", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile('["“]([^"“”]{4,}?)["”]')
_SEPARATOR = re.compile(r"\s*;\s+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[^\W\d_]+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|[\n;|\"]")
_SCOPE_END = re.compile(r"[.,;:|/\n\"]|\b(?:but|although|and|with|as well as)\b")
_NEGATION = re.compile(
    r"(?:\bno\b|\bwithout\b|\bden(?:ies|ied)\b|\babsence of|\bnil\b|ø|\bnever\b|\bneither\b|\bnor\b|-ve for"
    r"|\bnegative for|\bfree of|\b(?:is|are|was|were|do|does|did|has|have|had) not\b)",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(r"\s*(?:is|are) (?:denied|absent)\b", re.IGNORECASE)
_CASE = re.compile(r"\n<case>\n(.*)\n</case>\n", re.DOTALL)
_SMALL = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "from",
        "by",
        "with",
        "and",
        "or",
        "as",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "it",
        "its",
        "this",
        "that",
        "these",
        "those",
        "his",
        "her",
        "their",
        "she",
        "he",
        "they",
        "who",
        "which",
        "has",
        "have",
        "had",
        "than",
        "then",
        "there",
    ]
)
_SHORTEST_STEM = 4
_ALIKE = 0.6
"""Share of the longer of two words that a common beginning must make up: "vomits" and "vomiting" are the same."""
_SUPPORT = 0.8
"""Share of a citation's content words that one sentence of the case must hold."""


@dataclass(frozen=True)
class Fabrication:
    """One cited finding that is not in the case."""

    step: int
    """Position of the step, from 1."""
    cited: str
    kind: Kind


@dataclass(frozen=True)
class Grounding:
    """What was cited in a chain of steps, and what of it was made up."""

    citations: int
    fabrications: tuple[Fabrication, ...]


def case_of(prompt: str) -> str | None:
    """The case inside a rendered prompt, or None where it has no fence."""
    found = _CASE.search(prompt)
    return found[1] if found else None


def check(steps: Sequence[str], case: str) -> Grounding:
    """Judge every finding that the steps cite against the case."""
    text = _plain(case)
    count, fabrications = 0, []
    for number, step in enumerate(steps, 1):
        for cited in citations(step):
            count += 1
            kind = _judge(_plain(cited), text)
            if kind:
                fabrications.append(Fabrication(number, cited, kind))
    return Grounding(count, tuple(fabrications))


def citations(step: str) -> list[str]:
    """The findings that one step enumerates or quotes."""
    listed = [part for found in _LISTS.findall(step) for part in _SEPARATOR.split(found)]
    cited = [*listed, *_FACTOR.findall(step), *_QUOTED.findall(_LISTS.sub("", step))]
    return [part.strip().rstrip(".") for part in cited if _WORD.search(part) or _NUMBER.search(part)]


def _judge(cited: str, case: str) -> Kind | None:
    occurrences = [found.start() for found in re.finditer(rf"(?<!\w){re.escape(cited)}(?!\w)", case)]
    if occurrences:
        inverted = all(_negated(case, start, start + len(cited)) for start in occurrences)
        return "inverted" if inverted else None
    if set(map(_number, _NUMBER.findall(cited))) - set(map(_number, _NUMBER.findall(case))):
        return "number"
    wanted = _content(cited)
    if not wanted:
        return None if _NUMBER.search(cited) else "invented"
    denied = _NEGATION.search(cited) is not None
    supported = [each for each in _SENTENCE.split(case) if _held(wanted, each) >= _SUPPORT * len(wanted)]
    if not supported:
        return "invented"
    return None if any(_polarity(each, wanted) == denied for each in supported) else "inverted"


def _negated(case: str, start: int, end: int) -> bool:
    """Whether the words at this place stand in the scope of a negation."""
    before = _SCOPE_END.split(case[:start])[-1]
    return _NEGATION.search(before) is not None or _DENIED_AFTER.match(case, end) is not None


def _polarity(sentence: str, wanted: set[str]) -> bool:
    """Whether the clause of the sentence that holds most of the wanted words denies them."""
    clauses = _SCOPE_END.split(sentence)
    best = max(clauses, key=lambda clause: _held(wanted, clause))
    return _NEGATION.search(best) is not None or re.search(r"\b(?:denied|absent)\b", best) is not None


def _content(text: str) -> set[str]:
    """The words that mean something, negations left out."""
    words = _WORD.findall(_NEGATION.sub(" ", text))
    return {word for word in words if word not in _SMALL and len(word) > 1}


def _held(wanted: set[str], text: str) -> int:
    """How many of the wanted words the text holds, in whatever form."""
    there = _content(text)
    return sum(word in there or any(_alike(word, other) for other in there) for word in wanted)


def _alike(one: str, other: str) -> bool:
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    if shared < _SHORTEST_STEM:
        return False
    return shared == min(len(one), len(other)) or shared >= _ALIKE * max(len(one), len(other))


def _number(text: str) -> str:
    """A number as written, without a decimal that says nothing and without thousands separators."""
    bare = text.replace(",", "") if re.fullmatch(r"\d{1,3}(?:,\d{3})+", text) else text.replace(",", ".")
    return bare.rstrip("0").rstrip(".") if bare.count(".") == 1 else bare


def _plain(text: str) -> str:
    return re.sub(r"[ \t]+", " ", text.casefold()).strip()
