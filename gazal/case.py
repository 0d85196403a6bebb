"""A structured clinical case: what the API takes, the form collects and the prompt shows.

Every field is optional but the case must say something. Unknown fields are refused, known measurements must carry a
known unit and a plausible value, and the errors name the field and the fix. `ClinicalCase.to_text` is the only way a
structured case becomes text, so that training, serving and the form preview show a model the same words.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gazal.quantities import LABS, VITALS, Quantity, check_plausible

MAX_TEXT_CHARS = 20_000
"""Longest free-text field; a discharge letter fits, a pasted record does not."""

Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
Item = Annotated[str, Field(min_length=1, max_length=500)]
Items = Annotated[list[Item], Field(max_length=60)]


class Measurement(BaseModel):
    """A number with the unit it was written in."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    value: Annotated[float, Field(allow_inf_nan=False)]
    unit: Annotated[str | None, Field(max_length=30)] = None
    """Left out, the canonical unit of the quantity is meant (mmHg, °C, mmol/L ...)."""

    def to_text(self) -> str:
        """The value as written, followed by its unit."""
        number = f"{self.value:.10g}"
        if not self.unit or self.unit in ("pH", "ratio"):
            return number
        return number + ("" if self.unit.startswith(("/", "%")) else " ") + self.unit


class ClinicalCase(BaseModel):
    """One patient at one moment, as far as it is known."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    age: Annotated[float | None, Field(ge=0, le=130, allow_inf_nan=False)] = None
    age_unit: Literal["years", "months", "weeks", "days"] = "years"
    sex: Literal["female", "male", "other", "unknown"] = "unknown"
    pregnancy_weeks: Annotated[int | None, Field(ge=0, le=45)] = None
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
            raise ValueError(f"unknown vital sign {unknown[0]!r}; use one of: {', '.join(VITALS)}")
        return {name: _checked(measurement, VITALS[name]) for name, measurement in value.items()}

    @field_validator("labs")
    @classmethod
    def _plausible_labs(cls, value: dict[str, Measurement]) -> dict[str, Measurement]:
        return {
            name: _checked(measurement, LABS[name]) if name in LABS else measurement
            for name, measurement in value.items()
        }

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.complaint.strip() and not self.vitals and not self.labs and not self.investigations.strip():
            raise ValueError("the case is empty; give at least a complaint, vitals, labs or investigations")
        if self.age is not None and self.age_unit == "years" and self.age != int(self.age):
            raise ValueError(
                "age in years must be a whole number; use age_unit 'months', 'weeks' or 'days' for infants"
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
            ("Vitals", _listing(self.vitals, VITALS)),
            ("Laboratory", _listing(self.labs, LABS)),
            ("Investigations", self.investigations.strip()),
        ]
        return "\n".join(f"{label}: {text}" for label, text in lines if text)

    def _patient(self) -> str:
        words = []
        if self.age is not None:
            words.append(f"{self.age:g}-{self.age_unit.removesuffix('s')}-old")
        if self.sex in ("female", "male"):
            words.append(self.sex)
        if self.pregnancy_weeks is not None:
            words.append(f"{self.pregnancy_weeks} weeks pregnant")
        return " ".join(words[:2]) + (f", {words[2]}" if len(words) > 2 else "")


def _checked(measurement: Measurement, quantity: Quantity) -> Measurement:
    unit = measurement.unit or quantity.canonical_unit
    check_plausible(quantity, measurement.value, unit)
    return Measurement(value=measurement.value, unit=unit)


def _listing(measurements: dict[str, Measurement], known: object) -> str:
    quantities: dict[str, Quantity] = dict(known)  # type: ignore[call-overload]
    return ", ".join(
        f"{quantities[name].label if name in quantities else name} {measurement.to_text()}"
        for name, measurement in measurements.items()
    )
