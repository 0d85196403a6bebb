"""Who the patient is, as far as limits depend on it: age and pregnancy, from fields or from prose."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gazal.redflags.assertion import status

if TYPE_CHECKING:
    from gazal.case import ClinicalCase

_DAYS = {"day": 1.0, "week": 7.0, "month": 30.44, "year": 365.25}
_WORDS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
]  # fmt: skip
_NUMBER = rf"(?P<number>\d{{1,3}}|{'|'.join(_WORDS[1:])}|thirty|forty|fifty|sixty|seventy|eighty|ninety)"
_AGE = re.compile(rf"\b{_NUMBER} ?(?P<unit>year|yr|month|week|day)s? ?old|\b(?:aged?|baby of|infant of|child "
        rf"of) {_NUMBER.replace('number', 'number2')}(?: (?P<unit2>year|month|week|day)s?)?\b"
        rf"|\b(?P<number3>\d{{1,3}}) ?(?:y/o|yo|y\.o)\b")  # fmt: skip
_YOUNG = re.compile(
    r"(?<!as a )(?<!had a )(?<!with a )\b(?:newborn|neonate|(?P<infant>baby|infant)"
    r"|(?P<toddler>toddler)|(?P<child>child|little (?:boy|girl)))\b"
)
_WEEKS = re.compile(rf"\b{_NUMBER} ?(?:weeks?|wks?|/ ?40)(?: and \w+ days)?(?: of)? ?(?:pregnant|gestation"
        r"|gestational|pregnancy|gravid)|\b(?:pregnan\w+|gestation|gravida|g\d ?p\d)(?: (?:woman"
        rf"|at|of|is|,|now|about)){{0,3}},? (?P<number2>\d{{1,2}}) ?(?:weeks|wks|/ ?40)"
        rf"|\b(?P<number3>\d{{1,2}}) ?/ ?40\b")  # fmt: skip
_PREGNANT = re.compile(
    r"\b(?:pregnant|(?:positive|\+ve) pregnancy test|pregnancy test (?:is |was |came back "
    r")?positive|gravid)\b"
)
_AFTER_BIRTH = re.compile(
    rf"\b{_NUMBER} (?:minutes|hours?|days?|weeks?) (?:after|post|following|since) (?:the "
    r")?(?:delivery|birth|giving birth|caesarean|section)|\bpost ?partum\b|\b(?:just|recently) "
    r"(?:delivered|gave birth)|\bafter (?:the )?delivery\b"
)


@dataclass(frozen=True)
class Patient:
    """What is known; None stands for unknown."""

    age_years: float | None = None
    pregnant: bool = False
    pregnancy_weeks: int | None = None
    after_birth: bool = False

    @property
    def child(self) -> bool:
        """Under 12, where the limits of vital signs depend on age."""
        return self.age_years is not None and self.age_years < 12


def from_text(text: str) -> Patient:
    """Read from normalised prose; the first age that is named is taken to be the patient's."""
    weeks = _weeks(text)
    pregnant = weeks is not None or any(status(text, *match.span()) == "present" for match in _PREGNANT.finditer(text))
    after_birth = any(status(text, *match.span()) == "present" for match in _AFTER_BIRTH.finditer(text))
    return Patient(_age(text, parent=pregnant or after_birth), pregnant, weeks, after_birth)


def from_case(case: ClinicalCase, prose: Patient) -> Patient:
    """The fields of a case, with the prose for what they leave open."""
    age = case.age / _PER_YEAR[case.age_unit] if case.age is not None else prose.age_years
    weeks = case.pregnancy_weeks if case.pregnancy_weeks is not None else prose.pregnancy_weeks
    return Patient(age, prose.pregnant or weeks is not None, weeks, prose.after_birth)


_PER_YEAR = {"years": 1.0, "months": 12.0, "weeks": 52.18, "days": 365.25}


def _value(word: str) -> float:
    if word.isdecimal():
        return float(word)
    tens = ["thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    return 10.0 * (tens.index(word) + 3) if word in tens else float(_WORDS.index(word))


def _age(text: str, *, parent: bool) -> float | None:
    match = _AGE.search(text)
    if match:
        number = match["number"] or match["number2"] or match["number3"]
        unit = {"yr": "year"}.get(match["unit"] or match["unit2"] or "year", match["unit"] or match["unit2"] or "year")
        return _value(number) * _DAYS[unit] / 365.25
    young = _YOUNG.search(text)
    if not young or parent or status(text, *young.span()) != "present":
        return None
    return 0.5 if young["infant"] else 2.0 if young["toddler"] else 6.0 if young["child"] else 0.02


def _weeks(text: str) -> int | None:
    for match in _WEEKS.finditer(text):
        value = _value(match["number"] or match["number2"] or match["number3"])
        if value <= 45 and status(text, *match.span()) == "present":
            return int(value)
    return None
