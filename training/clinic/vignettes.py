"""Cases told by hand, in the words that people use: one YAML file a presentation, each phrase marked with its finding.

The generated clinic varies the wordings it was given, and a small model learns those wordings. These cases say the same
findings as somebody would tell them: implied, measured, in the middle of a sentence about something else. Because each
phrase carries the id of its finding, a case told by hand is a `Patient` like any other: every topic can be asked about
it, and its reasoning cites its own words. Two in five also have a question with options in words of their own.

    text: She has gone up two shoe sizes, [only the left leg](one-leg-swollen), since the flight. [No fever](!fever).

    vignettes = load(clinic)
    for example in examples(vignettes, clinic, seed=1): ...
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.clinic.cases import Patient, also_explains
from training.clinic.english import lower_first
from training.clinic.examples import names
from training.clinic.generate import finished, held_out_conditions, not_known_yet, split_of
from training.clinic.knowledge import Id, KnowledgeError, Text, entries, first_fault
from training.clinic.questions import TOPICS, Asked, ask, lettered
from training.clinic.reasoning import Length, reasoned_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from training.clinic.generate import Example
    from training.clinic.knowledge import Clinic, Condition, Finding, Presentation

VIGNETTES = Path(__file__).parent / "vignettes"

_WORDS = (20, 120)
_FEWEST, _FEWEST_TYPICAL = 3, 2
_MOST_PHRASE_WORDS = 16
_COPIED_WORDS = 5
_SAYS_WHAT = re.compile(r"[A-Za-z]{2,}|\b[A-Z] ?\d")
"""A word, or a letter that names what was measured ("T 38.1")."""
_DIAGNOSIS_SHARE = 0.5
_QUESTION_INSIDE_CHANCE = 0.5
_MARK = re.compile(r"\[([^\[\]]+)\]\((!?)([a-z0-9-]+)\)")


class Question(BaseModel):
    """A question about the case whose options are worded for it, apart from the knowledge base."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    topic: Literal["diagnosis", "test", "treatment"]
    ask: Text
    right: Text
    wrong: Annotated[list[Text], Field(min_length=2, max_length=4)]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        texts = {each.strip(". ").casefold() for each in (self.right, *self.wrong)}
        if len(texts) != 1 + len(self.wrong):
            raise ValueError("two options are the same; reword one")
        return self


class _Entry(BaseModel):
    """A case as it stands in its file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    condition: Id
    age_years: Annotated[float, Field(ge=0, le=110)]
    sex: Literal["female", "male"]
    text: Annotated[str, Field(min_length=60, max_length=1600, pattern=r"\S$")]
    """The case; phrases marked as `[words](finding)` where present, `[words](!finding)` where absent."""
    question: Question | None = None


@dataclass(frozen=True)
class Vignette:
    """A case told by hand, and the patient whom it tells about."""

    patient: Patient
    """Its findings, told in the words of the case; typical ones first."""
    text: str
    """The case without marks."""
    question: Question | None

    def shows_any(self, hidden: Callable[[Finding], bool]) -> bool:
        """Whether the case shows a finding of this kind."""
        return any(hidden(self.patient.presentation.findings[each]) for each in self.patient.present)

    def asked(self, rng: random.Random) -> Asked | None:
        """The case's own question with its options in a drawn order; None where it has none."""
        if self.question is None:
            return None
        right = self.question.right.rstrip(".")
        wrong = tuple(each.rstrip(".") for each in self.question.wrong)
        options, key = lettered(right, wrong, rng)
        return Asked(self.question.topic, "mcq", self.question.ask, right, wrong, options=options, key=key)


def load(clinic: Clinic, directory: Path = VIGNETTES) -> tuple[Vignette, ...]:
    """Read and check the files of the clinic's presentations. Raises KnowledgeError: file, entry and fix."""
    by_id = {each.id: each for each in clinic.presentations}
    barred = held_out_conditions(clinic)
    unnamed = _unnamed(clinic, barred)
    files = [path for path in sorted(directory.glob("*.yaml")) if path.stem in by_id]
    return tuple(each for path in files for each in _read(path, by_id[path.stem], barred, unnamed))


def examples(vignettes: Sequence[Vignette], clinic: Clinic, seed: int, length: Length = "full") -> Iterator[Example]:
    """A question about each case, in a drawn order: its own where it has one, or else one of the clinic."""
    barred = held_out_conditions(clinic)
    rng = random.Random(f"{seed}/vignettes")  # noqa: S311
    for vignette in rng.sample(vignettes, len(vignettes)):
        patient = vignette.patient
        asked = vignette.asked(rng)
        while asked is None:
            topic = "diagnosis" if rng.random() < _DIAGNOSIS_SHARE else rng.choice(TOPICS)
            if not vignette.shows_any(not_known_yet(topic, patient.condition)):
                asked = ask(patient, topic, rng, barred=barred)
        completion = reasoned_answer(patient, asked, rng, barred=barred, length=length)
        inside = rng.random() < _QUESTION_INSIDE_CHANCE
        yield finished(patient, asked, "lay", vignette.text, "train", completion, inside=inside)


def _read(path: Path, presentation: Presentation, barred: frozenset[str], unnamed: frozenset[str]) -> list[Vignette]:
    """The cases of one file; `barred` conditions must not occur, nor any of the names in `unnamed`."""
    vignettes = []
    for number, entry in enumerate(entries(path), 1):
        place = f"{path.name}, entry {number} ({entry.get('condition')})"
        try:
            vignettes.append(_vignette(_Entry.model_validate(entry), presentation, barred, unnamed))
        except ValidationError as error:
            raise KnowledgeError(f"{place}: {first_fault(error)}") from error
        except KnowledgeError as error:
            raise KnowledgeError(f"{place}: {error}") from error
    return vignettes


def _vignette(entry: _Entry, presentation: Presentation, barred: frozenset[str], unnamed: frozenset[str]) -> Vignette:
    condition = next((each for each in presentation.conditions if each.id == entry.condition), None)
    if condition is None or condition.id in barred:
        raise KnowledgeError("the condition is not one of this presentation that training may know")
    told, present, absent = _marked(entry.text, presentation)
    text = " ".join(_MARK.sub(r"\1", entry.text).split())
    _check_who(entry, condition)
    _check_findings(condition, presentation, present, absent)
    _check_words(text, condition, unnamed)
    for finding, phrase in told.items():
        _check_phrase(finding, phrase, presentation.findings[finding])
    typical = [each for each in present if each in condition.findings.typical]
    ordered = (*typical, *(each for each in present if each not in typical))
    patient = Patient(condition, presentation, entry.age_years, entry.sex, ordered, tuple(absent), told=told)
    if split_of(patient) != "train":
        raise KnowledgeError(
            "this set of typical findings is kept for the held-out combinations; tell one more or one fewer, "
            "and leave none in the text without its mark"
        )
    return Vignette(patient, text, entry.question)


def _marked(text: str, presentation: Presentation) -> tuple[dict[str, str], list[str], list[str]]:
    """The phrase of each marked finding, and which are present and absent, in the order of the text."""
    told: dict[str, str] = {}
    present: list[str] = []
    absent: list[str] = []
    for phrase, negated, finding in _MARK.findall(text):
        if finding not in presentation.findings:
            raise KnowledgeError(f"finding {finding!r} is not defined in {presentation.id}")
        if finding in told:
            raise KnowledgeError(f"finding {finding!r} is marked twice; mark its most telling phrase only")
        told[finding] = lower_first(" ".join(phrase.split()).rstrip(".,;"))
        (absent if negated else present).append(finding)
    left = _MARK.sub("", text)
    if "[" in left or "](" in left:
        raise KnowledgeError("a mark is not closed; write [words](finding-id)")
    return told, present, absent


def _check_who(entry: _Entry, condition: Condition) -> None:
    low, high = condition.age_years
    if not low <= entry.age_years <= high:
        raise KnowledgeError(f"age_years: {entry.age_years:g} is outside {low:g} to {high:g}")
    if condition.sex not in ("any", entry.sex):
        raise KnowledgeError(f"sex: the condition is of {condition.sex} patients")


def _check_findings(condition: Condition, presentation: Presentation, present: list[str], absent: list[str]) -> None:
    weights = condition.findings
    foreign = [each for each in present if each not in weights.all_present()]
    if foreign:
        raise KnowledgeError(f"{foreign[0]} is no finding of this condition; mark what it has")
    if denied := [each for each in absent if each in weights.typical]:
        raise KnowledgeError(f"{denied[0]} is typical, so a clear case does not lack it")
    if len(present) < _FEWEST or sum(each in weights.typical for each in present) < _FEWEST_TYPICAL:
        few = f"{_FEWEST} present findings or more, {_FEWEST_TYPICAL} of them typical"
        raise KnowledgeError(f"mark {few}: {', '.join(weights.typical)}")
    if also_explains(condition, present, presentation):
        raise KnowledgeError("another condition of the file has all these findings; add one that it lacks")


def _check_words(text: str, condition: Condition, unnamed: frozenset[str]) -> None:
    count = len(text.split())
    if not _WORDS[0] <= count <= _WORDS[1]:
        raise KnowledgeError(f"text: {count} words; use {_WORDS[0]} to {_WORDS[1]}")
    for name in sorted({*names(condition.id, condition.name), *unnamed}):
        if re.search(rf"\b{re.escape(name)}\b", text.lower()):
            raise KnowledgeError(f"text: names {name!r}; leave it out")


def _check_phrase(finding: str, phrase: str, known: Finding) -> None:
    words = phrase.split()
    if len(words) > _MOST_PHRASE_WORDS:
        raise KnowledgeError(f"{finding}: {len(words)} words are marked; mark at most {_MOST_PHRASE_WORDS}")
    if not _SAYS_WHAT.search(phrase):
        raise KnowledgeError(f"{finding}: {phrase!r} says nothing when cited alone; mark what was measured too")
    runs = {tuple(each) for wording in (*known.clinical, *known.lay, *known.absent) for each in _runs(wording)}
    for run in _runs(phrase):
        if tuple(run) in runs:
            raise KnowledgeError(f"{finding}: {' '.join(run)!r} is a wording of the clinic; say it another way")


def _runs(text: str) -> list[list[str]]:
    words = re.findall(r"[\w']+", text.casefold())
    return [words[start : start + _COPIED_WORDS] for start in range(len(words) - _COPIED_WORDS + 1)]


def _unnamed(clinic: Clinic, barred: frozenset[str]) -> frozenset[str]:
    """The names of the held-out conditions that no known condition's name contains."""
    known = {name for each in clinic.conditions.values() if each.id not in barred for name in names(each.id, each.name)}
    secret = {name for each in barred for name in names(each, clinic.conditions[each].name)}
    return frozenset(name for name in secret if not any(name in other for other in known))
