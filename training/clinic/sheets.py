"""Question sheets: what the clinic knows, asked for in short and many times, without the form of a reasoned answer.

A reasoned answer spends five hundred tokens on one diagnosis, most of them on the wording of its prompt. A small model
that sees a few million tokens so learns the form long before the medicine. A sheet holds several short questions, of
cases and of facts, answered in the words in which compact reasoning says the same ("They point to: ..."); it tells a
fact in a tenth of the tokens. Many have options, because to find the letter of a text is a skill of its own: a model
that met options only in reasoned answers named the right condition and then wrote C under every question. What is held
out from training is held out here too: the conditions, and the sets of findings that the held-out combinations show.

Some of the cases are those told by hand, where such are given. Two sheets in five hold nothing but short cases to be
named: what a small model gets wrong in a reasoned answer is first of all the name.

    for sheet in sheets(load(), count=3000, seed=1): ...
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from training.clinic.cases import also_explains, draw, tell
from training.clinic.english import listed, lower_first, sentence
from training.clinic.generate import held_out_conditions, not_known_yet, split_of
from training.clinic.questions import TOPICS, ask
from training.clinic.reasoning import chosen_option, decision, few_words

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from training.clinic.cases import Patient
    from training.clinic.forms import Style
    from training.clinic.knowledge import Clinic, Condition, Finding, Presentation
    from training.clinic.questions import Topic
    from training.clinic.vignettes import Vignette

ITEMS = 5
"""Questions on a sheet."""
NAMED_ITEMS = 7
"""Cases on a sheet that asks for nothing but names."""

_HEAD = "Answer each question in one line."
_NAMING_SHARE = 0.4
"""Of the sheets: those that ask for nothing but names."""
_FINDINGS_NAMED = (3, 4, 4, 5, 5)
"""Of a case, on those: all that is known of it."""
_OPTIONS_SHARE = 0.4
"""Of the questions: with options to choose from."""
_CASE_SHARE = 0.55
_BY_HAND_SHARE = 0.4
"""Of the cases, where the condition has some that were told by hand: those."""
_TOLD_SHARE = 0.4
"""Of the other cases: told in a form of the clinic; the rest list their findings."""
_CITED_SHARE = 0.5
"""Of the cases: the answer cites the findings before it names the condition, as a reasoned answer does."""
_TOPICS: tuple[Topic, ...] = (*TOPICS, "contraindication")
"""Contraindications twice: each condition has two or three, and a model that knew nearly all else knew 4 of 10."""
_STYLES: tuple[Style, ...] = ("clinical", "lay", "letter", "referral", "notes", "triage", "structured")


@dataclass(frozen=True)
class Sheet:
    """Numbered questions, and their answers under the same numbers."""

    id: str
    prompt: str
    completion: str


def sheets(clinic: Clinic, count: int, seed: int, by_hand: Sequence[Vignette] = ()) -> Iterator[Sheet]:
    """Yield `count` distinct sheets; all conditions that training may name come equally often."""
    told: dict[str, list[Vignette]] = {}
    for each in by_hand:
        told.setdefault(each.patient.condition.id, []).append(each)
    held_out = held_out_conditions(clinic)
    pool = [(each, one) for each in clinic.presentations for one in each.conditions if one.id not in held_out]
    rng = random.Random(f"{seed}/sheets")  # noqa: S311
    deck: list[tuple[Presentation, Condition]] = []
    seen: set[str] = set()
    while len(seen) < count:
        items: list[tuple[str, str]] = []
        naming = rng.random() < _NAMING_SHARE
        while len(items) < (NAMED_ITEMS if naming else ITEMS):
            if not deck:
                deck = rng.sample(pool, len(pool))
            presentation, condition = deck.pop()
            by_hand_here = told.get(condition.id, [])
            if naming:
                item = _case_to_name(presentation, condition, by_hand_here, rng)
            else:
                item = _item(presentation, condition, by_hand_here, held_out, rng)
            if item is not None:
                items.append(item)
        sheet = _sheet(items)
        if sheet.id not in seen:
            seen.add(sheet.id)
            yield sheet


def to_be_named(cases: Sequence[tuple[str, Condition]]) -> Sheet:
    """A sheet of cases as told, one line each, and the names of their conditions."""
    return _sheet([(" ".join(told.split()), _named(condition)) for told, condition in cases])


def _sheet(items: list[tuple[str, str]]) -> Sheet:
    questions = [f"{number}. {question}" for number, (question, _) in enumerate(items, 1)]
    answers = [f"{number}. {answer}" for number, (_, answer) in enumerate(items, 1)]
    prompt = "\n".join((_HEAD, *questions))
    return Sheet(hashlib.sha256(prompt.encode()).hexdigest()[:16], prompt, "\n".join(answers))


def _item(
    presentation: Presentation,
    condition: Condition,
    by_hand: Sequence[Vignette],
    barred: Collection[str],
    rng: random.Random,
) -> tuple[str, str] | None:
    """A question and its answer, or None where the draw belongs to the held-out combinations."""
    of_case = rng.random() < _CASE_SHARE
    if rng.random() < _OPTIONS_SHARE:
        topic = rng.choice([each for each in _TOPICS if of_case or each != "diagnosis"])
        case = _case(presentation, condition, by_hand, rng, not_known_yet(topic, condition))
        return case and _with_options(*case, topic, barred, rng, of_case=of_case)
    if not of_case:
        return rng.choice(_facts(condition))
    case = _case(presentation, condition, by_hand, rng)
    return case and (case[1], _pointed(case[0], rng))


def _case_to_name(
    presentation: Presentation, condition: Condition, by_hand: Sequence[Vignette], rng: random.Random
) -> tuple[str, str] | None:
    """A short case and its name, or None where the draw belongs to the held-out combinations."""
    if by_hand and rng.random() < _BY_HAND_SHARE:
        return rng.choice(by_hand).text, _named(condition)
    patient = draw(condition, presentation, rng)
    if patient is None:
        return None
    shown = rng.sample(patient.present, min(len(patient.present), rng.choice(_FINDINGS_NAMED)))
    patient = replace(patient, present=tuple(shown))
    if split_of(patient) != "train" or also_explains(condition, shown, presentation):
        return None
    tell(patient, rng.choice(_STYLES), rng)
    return _listing(patient, shown), _named(condition)


def _with_options(
    patient: Patient, told: str, topic: Topic, barred: Collection[str], rng: random.Random, *, of_case: bool
) -> tuple[str, str] | None:
    """A question of the clinic on a case, or on a condition by its name; none that is `barred` is an option."""
    asked = ask(patient, topic, rng, barred=barred)
    if not asked:
        return None
    said = told if of_case else sentence(patient.condition.name)
    question = " ".join(each for each in (said, asked.note, asked.question) if each)
    options = [f"{label}. {text}" for label, text in (asked.options or {}).items()]
    answer = chosen_option(asked)
    return "\n".join((question, *options)), f"{_pointed(patient, rng)} {answer}" if of_case else answer


def _case(
    presentation: Presentation,
    condition: Condition,
    by_hand: Sequence[Vignette],
    rng: random.Random,
    hidden: Callable[[Finding], bool] = lambda _: False,
) -> tuple[Patient, str] | None:
    """A patient and the case, told by hand or in a form of the clinic, or as a list in the words of such a form."""
    usable = [each for each in by_hand if not each.shows_any(hidden)]
    if usable and rng.random() < _BY_HAND_SHARE:
        chosen = rng.choice(usable)
        return chosen.patient, chosen.text
    patient = draw(condition, presentation, rng, hidden=hidden)
    if patient is None or split_of(patient) != "train":
        return None
    text = tell(patient, rng.choice(_STYLES), rng)
    if rng.random() < _TOLD_SHARE:
        return patient, " ".join(text.split())
    return patient, _listing(patient, rng.sample(patient.present, len(patient.present)))


def _listing(patient: Patient, findings: Sequence[str]) -> str:
    return f"{'; '.join(patient.told[each].rstrip('.') for each in findings)}."


def _named(condition: Condition) -> str:
    return f"They point to: {condition.name}."


def _pointed(patient: Patient, rng: random.Random) -> str:
    """What the case points to, half of the time after the findings that a reasoned answer would cite first."""
    answer = _named(patient.condition)
    if rng.random() < _CITED_SHARE:
        shown = [patient.told[each].rstrip(".") for each in patient.present[:3]]
        return f"Findings: {listed(few_words(shown))}. {answer}"
    return answer


def _facts(condition: Condition) -> list[tuple[str, str]]:
    """Questions and their answers on all that the questions of the clinic turn on."""
    name, treatment, prognosis = condition.name, condition.treatment, condition.prognosis
    missing = sentence(condition.uncertainty.missing)
    asked: list[tuple[str, Topic, str]] = [
        (f"{name}: which test settles it?", "test", sentence(condition.tests[0].name)),
        (f"{name}: what is given first?", "treatment", sentence(treatment.first_line)),
        (f"{name} is thought of. {missing} What is done?", "uncertainty", sentence(condition.uncertainty.decision)),
        (f"{name}: what worsens its outlook?", "worse", "; ".join(prognosis.worse)),
        (f"{name}: what improves its outlook?", "better", "; ".join(prognosis.better)),
    ]
    limited = [
        (
            f"{name}, with {lower_first(limit.factor).rstrip('.')}: what is given?",
            decision("contraindication", sentence(limit.instead), limit),
        )
        for limit in treatment.contraindications
    ]
    return [(question, decision(topic, right)) for question, topic, right in asked] + limited
