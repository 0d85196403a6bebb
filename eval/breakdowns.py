"""Where a model is right and where not: accuracy by subject, exam step, length of the question and place of the answer.

A group of fewer than 20 questions says nothing and is folded into "smaller groups".
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eval.stats import Mean, mean_score

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eval.graded import Answered

SMALLEST_GROUP = 20
_SMALLER = "smaller groups"


@dataclass(frozen=True)
class Group:
    """Questions that share a value."""

    value: str
    accuracy: Mean


@dataclass(frozen=True)
class Breakdown:
    """Accuracy by one property of the questions."""

    dimension: str
    groups: list[Group]


def breakdowns(answered: Sequence[Answered], clusters: Sequence[str]) -> list[Breakdown]:
    """Accuracy by every property that splits these questions into at least two groups."""
    found = []
    for dimension, of in (
        ("subject", _meta("subject", "specialty")),
        ("source subject", _meta("src")),
        ("exam", _meta("exam")),
        ("task mode", _meta("mode")),
        ("topic", _meta("topic")),
        ("form of the case", _meta("form")),
        ("kind of choice", _meta("choice_type")),
        ("length of the question", _length(answered)),
        ("right answer", lambda item: item.question.answer),
    ):
        groups = _groups(answered, clusters, of)
        if len(groups) > 1:
            found.append(Breakdown(dimension, groups))
    return found


def _groups(answered: Sequence[Answered], clusters: Sequence[str], of: Callable[[Answered], str | None]) -> list[Group]:
    members: dict[str, list[int]] = defaultdict(list)
    for number, item in enumerate(answered):
        value = of(item)
        if value is not None:
            members[value].append(number)
    small = [value for value, numbers in members.items() if len(numbers) < SMALLEST_GROUP]
    smaller = [number for value in small for number in members.pop(value)]
    if smaller and members:
        members[_SMALLER] = smaller
    return [
        Group(
            value,
            mean_score(
                [score for number in members[value] for score in answered[number].scores],
                [clusters[number] for number in members[value] for _ in answered[number].scores],
            ),
        )
        for value in sorted(members, key=lambda value: (value == _SMALLER, value))
    ]


def _meta(*names: str) -> Callable[[Answered], str | None]:
    def value(item: Answered) -> str | None:
        return next((str(item.question.meta[name]) for name in names if item.question.meta.get(name)), None)

    return value


def _length(answered: Sequence[Answered]) -> Callable[[Answered], str]:
    """Thirds by words of the question."""
    lengths = sorted(len(item.question.stem.split()) for item in answered)
    low, high = lengths[len(lengths) // 3], lengths[2 * len(lengths) // 3]

    def third(item: Answered) -> str:
        words = len(item.question.stem.split())
        if words < low:
            return f"1. under {low} words"
        return f"2. {low} to {high - 1} words" if words < high else f"3. {high} words or more"

    return third
