"""Abstention: the words, the option and the disagreement that count, and what only looks like them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gazal.abstention import OPTION_SAYS, abstained
from gazal.answers import Extraction, extract
from gazal.prompting import MODES, template

OPTIONS = {"A": "Aspirin", "B": "Cannot be determined from the information given"}


@pytest.mark.parametrize(
    "text",
    [
        "**Primary Diagnosis**: none\n**Missing Information**: insufficient information",
        "**Missing Information**: Insufficient information; history, examination and tests are needed.",
        "There is insufficient information to support any plan.",
        "not enough information",
        "insufficient\ninformation",
    ],
)
def test_the_words_of_the_prompt_are_an_abstention(text: str) -> None:
    assert abstained(text, None) == "said"


@pytest.mark.parametrize(
    "text",
    [
        "**Missing Information**: insufficient information about allergies",
        "There is insufficient information on his renal function.",
        "**Missing Information**: none; there is sufficient information.",
        "This is not insufficient information.",
        "Coronary insufficiency. Information was given.",
        "",
    ],
)
def test_a_gap_in_the_record_is_no_abstention(text: str) -> None:
    assert abstained(text, None) is None


def test_the_prompts_ask_for_the_words_that_are_recognised() -> None:
    for mode in MODES:
        text = template(mode).text
        if "insufficient information" in text:
            assert abstained("**Missing Information**: insufficient information", None) == "said"
    assert sum("insufficient information" in template(mode).text for mode in MODES) == 4


def test_an_option_that_says_so_is_an_abstention_and_another_is_not() -> None:
    assert abstained("Final answer: \\boxed{B}", Extraction("B"), OPTIONS) == "option"
    assert abstained("Final answer: \\boxed{A}", Extraction("A"), OPTIONS) is None
    assert abstained("Final answer: \\boxed{maybe}", Extraction("maybe"), {}) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Insufficient data", True),
        ("There is too little information to say", True),
        ("It cannot be told from this record", True),
        ("Dose cannot be calculated", True),
        ("Aortic insufficiency", False),
        ("Renal insufficiency, so the dose is halved", False),
        ("The joint cannot be moved", False),
    ],
)
def test_which_options_say_that_nothing_can_be_told(text: str, says: bool) -> None:
    assert bool(OPTION_SAYS.search(text)) is says


def test_a_readable_letter_stands_against_the_words() -> None:
    answer = "There is insufficient information, but:\nFinal answer: \\boxed{A}"
    assert abstained(answer, extract(answer, ("A", "B"), options=OPTIONS), OPTIONS) is None


def test_the_words_in_place_of_a_letter_are_an_abstention() -> None:
    answer = "Final answer: insufficient information"
    assert abstained(answer, extract(answer, ("A", "B"), options=OPTIONS), OPTIONS) == "said"


@pytest.mark.parametrize("failure", ["truncated", "empty", "error"])
def test_a_reply_that_was_cut_has_not_abstained(failure: str) -> None:
    assert abstained("insufficient information", Extraction(failure=failure)) is None  # type: ignore[arg-type]


@given(st.integers(0, 8), st.integers(1, 9))
def test_fewer_agreeing_samples_than_the_threshold_are_an_abstention(agreeing: int, below: int) -> None:
    found = abstained("Final answer: \\boxed{A}", Extraction("A"), OPTIONS, agreeing=agreeing, abstain_below=below)
    assert found == ("disagreement" if agreeing < below else None)


def test_without_a_fitted_threshold_disagreement_is_no_abstention() -> None:
    assert abstained("Final answer: \\boxed{A}", Extraction("A"), OPTIONS, agreeing=1) is None
    assert abstained("Final answer: \\boxed{A}", Extraction("A"), OPTIONS, abstain_below=5) is None
