"""How one finding is worded: by a doctor or a patient, as an adjective or a number, in British or American spelling.

A model that sees few phrases a finding learns the phrases. So a finding is put in one of its own wordings, with words
exchanged for others of the same meaning; where it is a measurement, as a number in one of the usual forms and units,
alone or beside the adjective. Whatever comes out is recorded by the caller, so that reasoning can cite it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from gazal.quantities import LABS, VITALS, to_canonical

if TYPE_CHECKING:
    import random

    from training.clinic.knowledge import Finding, Measure

Voice = Literal["doctor", "patient", "terse"]

_SYNONYMS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"pyrexia", ("fever",)),
    (r"dyspnoea", ("shortness of breath", "breathlessness")),
    (r"emesis", ("vomiting",)),
    (r"diaphoresis", ("sweating",)),
    (r"pruritus", ("itching",)),
    (r"arthralgia", ("joint pain",)),
    (r"myalgia", ("muscle ache", "muscle pain")),
    (r"ankle oedema", ("ankle swelling", "swelling of the ankles")),
    (r"haematuria", ("blood in the urine",)),
    (r"rigors", ("shaking chills", "bouts of shivering")),
    (r"anorexia", ("loss of appetite", "poor appetite")),
    (r"pallor", ("paleness",)),
    (r"erythema", ("redness",)),
    (r"marked(?! by| with)", ("pronounced", "striking")),
    (r"persistent", ("continuing", "unremitting")),
    (r"sudden", ("abrupt",)),
    (r"gradual", ("slow",)),
    (r"recurrent", ("repeated",)),
    (r"elevated", ("raised",)),
    (r"reduced", ("lowered", "diminished")),
    (r"on the radiograph", ("on X-ray", "on the plain film")),
    (r"radiographs?", ("X-ray",)),
    (r"ultrasound", ("sonography",)),
    (r"abdominal pain", ("belly pain", "pain in the abdomen")),
    (r"several", ("a number of", "quite a few")),
    (r"for two weeks", ("for a fortnight", "for fourteen days", "for 2 weeks")),
    (r"for three weeks", ("for 3 weeks", "for 21 days")),
    (r"since yesterday(?! morning| evening| night| afternoon)", ("since the day before", "for about 24 hours")),
    (r"(?<=\w )two (?=days|weeks|months|years|hours)", ("2 ",)),
    (r"(?<=\w )three (?=days|weeks|months|years|hours)", ("3 ",)),
    (r"(?<=\w )four (?=days|weeks|months|years|hours)", ("4 ",)),
    (r"(?<=\w )six (?=days|weeks|months|years|hours)", ("6 ",)),
    (r"tummy", ("belly", "stomach")),
    (r"throwing up", ("being sick", "vomiting")),
    (r"can ?not", ("can't", "is not able to")),
)
_AMERICAN = (
    (r"oedema", "edema"),
    (r"haem", "hem"),
    (r"Haem", "Hem"),
    (r"anaem", "anem"),
    (r"diarrhoea", "diarrhea"),
    (r"dyspnoea", "dyspnea"),
    (r"oesophag", "esophag"),
    (r"ischaem", "ischem"),
    (r"leucocyt", "leukocyt"),
    (r"tumour", "tumor"),
    (r"colour", "color"),
    (r"paediatric", "pediatric"),
    (r"generalised", "generalized"),
    (r"centre", "center"),
    (r"caecum", "cecum"),
    (r"faec", "fec"),
)
_SYNONYM_CHANCE = 0.35
_AMERICAN_CHANCE = 0.15
_OTHER_UNIT_CHANCE = 0.2

_LONG: dict[str, tuple[str, ...]] = {
    "heart_rate": (
        "heart rate {}/min",
        "pulse {}/min",
        "a pulse of {} a minute",
        "a heart rate of {} beats per minute",
    ),
    "respiratory_rate": ("respiratory rate {}/min", "{} breaths a minute", "breathing {} times a minute"),
    "temperature": ("temperature {} {u}", "a temperature of {} {u}", "{} {u} on the thermometer", "temp {} {u}"),
    "oxygen_saturation": ("oxygen saturation {}%", "SpO2 {}%", "a saturation of {} per cent", "pulse oximetry {}%"),
    "systolic_bp": ("systolic blood pressure {} mmHg", "a systolic pressure of {} mmHg", "blood pressure {}/{d} mmHg"),
    "glasgow_coma_scale": ("Glasgow Coma Scale {}/15", "a Glasgow Coma Scale score of {}", "GCS {} of 15"),
}
_TERSE: dict[str, tuple[str, ...]] = {
    "heart_rate": ("HR {}", "P {}/min", "pulse {}"),
    "respiratory_rate": ("RR {}", "resps {}/min", "RR {}/min"),
    "temperature": ("T {} {u}", "temp {}", "{} {u}"),
    "oxygen_saturation": ("sats {}%", "SpO2 {}%", "O2 sat {}%"),
    "systolic_bp": ("BP {}/{d}", "SBP {}", "sys BP {} mmHg"),
    "glasgow_coma_scale": ("GCS {}", "GCS {}/15"),
}
_LAB_NAMES: dict[str, tuple[str, ...]] = {
    "haemoglobin": ("haemoglobin", "Hb", "hemoglobin"),
    "white_cells": ("white cell count", "WBC", "leucocytes"),
    "neutrophils": ("neutrophils", "neutrophil count"),
    "platelets": ("platelets", "platelet count", "plt"),
    "mean_cell_volume": ("mean cell volume", "MCV"),
    "sodium": ("sodium", "Na"),
    "potassium": ("potassium", "K"),
    "bicarbonate": ("bicarbonate", "HCO3"),
    "creatinine": ("creatinine", "serum creatinine"),
    "egfr": ("eGFR", "estimated GFR"),
    "glucose": ("glucose", "blood glucose", "blood sugar"),
    "calcium": ("calcium", "serum calcium"),
    "bilirubin": ("bilirubin", "total bilirubin"),
    "alt": ("ALT", "alanine aminotransferase"),
    "ast": ("AST", "aspartate aminotransferase"),
    "alkaline_phosphatase": ("alkaline phosphatase", "ALP"),
    "c_reactive_protein": ("C-reactive protein", "CRP"),
    "troponin": ("high-sensitivity troponin", "troponin"),
    "d_dimer": ("D-dimer",),
    "ph": ("blood pH", "pH"),
    "tsh": ("TSH", "thyroid-stimulating hormone"),
    "beta_hcg": ("beta-hCG", "hCG"),
}
_NORMAL: dict[str, tuple[float, float]] = {
    "temperature": (36.3, 37.2),
    "oxygen_saturation": (96, 99),
    "haemoglobin": (128, 149),
    "white_cells": (4.8, 9.2),
    "neutrophils": (2.4, 6.2),
    "platelets": (180, 340),
    "sodium": (137, 143),
    "potassium": (3.8, 4.7),
    "calcium": (2.25, 2.5),
    "c_reactive_protein": (1, 4),
    "lactate": (0.6, 1.5),
    "alt": (12, 34),
    "bilirubin": (5, 16),
    "inr": (0.9, 1.1),
}
_NORMAL_ADULT: dict[str, tuple[float, float]] = {
    "heart_rate": (62, 86),
    "respiratory_rate": (12, 17),
    "systolic_bp": (114, 136),
    "creatinine": (58, 88),
    "glucose": (4.6, 5.8),
}


def worded(finding: Finding, voice: Voice, rng: random.Random) -> str:
    """A present finding in words, as a noun phrase."""
    if finding.measure and (voice == "terse" or rng.random() < 0.65):
        number = measured(finding.measure, voice, rng)
        adjective = rng.choice(finding.clinical)
        if rng.random() < 0.25 and not re.search(r"\d|,|\(| of (?!consciousness)", adjective):
            return f"{_varied(adjective, rng)} ({number})"
        return number
    if finding.lay and rng.random() < {"doctor": 0.15, "patient": 1.0, "terse": 0.05}[voice]:
        return _varied(rng.choice(finding.lay), rng)
    phrase = _varied(rng.choice(finding.clinical), rng)
    return _without_article(phrase) if voice == "terse" else phrase


def denied(finding: Finding, voice: Voice, adult: bool, rng: random.Random) -> str:
    """An absent finding in words: one of its own negatives, reworded, or a normal value of its measurement."""
    if finding.measure and rng.random() < 0.5:
        number = normal(finding.measure.quantity, voice, adult, rng)
        if number:
            return number
    phrase = _varied(rng.choice(finding.absent), rng)
    if phrase.startswith("no ") and rng.random() < 0.3 and " and no " not in phrase and "," not in phrase:
        rest = phrase.removeprefix("no ")
        forms: tuple[str, ...] = ("without {}", "absence of {}")
        if voice == "terse":
            forms = ("nil {}", "Ø {}", "-ve for {}")
        elif finding.kind == "symptom":
            forms = (
                ("no report of {}", "without {}", "{} is denied")
                if voice == "doctor"
                else ("without {}", "never any {}")
            )
        return rng.choice(forms).format(rest)
    return phrase


def measured(measure: Measure, voice: Voice, rng: random.Random) -> str:
    """A value drawn from the measure's range, in one of the usual forms."""
    return _number(measure.quantity, measure.unit, rng.uniform(measure.low, measure.high), measure, voice, rng)


def normal(quantity: str, voice: Voice, adult: bool, rng: random.Random) -> str | None:
    """A normal value of a quantity, or None where it depends on more than we know."""
    ranges = {**_NORMAL, **_NORMAL_ADULT} if adult else {"temperature": _NORMAL["temperature"]}
    if quantity not in ranges:
        return None
    low, high = ranges[quantity]
    unit = {**VITALS, **LABS}[quantity].canonical_unit
    return _number(quantity, unit, rng.uniform(low, high), None, voice, rng)


def _number(quantity: str, unit: str, value: float, measure: Measure | None, voice: Voice, rng: random.Random) -> str:
    if rng.random() < _OTHER_UNIT_CHANCE and quantity in (
        "glucose",
        "calcium",
        "creatinine",
        "bilirubin",
        "haemoglobin",
    ):
        value, unit = _american(quantity, unit, value)
        measure = None
    digits = _digits(quantity, value, measure)
    shown = f"{value:.{digits}f}"
    forms = (_TERSE if voice == "terse" else _LONG).get(quantity)
    if forms:
        if quantity == "temperature" and rng.random() < 0.12 and unit == "°C":
            shown, unit = f"{value * 9 / 5 + 32:.1f}", "°F"
        form = rng.choice([each for each in forms if unit != "°F" or "{u}" in each])
        return form.format(shown, u=unit, d=round(value * rng.uniform(0.56, 0.66)))
    name = rng.choice(_LAB_NAMES.get(quantity, (_label(quantity),)))
    unit = "" if unit in ("pH", "ratio") else unit
    tail = f"{'' if unit.startswith(('/', '%')) or not unit else ' '}{unit}"
    joint = rng.choice((" ", " ", " of ", ": ") if voice == "doctor" else (" ",))
    return f"{name}{joint}{shown}{tail}"


def _digits(quantity: str, value: float, measure: Measure | None) -> int:
    """Decimal places that are usual for a value, judged by the range it comes from or else by its size."""
    if quantity == "temperature":
        return 1
    if quantity in VITALS and quantity != "weight":
        return 0
    if measure is None:
        return 1 if value < 20 else 0
    span = measure.high - measure.low
    return 0 if span >= 15 else 1 if span >= 1 else 2


def _american(quantity: str, unit: str, value: float) -> tuple[float, str]:
    known = {**VITALS, **LABS}[quantity]
    other = "g/dL" if quantity == "haemoglobin" else "mg/dL"
    return to_canonical(known, value, unit) / to_canonical(known, 1.0, other), other


def _label(quantity: str) -> str:
    label = {**VITALS, **LABS}[quantity].label
    return label[0].lower() + label[1:] if label[1].islower() and not label.startswith("HbA1c") else label


def _varied(phrase: str, rng: random.Random) -> str:
    for pattern, others in _SYNONYMS:
        if rng.random() < _SYNONYM_CHANCE and re.search(rf"\b{pattern}", phrase):
            phrase = re.sub(rf"\b{pattern}\b", rng.choice(others), phrase, count=1)
    if rng.random() < _AMERICAN_CHANCE:
        for british, american in _AMERICAN:
            phrase = re.sub(british, american, phrase)
    return re.sub(r"\b(a|an) (?=\w)", lambda match: _article_for(match, phrase), phrase)


def _article_for(match: re.Match[str], phrase: str) -> str:
    following = phrase[match.end() : match.end() + 12]
    if re.match(r"(?:[aeio]|un(?!i)|u[lp])", following) and not re.match(r"(?:one|once|eu)", following):
        return "an "
    if re.match(r"[bcdfgjklmnpqrstvwyz]", following):
        return "a "
    return match.group()


def _without_article(phrase: str) -> str:
    return re.sub(r"^(?:a|an|the) ", "", phrase)
