"""Comments on exams become prose about the patient, with nothing added."""

from __future__ import annotations

import pytest

from training.data.exam_talk import connected, plain_sentence


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("We are told that she has fever and a new murmur.", "She has fever and a new murmur."),
        ("We are presented with a boy who limps.", "This is a boy who limps."),
        ("This should make us think of a torsion.", "This suggests a torsion."),
        ("In my opinion, the pain is biliary.", "The pain is biliary."),
        ("The drug of choice is a made-up one (option B correct)", "The drug of choice is a made-up one (option B)."),
        ("Screws hold such a fracture poorly (Correct option D).", "Screws hold such a fracture poorly (option D)."),
        ("No fever speaks against infection (wrong option A).", "No fever speaks against infection (not option A)."),
        ("The correct answer is option C, because it drains.", "The option to choose is C, because it drains."),
    ],
)
def test_an_introduction_is_taken_off(sentence: str, expected: str) -> None:
    assert plain_sentence(sentence) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "This was an easy question for everybody.",
        "The correct answer is option C.",
        "Therefore, option C is the correct one.",
        "I would have chosen something else here.",
        "They do not tell us the potassium level.",
        "With 4 we could exclude stones in the end.",
        "Too short here.",
        "What else could this be in a child?",
    ],
)
def test_talk_about_the_exam_is_dropped(sentence: str) -> None:
    assert plain_sentence(sentence) == ""


def test_a_sentence_that_leans_on_a_dropped_one_is_mended_or_dropped() -> None:
    told = ["This was an easy question.", "Therefore, the leg is swollen by a clot.", "It hurts at night as well."]
    assert connected(told) == ["The leg is swollen by a clot.", "It hurts at night as well."]
    assert connected(["This was an easy question.", "These lesions itch at night."]) == []


def test_control_tokens_become_text() -> None:
    assert "<think>" not in plain_sentence("The <think> lesion is on the left arm.")
