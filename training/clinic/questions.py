"""What is asked about a patient: diagnosis, best test, treatment, a decision in doubt, outlook; closed or open.

Distractors come from the same presentation, so that they are the look-alikes a doctor would consider. A condition that
is held out from training is barred from being a distractor there: a model would learn that its name is always wrong.
Distractors are also chosen by length, so that the right option is as often the shortest as the longest. Where the case
decides nothing, an option that says so is right; elsewhere it is now and then a distractor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gazal.prompting import OPTION_LABELS, Mode
from training.clinic.english import lower_first, sentence

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Sequence

    from training.clinic.cases import Patient
    from training.clinic.knowledge import Condition, Contraindication

Topic = Literal["diagnosis", "test", "treatment", "contraindication", "uncertainty", "worse", "better", "research"]
TOPICS: tuple[Topic, ...] = ("diagnosis", "test", "treatment", "contraindication", "uncertainty", "worse", "better")
"""Those of questions about a patient; `research` asks about a trial instead, see `training.clinic.studies`."""

OPEN_TOPICS: dict[Topic, Mode] = {
    "diagnosis": "diagnosis",
    "treatment": "treatment",
    "uncertainty": "uncertainty",
    "worse": "prognosis",
}
"""Topics that can be asked openly, and the mode they are asked in."""

UNDECIDED_TOPICS: tuple[Topic, ...] = ("diagnosis", "treatment")
"""Topics to which "not enough is known" can be the answer."""

_DOUBT_DISTRACTOR_CHANCE = 0.3
_FEWEST = 2
"""Distractors in a question."""

_QUESTIONS: dict[Topic, tuple[str, ...]] = {
    "diagnosis": (
        "What is the most likely diagnosis?",
        "Which condition explains this picture best?",
        "What is the cause of these findings?",
        "Which diagnosis fits?",
        "What is wrong with this patient?",
        "Which of the following is the likeliest explanation?",
    ),
    "test": (
        "Which investigation will settle the diagnosis?",
        "What is the most useful test now?",
        "Which test should be done next to confirm the suspicion?",
        "How is the diagnosis best confirmed?",
    ),
    "treatment": (
        "What is the best first treatment?",
        "Which treatment should be given first?",
        "How should this patient be treated?",
        "Which is the most appropriate treatment?",
        "What would you start?",
    ),
    "contraindication": (
        "What is the best treatment for this patient?",
        "Which treatment suits this patient best?",
        "In view of this, what should be chosen?",
        "Which option is safe and effective here?",
    ),
    "uncertainty": (
        "What should be done now?",
        "What is the best decision at this point?",
        "What is the next step?",
        "How do you proceed?",
    ),
    "worse": (
        "Which of these would worsen the outlook?",
        "Which factor makes a poor outcome more likely?",
        "What would be an unfavourable sign for the course?",
    ),
    "better": (
        "Which of these would improve the outlook?",
        "Which factor makes a good outcome more likely?",
        "What would be a favourable sign for the course?",
    ),
}
_DOUBT_TEXTS: tuple[str, ...] = (
    "The information given does not decide between the candidates",
    "Insufficient information to choose among these",
    "It cannot be decided from what is known so far",
    "More information is needed before one of these can be preferred",
    "Undetermined: the facts given fit more than one of them equally",
    "Not enough is known to tell",
    "None can be chosen yet, because the decisive findings are missing",
    "The case leaves this open",
    "No choice is possible without further findings",
    "Cannot be decided yet",
    "Too little is known",
    "Undetermined",
    "Insufficient information",
    "Open until more is known",
    "These data do not allow a decision",
)
DOUBT = frozenset(_DOUBT_TEXTS)
"""The options that say that the case does not decide."""
_FACTORS = ("Also known: {}", "To be considered: {}", "Relevant for the choice: {}", "One more fact: {}", "Note: {}")


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


@dataclass(frozen=True)
class _Material:
    right: str
    wrong: Sequence[str]
    note: str = ""
    contraindication: Contraindication | None = None
    must: tuple[str, ...] = ()
    """Distractors that have to be among the options."""


def ask(patient: Patient, topic: Topic, rng: random.Random, *, barred: Collection[str] = ()) -> Asked | None:
    """A multiple-choice question on `topic`, or None when the file gives too few distractors for it."""
    made = _undecided(patient, topic, rng, barred) if patient.rival else _material(patient, topic, rng, barred)
    right = made.right.rstrip(".")
    must = [each.rstrip(".") for each in made.must]
    distinct = [
        text
        for text in dict.fromkeys(each.rstrip(".") for each in made.wrong)
        if text.casefold() not in {right.casefold(), *(each.casefold() for each in must)}
    ]
    if len(distinct) + len(must) < _FEWEST:
        return None
    count = rng.choice((2, 3, 3, 3, 4)) - len(must)
    chosen = [*must, *_chosen_by_length(right, distinct, max(0, min(len(distinct), count)), rng)]
    if not patient.rival and topic in UNDECIDED_TOPICS and rng.random() < _DOUBT_DISTRACTOR_CHANCE:
        chosen[-1] = rng.choice(_DOUBT_TEXTS)
    options, key = lettered(right, chosen, rng)
    question = rng.choice(_QUESTIONS[topic])
    return Asked(topic, "mcq", question, right, tuple(chosen), made.note, made.contraindication, options, key)


def lettered(right: str, wrong: Sequence[str], rng: random.Random) -> tuple[dict[str, str], str]:
    """The options in a drawn order under their letters, and the letter of the right one."""
    texts = [right, *wrong]
    rng.shuffle(texts)
    options = dict(zip(OPTION_LABELS, texts, strict=False))
    return options, next(label for label, text in options.items() if text == right)


def ask_openly(patient: Patient, topic: Topic) -> Asked:
    """An open question in one of the four modes of the paper's data; `topic` is one of OPEN_TOPICS."""
    mode = OPEN_TOPICS[topic]
    condition = patient.condition
    note = sentence(condition.uncertainty.missing) if topic == "uncertainty" else ""
    right = {
        "diagnosis": condition.name,
        "treatment": condition.treatment.first_line,
        "uncertainty": condition.uncertainty.decision,
        "worse": condition.prognosis.course,
    }[topic]
    return Asked(topic, mode, "", "insufficient information" if patient.rival else right, note=note)


def _chosen_by_length(right: str, distractors: list[str], count: int, rng: random.Random) -> list[str]:
    """About `count` distractors such that the right text's rank by length is as even as the distractors allow."""
    shorter = [each for each in distractors if len(each) < len(right)]
    longer = [each for each in distractors if len(each) >= len(right)]
    rank = rng.randint(0, count)
    if rank == 0 and len(longer) >= _FEWEST:
        return rng.sample(longer, min(count, len(longer)))
    if rank == count and len(shorter) >= _FEWEST:
        return rng.sample(shorter, min(count, len(shorter)))
    rank = min(max(rank, count - len(longer)), len(shorter))
    return [*rng.sample(shorter, rank), *rng.sample(longer, count - rank)]


def _others(patient: Patient, barred: Collection[str]) -> list[Condition]:
    return [
        each
        for each in patient.presentation.conditions
        if each.id != patient.condition.id and each.id not in barred and each.sex in ("any", patient.sex)
    ]


def _undecided(patient: Patient, topic: Topic, rng: random.Random, barred: Collection[str]) -> _Material:
    assert patient.rival  # noqa: S101
    others = [each for each in _others(patient, barred) if each.id != patient.rival.id]
    pair = (patient.condition, patient.rival)
    if topic == "diagnosis":
        return _Material(rng.choice(_DOUBT_TEXTS), [o.name for o in others], must=tuple(each.name for each in pair))
    first = tuple(each.treatment.first_line for each in pair)
    return _Material(rng.choice(_DOUBT_TEXTS), [o.treatment.first_line for o in others], must=first)


def _material(patient: Patient, topic: Topic, rng: random.Random, barred: Collection[str]) -> _Material:
    """Right answer, distractors, a sentence for the case, and the contraindication asked about."""
    condition, others = patient.condition, _others(patient, barred)
    treatment, uncertainty, prognosis = condition.treatment, condition.uncertainty, condition.prognosis
    if topic == "diagnosis":
        return _Material(condition.name, [other.name for other in others])
    if topic == "test":
        return _Material(condition.tests[0].name, _first_tests(others, condition))
    elsewhere = [each.treatment.first_line for each in others]
    if topic == "treatment":
        return _Material(treatment.first_line, [*treatment.never, *elsewhere])
    if topic == "contraindication":
        chosen = rng.choice(treatment.contraindications)
        note = sentence(rng.choice(_FACTORS).format(lower_first(chosen.factor).rstrip(".")))
        return _Material(chosen.instead, [chosen.avoid, *treatment.never, *elsewhere], note, chosen)
    if topic == "uncertainty":
        return _Material(uncertainty.decision, list(uncertainty.wrong), sentence(uncertainty.missing))
    if topic == "worse":
        return _Material(rng.choice(prognosis.worse), list(prognosis.better))
    return _Material(rng.choice(prognosis.better), list(prognosis.worse))


def _first_tests(others: list[Condition], condition: Condition) -> list[str]:
    own = {test.name.casefold() for test in condition.tests}
    return [other.tests[0].name for other in others if other.tests[0].name.casefold() not in own]
