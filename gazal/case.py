"""A structured clinical case: what the API takes, the form collects and the prompt shows.

Every field is optional but the case must say something. Unknown fields are refused, known measurements must carry a
known unit and a plausible value, and the errors name the field and the fix. `ClinicalCase.to_text` is the only way a
structured case becomes text, so that training, serving and the form preview show a model the same words.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from gazal.quantities import LABS, VITALS, Quantity, check_plausible

MAX_TEXT_CHARS = 20_000
"""Longest free-text field; a discharge letter fits, a pasted record does not."""

Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
Item = Annotated[str, Field(min_length=1, max_length=500)]
Items = Annotated[list[Item], Field(max_length=60)]


class Measurement(BaseModel):
    """A number with the unit it was written in."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    value: Annotated[float, Field(allow_inf_nan=False, strict=True)]
    unit: Annotated[str | None, Field(max_length=30)] = None
    """Left out, the canonical unit of the quantity is meant (mmHg, °C, mmol/L ...)."""

    def to_text(self) -> str:
        """The value as written, followed by its unit."""
        number = _plain_number(self.value)
        if not self.unit or self.unit in ("pH", "ratio"):
            return number
        return number + ("" if self.unit.startswith(("/", "%")) else " ") + self.unit


class ClinicalCase(BaseModel):
    """One patient at one moment, as far as it is known."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    age_unit: Literal["years", "months", "weeks", "days"] = "years"
    age: Annotated[float | None, Field(ge=0, allow_inf_nan=False, strict=True)] = None
    """In `age_unit`; whole numbers of years."""
    sex: Literal["female", "male", "other", "unknown"] = "unknown"
    pregnancy_weeks: Annotated[int | None, Field(ge=0, le=45, strict=True)] = None
    complaint: Text = ""
    """What brings the patient, in their or your words."""
    history: Items = Field(default_factory=list)
    """Past illnesses, family and social history, one item each."""
    medications: Items = Field(default_factory=list)
    allergies: Items = Field(default_factory=list)
    examination: Text = ""
    vitals: dict[str, Measurement] = Field(default_factory=dict)
    """Keys of `gazal.quantities.VITALS`; a bare number is read in the canonical unit."""
    labs: Annotated[dict[Annotated[str, Field(min_length=1, max_length=80)], Measurement], Field(max_length=80)] = (
        Field(default_factory=dict)
    )
    """Keys of `gazal.quantities.LABS` are checked; any other test is taken with the unit as written."""
    investigations: Text = ""
    """Imaging, ECG, microbiology and other findings in words."""

    @field_validator("age")
    @classmethod
    def _possible_age(cls, value: float | None, info: ValidationInfo) -> float | None:
        unit = info.data.get("age_unit", "years")
        if value is not None and value / _UNITS_A_YEAR[unit] > _OLDEST_YEARS:
            raise ValueError(f"must be at most {_OLDEST_YEARS} years; check it and age_unit")
        if value is not None and unit == "years" and value != int(value):
            raise ValueError("in years must be a whole number; use age_unit 'months', 'weeks' or 'days' for infants")
        return value

    @field_validator("vitals", "labs", mode="before")
    @classmethod
    def _bare_numbers(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {
            key: {"value": item} if isinstance(item, int | float) and not isinstance(item, bool) else item
            for key, item in value.items()
        }

    @field_validator("vitals")
    @classmethod
    def _known_vitals(cls, value: dict[str, Measurement]) -> dict[str, Measurement]:
        unknown = sorted(set(value) - set(VITALS))
        if unknown:
            raise ValueError(f"{len(unknown)} unknown vital sign(s); use only: {', '.join(VITALS)}")
        return {name: _checked(measurement, VITALS[name]) for name, measurement in value.items()}

    @field_validator("labs")
    @classmethod
    def _plausible_labs(cls, value: dict[str, Measurement]) -> dict[str, Measurement]:
        return {
            name: _checked(measurement, _KNOWN[name]) if name in _KNOWN else measurement
            for name, measurement in value.items()
        }

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        texts = (self.complaint, self.examination, self.investigations)
        if not any(text.strip() for text in texts) and not self.vitals and not self.labs:
            raise ValueError(
                "the case is empty; give at least a complaint, examination, vitals, labs or investigations"
            )
        return self

    def to_text(self) -> str:
        """The case as plain text, one labelled line a section, absent sections left out."""
        lines = [
            ("Patient", self._patient()),
            ("Complaint", self.complaint.strip()),
            ("History", "; ".join(self.history)),
            ("Medications", "; ".join(self.medications)),
            ("Allergies", "; ".join(self.allergies)),
            ("Examination", self.examination.strip()),
            ("Vitals", _listing(self.vitals)),
            ("Laboratory", _listing(self.labs)),
            ("Investigations", self.investigations.strip()),
        ]
        return "\n".join(f"{label}: {text}" for label, text in lines if text)

    def _patient(self) -> str:
        words = []
        if self.age is not None:
            words.append(f"{_plain_number(self.age)}-{self.age_unit.removesuffix('s')}-old")
        if self.sex in ("female", "male"):
            words.append(self.sex)
        if self.pregnancy_weeks is not None:
            words.append(f"{self.pregnancy_weeks} weeks pregnant")
        return " ".join(words[:2]) + (f", {words[2]}" if len(words) > 2 else "")


_KNOWN = {**VITALS, **LABS}
_UNITS_A_YEAR = {"years": 1.0, "months": 12.0, "weeks": 52.18, "days": 365.25}
_OLDEST_YEARS = 130


def _plain_number(value: float) -> str:
    """All digits that were entered, without an exponent for whole numbers."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _checked(measurement: Measurement, quantity: Quantity) -> Measurement:
    unit = measurement.unit or quantity.canonical_unit
    check_plausible(quantity, measurement.value, unit)
    return Measurement(value=measurement.value, unit=unit)


def _listing(measurements: dict[str, Measurement]) -> str:
    return ", ".join(
        f"{_KNOWN[name].label if name in _KNOWN else name} {measurement.to_text()}"
        for name, measurement in measurements.items()
    )
