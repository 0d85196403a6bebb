"""Abstracts become reasoned answers, unless their conclusion says what they do not. All text is made up."""

from __future__ import annotations

from typing import Any

import pytest

from training.data.completions import fault
from training.data.composing import NotRewritten
from training.data.pubmedqa import grounded, rewrite
from training.rewards import RewardPolicy, score

LABELS = ("yes", "no", "maybe")


def abstract(**changes: Any) -> dict[str, Any]:
    return {
        "id": "made-up-1",
        "question": "Does warm milk shorten hiccups in infants?",
        "options": {label: label for label in LABELS},
        "answer": "no",
        "context": [
            "Hiccups in infants trouble parents more than infants.",
            "We randomly assigned 84 infants with hiccups to warm milk or to cold milk at one clinic.",
            "Parents liked it. Hiccups lasted 6.1 minutes with warm milk and 6.0 minutes with cold milk (P = 0.91).",
        ],
        "rationale": "Warm milk did not shorten hiccups in these infants. Further studies are needed.",
        "meta": {"context_labels": ["BACKGROUND", "METHODS", "RESULTS"]},
        **changes,
    }


def test_an_abstract_becomes_question_design_results_and_conclusion() -> None:
    text = str(rewrite(abstract())["completion"])
    assert text == (
        "<think>\n"
        "Step 1: The question is: Does warm milk shorten hiccups in infants?\n"
        "Step 2: We randomly assigned 84 infants with hiccups to warm milk or to cold milk at one clinic. Chance "
        "decided the groups, so a difference can be read as an effect.\n"
        "Step 3: Hiccups lasted 6.1 minutes with warm milk and 6.0 minutes with cold milk (P = 0.91).\n"
        "Step 4: Warm milk did not shorten hiccups in these infants.\n"
        "Step 5: The results speak for no, within these limits, so the answer is no.\n"
        "</think>\n\n"
        "## Evidence Assessment\n"
        "**Finding**: Hiccups lasted 6.1 minutes with warm milk and 6.0 minutes with cold milk (P = 0.91).\n"
        "**Strength**: We randomly assigned 84 infants with hiccups to warm milk or to cold milk at one clinic. Chance "
        "decided the groups, so a difference can be read as an effect.\n"
        "**Conclusion**: Warm milk did not shorten hiccups in these infants.\n\n"
        "Final answer: \\boxed{no}"
    )
    scored = score(text, "no", LABELS, range(100), RewardPolicy(), prompt=abstract()["question"])
    assert (scored.accuracy, scored.format) == (1.0, 1.0)
    assert fault(text, LABELS, {}, "no") is None


def test_an_abstract_without_a_design_says_so() -> None:
    context = [abstract()["context"][0], abstract()["context"][2]]
    text = str(rewrite(abstract(context=context, meta={}))["completion"])
    assert "The abstract does not name its design" in text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rationale": "Warm milk did not shorten hiccups in 412 infants."}, "says what the abstract does not"),
        (
            {"rationale": "Hiccups with milk reflect vagal immaturity, gastric distension and maternal anxiety alike."},
            "abs",
        ),
        ({"rationale": "Further studies of hiccups in infants are needed."}, "no conclusion"),
        (
            {"context": ["Nothing was measured."], "meta": {}, "rationale": "Warm milk does shorten hiccups."},
            "no result",
        ),
    ],
)
def test_what_cannot_be_rewritten_is_refused_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotRewritten, match=reason):
        rewrite(abstract(**changes))


def test_a_conclusion_is_grounded_in_numbers_and_words() -> None:
    source = "The drug lowered pressure by 12 mmHg in adults."
    assert grounded("It lowered pressure by 12 mmHg.", source)
    assert not grounded("It lowered pressure by 15 mmHg.", source)
    assert not grounded("Kidneys filter better thereafter.", source)
