"""What a case says, in the form that conditions ask for: findings on demand, numbers, and who the patient is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gazal.case import ClinicalCase
from gazal.redflags import patient as patients
from gazal.redflags import readings as numbers
from gazal.redflags.assertion import status
from gazal.redflags.phrases import normalised
from gazal.redflags.vocabulary import book

if TYPE_CHECKING:
    from gazal.redflags.patient import Patient
    from gazal.redflags.phrases import Phrase
    from gazal.redflags.readings import Reading

_LONGEST_EVIDENCE = 100


@dataclass(frozen=True)
class _Section:
    original: str
    text: str
    candidates: dict[str, list[Phrase]]
    background: bool
    """A list of past illnesses or of drugs: what it says is known, and not of now unless it says so."""


@dataclass
class Facts:
    """One case, read once; each finding is looked for when a rule first asks."""

    patient: Patient
    readings: dict[str, list[Reading]]
    _sections: tuple[_Section, ...]
    _said: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, case: ClinicalCase | str) -> Facts:
        """Read a structured case or a vignette."""
        if isinstance(case, str):
            sections: tuple[_Section, ...] = (_section(case),)
            patient = patients.from_text(sections[0].text)
            structured: list[Reading] = []
        else:
            sections = (
                _section("\n".join((case.complaint, case.examination, case.investigations))),
                _section("\n".join((*case.history, *case.medications)), background=True),
            )
            patient = patients.from_case(case, patients.from_text("\n".join(each.text for each in sections)))
            structured = numbers.from_case(case)
        readings: dict[str, list[Reading]] = {}
        for reading in structured + numbers.from_text(sections[0].text, sections[0].original):
            readings.setdefault(reading.quantity, []).append(reading)
        return cls(patient, readings, sections)

    def said(self, finding: str, *, ever: bool) -> str | None:
        """The words in which a finding was said of this patient: now, or with `ever` at any time."""
        if finding not in self._said:
            self._said[finding] = self._look(finding)
        now, past = self._said[finding]
        return now or (past if ever else None)

    def _look(self, finding: str) -> tuple[str | None, str | None]:
        past = None
        for section in self._sections:
            for phrase in section.candidates.get(finding, ()):
                for match in phrase.regex.finditer(section.text):
                    said = status(section.text, *match.span())
                    if said == "other":
                        continue
                    words = " ".join(section.original[match.start() : match.end()].split())[:_LONGEST_EVIDENCE]
                    if said == "present" and not section.background:
                        return words, words
                    past = past or words
        return None, past


def _section(text: str, *, background: bool = False) -> _Section:
    plain = normalised(text)
    return _Section(text, plain, book().candidates(plain), background)
