r"""The final answer of a reply: a label of a closed set, or a named reason why there is none. Never a guess.

The order is fixed: the last `\boxed{...}` of the answer; without any, the last line that starts with `Final answer:`.
What stands there must be one allowed label, alone or followed by the text of its own option. There is no fuzzy
matching, no search for option texts elsewhere, and nothing here ever sees the right answer.

    extract("... Final answer: \\boxed{C}", ("A", "B", "C", "D"))   ->  Extraction(value="C", method="boxed")
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Failure = Literal["truncated", "no_answer", "ambiguous", "out_of_range", "empty", "error"]
"""Why no answer could be read.

truncated: the budget ended first. no_answer: nothing was boxed or announced. ambiguous: more than one answer was given,
or a label with a text that is not its own. out_of_range: what was announced is no allowed label. empty: there is no
answer text. error: no reply came.
"""

Method = Literal["boxed", "line"]

_ANNOUNCED = re.compile(r"^[ \t>*_#-]*final answer[ \t*_]*[:：][ \t*_]*(.*)$", re.IGNORECASE | re.MULTILINE)  # noqa: RUF001
_BRACE = re.compile(r"\\f?boxed\s*\{|[{}]")
_MACRO = re.compile(r"\\[A-Za-z]+\s*\{([^{}]*)\}")
_FULL_WIDTH = {0xFF01 + offset: 0x21 + offset for offset in range(94)} | dict.fromkeys((0x200E, 0x200F))
"""Full-width letters become plain, invisible direction marks vanish; other look-alikes stay what they are."""
_MAX_STATED_CHARS = 2_500


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
    boxes = _boxes(answer)
    if boxes:
        start, stated = boxes[-1]
        if stated is None:
            return Extraction(failure="out_of_range", method="boxed")
        line_start = answer.rfind("\n", 0, start) + 1
        same_line = [text for position, text in boxes if position >= line_start and text is not None]
        if len({_judge(text, choices, options) for text in same_line}) > 1:
            return Extraction(failure="ambiguous", method="boxed", stated=" / ".join(same_line[-4:])[:200])
        return _result(stated, "boxed", choices, options)
    announced = _ANNOUNCED.findall(answer)
    if announced:
        return _result(announced[-1], "line", choices, options)
    return Extraction(failure="no_answer")


def _result(stated: str, method: Method, choices: Sequence[str], options: Mapping[str, str] | None) -> Extraction:
    value, failure = _judge(stated, choices, options)
    return Extraction(value, failure, method, stated.strip()[:200])


def _boxes(text: str) -> list[tuple[int, str | None]]:
    """Positions and contents of the outermost `\\boxed{...}`, in order, in one pass.

    When the last box of the text is never closed, it is returned too, with None for its content.
    """
    closed: list[tuple[int, str]] = []
    open_braces: list[tuple[int, int]] = []  # start and content start of a box; (-1, -1) for a plain brace
    last_opening = -1
    for brace in _BRACE.finditer(text):
        if brace.group() == "}":
            start, content = open_braces.pop() if open_braces else (-1, -1)
            if start >= 0:
                while closed and closed[-1][0] > start:
                    closed.pop()
                closed.append((start, text[content : brace.start()]))
        elif brace.group() == "{":
            open_braces.append((-1, -1))
        else:
            last_opening = brace.start()
            open_braces.append((last_opening, brace.end()))
    unclosed = any(start == last_opening for start, _ in open_braces if start >= 0)
    return [*closed, (last_opening, None)] if unclosed else list(closed)


def _judge(stated: str, choices: Sequence[str], options: Mapping[str, str] | None) -> tuple[str | None, Failure | None]:
    if len(stated) > _MAX_STATED_CHARS:
        return None, "out_of_range"
    text = _plain(stated)
    if not text:
        return None, "no_answer"
    labels = {_fold(label): label for label in choices}
    if _fold(text) in labels:
        return labels[_fold(text)], None
    one_letter = all(len(choice) == 1 for choice in choices)
    label = "[a-j]" if one_letter else "|".join(map(re.escape, choices))
    bracketed = rf"[(\[]?(?:{label})[)\]]?"
    joint = r"\s*(?:[,/&+;|.:–—-]|\bor\b|\band\b)[\s,;]*+(?:(?:or|and)\b\s*)?"  # noqa: RUF001
    if re.fullmatch(rf"(?:(?:both|either)\s+)?{bracketed}(?:{joint}{bracketed})+", text, re.IGNORECASE):
        return None, "ambiguous"
    if one_letter and re.fullmatch(r"[A-J]{2,10}", text):
        return None, "ambiguous"
    separator = r"([.:,;)]|\s[-–—]|\s(?=\())"  # noqa: RUF001
    with_text = re.fullmatch(rf"[(\[]?({label})[)\]]?{separator}\s*(.+)", text, re.IGNORECASE | re.DOTALL)
    found = labels.get(_fold(with_text[1])) if with_text else None
    if with_text is None or found is None:
        return None, "out_of_range"
    said = with_text[3]
    if options and found in options:
        fits = _begins_alike(said, options[found]) and not re.search(rf"\b(?:{label})[.):]\s", said, re.IGNORECASE)
    else:
        fits = not (one_letter and with_text[2] == "." and said[0].islower()) and not _names_another(
            said, found, choices
        )
    return (found, None) if fits else (None, "ambiguous")


def _begins_alike(said: str, own: str) -> bool:
    """Whether a text is the option's own, or one of them continues the other."""
    said, own = _fold(_plain(said)), _fold(_plain(own))
    return said == own or own.startswith(said + " ") or said.startswith(own + " ")


def _names_another(said: str, found: str, choices: Sequence[str]) -> bool:
    """Whether a text, whose option is not known, holds one more label: "and C", "B) ...", or the word "yes"."""
    if len(found) > 1:
        others = "|".join(re.escape(choice) for choice in choices if choice != found)
        return re.search(rf"\b(?:{others})\b", said, re.IGNORECASE) is not None
    label = f"(?:{'|'.join(map(re.escape, choices))})"
    before, after = r"(?:^|[,;/&|]\s*|\b(?:or|and)\s+)", r"(?=$|[.,;:)/&|]|\s+(?:or|and)\b)"
    return re.search(rf"{before}{label}{after}|\b{label}[.):]\s", said) is not None


def _plain(text: str) -> str:
    """Strip LaTeX macros, Markdown emphasis, one pair of surrounding brackets and closing punctuation."""
    text = text.translate(_FULL_WIDTH)
    while (unwrapped := _MACRO.sub(r"\1", text)) != text:
        text = unwrapped
    text = text.replace("**", "").replace("__", "").strip("*_`$\"' \t\n")
    text = text.rstrip(".!?。 \t")
    if text.endswith(")") and "(" not in text:
        text = text[:-1].rstrip()
    inner = text[1:-1]
    if text[:1] + text[-1:] in ("()", "[]", "{}") and not re.search(r"[()\[\]{}]", inner):
        text = inner.strip().rstrip(".!?。 \t")
    return text


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())
