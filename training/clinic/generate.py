"""Training and test examples from the clinic, with what is held out kept apart by construction.

Two things are held out. Whole **conditions**, one a presentation, never occur in training, not even as a distractor.
**Combinations**, the set of typical findings that a case shows, are split by a hash: a test case about a known
condition shows a set of findings that no training case shows. Everything follows from the seed.

    for example in generate(load(), "train", count=30_000, seed=1): ...
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from gazal.prompting import Mode, render
from training.clinic.cases import Patient, draw, draw_undecided, tell
from training.clinic.forms import Style
from training.clinic.questions import OPEN_TOPICS, TOPICS, UNDECIDED_TOPICS, Asked, Topic, ask, ask_openly
from training.clinic.reasoning import Length, reasoned_answer
from training.clinic.studies import NearlyWide, study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from training.clinic.knowledge import Clinic, Condition, Finding, Presentation

Split = Literal["train", "combination", "condition"]
SPLITS: tuple[Split, ...] = ("train", "combination", "condition")

_TEST_COMBINATIONS_PERCENT = 15
_STYLES: tuple[Style, ...] = ("clinical", "clinical", "lay", "letter", "referral", "notes", "triage", "structured")
_PLAIN_STYLES: tuple[Style, ...] = ("clinical", "clinical", "lay", "structured")
_RESEARCH_SHARE = 0.08
_OPEN_SHARE = 0.15
_PENDING = (
    "No test result is back yet.",
    "Tests have not been done so far.",
    "Bloods: pending.",
    "Results are awaited.",
)
_PENDING_CHANCE = 0.25
_QUESTION_INSIDE_CHANCE = 0.5
_TELLING_WORDS = 2
_COMMON_WORDS = frozenset(
    [
        "the",
        "and",
        "with",
        "for",
        "from",
        "that",
        "not",
        "are",
        "was",
        "has",
        "its",
        "both",
        "one",
        "two",
        "low",
        "high",
        "raised",
        "test",
        "blood",
    ]
)
EMPHASISED = 3
"""How many times as often a condition of an emphasis comes."""
_MAX_MISSES = 10_000
"""Draws in a row that gave nothing new, after which the clinic counts as exhausted."""


@dataclass(frozen=True)
class Scope:
    """What is asked and how it is answered."""

    topics: Sequence[Topic] = TOPICS
    only_closed: bool = False
    """Multiple-choice questions alone."""
    length: Length = "full"
    """How much reasoning; `brief` also tells the case plainly."""
    nearly_wide: NearlyWide = "none"
    """Intervals of brief trials that are narrow but nearly wide: see `training.clinic.studies.study`."""
    undecided_share: float = 0.4
    """Of the draws about diagnosis and treatment: try to show only what two conditions explain alike. Over all topics
    0.4 makes about 6 % of the cases."""
    emphasis: Sequence[str] = ()
    """Ids of conditions of which training sees `EMPHASISED` times as many cases."""


@dataclass(frozen=True)
class Example:
    """One prompt with the reasoned answer it deserves."""

    id: str
    split: Split
    condition: str
    combination: str
    """Group by this, or by `condition`, when splitting further."""
    mode: Mode
    topic: str
    style: str
    prompt: str
    options: dict[str, str]
    answer: str | None
    """The label, in modes with a closed set of answers."""
    completion: str

    def to_row(self) -> dict[str, Any]:
        """A JSON-ready row."""
        return asdict(self)


def held_out_conditions(clinic: Clinic) -> frozenset[str]:
    """One condition of each presentation, chosen by a hash of its id, so that growing other files changes nothing."""
    return frozenset(
        min((condition.id for condition in each.conditions), key=lambda name: _hash(f"set aside: {name}"))
        for each in clinic.presentations
    )


def known_conditions(clinic: Clinic, emphasis: Sequence[str] = ()) -> list[tuple[Presentation, Condition]]:
    """What training may name, to draw from; a condition of the `emphasis` comes `EMPHASISED` times.

    Raises ValueError when the emphasis names another.
    """
    held_out = held_out_conditions(clinic)
    pool = [(each, one) for each in clinic.presentations for one in each.conditions if one.id not in held_out]
    for name in emphasis:
        drawn = [pair for pair in pool if pair[1].id == name]
        if not drawn:
            raise ValueError(f"emphasis: {name!r} is no condition that training may know; correct or remove it")
        pool += drawn[:1] * (EMPHASISED - 1)
    return pool


def generate(clinic: Clinic, split: Split, count: int, seed: int, scope: Scope | None = None) -> Iterator[Example]:
    """Yield `count` distinct examples of one split. Raises ValueError when the clinic cannot give that many."""
    held_out = held_out_conditions(clinic)
    if split == "condition":
        pool = [(each, one) for each in clinic.presentations for one in each.conditions if one.id in held_out]
    else:
        pool = known_conditions(clinic, scope.emphasis if scope and split == "train" else ())
    rng = random.Random(f"{seed}/{split}")  # noqa: S311
    seen: set[str] = set()
    misses = 0
    while len(seen) < count:
        if not pool or misses > _MAX_MISSES:
            raise ValueError(
                f"the clinic gives no more than {len(seen)} distinct examples of split {split!r}; lower the count"
            )
        misses += 1
        presentation, condition = rng.choice(pool)
        example = _example(presentation, condition, split, held_out, scope or Scope(), rng)
        if example is not None and example.id not in seen:
            seen.add(example.id)
            misses = 0
            yield example


def split_of(patient: Patient) -> Split:
    """Whether a case about a known condition belongs to training or to the held-out combinations."""
    return _split_of(patient.combination)


def finished(
    patient: Patient, asked: Asked, style: Style, vignette: str, split: Split, completion: str, *, inside: bool
) -> Example:
    """The example of a case that is told and asked about.

    `inside` puts the question at the end of the case, as benchmarks have it.
    """
    case = vignette
    for text in (asked.note, asked.question if inside else ""):
        if text:
            case += ("\n" if "\n" in case else " " if case.endswith((".", "?", '"')) else ". ") + text
    prompt = render(asked.mode, case, question="" if inside else asked.question, options=asked.options)
    return Example(
        id=prompt.sha256[:16],
        split=split,
        condition=patient.condition.id,
        combination=patient.combination,
        mode=asked.mode,
        topic=asked.topic,
        style=style,
        prompt=prompt.text,
        options=dict(prompt.options),
        answer=asked.key,
        completion=completion,
    )


def _split_of(combination: str) -> Split:
    return "combination" if _hash(combination) % 100 < _TEST_COMBINATIONS_PERCENT else "train"


def _example(
    presentation: Presentation,
    condition: Condition,
    split: Split,
    held_out: frozenset[str],
    scope: Scope,
    rng: random.Random,
) -> Example | None:
    if not scope.only_closed and split != "combination" and rng.random() < _RESEARCH_SHARE:
        return _research(condition, split, scope, rng)
    openly = not scope.only_closed and split == "train" and rng.random() < _OPEN_SHARE
    topic: Topic = rng.choice([each for each in scope.topics if each in OPEN_TOPICS] if openly else scope.topics)
    if topic == "research":
        return _research(condition, split, scope, rng, by_combination=True)
    barred = held_out if split == "train" else frozenset[str]()
    unknown = held_out if split != "condition" else frozenset[str]()
    plain = scope.length == "brief"
    patient = None
    if topic in UNDECIDED_TOPICS and not plain and rng.random() < scope.undecided_share:
        rivals = [each for each in presentation.conditions if each.id not in {condition.id, *unknown}]
        patient = draw_undecided(condition, rivals, presentation, rng)
    patient = patient or draw(condition, presentation, rng, hidden=not_known_yet(topic, condition))
    if patient is None or (split != "condition" and split_of(patient) != split):
        return None
    style = rng.choice(_PLAIN_STYLES if plain else _STYLES)
    vignette = tell(patient, style, rng, plain=plain)
    asked = ask_openly(patient, topic) if openly else ask(patient, topic, rng, barred=barred)
    if asked is None:
        return None
    completion = reasoned_answer(patient, asked, rng, barred=barred, length=scope.length)
    if not asked.note and not plain and not _tested(patient) and rng.random() < _PENDING_CHANCE:
        asked = replace(asked, note=rng.choice(_PENDING))
    inside = asked.mode == "mcq" and not plain and rng.random() < _QUESTION_INSIDE_CHANCE
    return finished(patient, asked, style, vignette, split, completion, inside=inside)


def _tested(patient: Patient) -> bool:
    shown = (*patient.present, *patient.absent)
    return any(patient.presentation.findings[each].kind in ("lab", "investigation") for each in shown)


def not_known_yet(topic: Topic, condition: Condition) -> Callable[[Finding], bool]:
    """Which findings a case must not show, because the question would answer itself or say that they are missing.

    A decision in doubt knows no tests. A question about the best test does not show what that test found.
    """
    if topic == "uncertainty":
        return lambda finding: finding.kind in ("lab", "investigation")
    if topic != "test":
        return lambda _: False
    test = condition.tests[0]
    telling = _words(test.name) | _words(test.result)
    by_name = _words(test.name)

    def shown_by_the_test(finding: Finding) -> bool:
        if finding.kind not in ("lab", "investigation"):
            return False
        words = set().union(*map(_words, finding.clinical))
        return bool(words & by_name) or len(words & telling) >= _TELLING_WORDS

    return shown_by_the_test


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[\w-]+", text.casefold()) if len(word) > 2} - _COMMON_WORDS


def _research(
    condition: Condition, split: Split, scope: Scope, rng: random.Random, *, by_combination: bool = False
) -> Example | None:
    """A trial; `by_combination` holds out combinations of patients, intervention and outcome."""
    made = study(condition, rng, brief=scope.length == "brief", nearly_wide=scope.nearly_wide)
    if by_combination and split != "condition" and _split_of(made.question) != split:
        return None
    prompt = render("research", made.abstract, question=made.question)
    return Example(
        id=prompt.sha256[:16],
        split=split,
        condition=condition.id,
        combination=f"{condition.id}: study",
        mode="research",
        topic="research",
        style="clinical",
        prompt=prompt.text,
        options={},
        answer=made.answer,
        completion=made.completion,
    )


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
