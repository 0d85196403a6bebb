"""Vital signs and laboratory values: their units, conversions and plausible limits.

A value keeps the unit the clinician wrote; conversion happens only to compare it with the plausible limits, so a
case never shows a number nobody entered. The limits are wide ("could a living patient have this, correctly typed?"):
they catch a slipped decimal point or a wrong unit, they do not judge what is normal. They are ours, set outside the
extremes that Tietz Textbook of Laboratory Medicine (7th edition, 2022) and intensive-care practice report.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Unit:
    """A spelling of a unit and how to reach the canonical one: `canonical = value * scale + offset`."""

    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Quantity:
    """A measurable thing: its label, the units we accept (the first is canonical) and plausible canonical limits."""

    label: str
    units: Mapping[str, Unit]
    low: float
    high: float

    @property
    def canonical_unit(self) -> str:
        """The unit in which `low` and `high` are given."""
        return next(iter(self.units))


def to_canonical(quantity: Quantity, value: float, unit: str) -> float:
    """Convert `value` to the canonical unit. Raises ValueError naming the accepted units when `unit` is unknown.

    This and the other messages here never repeat what was entered: they travel in error bodies and logs of clients.
    """
    known = _unit(quantity, unit)
    if known is None:
        raise ValueError(f"the unit of {quantity.label} is not known; use one of: {', '.join(quantity.units)}")
    return value * known.scale + known.offset


_LIMIT_TOLERANCE = 1e-3
"""The limits are rounded when they are shown and converted; a value at a limit that was shown must pass."""


def check_plausible(quantity: Quantity, value: float, unit: str) -> None:
    """Raise ValueError, in the unit the user wrote, when the value lies outside the plausible limits."""
    canonical = to_canonical(quantity, value, unit)
    low, high = quantity.low, quantity.high
    if low - _LIMIT_TOLERANCE * abs(low) <= canonical <= high + _LIMIT_TOLERANCE * abs(high):
        return
    known = _unit(quantity, unit) or Unit()
    low, high = ((limit - known.offset) / known.scale for limit in (low, high))
    raise ValueError(
        f"{quantity.label} is outside the plausible range {low:.4g} to {high:.4g} {unit}; check the number and its unit"
    )


def _unit(quantity: Quantity, unit: str) -> Unit | None:
    """The unit, however its micro sign was typed: µ, Greek mu, or u."""
    spellings = (
        unit,
        unit.replace("\u03bc", "µ"),
        unit.replace("uL", "µL").replace("umol", "µmol").replace("ug", "µg"),
    )
    return next((quantity.units[each] for each in spellings if each in quantity.units), None)


def _quantity(
    label: str, low: float, high: float, canonical: str, others: Mapping[str, float | tuple[float, float]] | None = None
) -> Quantity:
    units = {canonical: Unit()}
    for spelling, factor in (others or {}).items():
        units[spelling] = Unit(*factor) if isinstance(factor, tuple) else Unit(factor)
    return Quantity(label, MappingProxyType(units), low, high)


_FAHRENHEIT = (5 / 9, -160 / 9)

VITALS: Mapping[str, Quantity] = MappingProxyType(
    {
        "heart_rate": _quantity("Heart rate", 0, 350, "/min", {"bpm": 1.0}),
        "systolic_bp": _quantity("Systolic blood pressure", 20, 320, "mmHg", {"kPa": 7.50062}),
        "diastolic_bp": _quantity("Diastolic blood pressure", 5, 220, "mmHg", {"kPa": 7.50062}),
        "respiratory_rate": _quantity("Respiratory rate", 0, 120, "/min", {"bpm": 1.0}),
        "temperature": _quantity("Temperature", 20, 46, "°C", {"C": 1.0, "°F": _FAHRENHEIT, "F": _FAHRENHEIT}),
        "oxygen_saturation": _quantity("Oxygen saturation", 20, 100, "%"),
        "inspired_oxygen": _quantity("Inspired oxygen", 21, 100, "%"),
        "glasgow_coma_scale": _quantity("Glasgow Coma Scale", 3, 15, "/15"),
        "weight": _quantity("Weight", 0.3, 650, "kg", {"g": 0.001, "lb": 0.45359237}),
        "height": _quantity("Height", 20, 275, "cm", {"m": 100.0, "in": 2.54}),
        "capillary_refill": _quantity("Capillary refill time", 0, 15, "s"),
        "pain_score": _quantity("Pain score", 0, 10, "/10"),
    }
)

LABS: Mapping[str, Quantity] = MappingProxyType(
    {
        "haemoglobin": _quantity("Haemoglobin", 10, 270, "g/L", {"g/dL": 10.0}),
        "white_cells": _quantity("White cell count", 0, 1000, "10^9/L", {"10^3/µL": 1.0, "/µL": 0.001}),
        "neutrophils": _quantity("Neutrophils", 0, 500, "10^9/L", {"10^3/µL": 1.0, "/µL": 0.001}),
        "platelets": _quantity("Platelets", 0, 4000, "10^9/L", {"10^3/µL": 1.0, "/µL": 0.001}),
        "mean_cell_volume": _quantity("Mean cell volume", 40, 160, "fL"),
        "sodium": _quantity("Sodium", 90, 210, "mmol/L", {"mEq/L": 1.0}),
        "potassium": _quantity("Potassium", 1, 12, "mmol/L", {"mEq/L": 1.0}),
        "chloride": _quantity("Chloride", 50, 160, "mmol/L", {"mEq/L": 1.0}),
        "bicarbonate": _quantity("Bicarbonate", 1, 60, "mmol/L", {"mEq/L": 1.0}),
        "urea": _quantity("Urea", 0.1, 120, "mmol/L", {"mg/dL (BUN)": 0.357, "mg/dL (urea)": 0.1665}),
        "creatinine": _quantity("Creatinine", 5, 4000, "µmol/L", {"mg/dL": 88.42}),
        "egfr": _quantity("Estimated GFR", 0, 200, "mL/min/1.73 m²"),
        "glucose": _quantity("Glucose", 0.2, 110, "mmol/L", {"mg/dL": 0.0555}),
        "hba1c": _quantity("HbA1c", 10, 220, "mmol/mol", {"%": (10.929, -23.5)}),
        "calcium": _quantity("Calcium", 0.8, 6, "mmol/L", {"mg/dL": 0.2495}),
        "magnesium": _quantity("Magnesium", 0.1, 6, "mmol/L", {"mg/dL": 0.4114}),
        "phosphate": _quantity("Phosphate", 0.05, 8, "mmol/L", {"mg/dL": 0.3229}),
        "albumin": _quantity("Albumin", 5, 70, "g/L", {"g/dL": 10.0}),
        "bilirubin": _quantity("Bilirubin, total", 0, 1000, "µmol/L", {"mg/dL": 17.1}),
        "alt": _quantity("ALT", 0, 30000, "U/L", {"IU/L": 1.0}),
        "ast": _quantity("AST", 0, 30000, "U/L", {"IU/L": 1.0}),
        "alkaline_phosphatase": _quantity("Alkaline phosphatase", 0, 10000, "U/L", {"IU/L": 1.0}),
        "lipase": _quantity("Lipase", 0, 50000, "U/L", {"IU/L": 1.0}),
        "c_reactive_protein": _quantity("C-reactive protein", 0, 800, "mg/L", {"mg/dL": 10.0}),
        "lactate": _quantity("Lactate", 0.1, 40, "mmol/L", {"mg/dL": 0.111}),
        "ph": _quantity("Blood pH", 6.3, 8.0, "pH"),
        "pco2": _quantity("pCO2", 0.5, 30, "kPa", {"mmHg": 0.133322}),
        "po2": _quantity("pO2", 1, 100, "kPa", {"mmHg": 0.133322}),
        "troponin": _quantity("Troponin, high sensitivity", 0, 1_000_000, "ng/L", {"ng/mL": 1000.0}),
        "d_dimer": _quantity("D-dimer", 0, 200_000, "µg/L FEU", {"ng/mL FEU": 1.0}),
        "inr": _quantity("INR", 0.5, 30, "ratio"),
        "tsh": _quantity("TSH", 0, 1000, "mU/L", {"mIU/L": 1.0}),
        "ferritin": _quantity("Ferritin", 0, 200_000, "µg/L", {"ng/mL": 1.0}),
        "beta_hcg": _quantity("Beta-hCG", 0, 5_000_000, "IU/L", {"mIU/mL": 1.0}),
    }
)
"""Laboratory tests whose units and limits we know; a case may carry others, whose unit is then taken as written."""
