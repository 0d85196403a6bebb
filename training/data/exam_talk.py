r"""Doctors' comments on exam questions as plain clinical prose: what they say about the patient, not about the exam.

A comment mixes both: "Easy question. They tell us that she has fever, which should make you think of sepsis." Phrases
that only introduce are taken off, and a sentence that still speaks of the exam, of its author or to its reader is
dropped whole. Nothing is added: a sentence stays as it was, or loses words, or goes.

    plain_sentence("We are told that she has fever and a new murmur.")    ->  "She has fever and a new murmur."
    plain_sentence("This was an easy question for everybody.")            ->  ""
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gazal.prompting import as_data
from training.data.option_numbers import leftover

if TYPE_CHECKING:
    from collections.abc import Sequence

_MIN_WORDS = 4
_OPTIONS = r"options? [A-E](?:(?:, | and )[A-E])*"
_VERDICT = (
    r"(?:correct|right|true|best|valid|appropriate|false|incorrect|wrong|chosen|most (?:correct|appropriate|"
    r"accurate))"
)
_PRESENTED = (
    r"(?:being presented with|presented with|present us with|present|faced with|facing|dealing with|"
    r"talking about|describing|"
    r"describe|given|being shown|"
    r"before us)"
)
_PHRASES = (
    (rf"^(?:in (?:this|the) (?:clinical )?(?:case|question|statement|vignette),? )?(?:we|they|you)(?: are| were|"
     rf" have)? "
     rf"{_PRESENTED} (?=an? )", "This is "),
    (r"^(?:this|the) (?:question|statement|vignette|clinical case) (?:describes|presents|is about|is describing|"
     r"talks "
     r"about|refers to|deals with)(?: us)?(?: with)? (?:the case of )?(?=an? )", "This is "),
    (r"^(?:in|from) (?:this|the) (?:question|statement),? ", ""),
    (r"^(?:you|we|they)(?: are)?(?: being)? (?:asked|asking us|asking|ask us|ask|talking|talk|speaking|speak) about "
     r"(?=\w+ \w+)", "This concerns "),
    (r"\b(?:as )?(?:we are told|it tells us|they (?:also )?(?:tell us|say|comment|mention|describe|explain|"
     r"indicate)) "
     r"that ", ""),
    (r"\b(?:in (?:my|our) (?:humble )?opinion|personally|i (?:would )?(?:think|believe|consider|understand|suppose)|"
     r"we (?:think|believe|consider)),? (?:that )?", ""),
    (r"\b(?:should |must |can |could |would |will |may |might )?(?:always )?(?:makes?|leads?|forces?|allows?|helps?|"
     r"has to make|have to make) (?:us|you|me)(?: to)? (?:think|suspect|consider)(?: about| of| in)?\b", "suggests"),
    (r"\b(?:gives?|points?|orients?|directs?|guides?|leads?|brings?|puts?) us "
     r"(?:to(?:wards)?|in the direction of|on the track of)\b", "points to"),
    (r"\b(tells|gives|shows|offers) us\b", r"\1"),
    (r"\b(allows?|helps?) us to\b", r"\1 to"),
    (r"\byou (should|must|have to|can|need to|could|will)\b(?! be)", r"we \1"),
    (rf"\((?:wrong|incorrect|false) ({_OPTIONS})\)", r"(not \1)"),
    (rf"\((?:correct|right|true) ({_OPTIONS})\)", r"(\1)"),
    (rf"\(({_OPTIONS}),? (?:is |are )?(?:also )?(?:wrong|incorrect|false|discarded|ruled out)\)", r"(not \1)"),
    (rf"\(({_OPTIONS}),? (?:is |are )?(?:correct|right|true)\)", r"(\1)"),
    (rf"^({_OPTIONS})(?: is| are)? (correct|true|incorrect|false|wrong)(?::|\.-) ?", r"\1 is \2: "),
    (rf"\b(?:the )?(?:{_VERDICT} )?(?:answer|option|choice)(?: therefore)? (?:is|would be|must be)(?: therefore)?:? "
     r"(?:the )?option ([A-E])\b", r"the option to choose is \1"),
    (rf"\b(?:the )?{_VERDICT} (?:answer|option|choice)s?,?:? ?({_OPTIONS})\b", r"\1"),
    (rf"^({_OPTIONS})(?:\.-|[.:)-]) ?", r"\1: "),
    (r"\s+([,.;:)])", r"\1"),
    (r"\s{2,}", " "),
)  # fmt: skip
_MENDED = tuple((re.compile(pattern, re.IGNORECASE), text) for pattern, text in _PHRASES)
_TALK = re.compile(
    r"\b(?:questions?|exams?|examin(?:ers?|ees?)|mir|statements?|ministry|template|clues?|hints?|tricky|trick|catch|"
    r"students?|candy|colleagues?|opponents?|commission|academy|syllabus|bibliography|doubts?|doubtful|hesita\w+|"
    r"controvers\w+|guess\w*|wording|worded|typo|translat\w+|remember|luckily|honestly|frankly|congratulations|"
    r"deduce|"
    r"nuances?|last sentence|the word|nice word|memori[sz]e|distractors?|intuiti\w+|shown a picture|easy|"
    r"exactly|(?:correct|right) one|visu|as (?:already )?(?:said|mentioned|"
    r"discussed)|let's|let us|https?|www|et al|pubmed|uptodate|"
    r"(?:they|it) (?:(?:do|does)(?: not|n't) )?(?:tells?|asks?|gives?|says?|mentions?|describes?|comments?|"
    r"wants?|speaks?|"
    r"talks?|refers?|puts?|insists?|counts?|provides?|specif(?:y|ies))|asked|asking|asks|told|imaginary|"
    r"answers?|answered|answering|i|me|my|mine|myself|you|your|yours|us|oneself|haha|ok|wow)\b"
    r"|[!?¿¡…\U0001F300-\U0001FAFF☺-♥\u200b]|\.\.\.|[:;]-?[)(]|\b\d\. ?-",
    re.IGNORECASE,
)
_BARE_VERDICT = re.compile(
    rf"^\W*(?:(?:so|therefore|thus|hence|and|then|finally|in conclusion|for all these reasons|for this reason),? )*"
    rf"(?:(?:so )?{_OPTIONS}|the option to choose is [A-E]),?:?(?: (?:is|are|fits?|would be))?(?: also|"
    rf" therefore| clearly)*(?: the)?(?: {_VERDICT})?"
    r"(?: one| ones)?(?: \([^)]*\))?\W*$",
    re.IGNORECASE,
)
_CONNECTIVE = re.compile(
    r"^(?:and|but|so|therefore|thus|hence|also|however|moreover|furthermore|likewise|besides|then|in addition|"
    r"on the other hand|in fact|that is|finally|on the contrary|nevertheless)\b(?: that\b)?,? ",
    re.IGNORECASE,
)
_LEANS = re.compile(
    r"(?:this (?!patient|is an? |woman|man|boy|girl|child|concerns)|these |those |they |its |their |such |both |"
    r"neither |"
    r"it (?!is (?:necessary|important|essential|possible|advisable|recommended|usually|a ))|"
    r"the (?:other|rest|latter|former|same)\b)",
    re.IGNORECASE,
)


def plain_sentence(sentence: str) -> str:
    """A lettered sentence without talk about the exam, or nothing where only talk or a number would remain."""
    for pattern, text in _MENDED:
        sentence = pattern.sub(text, sentence)
    sentence = as_data(sentence).strip(' -–*•"“”')  # noqa: RUF001
    if leftover(sentence) or _TALK.search(sentence) or _BARE_VERDICT.match(sentence):
        return ""
    if len(sentence.split()) < _MIN_WORDS or "\\" in sentence:
        return ""
    sentence = sentence[0].upper() + sentence[1:]
    return sentence if sentence[-1] in ".!?" else f"{sentence.rstrip(':;,')}."


def connected(told: Sequence[str]) -> list[str]:
    """The plain sentences; one that leans on a dropped sentence loses its "therefore", or goes too."""
    kept: list[str] = []
    dropped = False
    for each in told:
        plain = plain_sentence(each)
        if plain and dropped:
            plain = _CONNECTIVE.sub("", plain)
            plain = "" if _LEANS.match(plain) else plain[0].upper() + plain[1:]
        dropped = not plain
        if plain:
            kept.append(plain)
    return kept
