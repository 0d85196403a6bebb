"""The final answer of a reply: spellings the golden replies leave out, and what holds for every text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gazal.answers import Extraction, extract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOUR = tuple("ABCD")
TEN = tuple("ABCDEFGHIJ")
YES_NO_MAYBE = ("yes", "no", "maybe")
DRUGS = {"A": "Heparin", "B": "Warfarin", "C": "Aspirin", "D": "Alteplase"}

FAILURES = {"truncated", "no_answer", "ambiguous", "out_of_range", "empty", "error"}

FRAGMENTS = [
    *["Final answer: ", "**Final answer:** ", "\\boxed{", "\\fboxed{", "\\boxed{A}", "\\boxed{j}", "\\text{", "{", "}"],
    *["A", "b", "C.", "D)", "(E)", "J", "K", "yes", "No", "maybe", " or ", " and ", ", ", " - ", ". ", "\n", "$", "`"],
    *["Aspirin", "aspirin", "not", "Ｃ", "С", "\u200f", "\u202e", "İ", "ſ", "\x00", "\ud800"],  # noqa: RUF001
]
replies = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=20).map("".join)
label_sets = st.sampled_from([FOUR, TEN, FOUR[:2], YES_NO_MAYBE])


def outcome(text: str, choices: Sequence[str], options: Mapping[str, str] | None = None) -> str | None:
    found = extract(text, choices, options=options)
    return found.value or found.failure


@pytest.mark.parametrize("label", TEN)
def test_all_ten_labels_in_either_case(label: str) -> None:
    assert outcome(f"\\boxed{{{label}}}", TEN) == label
    assert outcome(f"Final answer: {label.lower()}.", TEN) == label
    assert outcome(f"Final answer: {label}. Aspirin", TEN) == label


@pytest.mark.parametrize("label", TEN[4:])
def test_labels_past_the_last_option_are_out_of_range(label: str) -> None:
    assert outcome(f"\\boxed{{{label}}}", FOUR) == "out_of_range"


@pytest.mark.parametrize(
    ("text", "choices", "expected"),
    [
        ("\\boxed{}", FOUR, "no_answer"),
        ("\\boxed{\\text{}}", FOUR, "no_answer"),
        ("\\boxed{()}", FOUR, "no_answer"),
        ("\\boxed{**B**}", FOUR, "B"),
        ("\\boxed{\\mathrm{b}}", FOUR, "B"),
        ("\\boxed{{B}}", FOUR, "B"),
        ("}\\boxed{B}{", FOUR, "B"),
        ("\\boxed{B}\\boxed{B}", FOUR, "B"),
        ("\\boxed{A}\\boxed{B}", FOUR, "ambiguous"),
        ("\\boxed{A}\n\\boxed{B}", FOUR, "B"),
        ("\\boxed{A-D}", FOUR, "ambiguous"),
        ("\\boxed{B;C}", FOUR, "ambiguous"),
        ("\\boxed{all}", FOUR, "out_of_range"),
        ("\\boxed B", FOUR, "no_answer"),
        ("\\framebox{B}", FOUR, "no_answer"),
        ("Final answer: [B]", FOUR, "B"),
        ("Final answer: 'B'", FOUR, "B"),
        ("Final answer: B — Warfarin", FOUR, "B"),
        ("Final answer: not B", FOUR, "out_of_range"),
        ("Final answer: neither A nor B", FOUR, "out_of_range"),
        ("Final answer: A, not \\boxed{C}", FOUR, "C"),
        ("Final answer: B\nFinal answer:", FOUR, "no_answer"),
        ("Final answer (B)", FOUR, "no_answer"),
        ("Final answer: I", TEN, "I"),
        ("Final answer: I think so", TEN, "out_of_range"),
        ("\\boxed{\\text{Yes.}}", YES_NO_MAYBE, "yes"),
        ("\\boxed{y}", YES_NO_MAYBE, "out_of_range"),
        ("Final answer: probably yes", YES_NO_MAYBE, "out_of_range"),
        ("Final answer: yes (p<0.05)", YES_NO_MAYBE, "yes"),
        ("Final answer: yes, but maybe not", YES_NO_MAYBE, "ambiguous"),
        ("Final answer: no; yes in children", YES_NO_MAYBE, "ambiguous"),
    ],
)
def test_stated_answer(text: str, choices: Sequence[str], expected: str) -> None:
    assert outcome(text, choices) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Final answer: B: Warfarin", "B"),
        ("Final answer: B (warfarin 5 mg)", "B"),
        ("\\boxed{\\textbf{A}\\text{. Heparin}}", "A"),
        ("Final answer: A. Heparin or B. Warfarin", "ambiguous"),
        ("Final answer: A. Warfarin", "ambiguous"),
        ("Final answer: Warfarin", "out_of_range"),
        ("The best drug is Warfarin.", "no_answer"),
    ],
)
def test_a_label_may_carry_the_text_of_its_own_option_only(text: str, expected: str) -> None:
    assert outcome(text, FOUR, DRUGS) == expected


@pytest.mark.parametrize("text", ["Final answer: B)", "\\boxed{B)}"])
def test_a_label_with_its_list_bracket_stands_alone(text: str) -> None:
    assert outcome(text, FOUR) == "B"


def test_the_way_it_was_stated_is_reported() -> None:
    assert extract("so \\boxed{ c }", FOUR) == Extraction("C", None, "boxed", "c")
    assert extract("Final answer: B.", FOUR) == Extraction("B", None, "line", "B.")


def test_a_failed_reply_outranks_a_truncated_one_and_both_outrank_its_text() -> None:
    assert extract("\\boxed{A}", FOUR, truncated=True, failed=True).failure == "error"
    assert extract("\\boxed{A}", FOUR, truncated=True).failure == "truncated"
    assert extract("", FOUR, truncated=True).failure == "truncated"
    assert extract(" \n", FOUR).failure == "empty"


@given(replies, label_sets, st.none() | st.just(DRUGS), st.booleans(), st.booleans())
def test_there_is_an_allowed_value_or_a_named_failure_and_never_both(
    text: str, choices: Sequence[str], options: Mapping[str, str] | None, truncated: bool, failed: bool
) -> None:
    found = extract(text, choices, options=options, truncated=truncated, failed=failed)
    assert (found.value is None) is not (found.failure is None)
    assert found.value is None or found.value in choices
    assert found.failure is None or found.failure in FAILURES


@given(st.lists(st.tuples(replies, label_sets), min_size=2, max_size=5))
def test_no_call_leaves_a_mark_on_another(calls: list[tuple[str, Sequence[str]]]) -> None:
    forwards = [extract(*call) for call in calls]
    backwards = [extract(*call) for call in reversed(calls)]
    assert forwards == backwards[::-1]


@given(replies, st.permutations(FOUR))
def test_the_order_of_the_labels_does_not_matter(text: str, shuffled: list[str]) -> None:
    assert extract(text, shuffled) == extract(text, FOUR)


@given(replies)
def test_a_last_box_on_its_own_line_decides(text: str) -> None:
    assert outcome(text + "\n\\boxed{B}", FOUR) == "B"


@pytest.mark.timeout(5)
@pytest.mark.parametrize("line", ["A, " * 800 + "x", "yes, " * 450 + "x", "A or " * 400, "(A) " * 500, "A,;, " * 400])
def test_a_line_in_a_loop_is_judged_at_once(line: str) -> None:
    """A regular expression with two ways to match each comma once took seconds at 24 repeats: it blocked the server."""
    assert extract(f"Final answer: {line}", FOUR).value is None
    assert extract(f"Final answer: {line}", ("yes", "no", "maybe")).value in (None, "yes")


@pytest.mark.parametrize("stated", ["A, B, x", "A, B, C, because", "A. first, or B"])
def test_a_second_label_after_the_first_is_ambiguous_without_options(stated: str) -> None:
    assert extract(f"Final answer: {stated}", FOUR).failure == "ambiguous"
