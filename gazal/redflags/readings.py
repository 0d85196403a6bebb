"""Numbers of a case: vital signs and laboratory values, from structured fields and from prose.

Everything is brought to the canonical unit of `gazal.quantities`. Several readings of a quantity are all kept: a rule
asks whether any of them is beyond its limit, so that the worst one counts. A number without a unit is read in the unit
in which it is possible: a temperature above 45 is in °F, a glucose above 33 in mg/dL, a haemoglobin below 25 in g/dL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from gazal.quantities import LABS, VITALS, to_canonical
from gazal.redflags.assertion import status

if TYPE_CHECKING:
    from collections.abc import Callable

    from gazal.case import ClinicalCase


@dataclass(frozen=True)
class Reading:
    """A number in the canonical unit of its quantity, and the words in which it was given."""

    quantity: str
    value: float
    evidence: str


def from_case(case: ClinicalCase) -> list[Reading]:
    """The measurements of a structured case."""
    found = []
    for measurements, known in ((case.vitals, VITALS), (case.labs, LABS)):
        for name, measurement in measurements.items():
            key = name if name in known else _OTHER_NAMES.get(name.lower().strip())
            if key is None:
                continue
            unit = measurement.unit or ""
            value = to_canonical(known[name], measurement.value, unit) if name in known else measurement.value
            label = known[name].label if name in known else name
            found.append(Reading(key, value, f"{label} {measurement.to_text()}"))
    return found


_OTHER_NAMES = {
    "ketones": "ketones",
    "blood ketones": "ketones",
    "beta-hydroxybutyrate": "ketones",
    "esr": "esr",
    "carboxyhaemoglobin": "cohb",
    "carboxyhemoglobin": "cohb",
    "cohb": "cohb",
}


def from_text(text: str, original: str) -> list[Reading]:
    """The numbers that prose gives; `text` is `original` as `phrases.normalised` made it. Past ones are left out."""
    found = []
    for pattern in _patterns():
        if not any(anchor in text for anchor in pattern.anchors):
            continue
        for match in pattern.regex.finditer(text):
            values = pattern.read(match)
            if values and status(text, match.end(), match.end()) != "past":
                found += [Reading(name, value, original[match.start() : match.end()].strip()) for name, value in values]
    return found


Values = list[tuple[str, float]]


@dataclass(frozen=True)
class _Pattern:
    anchors: tuple[str, ...]
    regex: re.Pattern[str]
    read: Callable[[re.Match[str]], Values]


_NUMBER = r"(?P<number>\d{1,6}(?:[.,]\d{1,3})?)(?!\d|/\d)"
_TO = (
    r"[^\w\n,]{0,4}(?:(?:is|was|are|were|of|at|has|had|been|only|now|just|still|reads?|reading"
    r"|level|says|around|about|fallen|fell"
    r"|dropped|rose|risen|went|down|up|to|in|the|low|high|raised|elevated|normal|on|air)[^\w\n,]{1,3}){0,4}"
)
"""What may stand between the name of a quantity and its number."""
_NOT_TIME = r"(?! ?(?:hours?|days?|weeks?|months?|years?|minutes?|times|mg|tablets?|am\b|pm\b|:))"


def _number(match: re.Match[str]) -> float:
    return float(match["number"].replace(",", "."))


def _plain(
    name: str, low: float, high: float, convert: Callable[[float, str], float] | None = None
) -> Callable[[re.Match[str]], Values]:
    """Reads one number, in the canonical unit unless `convert(number, unit)` says otherwise; none if implausible."""

    def read(match: re.Match[str]) -> Values:
        value = _number(match)
        if convert:
            value = convert(value, (match.groupdict().get("unit") or "").replace(" ", ""))
        return [(name, value)] if low <= value <= high else []

    return read


def _pressure(match: re.Match[str]) -> Values:
    systolic, diastolic = float(match["systolic"]), float(match["diastolic"] or 0)
    if not 30 <= systolic <= 320 or diastolic >= systolic:
        return []
    return [("systolic_bp", systolic), *([("diastolic_bp", diastolic)] if diastolic else [])]


def _celsius(value: float, unit: str) -> float:
    return (value - 32) * 5 / 9 if unit.endswith("f") or value > 45 else value


def _glucose(value: float, unit: str) -> float:
    return value * 0.0555 if unit.startswith("mg") or (not unit and value > 33) else value


def _haemoglobin(value: float, unit: str) -> float:
    return value * 10 if unit == "g/dl" or (not unit and value < 25) else value


def _calcium(value: float, unit: str) -> float:
    return value * 0.2495 if unit.startswith("mg") or (not unit and value > 6) else value


def _lactate(value: float, unit: str) -> float:
    return value * 0.111 if unit.startswith("mg") else value


def _count(value: float, _: str) -> float:
    return value / 1000 if value >= 50 else value  # cells/µL


def _pco2(value: float, unit: str) -> float:
    return value * 0.133322 if unit == "mmhg" or (not unit and value > 15) else value


def _troponin(value: float, unit: str) -> float:
    return value * 1000 if unit.startswith(("ng/ml", "µg/l", "ug/l")) else value


@cache
def _patterns() -> tuple[_Pattern, ...]:
    def pattern(anchors: str, regex: str, read: Callable[[re.Match[str]], Values]) -> _Pattern:
        return _Pattern(tuple(anchors.split("|")), re.compile(regex), read)

    fraction = r"(?P<systolic>\d{2,3}) ?(?:/| over | on ) ?(?P<diastolic>\d{2,3})(?![\d/])"
    per_cent = rf"{_NUMBER} ?%?"
    mmol = r"(?: ?(?P<unit>mmol ?/ ?l|mg ?/ ?dl|meq ?/ ?l))?"
    return (
        pattern(
            "bp|blood pressure|hypotens|hypertens|pressure",
            rf"\b(?:bp|blood pressure|hypotensi\w+|hypertensi\w+|pressures?){_TO}{fraction}",
            _pressure,
        ),
        pattern("mmhg|mm hg", r"\b(?P<systolic>\d{2,3}) ?/ ?(?P<diastolic>\d{2,3}) ?mm ?hg", _pressure),
        pattern(
            "bp|pressure",
            rf"\b(?:bp|blood pressure){_TO}(?P<systolic>\d{{2,3}})(?P<diastolic>) ?(?:/ ?p|systolic)",
            _pressure,
        ),
        pattern(
            "systolic|sbp",
            r"\b(?:systolic(?: blood pressure| bp| pressure)?|sbp)"
            + _TO
            + r"(?P<systolic>\d{2,3})(?P<diastolic>)(?![\d/])",
            _pressure,
        ),
        pattern(
            "hr|heart rate|pulse|tachycard|bradycard|bpm",
            r"\b(?:hr|heart rate|pulse(?: rate)?|tachycardi\w+|bradycardi\w+|heart block with "
            rf"pulse){_TO}{_NUMBER}",
            _plain("heart_rate", 10, 350),
        ),
        pattern("bpm|beats", r"\b(?P<number>\d{2,3}) ?(?:bpm|beats)", _plain("heart_rate", 10, 350)),
        pattern(
            "rr|resp|breath",
            r"\b(?:rr|resp(?:iratory|iration|s|irations)?(?: rate)?|breathing(?: "
            rf"rate)?){_TO}{_NUMBER}(?! ?%)",
            _plain("respiratory_rate", 1, 120),
        ),
        pattern("breaths", r"\b(?P<number>\d{1,3}) breaths", _plain("respiratory_rate", 1, 120)),
        pattern(
            "spo2|sao2|sat",
            r"\b(?:spo2|sao2|o2 sats?|sats?|saturations?|saturating|oxygen saturations?|oxygen "
            rf"sats?){_TO}{per_cent}",
            _plain("oxygen_saturation", 30, 100),
        ),
        pattern(
            "temp|fever|febrile|pyrexi|thermometer|hypotherm",
            r"\b(?:temp(?:erature)?s?|fevers?|afebrile|febrile|pyrexia\w*|thermometer"
            rf"|hypothermi\w+){_TO}{_NUMBER}(?: ?°? ?(?P<unit>[cf])\b)?{_NOT_TIME}",
            _plain("temperature", 25, 43.5, _celsius),
        ),
        pattern(
            "°|c|f",
            r"(?<![\d.])(?P<number>3[0-9](?:[.,]\d)?|4[0-3](?:[.,]\d)?|9[4-9](?:[.,]\d)?"
            r"|10\d(?:[.,]\d)?) ?(?:° ?(?P<unit>[cf])|(?P<unit2>c)|degrees)\b",
            _plain("temperature", 25, 43.5, _celsius),
        ),
        pattern("t ", r"\bt ?=? ?(?P<number>3[4-9][.,]\d|4[0-2][.,]\d)", _plain("temperature", 25, 43.5)),
        pattern(
            "gcs|glasgow|coma",
            rf"\b(?:gcs|glasgow coma (?:scale|score)){_TO}(?:e\d ?v\d ?m\d ?=? ?)?(?P<number>\d{{1,2}})\b",
            _plain("glasgow_coma_scale", 3, 15),
        ),
        pattern(
            "refill|crt",
            rf"\b(?:cap(?:illary)? refill(?: time)?|crt){_TO}(?P<number>\d{{1,2}}(?:\.\d)?) ?s",
            _plain("capillary_refill", 0, 15),
        ),
        pattern(
            "glucose|sugar|fingerstick|fingerprick|bm |cbg|bsl|glyc",
            r"\b(?:glucose|blood sugars?|sugars?|fingerstick|finger ?prick|bm|cbg|bsl"
            rf"|glyca?emia){_TO}{_NUMBER}{mmol}",
            _plain("glucose", 0.2, 110, _glucose),
        ),
        pattern("ketone|hydroxybut", rf"\b(?:ketones?|beta hydroxybutyrate){_TO}{_NUMBER}", _plain("ketones", 0, 20)),
        pattern("bicarb|hco3", rf"\b(?:bicarb(?:onate)?|hco3){_TO}{_NUMBER}", _plain("bicarbonate", 1, 60)),
        pattern("ph", rf"\bph{_TO}(?P<number>[67]\.\d{{1,2}})", _plain("ph", 6.3, 8)),
        pattern("lactate", rf"\blactate{_TO}{_NUMBER}{mmol}", _plain("lactate", 0.1, 40, _lactate)),
        pattern(
            "potassium|k",
            r"\b(?:potassium|k\+?|hyperkala?emia"
            rf"|hypokala?emia){_TO}(?P<number>\d{{1,2}}(?:[.,]\d{{1,2}})?)(?![\d/])(?! ?(?:mg|g|kg"
            r"|units|cells)\b)",
            _plain("potassium", 1, 12),
        ),
        pattern(
            "sodium|na|natr",
            rf"\b(?:sodium|na\+?|hyponatra?emia|hypernatra?emia){_TO}(?P<number>\d{{2,3}})(?![\d/.])",
            _plain("sodium", 90, 210),
        ),
        pattern(
            "calcium|ca |calca",
            rf"\b(?:calcium|hypercalca?emia|hypocalca?emia){_TO}{_NUMBER}{mmol}",
            _plain("calcium", 0.8, 6, _calcium),
        ),
        pattern(
            "hb|globin|hgb",
            rf"\b(?:hb|hgb|ha?emoglobin){_TO}{_NUMBER}(?: ?(?P<unit>g ?/ ?d?l))?(?! ?%)",
            _plain("haemoglobin", 15, 270, _haemoglobin),
        ),
        pattern("platelet|plt", rf"\b(?:platelets?|plts?){_TO}{_NUMBER}", _plain("platelets", 0, 4000)),
        pattern(
            "neutro|anc",
            rf"\b(?:neutrophils?(?: count)?|anc|neutropeni[ac]|absolute neutrophil count){_TO}{_NUMBER}",
            _plain("neutrophils", 0, 50, _count),
        ),
        pattern(
            "troponin|tnt|tni",
            rf"\b(?:troponins?(?: [it])?|tn[it]){_TO}{_NUMBER}(?: ?(?P<unit>[nµu]g ?/ ?m?l))?",
            _plain("troponin", 0, 1e6, _troponin),
        ),
        pattern("inr", rf"\binr{_TO}{_NUMBER}", _plain("inr", 0.5, 30)),
        pattern("crp|reactive", rf"\b(?:crp|c reactive protein){_TO}{_NUMBER}", _plain("c_reactive_protein", 0, 800)),
        pattern("esr", rf"\besr{_TO}{_NUMBER}", _plain("esr", 0, 200)),
        pattern("carboxy|cohb", rf"\b(?:carboxyha?emoglobin|cohb){_TO}{per_cent}", _plain("cohb", 0, 100)),
        pattern("pco2|paco2", rf"\bpa?co2{_TO}{_NUMBER}(?: ?(?P<unit>kpa|mm ?hg))?", _plain("pco2", 0.5, 30, _pco2)),
        pattern(
            "peak flow|pef", rf"\b(?:peak flow|pefr?){_TO}(?P<number>\d{{1,3}}) ?%", _plain("peak_flow_percent", 0, 150)
        ),
        pattern(
            "ocular pressure|iop", rf"\b(?:intra ?ocular pressures?|iop){_TO}{_NUMBER}", _plain("eye_pressure", 0, 90)
        ),
        pattern("nihss", rf"\bnihss{_TO}{_NUMBER}", _plain("nihss", 0, 42)),
        pattern("hcg", rf"\b(?:beta )?hcg{_TO}{_NUMBER}", _plain("beta_hcg", 0, 5e6)),
        pattern(
            "blood loss|lost|bleed",
            rf"\b(?:blood loss|bleeding|bled|lost){_TO}(?P<number>\d{{3,4}}) ?ml",
            _plain("blood_loss_ml", 0, 10000),
        ),
        pattern(
            "bladder|residual|retention",
            rf"\b(?:bladder(?: scan)?|residual|retention){_TO}(?P<number>\d{{3,4}}) ?ml",
            _plain("bladder_ml", 0, 5000),
        ),
    )
