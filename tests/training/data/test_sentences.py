"""Prose is cut into sentences, and sentences into steps, without losing a word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.sentences import balanced, sentences, telling_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is red. It hurts.", ["It is red.", "It hurts."]),
        ("S. aureus grew, e.g. In two bottles. None else.", ["S. aureus grew, e.g. In two bottles.", "None else."]),
        ("The pH was 7.21 vs. Normal. So acidosis.", ["The pH was 7.21 vs. Normal.", "So acidosis."]),
        ("First line\nsecond  line", ["First line", "second line"]),
        ("Not this one. 2 is false. 3: Wrong.", ["Not this one.", "2 is false.", "3: Wrong."]),
        ("He took 3 tablets. 40 years later he came.", ["He took 3 tablets. 40 years later he came."]),
    ],
)
def test_a_point_ends_a_sentence_only_where_one_ends(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 6))
def test_steps_keep_every_sentence_in_order_and_are_not_more_than_asked(lengths: list[int], parts: int) -> None:
    listed = [f"{' '.join(['word'] * length)} {number}." for number, length in enumerate(lengths)]
    steps = balanced(listed, parts)
    assert " ".join(steps) == " ".join(listed)
    assert 1 <= len(steps) <= min(parts, len(listed))
    assert all(steps)


def test_steps_are_of_about_equal_length() -> None:
    listed = ["one two three four."] * 6
    assert [len(step.split()) for step in balanced(listed, 3)] == [8, 8, 8]


def test_telling_words_leave_out_what_is_short_or_everywhere() -> None:
    assert telling_words("The patient has a fever of 39.5 and should rest") == {"fever", "39.5", "rest"}
