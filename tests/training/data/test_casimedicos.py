"""Doctors' comments become reasoned answers that earn the whole reward, or are left out with a reason.

The comments are made up; they have the shape of the real ones.
"""

from __future__ import annotations

from typing import Any

import pytest

from training.data.casimedicos import contradicts, finding_of_case, rewrite
from training.data.completions import fault
from training.data.composing import NotRewritten
from training.rewards import RewardPolicy, score

COMMENT = (
    "Easy question. We are told that the child refuses to walk and has fever, which should make us think of septic "
    "arthritis of the hip. Transient synovitis gives little fever and normal blood tests (option 1 incorrect). "
    "Perthes disease comes on slowly over weeks and without fever. A raised C-reactive protein with an effusion makes "
    "joint aspiration urgent, because cartilage is lost within days. The correct answer is 3."
)


def comment(**changes: Any) -> dict[str, Any]:
    return {
        "id": "made-up-1",
        "question": "A 4-year-old boy refuses to walk since this morning. He has a fever of 39.4 ºC and his hip is "
        "held flexed and rotated outwards, with an effusion on ultrasound. What is the most likely diagnosis?",
        "options": {"A": "Transient synovitis.", "B": "Perthes disease.", "C": "Septic arthritis.", "D": "Rickets."},
        "answer": "C",
        "rationale": COMMENT,
        **changes,
    }


def rewritten(**changes: Any) -> str:
    return str(rewrite(comment(**changes))["completion"])


def test_a_comment_becomes_the_grammar() -> None:
    assert rewritten() == (
        "<think>\n"
        "Step 1: Findings: A 4-year-old boy refuses to walk since this morning.\n"
        "Step 2: The child refuses to walk and has fever, which suggests septic arthritis of the hip. Transient "
        "synovitis gives little fever and normal blood tests (not option A).\n"
        "Step 3: Perthes disease comes on slowly over weeks and without fever. A raised C-reactive protein with an "
        "effusion makes joint aspiration urgent, because cartilage is lost within days.\n"
        "Step 4: Best fit: Septic arthritis. This is option C.\n"
        "</think>\n\n"
        "## Clinical Assessment\n"
        "**Best Option**: C. Septic arthritis.\n"
        "**Reasoning**: The child refuses to walk and has fever, which suggests septic arthritis of the hip.\n"
        "**Other Options**: Transient synovitis gives little fever and normal blood tests (not option A).\n\n"
        "Final answer: \\boxed{C}"
    )


def test_what_is_kept_earns_the_whole_accuracy_and_format_reward() -> None:
    text, choices = rewritten(), ("A", "B", "C", "D")
    scored = score(text, "C", choices, range(100), RewardPolicy(), prompt=comment()["question"])
    assert (scored.accuracy, scored.format, scored.lacks) == (1.0, 1.0, ())
    assert fault(text, choices, comment()["options"], "C") is None


def test_five_options_and_the_exception_are_handled() -> None:
    text = rewritten(
        question="A 4-year-old boy has fever and refuses to walk. Which of the following is NOT a cause of a limp?",
        options={**comment()["options"], "E": "A common cold."},
        answer="E",
        rationale=COMMENT.replace("(option 1 incorrect)", "(option 1 correct)").replace("answer is 3", "answer is 5"),
    )
    assert "The exception that is asked for: A common cold. This is option E." in text
    assert text.endswith("Final answer: \\boxed{E}")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rationale": "It is septic arthritis, option 3."}, "fewer than 40 words"),
        ({"rationale": COMMENT.replace("answer is 3", "answer is 2")}, "another option"),
        ({"rationale": COMMENT.replace("option 1 incorrect", "option 3 incorrect")}, "another option"),
        ({"rationale": f"{COMMENT} The image shows an effusion."}, "picture"),
        ({"question": f"12. {comment()['question']}"}, "earlier question"),
        ({"rationale": f"{COMMENT} It was challenged."}, "disputes"),
        ({"rationale": "I liked this easy question a lot. " * 8}, "too little left"),
        ({"answer": "E"}, "no option"),
        ({"question": " "}, "no question"),
    ],
)
def test_what_cannot_be_rewritten_is_refused_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotRewritten, match=reason):
        rewritten(**changes)


def test_in_a_question_for_the_exception_a_true_statement_is_not_the_answer() -> None:
    assert not contradicts("Option A is true. Option C is false.", "C", asks_exception=True)
    assert contradicts("Option C is true.", "C", asks_exception=True)
    assert contradicts("Option A is false.", "C", asks_exception=True)


def test_a_case_that_the_comment_does_not_touch_is_not_quoted() -> None:
    assert finding_of_case("A man of 50 came by train today. What now?", ["Nothing of it matters."], "Rest.") == ""
