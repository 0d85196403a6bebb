"""One patient of the clinic: which findings a case shows, and in which words.

A case is drawn, not written: age and sex within the condition's limits, most of its typical findings, some supporting
ones, now and then an atypical one and a few pertinent negatives. `draw_undecided` makes the case in which too little is
known: it shows only what two conditions share. The words of each finding come from `wording`, the form from `forms`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from training.clinic.forms import CHILD_YEARS, Style, write
from training.clinic.wording import Voice, denied, worded

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Collection

    from training.clinic.knowledge import Condition, Finding, Presentation

_VOICES: dict[Style, Voice] = {
    "clinical": "doctor",
    "referral": "doctor",
    "structured": "doctor",
    "lay": "patient",
    "letter": "patient",
    "notes": "terse",
    "triage": "terse",
}
_TOLD_BY_OTHERS = ("lab", "investigation")
_MIN_TYPICAL = 3
_MIN_SHARED = 2


@dataclass(frozen=True)
class Patient:
    """What is true of one generated patient and shown in the case."""

    condition: Condition
    presentation: Presentation
    age_years: float
    sex: Literal["female", "male"]
    present: tuple[str, ...]
    """Ids of the findings shown as present, most telling first."""
    absent: tuple[str, ...]
    """Ids of the findings shown as absent."""
    rival: Condition | None = None
    """Another condition that explains everything shown equally well; None where the case decides."""
    told: dict[str, str] = field(default_factory=dict)
    """Finding id to the exact words used in the case, apart from a capital initial."""

    @property
    def combination(self) -> str:
        """The condition with the set of typical findings shown: what is held out in a split by combination."""
        if self.rival:
            names = sorted((self.condition.id, self.rival.id))
            return f"{' or '.join(names)}: {', '.join(sorted(self.present))}"
        typical = sorted(set(self.present) & set(self.condition.findings.typical))
        return f"{self.condition.id}: {', '.join(typical)}"

    def shows(self, finding: str) -> bool:
        """Whether the case says that the finding is present."""
        return finding in self.present


def draw(
    condition: Condition,
    presentation: Presentation,
    rng: random.Random,
    *,
    hidden: Callable[[Finding], bool] = lambda _: False,
) -> Patient | None:
    """Draw a patient with this condition, showing three typical findings or more.

    `hidden` says which findings are not known yet. Where they leave too little to show, or what is left fits another
    condition as well, there is no such patient and None is returned.
    """
    weights = condition.findings

    def known(findings: list[str]) -> list[str]:
        return [each for each in findings if not hidden(presentation.findings[each])]

    possible = known(weights.typical)
    if len(possible) < _MIN_TYPICAL:
        return None
    typical = [finding for finding in possible if rng.random() < 0.8]
    if len(typical) < _MIN_TYPICAL:
        typical = rng.sample(possible, _MIN_TYPICAL)
    supporting = [finding for finding in known(weights.supporting) if rng.random() < 0.4]
    supporting = rng.sample(supporting, min(3, len(supporting)))
    atypical = [finding for finding in known(weights.atypical) if rng.random() < 0.12][:1]
    present = (*typical, *supporting, *atypical)
    if also_explains(condition, present, presentation):
        present = (*typical, *(each for each in possible if each not in typical), *supporting, *atypical)
        if also_explains(condition, present, presentation):
            return None
    absences = _compatible(known(weights.absent), present, presentation)
    absent = rng.sample(absences, min(len(absences), rng.choice((0, 1, 1, 2, 3))))
    return Patient(condition, presentation, *_who(condition, condition, rng), present, tuple(absent))


def draw_undecided(
    condition: Condition, rivals: list[Condition], presentation: Presentation, rng: random.Random
) -> Patient | None:
    """A patient who shows only findings of equal weight in this condition and in one of `rivals`, or None."""
    rng.shuffle(rivals)
    for rival in rivals:
        own, other = condition.findings, rival.findings
        shared = [each for each in own.typical if each in other.typical]
        shared += [each for each in own.supporting if each in other.supporting]
        ages = condition.age_years[0] <= rival.age_years[1] and rival.age_years[0] <= condition.age_years[1]
        sexes = "any" in (condition.sex, rival.sex) or condition.sex == rival.sex
        complaints = [each for each in shared if presentation.findings[each].kind in ("symptom", "sign")]
        if len(shared) < _MIN_SHARED or not complaints or not ages or not sexes:
            continue
        rng.shuffle(shared)
        present = tuple(dict.fromkeys((rng.choice(complaints), *shared)))[: rng.choice((2, 3, 3, 4))]
        absences = _compatible([each for each in own.absent if each in other.absent], present, presentation)
        absent = tuple(rng.sample(absences, min(len(absences), rng.choice((0, 1, 2)))))
        return Patient(condition, presentation, *_who(condition, rival, rng), present, absent, rival)
    return None


def tell(patient: Patient, style: Style, rng: random.Random, *, plain: bool = False) -> str:
    """The case in words; records in `patient.told` how each finding was put."""
    voice = _VOICES[style]
    adult = patient.age_years >= CHILD_YEARS
    for finding_id in patient.present:
        finding = patient.presentation.findings[finding_id]
        said = "doctor" if voice == "patient" and finding.kind in _TOLD_BY_OTHERS else voice
        patient.told[finding_id] = rng.choice(finding.clinical) if plain else worded(finding, said, rng)
    for finding_id in patient.absent:
        finding = patient.presentation.findings[finding_id]
        patient.told[finding_id] = rng.choice(finding.absent) if plain else denied(finding, voice, adult, rng)
    return write(patient, style, rng, plain=plain)


def also_explains(condition: Condition, present: Collection[str], presentation: Presentation) -> bool:
    """Whether another condition of the file would explain everything shown."""
    return any(
        set(present) <= other.findings.all_present() for other in presentation.conditions if other.id != condition.id
    )


def _compatible(absences: list[str], present: Collection[str], presentation: Presentation) -> list[str]:
    """Absences that do not deny a measurement which is present with another value."""
    measures = [presentation.findings[each].measure for each in present]
    measured = {each.quantity for each in measures if each}
    return [
        each
        for each in absences
        if each not in present
        and not ((measure := presentation.findings[each].measure) and measure.quantity in measured)
    ]


def _who(condition: Condition, other: Condition, rng: random.Random) -> tuple[float, Literal["female", "male"]]:
    """Age and sex that both conditions allow."""
    age = rng.uniform(max(condition.age_years[0], other.age_years[0]), min(condition.age_years[1], other.age_years[1]))
    sexes = {condition.sex, other.sex} - {"any"}
    sex: Literal["female", "male"] = (
        "female" if "female" in sexes else "male" if sexes else rng.choice(("female", "male"))
    )
    return float(round(age)) if age >= 2 else round(age * 12) / 12, sex
