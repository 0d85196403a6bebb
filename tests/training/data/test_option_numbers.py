"""Options named by number become letters; quantities stay numbers."""

from __future__ import annotations

import pytest

from training.data.option_numbers import leftover, lettered, verdicts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The correct answer is 3.", "The correct answer is option C."),
        ("Options 1, 2 and 5 are false.", "Options A, B and E are false."),
        ("It is viral (answer 4).", "It is viral (option D)."),
        ("No murmur, no thrill (1 and 5 false).", "No murmur, no thrill (options A and E false)."),
        ("4 is wrong because it bleeds.", "Option D is wrong because it bleeds."),
        ("Therefore we discard 2 and 4.", "Therefore we discard options B and D."),
        ("Verbal response 3 out of 5.", "Verbal response 3 out of 5."),
        ("Choose 3 mg twice a day.", "Choose 3 mg twice a day."),
        ("It was grade 3, with 4 nodes.", "It was grade 3, with 4 nodes."),
    ],
)
def test_numbers_of_options_become_letters(text: str, expected: str) -> None:
    assert lettered(text) == expected


@pytest.mark.parametrize(
    "text",
    ["With 4 we could exclude stones, and with 5 viruses.", "With 2 we would wait.", "So 4.", "The last option fits."],
)
def test_a_number_that_may_be_an_option_is_found(text: str) -> None:
    assert leftover(lettered(text))


@pytest.mark.parametrize(
    "text", ["Stage 3 disease.", "It took 2 weeks.", "Potassium was 5.1 mmol/L.", "Option C fits."]
)
def test_a_quantity_is_no_leftover(text: str) -> None:
    assert not leftover(lettered(text))


def test_verdicts_tell_what_is_said_about_an_option() -> None:
    said = verdicts("Option A is false. So the correct answer is option C. Options B and D are not correct.")
    assert (said.announced, said.rejected, said.affirmed) == ({"C"}, {"A", "B", "D"}, set())
    said = verdicts("The false answer is option B, since option D is true (correct option A).")
    assert (said.announced, said.announced_wrong, said.affirmed) == (set(), {"B"}, {"A", "D"})


def test_a_condition_is_no_verdict() -> None:
    assert verdicts("Option B would be correct if there were fever.").affirmed == set()
