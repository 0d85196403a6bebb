"""Question sheets: what the clinic knows, asked for in short and many times, without the form of a reasoned answer.

A reasoned answer spends five hundred tokens on one diagnosis, most of them on the wording of its prompt. A small model
that sees a few million tokens so learns the form long before the medicine. A sheet holds several short questions, of
cases and of facts, answered in the words in which compact reasoning says the same ("They point to: ..."); it tells a
fact in a tenth of the tokens. Many have options, because to find the letter of a text is a skill of its own: a model
that met options only in reasoned answers named the right condition and then wrote C under every question. What is held
out from training is held out here too: the conditions, and the sets of findings that the held-out combinations show.

There are three kinds. Some hold nothing but short cases to be named, for without the name nothing else is right. Some
hold nothing but facts about conditions that are named; a model that knows these and still misses names needs few. The
rest mix both, and let a case be named and the fact chosen in one answer. Some of the cases are those told by hand,
where such are given.

    for sheet in sheets(load(), count=3000, seed=1): ...
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from training.clinic.cases import also_explains, draw, draw_undecided, tell
from training.clinic.english import listed, lower_first, sentence
from training.clinic.generate import held_out_conditions, known_conditions, not_known_yet, split_of
from training.clinic.questions import TOPICS, UNDECIDED_TOPICS, ask
from training.clinic.reasoning import chosen_option, decision, few_words, undecided_between, undecided_choice

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from training.clinic.cases import Patient
    from training.clinic.forms import Style
    from training.clinic.knowledge import Clinic, Condition, Finding, Presentation
    from training.clinic.questions import Asked, Topic
    from training.clinic.vignettes import Vignette

SheetKind = Literal["facts", "names", "mixed"]
ITEMS: dict[SheetKind, int] = {"facts": 12, "names": 7, "mixed": 5}
"""Questions on a sheet of each kind."""

_HEAD = "Answer each question in one line."
FACTS_SHARE = 0.3
"""Of the sheets: those that hold nothing but facts."""
_NAMES_SHARE = 0.45
"""Of the others: those that hold nothing but cases to be named."""
_FINDINGS_NAMED = (2, 3, 4, 4, 5)
"""Of a case to be named: all that is known. Some have as few as cases that decide nothing, or that would tell."""
_OPTIONS_SHARE = 0.5
"""Of the questions on mixed sheets: with options to choose from."""
_FACT_OPTIONS_SHARE = 0.25
"""Of those on sheets of facts, where options take three quarters of a question's tokens."""
_CASE_SHARE = 0.75
_BY_HAND_SHARE = 0.4
"""Of the cases, where the condition has some that were told by hand: those."""
_TOLD_SHARE = 0.4
"""Of the other cases: told in a form of the clinic; the rest list their findings."""
_UNDECIDED_SHARE = 0.3
"""Of the cases about a condition that another can resemble, as half of them can: those that both explain alike. A model
that hardly met any always named one of the two."""
_CITED_SHARE = 0.5
"""Of the cases: the answer cites the findings before it names the condition, as a reasoned answer does."""
_TOPICS: tuple[Topic, ...] = (*TOPICS, "contraindication")
"""Contraindications twice: each condition has two or three, and a model that knew nearly all else knew 4 of 10."""
_FACTS: dict[Topic, int] = {
    "treatment": 1,
    "test": 1,
    "contraindication": 3,
    "better": 1,
    "worse": 3,
    "uncertainty": 1,
}
"""How often a fact is of which topic: by what a model still lost on them that had learned nearly all."""
STYLES: tuple[Style, ...] = ("clinical", "lay", "letter", "referral", "notes", "triage", "structured")
"""Forms in which a case of a sheet is told."""


@dataclass(frozen=True)
class Sheet:
    """Numbered questions, and their answers under the same numbers."""

    id: str
    prompt: str
    completion: str


def sheets(
    clinic: Clinic,
    count: int,
    seed: int,
    by_hand: Sequence[Vignette] = (),
    *,
    emphasis: Sequence[str] = (),
    facts_share: float = FACTS_SHARE,
) -> Iterator[Sheet]:
    """Yield `count` distinct sheets; all conditions that training may name come equally often, but for an `emphasis`.

    Raises ValueError when the emphasis names another: see `training.clinic.generate.known_conditions`.
    """
    told: dict[str, list[Vignette]] = {}
    for each in by_hand:
        told.setdefault(each.patient.condition.id, []).append(each)
    held_out = held_out_conditions(clinic)
    pool = known_conditions(clinic, emphasis)
    rng = random.Random(f"{seed}/sheets")  # noqa: S311
    deck: list[tuple[Presentation, Condition]] = []
    seen: set[str] = set()
    while len(seen) < count:
        items: list[tuple[str, str]] = []
        kind: SheetKind = "names" if rng.random() < _NAMES_SHARE else "mixed"
        if rng.random() < facts_share:
            kind = "facts"
        while len(items) < ITEMS[kind]:
            if not deck:
                deck = rng.sample(pool, len(pool))
            presentation, condition = deck.pop()
            by_hand_here = told.get(condition.id, [])
            if kind == "names":
                item = _case_to_name(presentation, condition, by_hand_here, held_out, rng)
            elif kind == "facts":
                item = _fact(presentation, condition, held_out, _FACT_OPTIONS_SHARE, rng)
            else:
                item = _case_or_fact(presentation, condition, by_hand_here, held_out, rng)
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


def _case_or_fact(
    presentation: Presentation,
    condition: Condition,
    by_hand: Sequence[Vignette],
    barred: Collection[str],
    rng: random.Random,
) -> tuple[str, str] | None:
    """A question and its answer, or None where the draw belongs to the held-out combinations."""
    if rng.random() >= _CASE_SHARE:
        return _fact(presentation, condition, barred, _OPTIONS_SHARE, rng)
    alike = rng.random() < _UNDECIDED_SHARE and _undecided(presentation, condition, barred, rng, with_options=True)
    if alike:
        return alike
    if rng.random() < _OPTIONS_SHARE:
        topic = rng.choice(_TOPICS)
        case = _case(presentation, condition, by_hand, rng, not_known_yet(topic, condition))
        return case and _with_options(*case, topic, barred, rng, of_case=True)
    case = _case(presentation, condition, by_hand, rng)
    return case and (case[1], _pointed(case[0], rng))


def _fact(
    presentation: Presentation, condition: Condition, barred: Collection[str], options_share: float, rng: random.Random
) -> tuple[str, str] | None:
    """A question about a condition by its name, or None where there are too few options for it."""
    topic = rng.choices(list(_FACTS), list(_FACTS.values()))[0]
    if rng.random() >= options_share:
        return _recalled(condition, topic, rng)
    patient = draw(condition, presentation, rng)
    return _with_options(patient, "", topic, barred, rng, of_case=False) if patient else None


def _undecided(
    presentation: Presentation,
    condition: Condition,
    barred: Collection[str],
    rng: random.Random,
    *,
    with_options: bool,
) -> tuple[str, str] | None:
    """A case that two conditions explain alike, and both names; None where there is none that training may show."""
    rivals = [each for each in presentation.conditions if each.id not in {condition.id, *barred}]
    patient = draw_undecided(condition, rivals, presentation, rng)
    if patient is None or patient.rival is None or split_of(patient) != "train":
        return None
    told = " ".join(tell(patient, rng.choice(STYLES), rng).split())
    case = told if with_options and rng.random() < _TOLD_SHARE else _listing(patient, patient.present)
    answer = undecided_between(patient.condition, patient.rival)
    if not with_options:
        return case, answer
    asked = ask(patient, rng.choice(UNDECIDED_TOPICS), rng, barred=barred)
    if not asked:
        return None
    cited = f"{_cited(patient)} " if rng.random() < _CITED_SHARE else ""
    return _closed(f"{case} {asked.question}", asked), f"{cited}{answer} {undecided_choice(asked)}"


def _case_to_name(
    presentation: Presentation,
    condition: Condition,
    by_hand: Sequence[Vignette],
    barred: Collection[str],
    rng: random.Random,
) -> tuple[str, str] | None:
    """A short case and its name, or None where the draw belongs to the held-out combinations."""
    alike = rng.random() < _UNDECIDED_SHARE and _undecided(presentation, condition, barred, rng, with_options=False)
    if alike:
        return alike
    if by_hand and rng.random() < _BY_HAND_SHARE:
        return rng.choice(by_hand).text, _named(condition)
    patient = draw(condition, presentation, rng)
    if patient is None:
        return None
    shown = rng.sample(patient.present, min(len(patient.present), rng.choice(_FINDINGS_NAMED)))
    patient = replace(patient, present=tuple(shown))
    if split_of(patient) != "train" or also_explains(condition, shown, presentation):
        return None
    text = tell(patient, rng.choice(STYLES), rng)
    told = " ".join(text.split()) if rng.random() < _TOLD_SHARE else _listing(patient, shown)
    return told, _named(condition)


def _with_options(
    patient: Patient, told: str, topic: Topic, barred: Collection[str], rng: random.Random, *, of_case: bool
) -> tuple[str, str] | None:
    """A question of the clinic on a case, or on a condition by its name; none that is `barred` is an option."""
    asked = ask(patient, topic, rng, barred=barred)
    if not asked:
        return None
    said = told if of_case else sentence(patient.condition.name)
    question = " ".join(each for each in (said, asked.note, asked.question) if each)
    answer = chosen_option(asked)
    return _closed(question, asked), f"{_pointed(patient, rng)} {answer}" if of_case else answer


def _closed(question: str, asked: Asked) -> str:
    return "\n".join((question, *(f"{label}. {text}" for label, text in (asked.options or {}).items())))


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
    text = tell(patient, rng.choice(STYLES), rng)
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
    return f"{_cited(patient)} {answer}" if rng.random() < _CITED_SHARE else answer


def _cited(patient: Patient) -> str:
    shown = [patient.told[each].rstrip(".") for each in patient.present[:3]]
    return f"Findings: {listed(few_words(shown))}."


def _recalled(condition: Condition, topic: Topic, rng: random.Random) -> tuple[str, str]:
    """A question without options, in few words, and its answer as reasoning gives it."""
    name, treatment, prognosis = condition.name, condition.treatment, condition.prognosis
    if topic == "contraindication":
        limit = rng.choice(treatment.contraindications)
        said = decision(topic, sentence(limit.instead), limit)
        return f"{name}, with {lower_first(limit.factor).rstrip('.')}: what is given?", said
    question, right = {
        "test": (f"{name}: which test settles it?", sentence(condition.tests[0].name)),
        "treatment": (f"{name}: what is given first?", sentence(treatment.first_line)),
        "uncertainty": (
            f"{name} is thought of. {sentence(condition.uncertainty.missing)} What is done?",
            sentence(condition.uncertainty.decision),
        ),
        "worse": (f"{name}: what worsens its outlook?", "; ".join(prognosis.worse)),
        "better": (f"{name}: what improves its outlook?", "; ".join(prognosis.better)),
    }[topic]
    return question, decision(topic, right)
