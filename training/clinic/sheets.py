"""Question sheets: what the clinic knows, asked for in short and many times, without the form of a reasoned answer.

A reasoned answer spends five hundred tokens on one diagnosis, most of them on the wording of its prompt. A small model
that sees a few million tokens so learns the form long before the medicine. A sheet holds several short questions, of
cases and of facts, answered in the words in which compact reasoning says the same ("They point to: ..."); it tells a
fact in a tenth of the tokens. What is held out from training is held out here too: the conditions, and the sets of
findings that the held-out combinations show.

    for sheet in sheets(load(), count=3000, seed=1): ...
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.clinic.cases import draw, tell
from training.clinic.english import listed, lower_first, sentence
from training.clinic.generate import held_out_conditions, split_of
from training.clinic.reasoning import decision, few_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.clinic.forms import Style
    from training.clinic.knowledge import Clinic, Condition, Presentation
    from training.clinic.questions import Topic

ITEMS = 5
"""Questions on a sheet."""

_HEAD = "Answer each question in one line."
_CASE_SHARE = 0.65
_TOLD_SHARE = 0.4
"""Of the cases: told in a form of the clinic; the others list their findings."""
_CITED_SHARE = 0.5
"""Of the cases: the answer cites the findings before it names the condition, as a reasoned answer does."""
_STYLES: tuple[Style, ...] = ("clinical", "lay", "letter", "referral", "notes", "triage", "structured")


@dataclass(frozen=True)
class Sheet:
    """Numbered questions, and their answers under the same numbers."""

    id: str
    prompt: str
    completion: str


def sheets(clinic: Clinic, count: int, seed: int) -> Iterator[Sheet]:
    """Yield `count` distinct sheets; all conditions that training may name come equally often."""
    held_out = held_out_conditions(clinic)
    pool = [(each, one) for each in clinic.presentations for one in each.conditions if one.id not in held_out]
    rng = random.Random(f"{seed}/sheets")  # noqa: S311
    deck: list[tuple[Presentation, Condition]] = []
    seen: set[str] = set()
    while len(seen) < count:
        items: list[tuple[str, str]] = []
        while len(items) < ITEMS:
            if not deck:
                deck = rng.sample(pool, len(pool))
            item = _item(*deck.pop(), rng)
            if item is not None:
                items.append(item)
        sheet = _sheet(items)
        if sheet.id not in seen:
            seen.add(sheet.id)
            yield sheet


def _sheet(items: list[tuple[str, str]]) -> Sheet:
    questions = [f"{number}. {question}" for number, (question, _) in enumerate(items, 1)]
    answers = [f"{number}. {answer}" for number, (_, answer) in enumerate(items, 1)]
    prompt = "\n".join((_HEAD, *questions))
    return Sheet(hashlib.sha256(prompt.encode()).hexdigest()[:16], prompt, "\n".join(answers))


def _item(presentation: Presentation, condition: Condition, rng: random.Random) -> tuple[str, str] | None:
    if rng.random() < _CASE_SHARE:
        return _case(presentation, condition, rng)
    return rng.choice(_facts(condition, rng))


def _case(presentation: Presentation, condition: Condition, rng: random.Random) -> tuple[str, str] | None:
    """A patient and the diagnosis, or None where the draw belongs to the held-out combinations."""
    patient = draw(condition, presentation, rng)
    if patient is None or split_of(patient) != "train":
        return None
    style = rng.choice(_STYLES)
    case = tell(patient, style, rng)
    shown = [patient.told[each].rstrip(".") for each in patient.present]
    if rng.random() > _TOLD_SHARE:
        listing = shown[:]
        rng.shuffle(listing)
        case = f"{'; '.join(listing)}."
    answer = f"They point to: {condition.name}."
    if rng.random() < _CITED_SHARE:
        answer = f"Findings: {listed(few_words(shown[:3]))}. {answer}"
    return " ".join(case.split()), answer


def _facts(condition: Condition, rng: random.Random) -> list[tuple[str, str]]:
    """A question and its answer on each thing that the questions of the clinic turn on."""
    name, treatment, prognosis = condition.name, condition.treatment, condition.prognosis
    missing = sentence(condition.uncertainty.missing)
    limit = rng.choice(treatment.contraindications)
    factor = lower_first(limit.factor).rstrip(".")
    asked: list[tuple[str, Topic, str]] = [
        (f"{name}: which test settles it?", "test", sentence(condition.tests[0].name)),
        (f"{name}: what is given first?", "treatment", sentence(treatment.first_line)),
        (f"{name}, with {factor}: what is given?", "contraindication", sentence(limit.instead)),
        (f"{name} is thought of. {missing} What is done?", "uncertainty", sentence(condition.uncertainty.decision)),
        (f"{name}: what worsens its outlook?", "worse", "; ".join(prognosis.worse)),
        (f"{name}: what improves its outlook?", "better", "; ".join(prognosis.better)),
    ]
    return [(question, decision(topic, right, limit)) for question, topic, right in asked]
