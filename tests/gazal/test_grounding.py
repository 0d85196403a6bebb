"""Fabricated findings are found: numbers never measured, negations turned round, findings that nobody mentioned."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gazal.grounding import case_of, check, citations
from gazal.prompting import render
from gazal.trace import parse
from training.clinic.generate import Example, Scope, generate
from training.clinic.knowledge import load

CASE = (
    'A 34-year-old man comes in. He says: "A cough for three weeks. Night sweats soaking the sheets." '
    "Background: no known heart disease; works in a shelter. Asked: denies weight loss, no fever or rash and a good "
    "appetite. On examination: temp 38.4 °C, pulse 112/min, without neck stiffness. Vomiting is denied. "
    "Results: creatine kinase 6,400 U/L, haemoglobin 104 g/L and a cavity in the right upper lobe."
)


def kinds(*steps: str) -> list[str]:
    return [each.kind for each in check(steps, CASE).fabrications]


@pytest.mark.parametrize(
    "step",
    [
        "Findings: a cough for three weeks; night sweats soaking the sheets; temp 38.4 °C.",
        "The key findings are temp 38.4 °C; a cavity in the right upper lobe.",
        "Less likely: Lung cancer. Against it: a cavity in the right upper lobe.",
        "Lung cancer is less likely given night sweats soaking the sheets.",
        "Findings: no known heart disease; without neck stiffness; denies weight loss.",
        "Findings: a good appetite; works in a shelter.",
        "Findings: a cavity of the upper right lobe; night sweats that soak the sheets.",
        "Findings: creatine kinase 6400 U/L; temp 38.40 °C.",
        'The patient speaks of "Night sweats soaking the sheets".',
        "Treatment takes 6 months and the dose is 600 mg, as NICE guideline NG33 says.",
    ],
)
def test_what_the_case_says_is_no_fabrication(step: str) -> None:
    assert kinds(step) == []


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("Findings: temp 39.4 °C.", "number"),
        ("Findings: a cough for 5 weeks.", "number"),
        ("Findings: haemoglobin 74 g/L.", "number"),
        ("Findings: fever.", "inverted"),
        ("Findings: rash.", "inverted"),
        ("Findings: neck stiffness.", "inverted"),
        ("Findings: weight loss.", "inverted"),
        ("Findings: vomiting.", "inverted"),
        ("Findings: known heart disease.", "inverted"),
        ("Findings: no night sweats soaking the sheets.", "inverted"),
        ("Findings: haemoptysis.", "invented"),
        ("Less likely: Sarcoidosis. Against it: bilateral hilar nodes.", "invented"),
        ("Asthma is less likely given wheeze on both sides.", "invented"),
        ("Urgent because of a silent chest.", "invented"),
        ("Because of an allergy to penicillin, avoid amoxicillin. Instead: doxycycline.", "invented"),
        ('The patient reports "a knife between the ribs".', "invented"),
    ],
)
def test_a_made_up_finding_is_named_by_kind(step: str, expected: str) -> None:
    assert kinds(step) == [expected]


def test_each_citation_is_counted_and_the_bad_one_is_found_in_its_step() -> None:
    found = check(["Findings: a cough for three weeks; haemoptysis.", "They point to: Tuberculosis."], CASE)
    assert found.citations == 2
    assert [(each.step, each.cited, each.kind) for each in found.fabrications] == [(1, "haemoptysis", "invented")]


def test_a_decimal_point_does_not_end_a_list() -> None:
    assert citations("Findings: temp 38.4 °C; INR of 3.6. So treat.") == ["temp 38.4 °C", "INR of 3.6"]


def test_the_case_is_found_in_its_prompt() -> None:
    assert case_of(render("mcq", CASE, question="What now?", options={"A": "x", "B": "y"}).text) == CASE
    assert case_of("no fence") is None


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return [each for each in generate(load(), "train", 400, 8, Scope(length="compact")) if each.mode != "research"]


def steps_of(example: Example) -> list[str]:
    return [step.text for step in parse(example.completion, choices=tuple(example.options)).steps]


def test_no_answer_of_the_clinic_is_accused(examples: list[Example]) -> None:
    for example in examples:
        found = check(steps_of(example), case_of(example.prompt) or "")
        assert found.citations >= 2
        assert found.fabrications == (), example.prompt


def test_the_findings_of_another_case_are_found_out(examples: list[Example]) -> None:
    pairs = [(one, other) for one, other in pairwise(examples) if one.condition != other.condition]
    caught = [check(steps_of(other), case_of(one.prompt) or "").fabrications != () for one, other in pairs]
    assert sum(caught) / len(caught) >= 0.98
