"""Agreement of repeats as a reason to answer or to abstain: accuracy by level, and from a level up.

A level is the number of a question's samples that gave its most frequent answer. A sample without a readable answer
agrees with none. Questions whose answers tie count with the expected score of a random choice among them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eval.stats import Mean, majority, majority_score, mean_score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval.graded import Answered


@dataclass(frozen=True)
class Level:
    """The questions of one level of agreement, and of this level and all above."""

    agreeing: int
    questions: int
    accuracy: float
    coverage: float
    """Share of all questions that are answered from this level up."""
    selective: Mean
    """Accuracy of those."""


def levels(answered: Sequence[Answered], clusters: Sequence[str] | None = None) -> list[Level]:
    """Every level that occurs, the highest agreement first."""
    groups = clusters if clusters is not None else [item.question.row_sha256 for item in answered]
    members: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for item, cluster in zip(answered, groups, strict=True):
        members[majority(item.said)[1]].append((majority_score(item.said, item.question.answer), cluster))
    found, above = [], list[tuple[float, str]]()
    for agreeing in sorted(members, reverse=True):
        here = members[agreeing]
        above += here
        found.append(
            Level(
                agreeing,
                len(here),
                sum(score for score, _ in here) / len(here),
                len(above) / len(answered),
                mean_score([score for score, _ in above], [cluster for _, cluster in above]),
            )
        )
    return found


def threshold(found: Sequence[Level], samples: int, target_accuracy: float) -> int:
    """The lowest agreement from which up the answers are good enough; one more than `samples` where none is.

    Good enough: the lower bound of the 95 % interval of the accuracy from there up is at least `target_accuracy`.
    """
    good = [level.agreeing for level in found if level.selective.interval.low >= target_accuracy and level.agreeing > 0]
    return min(good, default=samples + 1)
