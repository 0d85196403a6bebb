r"""The final answer of a reply: a label of a closed set, or a named reason why there is none. Never a guess.

The order is fixed: the last `\boxed{...}` of the answer; without any, the last line that starts with `Final answer:`.
What stands there must be one allowed label, alone or followed by its option's text. There is no fuzzy matching, no
search for option texts elsewhere, and nothing here ever sees the right answer.

    extract("... Final answer: \\boxed{C}", ("A", "B", "C", "D"))   ->  Extraction(value="C", method="boxed")
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Failure = Literal["truncated", "no_answer", "ambiguous", "out_of_range", "empty", "error"]
"""Why no answer could be read.

truncated: the budget ended first. no_answer: nothing was boxed or announced. ambiguous: more than one answer was given.
out_of_range: something was announced that is not an allowed label. empty: there is no answer text. error: no reply.
"""

Method = Literal["boxed", "line"]

_ANNOUNCED = re.compile(r"^[ \t>*_#-]*final answer[ \t*_]*[:：][ \t*_]*(.*)$", re.IGNORECASE | re.MULTILINE)  # noqa: RUF001
_WRAPPER = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|boldsymbol|boxed|fbox)\s*\{([^{}]*)\}")
_BOXED = re.compile(r"\\f?boxed\s*\{")
_MAX_BOX_CHARS = 400


@dataclass(frozen=True)
class Extraction:
    """Exactly one of `value` and `failure` is set; `stated` is the text that was judged, where there was any."""

    value: str | None = None
    failure: Failure | None = None
    method: Method | None = None
    stated: str | None = None


def extract(
    answer: str,
    choices: Sequence[str],
    *,
    options: Mapping[str, str] | None = None,
    truncated: bool = False,
    failed: bool = False,
) -> Extraction:
    """Read the final answer out of `answer`, the text after the reasoning.

    `choices` are the allowed labels, `options` their texts where they have any (used only to recognise "C. Aspirin").
    `truncated` says that generation ended by its token budget or inside the reasoning; `failed`, that no reply came.
    """
    if failed:
        return Extraction(failure="error")
    if truncated:
        return Extraction(failure="truncated")
    if not answer.strip():
        return Extraction(failure="empty")
    boxes = list(_boxes(answer))
    if boxes:
        start, stated = boxes[-1]
        line_start = answer.rfind("\n", 0, start) + 1
        same_line = [text for position, text in boxes if position >= line_start]
        results = {_judge(text, choices, options) for text in same_line}
        if len(results) > 1:
            return Extraction(failure="ambiguous", method="boxed", stated=" / ".join(same_line[-4:]))
        return _result(stated, "boxed", choices, options)
    announced = _ANNOUNCED.findall(answer)
    if announced:
        return _result(announced[-1], "line", choices, options)
    return Extraction(failure="no_answer")


def _result(stated: str, method: Method, choices: Sequence[str], options: Mapping[str, str] | None) -> Extraction:
    value, failure = _judge(stated, choices, options)
    return Extraction(value, failure, method, stated.strip()[:200])


def _boxes(text: str) -> list[tuple[int, str]]:
    """Positions and contents of all balanced `\\boxed{...}`, in order; nested boxes count as one, the outer."""
    found: list[tuple[int, str]] = []
    position = 0
    while opening := _BOXED.search(text, position):
        depth, index = 1, opening.end()
        limit = min(len(text), index + _MAX_BOX_CHARS)
        while index < limit and depth:
            depth += {"{": 1, "}": -1}.get(text[index], 0)
            index += 1
        if depth == 0:
            found.append((opening.start(), text[opening.end() : index - 1]))
            position = index
        else:
            position = opening.end()
    return found


def _judge(stated: str, choices: Sequence[str], options: Mapping[str, str] | None) -> tuple[str | None, Failure | None]:
    text = _plain(stated)
    if not text:
        return None, "no_answer"
    labels = {_fold(label): label for label in choices}
    if _fold(text) in labels:
        return labels[_fold(text)], None
    label = "[A-Ja-j]" if all(len(choice) == 1 for choice in choices) else "|".join(map(re.escape, choices))
    several = rf"(?:{label})\)?(?:\s*(?:,|/|&|\+|;|\||\bor\b|\band\b)\s*\(?(?:{label})\)?)+"
    if re.fullmatch(several, text, re.IGNORECASE) or re.fullmatch(r"[A-J]{2,10}", text):
        return None, "ambiguous"
    with_text = re.fullmatch(rf"\(?({label})(?:\)|\)?[.:,]|\)?\s[-–—])\s*(.+)", text, re.IGNORECASE | re.DOTALL)  # noqa: RUF001
    if with_text is None:
        return None, "out_of_range"
    found = labels.get(_fold(with_text[1]))
    return (None, "out_of_range") if found is None else _judge_option_text(found, with_text[2], options)


def _judge_option_text(label: str, rest: str, options: Mapping[str, str] | None) -> tuple[str | None, Failure | None]:
    """Judge "C. Aspirin": the text must not be another option's, and "C. difficile" is an organism, not option C."""
    own = _fold(_plain((options or {}).get(label, "")))
    said = _fold(_plain(rest))
    others = {_fold(_plain(text)) for key, text in (options or {}).items() if key != label}
    if said and said == own:
        return label, None
    if said in others or re.match(r"\W*(?:or|and)\b", said):
        return None, "ambiguous"
    return (None, "ambiguous") if rest.lstrip()[:1].islower() and len(label) == 1 else (label, None)


def _plain(text: str) -> str:
    """Strip LaTeX wrappers, emphasis, surrounding brackets and the closing stop; full-width letters become plain."""
    text = unicodedata.normalize("NFKC", text)
    while (unwrapped := _WRAPPER.sub(r"\1", text)) != text:
        text = unwrapped
    text = text.strip().strip("*_`$\"' \t")
    if text[:1] + text[-1:] in ("()", "[]", "{}"):
        text = text[1:-1]
    return text.rstrip(".!。 \t").strip()


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())
