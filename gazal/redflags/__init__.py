"""Emergencies that fixed rules find in a case, whatever a model says of it.

Rules over vital signs, laboratory values and words (clinical and everyday ones), with negation, history, relatives and
hypotheses told apart. The same input gives the same flags; no model, no network, about a millisecond. A flag asks for a
look by a clinician; the absence of flags means nothing. docs/red-flags.md has the measured sensitivity and specificity.

    check("58-year-old man, crushing chest pain, BP 84/50")    # (acute_coronary_syndrome, critical_vital_signs)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gazal.case import ClinicalCase
    from gazal.redflags.conditions import Rule


@dataclass(frozen=True)
class RedFlag:
    """A rule that holds of a case."""

    id: str
    """Stable name of the rule, one of `rules()`."""
    title: str
    message: str
    """What to do, for a clinician."""
    source: str
    """Guideline by name and year."""
    evidence: tuple[str, ...]
    """The words and numbers of the case that the rule rests on; clinical text, not for logs."""


def check(case: ClinicalCase | str) -> tuple[RedFlag, ...]:
    """The emergencies that the rules find in a structured case or a vignette, in the order of `rules()`."""
    from gazal.redflags.facts import Facts

    facts = Facts.of(case)
    return tuple(
        RedFlag(rule.id, rule.title, rule.message, rule.source, evidence)
        for rule in rules()
        if (evidence := rule.when.evidence(facts)) is not None
    )


@cache
def rules() -> tuple[Rule, ...]:
    """All rules, the most pressing first."""
    from gazal.redflags import rules_body, rules_circulation, rules_nerves

    return rules_circulation.RULES + rules_nerves.RULES + rules_body.RULES
