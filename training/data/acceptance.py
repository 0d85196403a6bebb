r"""Whether a teacher's reply may be learned from: the completion in its canonical form, or the reason why not.

The canonical form is what the rewards ask for in full: tags on lines of their own, steps numbered from 1, the sections
of the task mode, the boxed label on the last line. A model that imitates it earns the whole format reward.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gazal.grammar import sections
from gazal.trace import OPEN_TAG, parse
from training.data.completions import fault
from training.data.words import words
from training.rewards import format_lacks

if TYPE_CHECKING:
    from training.data.rows import Row
    from training.data.teacher import Reply
    from training.recipe import Synthesis

_MIN_REASONING_WORDS = 30
_ENGLISH = frozenset(words("the of and is are was were with to in for not this that which be by"))
_OTHER = frozenset(
    words(
        "el los las del que en una por con para se le les du et est une dans pour sur der das und ist nicht ein eine "
        "mit von im den il della che di nao com uma os het een van jest nie ve bir och som att"
    )
)
_MIN_ENGLISH_SHARE = 0.03
"""The clinic's telegraphic reasoning has 5 to 25 % of these words, prose more."""
_TOLD = re.compile(
    r"\b(?:given|provided|stated|official|known) (?:answer|key)\b|\banswer key\b|\b(?:i|we) (?:was|were|am|are) told\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Judged:
    """Either a completion or the reason for rejecting the reply."""

    completion: str | None = None
    reason: str | None = None


def judge(reply: Reply, row: Row, settings: Synthesis, max_completion_tokens: int) -> Judged:
    """Judge one reply to the prompt of `row`; near-duplicates are the caller's to find."""
    if reply.finish_reason == "length":
        return Judged(reason="truncated")
    if not reply.text.strip():
        return Judged(reason="empty")
    wrong = fault(reply.text, row.choices, row.options, row.answer)
    if wrong is not None:
        return Judged(reason=wrong)
    parsed = parse(reply.text, choices=row.choices, options=row.options)
    if not settings.min_steps <= len(parsed.steps) <= settings.max_steps:
        return Judged(reason="too few steps" if len(parsed.steps) < settings.min_steps else "too many steps")
    if not is_english(parsed.reasoning) or not is_english(parsed.answer):
        return Judged(reason="language")
    if leaks(reply.text, row, parsed.steps[0].text):
        return Judged(reason="key leaked")
    heading, labels = sections(row.mode)
    if f"## {heading}" not in parsed.answer or any(f"**{label}**:" not in parsed.answer for label in labels):
        return Judged(reason="sections missing")
    count = len(parsed.reasoning.split())
    if count < _MIN_REASONING_WORDS:
        return Judged(reason="too short")
    completion = canonical(reply.text, row)
    if len(completion.split()) > max_completion_tokens:  # a word is at least one token
        return Judged(reason="too long")
    lacks = format_lacks(completion, row.choices, row.prompt)
    return Judged(reason=f"format: {lacks[0]}") if lacks else Judged(completion)


def canonical(text: str, row: Row) -> str:
    r"""The reply with tags on their own lines, "Step N: " before each step and, in closed modes, the box at its end."""
    parsed = parse(text, choices=row.choices, options=row.options)
    steps = "\n".join(f"Step {step.number}: {' '.join(step.text.split())}" for step in parsed.steps)
    answer = parsed.answer
    if row.choices and parsed.final is not None and parsed.final.value is not None:
        kept = [line for line in answer.splitlines() if "\\boxed" not in line and not _is_final_line(line)]
        answer = "\n".join(kept).strip() + f"\n\nFinal answer: \\boxed{{{parsed.final.value}}}"
    return f"<think>\n{steps}\n</think>\n\n{answer}"


def _is_final_line(line: str) -> bool:
    return line.strip(" >*_#-").casefold().startswith("final answer")


def leaks(text: str, row: Row, first_step: str) -> bool:
    """Whether the answer comes before the reasoning: ahead of it, in its first step, or as something already known."""
    if text.partition(OPEN_TAG)[0].strip() or _TOLD.search(text):
        return True
    if row.answer is None:
        return False
    label = re.escape(row.answer)
    announced = rf"\b(?i:answer|option|choice|key)\b(?:\s+(?:is|must be|will be))?\s*:?\s*[(*\"']*{label}\b(?!\w)"
    return re.search(announced, first_step) is not None or "\\boxed" in first_step


def is_english(text: str) -> bool:
    """Whether the small words of a text are English rather than of another language in Latin script; short texts pass.

    Other scripts are for `format_lacks` to find.
    """
    listed = words(text)
    if len(listed) < _MIN_REASONING_WORDS:
        return True
    english = sum(word in _ENGLISH for word in listed)
    other = sum(word in _OTHER for word in listed)
    return english > other and (other == 0 or english >= _MIN_ENGLISH_SHARE * len(listed))
