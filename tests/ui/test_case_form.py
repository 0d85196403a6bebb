"""The form: what it sends is what the server takes, and what it refuses names the field and the fix."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gazal.prompting import MODES, render
from gazal.quantities import LABS, VITALS, check_plausible
from server.clinical import ReasonRequest
from ui.case_form import Form, editor_rows, items, parse
from ui.examples import load_examples

WELL = Form(age="27", sex="female", complaint="Wheeze", history="asthma\nhay fever; eczema")


@pytest.mark.parametrize("example", load_examples(), ids=lambda each: each.id)
def test_every_example_is_a_request_that_the_server_takes(example) -> None:
    parsed = parse(example.form)
    assert parsed.problems == ()
    request = ReasonRequest.model_validate(parsed.request)
    assert parsed.prompt is not None
    assert request.prompt().sha256 == parsed.prompt.sha256


def test_examples_cover_every_task_but_none_twice_and_the_cases_that_matter() -> None:
    found = load_examples()
    assert {each.form.mode for each in found} == set(MODES)
    assert {"emergency", "child", "little"} <= {each.id for each in found}
    assert len({each.id for each in found}) == len(found) >= 6
    assert all(set(each.title) == {"en", "ar"} for each in found)


def test_the_preview_is_the_prompt_of_the_shared_library() -> None:
    parsed = parse(WELL)
    assert parsed.request is not None
    assert parsed.request["case"]["history"] == ["asthma", "hay fever", "eczema"]
    assert parsed.prompt is not None
    assert "27-year-old female" in parsed.prompt.text
    assert parsed.prompt.sha256 == ReasonRequest.model_validate(parsed.request).prompt().sha256


def test_a_measurement_keeps_the_unit_it_was_written_in() -> None:
    rows = [{"key": "temperature", "value": "101.5", "unit": "°F"}, {"key": "weight", "value": "", "unit": "kg"}]
    labs = [
        {"key": "creatinine", "value": "2.9", "unit": "mg/dL"},
        {"key": "", "name": "Copper", "value": "11", "unit": "µmol/L"},
    ]
    parsed = parse(replace(WELL, vitals=rows, labs=labs))
    assert parsed.request is not None
    assert parsed.request["case"]["vitals"] == {"temperature": {"value": 101.5, "unit": "°F"}}
    assert parsed.request["case"]["labs"]["Copper"] == {"value": 11.0, "unit": "µmol/L"}
    assert "Creatinine 2.9 mg/dL" in parsed.case_text


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"age": "140"}, "age", "130"),
        ({"age": "old"}, "age", "no number"),
        ({"age": "7,5"}, "age", "decimal point"),
        ({"age": "inf"}, "age", "no number"),
        ({"pregnancy_weeks": "60"}, "pregnancy_weeks", "45"),
        ({"vitals": [{"key": "heart_rate", "value": "1040", "unit": "/min"}]}, "vitals", "Heart rate"),
        ({"labs": [{"key": "creatinine", "value": "80", "unit": "mg/dL"}]}, "labs", "Creatinine"),
        ({"labs": [{"key": "sodium", "value": "130", "unit": "mmol/L"}] * 2}, "labs", "twice"),
        ({"labs": [{"key": "", "name": "", "value": "3", "unit": ""}]}, "labs", "no test"),
        ({"complaint": ""}, "case", "empty"),
        ({"complaint": "x" * 20_001}, "complaint", "20000"),
        ({"structured": False}, "vignette", "empty"),
        ({"structured": False, "vignette": "x" * 1_000_000}, "vignette", "1,000,000 characters"),
        ({"mode": "mcq", "options": ["one"]}, "options", "2 to 10"),
        ({"mode": "research", "vignette": "An abstract."}, "question", "question"),
        ({"samples": 3, "temperature": 0}, "temperature", "same"),
        ({"seed": "1.5"}, "seed", "whole"),
        ({"max_tokens": "0"}, "max_tokens", "at least 1"),
    ],
)
def test_what_cannot_be_sent_names_the_field_and_the_fix(changes, field, words) -> None:
    parsed = parse(replace(WELL, **changes))
    assert parsed.request is None
    assert parsed.problems[0].field == field
    assert words in parsed.problems[0].message


def test_options_get_their_letters_in_order_and_empty_rows_are_left_out() -> None:
    parsed = parse(replace(WELL, mode="mcq", options=["Aspirin", "", "Heparin"]))
    assert parsed.request is not None
    assert parsed.request["options"] == {"A": "Aspirin", "B": "Heparin"}


def test_research_takes_the_text_whatever_the_entry_says() -> None:
    parsed = parse(replace(WELL, mode="research", vignette="An abstract.", question="Does it work?"))
    assert parsed.prompt is not None
    assert parsed.prompt.sha256 == render("research", "An abstract.", question="Does it work?").sha256


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.text(max_size=12), st.text(max_size=12), st.lists(st.text(max_size=9), max_size=12))
def test_nothing_that_can_be_typed_raises(text: str, number: str, unit: str, options: list[str]) -> None:
    rows = [{"key": "sodium", "value": number, "unit": unit}, {"key": "", "name": text, "value": number, "unit": unit}]
    form = Form(
        mode="mcq", age=number, complaint=text, history=text, labs=rows, vitals=[{"key": text, "value": number}],
        options=options, seed=number, max_tokens=number, question=text,
    )  # fmt: skip
    parsed = parse(form)
    assert (parsed.request is None) == bool(parsed.problems)


def test_limits_shown_beside_a_field_are_those_that_are_checked() -> None:
    for table in (VITALS, LABS):
        for row in editor_rows(table):
            for unit in row["units"]:
                middle = (unit["low"] + unit["high"]) / 2
                check_plausible(table[row["key"]], middle, unit["unit"])
                span = unit["high"] - unit["low"]
                with pytest.raises(ValueError, match=r"must|between|plausible"):
                    check_plausible(table[row["key"]], unit["high"] + 0.02 * span, unit["unit"])


def test_items_are_split_at_lines_and_semicolons() -> None:
    assert items(" a ;b\n\n c ") == ["a", "b", "c"]
