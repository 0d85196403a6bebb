"""What a rule asks for, as small values that can be combined, read and tested.

Every condition is monotone: it can only begin to hold when something is added to a case or a number moves away
from normal. There is no "not" and no "unless", so adding severity never removes a flag; a test with generated cases
checks it. A condition that holds gives its evidence, the words and numbers it rests on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gazal.redflags.facts import Facts

Evidence = tuple[str, ...]


class Condition(Protocol):
    """Something that holds of a case or does not."""

    def evidence(self, facts: Facts) -> Evidence | None:
        """What it rests on, or None when it does not hold."""
        ...


@dataclass(frozen=True)
class Says:
    """A finding of the vocabulary is said of this patient now; with `ever`, also in the past or as a known illness."""

    finding: str
    ever: bool = False

    def evidence(self, facts: Facts) -> Evidence | None:
        """The phrase as it was written."""
        said = facts.said(self.finding, ever=self.ever)
        return None if said is None else (said,)


@dataclass(frozen=True)
class Number:
    """Some reading of a quantity is at or beyond a limit, in its canonical unit."""

    quantity: str
    at_least: float | None = None
    at_most: float | None = None

    def evidence(self, facts: Facts) -> Evidence | None:
        """The most extreme reading beyond the limit."""
        beyond = [
            reading
            for reading in facts.readings.get(self.quantity, ())
            if (self.at_least is not None and reading.value >= self.at_least)
            or (self.at_most is not None and reading.value <= self.at_most)
        ]
        if not beyond:
            return None
        worst = max(beyond, key=lambda reading: reading.value if self.at_most is None else -reading.value)
        return (worst.evidence,)


@dataclass(frozen=True)
class Aged:
    """The age in years is known and lies in [from_, below); `or_unknown` lets an unknown age pass."""

    from_: float = 0
    below: float = 1000
    or_unknown: bool = False

    def evidence(self, facts: Facts) -> Evidence | None:
        """Nothing to show: an age alone is no sign."""
        age = facts.patient.age_years
        if age is None:
            return () if self.or_unknown else None
        return () if self.from_ <= age < self.below else None


@dataclass(frozen=True)
class Pregnant:
    """Pregnant, from some week on where the week matters, or shortly after birth."""

    from_week: int = 0
    after_birth: bool = False
    before_week: int = 50

    def evidence(self, facts: Facts) -> Evidence | None:
        """The week, where it is known."""
        patient = facts.patient
        if self.after_birth and patient.after_birth:
            return ("after childbirth",)
        weeks = patient.pregnancy_weeks
        if (
            not patient.pregnant
            or (weeks is None and self.from_week)
            or not self.from_week <= (weeks or 0) < self.before_week
        ):
            return None
        return ("pregnant" if weeks is None else f"{weeks} weeks pregnant",)


@dataclass(frozen=True)
class AtLeast:
    """At least `count` of some conditions hold."""

    count: int
    of: tuple[Condition, ...]

    def evidence(self, facts: Facts) -> Evidence | None:
        """The evidence of every one that holds, each piece once."""
        held = [evidence for each in self.of if (evidence := each.evidence(facts)) is not None]
        if len(held) < self.count:
            return None
        return tuple(dict.fromkeys(piece for evidence in held for piece in evidence))


@dataclass(frozen=True)
class AllOf:
    """All of some conditions hold."""

    of: tuple[Condition, ...]

    def evidence(self, facts: Facts) -> Evidence | None:
        """Their evidence together; the first that fails ends the search."""
        pieces: list[str] = []
        for each in self.of:
            evidence = each.evidence(facts)
            if evidence is None:
                return None
            pieces += evidence
        return tuple(dict.fromkeys(pieces))


def says(*findings: str) -> Condition:
    """Any of some findings, said of now."""
    return any_of(*(Says(finding) for finding in findings))


def known(*findings: str) -> Condition:
    """Any of some findings, said of now or earlier: an illness that stays, a drug that is taken."""
    return any_of(*(Says(finding, ever=True) for finding in findings))


def high(quantity: str, limit: float) -> Condition:
    """A reading at or above a limit."""
    return Number(quantity, at_least=limit)


def low(quantity: str, limit: float) -> Condition:
    """A reading at or below a limit."""
    return Number(quantity, at_most=limit)


def all_of(*conditions: Condition) -> Condition:
    """All hold."""
    return AllOf(conditions)


def any_of(*conditions: Condition) -> Condition:
    """At least one holds."""
    return conditions[0] if len(conditions) == 1 else AtLeast(1, conditions)


def two_of(*conditions: Condition) -> Condition:
    """At least two hold."""
    return AtLeast(2, conditions)


@dataclass(frozen=True)
class Rule:
    """An emergency, when to think of it, what to say and where that comes from."""

    id: str
    title: str
    message: str
    source: str
    """Guideline by name and year."""
    when: Condition
