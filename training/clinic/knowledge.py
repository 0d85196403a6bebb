"""The knowledge base: one YAML file a presentation, with conditions that look alike and what tells them apart.

Grouping by presentation ("chest pain in an adult") and not by specialty puts the differential diagnosis into one file:
its conditions share one vocabulary of findings and are each other's distractors. Every finding has several wordings,
clinical and lay, because a model that sees one phrase a finding learns the phrase. Loading checks everything that can
be checked: references, wordings, plausible numbers, and that every pair of conditions can be told apart.

    clinic = load()
    clinic.conditions["inferior-stemi"].treatment.first_line
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from gazal.quantities import LABS, VITALS, check_plausible

PRESENTATIONS = Path(__file__).parent / "presentations"

Id = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Text = Annotated[str, Field(min_length=3, max_length=400)]
Phrase = Annotated[str, Field(min_length=3, max_length=160, pattern=r"[^.\s]$")]


class KnowledgeError(ValueError):
    """A presentation file is malformed or contradicts itself; the message names file, place and fix."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Measure(_Strict):
    """A finding that is a number: a quantity of `gazal.quantities`, and the range from which cases draw."""

    quantity: str
    unit: str
    low: float
    high: float

    @model_validator(mode="after")
    def _plausible(self) -> Self:
        known = {**VITALS, **LABS}.get(self.quantity)
        if known is None:
            raise ValueError(f"quantity {self.quantity!r} is not in gazal.quantities")
        if self.low > self.high:
            raise ValueError(f"{self.quantity}: low is above high")
        for value in (self.low, self.high):
            check_plausible(known, value, self.unit)
        return self


class Finding(_Strict):
    """Something that can be present in a case: a symptom, sign, measurement, test result or history item."""

    kind: Literal["symptom", "sign", "vital", "lab", "investigation", "history"]
    clinical: Annotated[list[Phrase], Field(min_length=2)]
    """Noun phrases without a full stop, as a doctor writes: "crushing central chest pain"."""
    lay: list[Phrase] = Field(default_factory=list)
    """As the patient or a parent says it; at least two for symptoms and history."""
    absent: list[Phrase] = Field(default_factory=list)
    """How its absence is written: "no neck stiffness"."""
    measure: Measure | None = None

    @model_validator(mode="after")
    def _worded(self) -> Self:
        if self.kind == "symptom" and len(self.lay) < 2:
            raise ValueError("a symptom needs at least two lay wordings")
        return self


class FindingWeights(_Strict):
    """How a condition shows: ids of the presentation's findings."""

    typical: Annotated[list[Id], Field(min_length=3)]
    """Present in most patients; together they make the diagnosis."""
    supporting: list[Id] = Field(default_factory=list)
    """Present in about half."""
    atypical: list[Id] = Field(default_factory=list)
    """Now and then present; points elsewhere."""
    absent: list[Id] = Field(default_factory=list)
    """Their absence is expected and worth writing."""

    def all_present(self) -> set[str]:
        """Ids of all findings that may be present."""
        return {*self.typical, *self.supporting, *self.atypical}


class Discriminator(_Strict):
    """What tells this condition from a look-alike."""

    against: Id
    finding: Id
    """A finding that argues for this condition (or whose absence does)."""
    why: Text


class Test(_Strict):
    """An investigation that settles the question."""

    name: Text
    result: Text
    """What it shows in this condition."""
    why: Text


class Contraindication(_Strict):
    """A patient factor that changes the treatment."""

    factor: Text
    """As a history item of the case: "documented anaphylaxis to penicillin"."""
    avoid: Text
    instead: Text
    why: Text


class Treatment(_Strict):
    """First- and second-line treatment and what changes it."""

    first_line: Text
    why: Text
    second_line: Text
    contraindications: Annotated[list[Contraindication], Field(min_length=1)]
    never: Annotated[list[Text], Field(min_length=2)]
    """Wrong treatments of this condition, plausible to the unwary; distractors."""


class Uncertainty(_Strict):
    """What to do when the decisive information is missing."""

    missing: Text
    """What is not known: "the ECG has not been recorded yet"."""
    decision: Text
    """What to do now."""
    why: Text
    wrong: Annotated[list[Text], Field(min_length=3)]
    """Decisions that would harm or waste time; distractors."""


class Prognosis(_Strict):
    """Course, and what makes it worse or better."""

    course: Text
    worse: Annotated[list[Text], Field(min_length=3)]
    """Factors that worsen the outlook, as history items or findings."""
    better: Annotated[list[Text], Field(min_length=2)]


class Condition(_Strict):
    """One condition of a presentation."""

    id: Id
    name: Text
    specialty: Text
    acuity: Literal["emergency", "urgent", "routine"]
    age_years: Annotated[list[float], Field(min_length=2, max_length=2)]
    sex: Literal["any", "female", "male"] = "any"
    findings: FindingWeights
    red_flags: list[Id] = Field(default_factory=list)
    """Findings of this condition that demand action now."""
    mechanism: Text
    """Why the findings arise; one sentence of pathophysiology."""
    must_not_miss: Annotated[list[Id], Field(min_length=1)]
    """Dangerous alternatives among the conditions of the presentation."""
    discriminators: Annotated[list[Discriminator], Field(min_length=1)]
    tests: Annotated[list[Test], Field(min_length=1)]
    treatment: Treatment
    uncertainty: Uncertainty
    prognosis: Prognosis
    sources: Annotated[list[Text], Field(min_length=1)]
    """Guideline or textbook, by name and year."""


class Presentation(_Strict):
    """A way in which patients come, and the conditions behind it."""

    id: Id
    title: Text
    informant: Literal["patient", "parent", "relative"] = "patient"
    """Who tells the story in lay words: a confused patient or a small child cannot."""
    findings: dict[Id, Finding]
    conditions: Annotated[list[Condition], Field(min_length=4)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = [condition.id for condition in self.conditions]
        for condition in self.conditions:
            weights = condition.findings
            used = [*weights.typical, *weights.supporting, *weights.atypical, *weights.absent]
            named = [*used, *condition.red_flags, *(each.finding for each in condition.discriminators)]
            for finding in named:
                if finding not in self.findings:
                    raise ValueError(f"{condition.id}: finding {finding!r} is not defined in this file")
            for finding in set(used):
                if used.count(finding) > 1:
                    raise ValueError(f"{condition.id}: finding {finding!r} is listed twice")
            for finding in weights.absent:
                if not self.findings[finding].absent:
                    raise ValueError(
                        f"finding {finding!r} needs an 'absent' wording, {condition.id} lists it as absent"
                    )
            for reference in [*condition.must_not_miss, *(each.against for each in condition.discriminators)]:
                if reference not in ids or reference == condition.id:
                    raise ValueError(f"{condition.id}: {reference!r} is not another condition of this file")
            for flag in condition.red_flags:
                if flag not in weights.all_present():
                    raise ValueError(f"{condition.id}: red flag {flag!r} is not among its findings")
        for one, other in combinations(self.conditions, 2):
            if not _told_apart(one, other):
                raise ValueError(
                    f"{one.id} and {other.id} cannot be told apart: give one a typical finding that the other lacks"
                )
        unused = set(self.findings) - {
            f for c in self.conditions for f in (c.findings.all_present() | {*c.findings.absent})
        }
        if unused:
            raise ValueError(f"finding {sorted(unused)[0]!r} is used by no condition; remove it")
        return self


def _told_apart(one: Condition, other: Condition) -> bool:
    return any(
        finding not in second.findings.all_present()
        for first, second in ((one, other), (other, one))
        for finding in first.findings.typical
    )


def undiscriminated(presentation: Presentation) -> list[tuple[str, str]]:
    """Pairs of look-alikes without a discriminator that one of the two shows and the other does not.

    Look-alikes are conditions of which one names the other as not to be missed or argues against it.
    """
    by_id = {each.id: each for each in presentation.conditions}
    pairs = {
        tuple(sorted((each.id, other)))
        for each in presentation.conditions
        for other in (*each.must_not_miss, *(one.against for one in each.discriminators))
    }
    return [(first, second) for first, second in sorted(pairs) if not _discriminated(by_id[first], by_id[second])]


def _discriminated(one: Condition, other: Condition) -> bool:
    return any(
        (each.finding in one.findings.all_present()) != (each.finding in other.findings.all_present())
        for first, second in ((one, other), (other, one))
        for each in first.discriminators
        if each.against == second.id
    )


@dataclass(frozen=True)
class Clinic:
    """All presentations, and all conditions by id."""

    presentations: tuple[Presentation, ...]

    @property
    def conditions(self) -> dict[str, Condition]:
        """Condition by id; ids are unique over all files."""
        return {condition.id: condition for each in self.presentations for condition in each.conditions}

    def only(self, presentations: Collection[str]) -> Clinic:
        """The part of the clinic with these presentations. Raises KnowledgeError for an id that does not exist."""
        known = {each.id for each in self.presentations}
        for presentation in presentations:
            if presentation not in known:
                raise KnowledgeError(f"no presentation {presentation!r}; use some of: {', '.join(sorted(known))}")
        return Clinic(tuple(each for each in self.presentations if each.id in presentations))


def load(directory: Path = PRESENTATIONS) -> Clinic:
    """Read and check every presentation file. Raises KnowledgeError."""
    presentations = tuple(_read(path) for path in sorted(directory.glob("*.yaml")))
    ids = [condition.id for each in presentations for condition in each.conditions]
    for condition_id in ids:
        if ids.count(condition_id) > 1:
            raise KnowledgeError(f"condition {condition_id!r} is defined in two files; rename one")
    return Clinic(presentations)


def entries(path: Path) -> list[dict[str, Any]]:
    """The mappings of a YAML list. Raises KnowledgeError."""
    try:
        return TypeAdapter(list[dict[str, Any]]).validate_python(_document(path))
    except (yaml.YAMLError, ValidationError) as error:
        raise KnowledgeError(f"{path.name}: not a YAML list of mappings ({error})") from error


def first_fault(error: ValidationError, whole: str = "") -> str:
    """Place and message of the first thing that pydantic refused; `whole` names what a fault without a place is in."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or whole
    return f"{place}: {first['msg'].removeprefix('Value error, ')}".removeprefix(": ")


def _read(path: Path) -> Presentation:
    try:
        return Presentation.model_validate(_document(path))
    except yaml.YAMLError as error:
        raise KnowledgeError(f"{path.name}: not YAML ({error})") from error
    except ValidationError as error:
        raise KnowledgeError(f"{path.name}, {first_fault(error, 'the file')}") from error


def _document(path: Path) -> Any:  # noqa: ANN401
    # The loader in C reads the files in a tenth of the time of the one in Python.
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
