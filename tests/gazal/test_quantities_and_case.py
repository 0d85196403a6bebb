"""Measurements and clinical cases: conversions, limits, what is refused and why, and the text a model sees."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gazal.case import ClinicalCase, Measurement
from gazal.quantities import LABS, VITALS, check_plausible, to_canonical

if TYPE_CHECKING:
    from gazal.quantities import Quantity

QUANTITIES = VITALS | LABS
SPELLINGS = [(name, unit) for name, quantity in QUANTITIES.items() for unit in quantity.units]


def from_canonical(quantity: Quantity, value: float, unit: str) -> float:
    known = quantity.units[unit]
    return (value - known.offset) / known.scale


def plain(number: float) -> str:
    return format(Decimal(repr(number)).normalize(), "f")


def refusal(**fields: Any) -> tuple[str, str]:
    with pytest.raises(ValidationError) as caught:
        ClinicalCase(**fields)
    first = caught.value.errors()[0]
    return ".".join(map(str, first["loc"])), first["msg"]


@pytest.mark.parametrize(
    ("name", "value", "unit", "canonical"),
    [
        ("temperature", 98.6, "°F", 37.0),
        ("temperature", 104, "F", 40.0),
        ("temperature", 38.5, "C", 38.5),
        ("systolic_bp", 16, "kPa", 120.01),
        ("weight", 154, "lb", 69.853),
        ("weight", 3400, "g", 3.4),
        ("height", 70, "in", 177.8),
        ("height", 1.75, "m", 175.0),
        ("haemoglobin", 13.5, "g/dL", 135.0),
        ("white_cells", 7500, "/µL", 7.5),
        ("platelets", 250, "10^3/µL", 250.0),
        ("sodium", 140, "mEq/L", 140.0),
        ("urea", 20, "mg/dL (BUN)", 7.14),
        ("urea", 60, "mg/dL (urea)", 9.99),
        ("creatinine", 1, "mg/dL", 88.42),
        ("glucose", 180, "mg/dL", 9.99),
        ("hba1c", 6.5, "%", 47.54),
        ("hba1c", 48, "mmol/mol", 48.0),
        ("calcium", 10, "mg/dL", 2.495),
        ("magnesium", 2, "mg/dL", 0.823),
        ("phosphate", 3.5, "mg/dL", 1.130),
        ("albumin", 4, "g/dL", 40.0),
        ("bilirubin", 1, "mg/dL", 17.1),
        ("c_reactive_protein", 5, "mg/dL", 50.0),
        ("lactate", 18, "mg/dL", 1.998),
        ("pco2", 40, "mmHg", 5.333),
        ("po2", 75, "mmHg", 9.999),
        ("troponin", 0.04, "ng/mL", 40.0),
        ("beta_hcg", 1500, "mIU/mL", 1500.0),
    ],
)
def test_conversion(name: str, value: float, unit: str, canonical: float) -> None:
    assert to_canonical(QUANTITIES[name], value, unit) == pytest.approx(canonical, rel=1e-3)


@pytest.mark.parametrize(("name", "unit"), SPELLINGS)
def test_limits_survive_the_way_to_each_unit_and_back(name: str, unit: str) -> None:
    quantity = QUANTITIES[name]
    for limit in (quantity.low, quantity.high):
        assert to_canonical(quantity, from_canonical(quantity, limit, unit), unit) == pytest.approx(limit)


@pytest.mark.parametrize(("name", "unit"), SPELLINGS)
def test_values_within_the_limits_pass_in_each_unit(name: str, unit: str) -> None:
    quantity = QUANTITIES[name]
    inch = (quantity.high - quantity.low) / 1000
    for canonical in (quantity.low + inch, (quantity.low + quantity.high) / 2, quantity.high - inch):
        check_plausible(quantity, from_canonical(quantity, canonical, unit), unit)


@pytest.mark.parametrize(("name", "unit"), SPELLINGS)
def test_values_past_the_limits_are_refused_in_the_unit_they_were_written_in(name: str, unit: str) -> None:
    quantity = QUANTITIES[name]
    for canonical in (quantity.low - 1, quantity.high * 1.1):
        with pytest.raises(ValueError, match="outside the plausible range") as caught:
            check_plausible(quantity, from_canonical(quantity, canonical, unit), unit)
        message = str(caught.value)
        assert message.startswith(f"{quantity.label} ")
        assert f"{unit}; check the number and its unit" in message
        assert message.endswith("check the number and its unit")


def test_the_plausible_range_is_shown_in_the_unit_that_was_written() -> None:
    with pytest.raises(ValueError, match=r"Temperature is outside the plausible range 68 to 114\.8 °F"):
        check_plausible(VITALS["temperature"], 370, "°F")


def test_the_limits_an_error_names_are_plausible_themselves() -> None:
    refused = []
    for name, unit in SPELLINGS:
        quantity = QUANTITIES[name]
        for limit in (quantity.low, quantity.high):
            try:
                check_plausible(quantity, float(f"{from_canonical(quantity, limit, unit):.4g}"), unit)
            except ValueError as error:
                refused.append(str(error))
    assert refused == []


def test_the_canonical_unit_comes_first_and_changes_nothing() -> None:
    for quantity in QUANTITIES.values():
        assert to_canonical(quantity, 12.25, quantity.canonical_unit) == 12.25


def test_an_unknown_unit_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"unit of Temperature is not known; use one of: °C, C, °F, F"):
        to_canonical(VITALS["temperature"], 310, "K")


def test_a_full_case_as_text() -> None:
    case = ClinicalCase(
        age=34,
        sex="female",
        pregnancy_weeks=28,
        complaint="  Short of breath since yesterday. ",
        history=["asthma", "two pregnancies"],
        medications=["salbutamol"],
        allergies=["penicillin (rash)", "latex"],
        examination="Left calf swollen.",
        vitals={
            "heart_rate": 118,
            "systolic_bp": {"value": 12.5, "unit": "kPa"},
            "temperature": {"value": 99.5, "unit": "°F"},
            "oxygen_saturation": 91,
            "glasgow_coma_scale": 15,
        },
        labs={
            "d_dimer": 2400,
            "ph": 7.48,
            "inr": 1.1,
            "creatinine": {"value": 0.7, "unit": "mg/dL"},
            "Factor V Leiden": {"value": 1, "unit": "copy"},
        },
        investigations="ECG: sinus tachycardia.",
    )
    assert case.to_text() == (
        "Patient: 34-year-old female, 28 weeks pregnant\n"
        "Complaint: Short of breath since yesterday.\n"
        "History: asthma; two pregnancies\n"
        "Medications: salbutamol\n"
        "Allergies: penicillin (rash); latex\n"
        "Examination: Left calf swollen.\n"
        "Vitals: Heart rate 118/min, Systolic blood pressure 12.5 kPa, Temperature 99.5 °F, "
        "Oxygen saturation 91%, Glasgow Coma Scale 15/15\n"
        "Laboratory: D-dimer 2400 µg/L FEU, Blood pH 7.48, INR 1.1, Creatinine 0.7 mg/dL, Factor V Leiden 1 copy\n"
        "Investigations: ECG: sinus tachycardia."
    )


def test_absent_sections_are_left_out() -> None:
    assert ClinicalCase(complaint="cough").to_text() == "Complaint: cough"


@pytest.mark.parametrize(
    ("fields", "patient"),
    [
        ({"age": 0}, "0-year-old"),
        ({"age": 130}, "130-year-old"),
        ({"age": 5, "age_unit": "months", "sex": "male"}, "5-month-old male"),
        ({"age": 1.5, "age_unit": "weeks"}, "1.5-week-old"),
        ({"age": 3, "age_unit": "days", "sex": "other"}, "3-day-old"),
        ({"sex": "female"}, "female"),
        ({"sex": "female", "pregnancy_weeks": 9}, "female 9 weeks pregnant"),
    ],
)
def test_the_patient_in_words(fields: dict[str, Any], patient: str) -> None:
    assert ClinicalCase(complaint="x", **fields).to_text() == f"Patient: {patient}\nComplaint: x"


def test_a_part_of_a_year_is_refused_with_the_units_for_infants() -> None:
    _, message = refusal(age=0.5, complaint="cough")
    assert "age_unit 'months', 'weeks' or 'days'" in message


def test_an_unknown_field_is_refused_by_name() -> None:
    assert refusal(complaint="cough", diagnosis="flu")[0] == "diagnosis"


def test_an_unknown_field_of_a_measurement_is_refused_by_name() -> None:
    assert refusal(labs={"sodium": {"value": 140, "units": "mmol/L"}})[0] == "labs.sodium.units"


def test_an_unknown_vital_sign_is_refused_with_those_that_are_known() -> None:
    field, message = refusal(vitals={"pulse": 80})
    assert field == "vitals"
    assert "unknown vital sign(s); use only: heart_rate, " in message


@pytest.mark.parametrize("field", ["vitals", "labs"])
def test_an_implausible_value_is_refused_with_its_label_unit_and_range(field: str) -> None:
    name, label = {"vitals": ("temperature", "Temperature"), "labs": ("potassium", "Potassium")}[field]
    where, message = refusal(**{field: {name: 370}})
    assert where == field
    assert f"{label} is outside the plausible range" in message


def test_an_unknown_unit_of_a_case_is_refused_with_those_that_are_known() -> None:
    assert "use one of: mmol/L, mg/dL" in refusal(labs={"glucose": {"value": 5, "unit": "g/L"}})[1]


@pytest.mark.parametrize(
    "fields",
    [{}, {"complaint": " \n"}, {"age": 40, "sex": "male"}, {"history": ["asthma"]}, {"vitals": {}, "labs": {}}],
)
def test_a_case_that_says_nothing_is_refused(fields: dict[str, Any]) -> None:
    assert (
        "the case is empty; give at least a complaint, examination, vitals, labs or investigations"
        in refusal(**fields)[1]
    )


@pytest.mark.parametrize("unit", ["µmol/L", "\u03bcmol/L", "umol/L"])
def test_the_micro_sign_may_be_typed_in_any_way(unit: str) -> None:
    assert ClinicalCase(labs={"creatinine": {"value": 80, "unit": unit}}).labs["creatinine"].unit == unit


@pytest.mark.parametrize(("age", "unit"), [(150, "days"), (200, "weeks"), (30, "months"), (130, "years")])
def test_infants_may_be_older_than_a_hundred_and_thirty_days(age: int, unit: Any) -> None:
    assert f"{age}-{unit.removesuffix('s')}-old" in ClinicalCase(complaint="x", age=age, age_unit=unit).to_text()


@pytest.mark.parametrize(("age", "unit"), [(131, "years"), (1600, "months"), (7000, "weeks"), (48_000, "days")])
def test_nobody_is_older_than_the_oldest_person_in_any_unit(age: int, unit: str) -> None:
    where, message = refusal(complaint="x", age=age, age_unit=unit)
    assert where == "age"
    assert "at most 130 years" in message


def test_a_vital_sign_among_the_labs_is_checked_too() -> None:
    assert refusal(labs={"heart_rate": 9000})[0] == "labs"


def test_a_bare_number_is_read_in_the_canonical_unit() -> None:
    case = ClinicalCase(vitals={"temperature": 38.2}, labs={"sodium": 131, "copper": 14})
    assert case.vitals["temperature"] == Measurement(value=38.2, unit="°C")
    assert case.labs == {"sodium": Measurement(value=131, unit="mmol/L"), "copper": Measurement(value=14)}


def test_a_test_we_do_not_know_keeps_its_unit_and_any_value() -> None:
    case = ClinicalCase(labs={"Anti-Xa": {"value": -3e6, "unit": "IU per bottle"}})
    assert case.to_text() == "Laboratory: Anti-Xa -3000000 IU per bottle"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["sodium", "copper"])
def test_a_number_that_is_not_finite_is_refused(name: str, number: float) -> None:
    assert refusal(labs={name: number})[0] == f"labs.{name}.value"
    assert refusal(labs={name: {"value": number}})[0] == f"labs.{name}.value"
    assert refusal(complaint="x", age=number)[0] == "age"


@pytest.mark.parametrize(
    "fields",
    [
        {"labs": {"copper": True}},
        {"vitals": {"heart_rate": False}},
        {"labs": {"copper": {"value": True}}},
        {"complaint": "x", "age": True},
        {"complaint": "x", "pregnancy_weeks": True},
    ],
)
def test_a_truth_value_is_no_number(fields: dict[str, Any]) -> None:
    assert "Input should be a valid" in refusal(**fields)[1]


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"complaint": "x" * 20_001}, "complaint"),
        ({"complaint": "x", "history": ["x" * 501]}, "history.0"),
        ({"complaint": "x", "allergies": [""]}, "allergies.0"),
        ({"complaint": "x", "medications": ["x"] * 61}, "medications"),
        ({"labs": {f"test {number}": 1 for number in range(81)}}, "labs"),
        ({"complaint": "x", "age": 131}, "age"),
        ({"complaint": "x", "age": -1}, "age"),
        ({"complaint": "x", "pregnancy_weeks": 46}, "pregnancy_weeks"),
        ({"labs": {"copper": 10**400}}, "labs.copper.value"),
        ({"vitals": [1]}, "vitals"),
    ],
)
def test_what_is_too_long_too_many_or_of_a_wrong_kind_is_refused_by_field(fields: dict[str, Any], where: str) -> None:
    assert refusal(**fields)[0] == where


def test_a_number_of_eleven_digits_is_shown_as_it_was_entered() -> None:
    case = ClinicalCase(labs={"HIV RNA": {"value": 12345678901, "unit": "copies/mL"}})
    assert case.to_text() == "Laboratory: HIV RNA 12345678901 copies/mL"


@st.composite
def measurements(draw: st.DrawFn, known: dict[str, Quantity]) -> dict[str, dict[str, Any]]:
    out = {}
    for name in draw(st.lists(st.sampled_from(sorted(known)), unique=True, max_size=6)):
        quantity = known[name]
        unit = draw(st.sampled_from(list(quantity.units)))
        inside = (quantity.high - quantity.low) * draw(st.floats(0.01, 0.99)) + quantity.low
        value = float(f"{from_canonical(quantity, inside, unit):.6g}")
        if quantity.low <= to_canonical(quantity, value, unit) <= quantity.high:
            out[name] = {"value": value, "unit": unit}
    return out


unlisted = st.dictionaries(
    st.text(min_size=1, max_size=80).filter(lambda name: name not in LABS),
    st.fixed_dictionaries({"value": st.integers(-10_000, 10_000), "unit": st.none() | st.text(max_size=30)}),
    max_size=4,
)
items = st.lists(st.text(min_size=1, max_size=30), max_size=3)
cases = st.fixed_dictionaries(
    {
        "age": st.none() | st.integers(0, 130),
        "age_unit": st.sampled_from(["years", "months", "weeks", "days"]),
        "sex": st.sampled_from(["female", "male", "other", "unknown"]),
        "pregnancy_weeks": st.none() | st.integers(0, 45),
        "complaint": st.text(max_size=60).map(lambda text: text + "."),
        "history": items,
        "medications": items,
        "allergies": items,
        "examination": st.text(max_size=60),
        "vitals": measurements(dict(VITALS)),
        "labs": st.builds(dict.__or__, measurements(dict(LABS)), unlisted),
        "investigations": st.text(max_size=60),
    }
)


@given(cases)
def test_any_case_renders_and_shows_every_number_as_entered(fields: dict[str, Any]) -> None:
    text = ClinicalCase(**fields).to_text()
    for section, known in (("vitals", VITALS), ("labs", LABS)):
        for name, measurement in fields[section].items():
            label = known[name].label if name in known else name
            assert f"{label} {plain(measurement['value'])}" in text
    if fields["age"] is not None:
        assert f"{fields['age']}-{fields['age_unit'][:-1]}-old" in text
    if fields["pregnancy_weeks"] is not None:
        assert f"{fields['pregnancy_weeks']} weeks pregnant" in text


@given(cases)
def test_a_case_survives_the_way_through_json(fields: dict[str, Any]) -> None:
    case = ClinicalCase(**fields)
    assert ClinicalCase.model_validate_json(case.model_dump_json()) == case
