"""What is asked about a patient: diagnosis, best test, treatment, a decision in doubt, outlook; closed or open.

Distractors come from the same presentation, so that they are the look-alikes a doctor would consider. A condition that
is held out from training is barred from being a distractor there: a model would learn that its name is always wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gazal.prompting import OPTION_LABELS, Mode

if TYPE_CHECKING:
    import random
    from collections.abc import Collection

    from training.clinic.cases import Patient
    from training.clinic.knowledge import Condition, Contraindication

Topic = Literal["diagnosis", "test", "treatment", "contraindication", "uncertainty", "worse", "better"]
TOPICS: tuple[Topic, ...] = ("diagnosis", "test", "treatment", "contraindication", "uncertainty", "worse", "better")

OPEN_TOPICS: dict[Topic, Mode] = {
    "diagnosis": "diagnosis",
    "treatment": "treatment",
    "uncertainty": "uncertainty",
    "worse": "prognosis",
}
"""Topics that can be asked openly, and the mode they are asked in."""

_QUESTIONS: dict[Topic, tuple[str, ...]] = {
    "diagnosis": (
        "What is the most likely diagnosis?",
        "Which condition explains this picture best?",
        "What is the cause of these findings?",
    ),
    "test": ("Which investigation will settle the diagnosis?", "What is the most useful test now?"),
    "treatment": (
        "What is the best first treatment?",
        "Which treatment should be given first?",
        "How should this patient be treated?",
    ),
    "contraindication": ("What is the best treatment for this patient?", "Which treatment suits this patient best?"),
    "uncertainty": ("What should be done now?", "What is the best decision at this point?"),
    "worse": ("Which of these would worsen the outlook?", "Which factor makes a poor outcome more likely?"),
    "better": ("Which of these would improve the outlook?", "Which factor makes a good outcome more likely?"),
}


@dataclass(frozen=True)
class Asked:
    """A question about a patient, with its right answer and, in `mcq`, its options."""

    topic: Topic
    mode: Mode
    question: str
    right: str
    """The text of the right answer."""
    wrong: tuple[str, ...] = ()
    note: str = ""
    """A sentence the case must add: a contraindication, or what is not known."""
    contraindication: Contraindication | None = None
    options: dict[str, str] | None = None
    key: str | None = None


def ask(patient: Patient, topic: Topic, rng: random.Random, *, barred: Collection[str] = ()) -> Asked | None:
    """A multiple-choice question on `topic`, or None when the file gives too few distractors for it."""
    right, wrong, note, contraindication = _material(patient, topic, rng, barred)
    right = right.rstrip(".")
    distinct = [
        text for text in dict.fromkeys(each.rstrip(".") for each in wrong) if text.casefold() != right.casefold()
    ]
    if len(distinct) < 2:
        return None
    chosen = rng.sample(distinct, min(len(distinct), rng.choice((2, 3, 3, 3, 4))))
    texts = [right, *chosen]
    rng.shuffle(texts)
    options = dict(zip(OPTION_LABELS, texts, strict=False))
    key = next(label for label, text in options.items() if text == right)
    question = rng.choice(_QUESTIONS[topic])
    return Asked(topic, "mcq", question, right, tuple(chosen), note, contraindication, options, key)


def ask_openly(patient: Patient, topic: Topic) -> Asked:
    """An open question in one of the four modes of the paper's data; `topic` is one of OPEN_TOPICS."""
    mode = OPEN_TOPICS[topic]
    condition = patient.condition
    note = _sentence(condition.uncertainty.missing) if topic == "uncertainty" else ""
    right = {
        "diagnosis": condition.name,
        "treatment": condition.treatment.first_line,
        "uncertainty": condition.uncertainty.decision,
        "worse": condition.prognosis.course,
    }[topic]
    return Asked(topic, mode, "", right, note=note)


def _material(
    patient: Patient, topic: Topic, rng: random.Random, barred: Collection[str]
) -> tuple[str, list[str], str, Contraindication | None]:
    """Right answer, distractors, a sentence for the case, and the contraindication asked about."""
    condition = patient.condition
    others = [
        each
        for each in patient.presentation.conditions
        if each.id != condition.id and each.id not in barred and each.sex in ("any", patient.sex)
    ]
    treatment, uncertainty, prognosis = condition.treatment, condition.uncertainty, condition.prognosis
    if topic == "diagnosis":
        return condition.name, [other.name for other in others], "", None
    if topic == "test":
        return condition.tests[0].name, _first_tests(others, condition), "", None
    if topic == "treatment":
        return treatment.first_line, [*treatment.never, *(each.treatment.first_line for each in others)], "", None
    if topic == "contraindication":
        chosen = rng.choice(treatment.contraindications)
        note = _sentence(f"The patient has {chosen.factor}" if not chosen.factor[0].isupper() else chosen.factor)
        return chosen.instead, [chosen.avoid, *treatment.never], note, chosen
    if topic == "uncertainty":
        return uncertainty.decision, list(uncertainty.wrong), _sentence(uncertainty.missing), None
    if topic == "worse":
        return rng.choice(prognosis.worse), list(prognosis.better), "", None
    return rng.choice(prognosis.better), list(prognosis.worse), "", None


def _first_tests(others: list[Condition], condition: Condition) -> list[str]:
    own = {test.name.casefold() for test in condition.tests}
    return [other.tests[0].name for other in others if other.tests[0].name.casefold() not in own]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."
