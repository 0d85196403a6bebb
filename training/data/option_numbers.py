r"""Answer options named by number in prose, turned into letters, and what the prose says about them.

Explanations of exam questions speak of "answer 3", "options 1, 2 and 5", "(4 false)" or "3 is wrong" where the options
are A, B, C ... in the same order. Only these forms are turned; a bare number that may be an option or a quantity is
left, and `leftover` finds it, so that its sentence can be dropped.

    lettered("Options 1 and 2 are false.")        ->  "Options A and B are false."
    verdicts("Option A is false.").rejected       ->  {"A"}
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NOUN = r"(?:options?|answers?|choices?|alternatives?|responses?|numbers?|distractors?)"
_UNIT = r"(?:mg|g|kg|ml|cm|mm|mEq|years?|days?|hours?|months?|weeks?)"
_NUMBER = rf"(?:(?:number|no\.?|nº) ?)?[1-5](?![\d.,]?\d|[%/°]| ?{_UNIT}\b)"
_LIST = rf"{_NUMBER}(?:(?:, ?(?:and |or )?| ?and | ?or | ?y | ?& ?){_NUMBER})*"
_RIGHT = r"(?:correct|right|true|best|valid|most (?:correct|appropriate|accurate|likely|probable|suitable))"
_WRONG = r"(?:false|incorrect|wrong|untrue|discarded|ruled out|rejected|eliminated|excluded|not (?:correct|true|valid))"
_IS = r"(?:is|are|was|would be|must be|seems?(?: to be)?|has to be)"
_FORMS = (
    re.compile(
        rf"\b(?P<noun>{_NOUN})(?P<gap>,? ?(?:is|are|would be|"
        rf"must be)?:? (?:the )?){_NOUN}? ?(?P<list>{_LIST})(?! out of)",
        re.I,
    ),
    re.compile(rf"(?P<noun>\b{_RIGHT} one)(?P<gap> {_IS} )(?P<list>{_LIST})", re.I),
    re.compile(rf"(?P<noun>\()(?P<gap>)(?P<list>{_LIST})(?=,? (?:{_RIGHT}|{_WRONG})\))", re.I),
    re.compile(
        rf"(?P<noun>^|(?<=[.;:,] )|(?<=\bso )|(?<=\band )|(?<=\bbut )|"
        rf"(?<=that ))(?P<gap>)(?P<list>{_LIST})(?= (?:{_IS} (?:also |clearly |therefore )?(?:{_RIGHT}|{_WRONG})))",
        re.I,
    ),
    re.compile(rf"(?P<noun>^)(?P<gap>)(?P<list>[1-5])(?=(?:\.-|[.:)-]) ?(?:{_RIGHT}|{_WRONG})\b)", re.I),
    re.compile(
        rf"(?P<noun>\b(?:discard|eliminate|rule out|reject|choose|mark|prefer|between|"
        rf"left with))(?P<gap> (?:the )?)(?P<list>{_LIST})(?=[ .,;)]|$)",
        re.I,
    ),
)
_LETTERS = r"[A-E](?:(?:, (?:and |or )?| and | or )[A-E])*\b"
_ADVERBS = r"(?:also |clearly |therefore |thus |the |totally |probably |obviously |not an? )*"
_NAMED = r"(?:answer|option|choice|one)s?"
_IS_THE = rf"(?: therefore)?:? {_IS}:?(?: the)?(?: therefore)?(?: options?)?"
_ANNOUNCED = (
    rf"\b(?<!false )(?<!wrong )(?<!incorrect ){_NAMED}{_IS_THE} ({_LETTERS})",
    rf"\b(?:prefer|choose|mark|opt for|go for|stay with|left with|inclined to|lean towards|keep|answered)(?: the)? "
    rf"options? ({_LETTERS})",
)
_ANNOUNCED_WRONG = (rf"\b{_WRONG} {_NAMED}{_IS_THE} ({_LETTERS})",)
_AFFIRMED = (
    rf"\b{_RIGHT} {_NAMED},?:?(?: options?)? ({_LETTERS})",
    rf"\boptions? ({_LETTERS})\)?,? (?:{_IS} )?{_ADVERBS}{_RIGHT}\b(?! (?:only )?(?:if|in case|when)\b)",
)
_REJECTED = (
    rf"\b{_WRONG} {_NAMED},?:?(?: options?)? ({_LETTERS})",
    rf"\boptions? ({_LETTERS})\)?,? (?:{_IS} |can be )?{_ADVERBS}{_WRONG}\b",
    rf"\b(?:discard|eliminate|rule out|reject|remove|exclude)s?(?: the)? options? ({_LETTERS})",
)
_LEFTOVER = re.compile(
    r"(?<![\d.,/<>=+-])(?<!grade )(?<!stage )(?<!class )(?<!phase )(?<!level )(?<!group )(?<!type )(?<!factor )"
    r"\b[1-5](?=\s*(?:$|[.;:)?!](?!\d)|,(?! ?\d)|(?:is|are|would|because|since|we|can|as|but|does|has|could|"
    r"also|seems)\b))"
    r"|\b(?:in|by|with|from|do|of|for) [1-5] (?:the|we|it|is|would|there|they|an?)\b|\b(?:between|with|and|or|"
    r"discard|out) [1-5](?= (?:and|or)\b| ?[.,;]|$)|\boption [0-9]|\b(?:first|second|third|fourth|fifth|"
    r"last) (?:option|answer|one)\b",
    re.I,
)


@dataclass(frozen=True)
class Verdicts:
    """The letters that a text speaks of, by what it says about them."""

    announced: frozenset[str]
    """As the answer."""
    announced_wrong: frozenset[str]
    """As "the false answer": the one to choose, in a question that asks for it."""
    affirmed: frozenset[str]
    """As true or right."""
    rejected: frozenset[str]
    """As false, or not right."""


def lettered(sentence: str) -> str:
    """The sentence with "option N" and its like as "option X"."""
    for form in _FORMS:
        sentence = form.sub(_as_letters, sentence)
    return sentence


def leftover(sentence: str) -> bool:
    """Whether a lettered sentence still has a number that may stand for an option."""
    return _LEFTOVER.search(sentence) is not None


def verdicts(text: str) -> Verdicts:
    """What a lettered text says outright; a negated "not correct" counts as wrong."""
    kinds = (_ANNOUNCED, _ANNOUNCED_WRONG, _AFFIRMED, _REJECTED)
    announced, announced_wrong, affirmed, rejected = (_letters(patterns, text) for patterns in kinds)
    return Verdicts(announced, announced_wrong, affirmed - rejected, rejected)


def _letters(patterns: tuple[str, ...], text: str) -> frozenset[str]:
    listed = [match[1] for pattern in patterns for match in re.finditer(pattern, text, re.I)]
    return frozenset(letter for each in listed for letter in re.findall(r"\b[A-E]\b", each))


def _as_letters(match: re.Match[str]) -> str:
    numbers = re.findall(r"[1-5]", match["list"])
    letters = [chr(ord("A") + int(number) - 1) for number in numbers]
    joined = " and ".join([", ".join(letters[:-1]), letters[-1]] if len(letters) > 1 else letters)
    noun = "options" if len(letters) > 1 else "option"
    head = match["noun"]
    if re.fullmatch(_NOUN, head, re.I) and not match["gap"].strip(" ,:"):
        starts = head[0].isupper() and match.string[: match.start()].rstrip()[-1:] != "("
        return f"{noun.capitalize() if starts else noun} {joined}"
    if not head:
        noun = noun.capitalize() if match.start() == 0 else noun
    return f"{head}{match['gap']}{noun} {joined}"
