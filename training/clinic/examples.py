r"""Reasoning examples written by hand: the style that a reasoned answer should have, one YAML file a task mode.

The generated clinic teaches by number, and its answers are put together from parts. These few are prose: a vignette,
the steps that a careful clinician would take, and the sections of the mode's template. Loading checks their form;
`leaks` asks the knowledge base what they must not tell, and training insists on its answer; `training.clinic.citations`
looks for numbers that no vignette holds.

    for example in load():
        print(example.prompt, example.completion)
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gazal.grammar import sections
from gazal.prompting import Mode, render
from training.clinic.knowledge import Id, KnowledgeError, entries, first_fault
from training.data.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from training.clinic.knowledge import Clinic

EXAMPLES = Path(__file__).parent / "examples"

_WORDS = (60, 130)
_MAX_STEP_SENTENCES = 2
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")

Line = Annotated[str, Field(min_length=5, max_length=400, pattern=r"^[^\n*<>\\]+[.]$")]
"""One line of plain text that ends with a full stop: it stands behind a step's number or a bold label."""
_Tell = Annotated[str, Field(min_length=3, max_length=1200, pattern=r"\S$")]


class Example(BaseModel):
    """One case with the reasoned answer that it deserves."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    mode: Mode
    """From the name of the file."""
    id: Id
    specialty: Annotated[str, Field(min_length=3, max_length=60)]
    condition: Id | None
    """Of the knowledge base, where one fits."""
    vignette: _Tell
    """As a clinician or a patient would tell it, in 60 to 130 words."""
    question: str = ""
    steps: Annotated[list[Line], Field(min_length=4, max_length=7)]
    answer: dict[str, Line]
    """The bold labels of the mode's template, in its order, and what stands behind them."""
    source: Annotated[str, Field(min_length=5, max_length=200, pattern=r"(19|20)\d\d")]
    """Guideline or textbook, by name and year."""

    @model_validator(mode="after")
    def _in_form(self) -> Self:
        _, labels = sections(self.mode)
        if tuple(self.answer) != labels:
            raise ValueError(f"answer: the labels must be, in this order: {', '.join(labels)}")
        count = len(self.vignette.split())
        if not _WORDS[0] <= count <= _WORDS[1]:
            raise ValueError(f"vignette: {count} words; use {_WORDS[0]} to {_WORDS[1]}")
        for number, step in enumerate(self.steps, 1):
            if len(_SENTENCE_END.split(step)) > _MAX_STEP_SENTENCES:
                raise ValueError(f"step {number}: more than {_MAX_STEP_SENTENCES} sentences; shorten or split it")
        return self

    @property
    def prompt(self) -> str:
        """The text of the one user turn."""
        return render(self.mode, self.vignette, question=self.question).text

    @property
    def completion(self) -> str:
        """The reasoned answer in the grammar of `gazal.trace`."""
        heading, labels = sections(self.mode)
        steps = "\n".join(f"Step {number}: {step}" for number, step in enumerate(self.steps, 1))
        answer = "\n".join(f"**{label}**: {self.answer[label]}" for label in labels)
        return f"<think>\n{steps}\n</think>\n\n## {heading}\n{answer}"

    def to_row(self, source: str) -> Row:
        """A training row of this source."""
        return Row(
            id=self.id,
            source=source,
            mode=self.mode,
            prompt=self.prompt,
            completion=self.completion,
            group=f"{source}/{self.id}",
            licence="Apache-2.0",
            attribution="written by hand for gazal-r1",
        )


def load(directory: Path = EXAMPLES) -> tuple[Example, ...]:
    """Read and check every file. Raises KnowledgeError, which names file, entry and fix."""
    examples = tuple(example for path in sorted(directory.glob("*.yaml")) for example in _read(path))
    repeated = [name for name, count in Counter(each.id for each in examples).items() if count > 1]
    if repeated:
        raise KnowledgeError(f"example {repeated[0]!r} occurs twice in {directory}; rename one")
    return examples


def _read(path: Path) -> list[Example]:
    if path.stem not in get_args(Mode):
        raise KnowledgeError(f"{path.name}: a file is named after its task mode, one of: {', '.join(get_args(Mode))}")
    examples = []
    for number, entry in enumerate(entries(path), 1):
        try:
            examples.append(Example.model_validate({**entry, "mode": path.stem}))
        except ValidationError as error:
            place = f"{path.name}, entry {number} ({entry.get('id', 'no id')})"
            raise KnowledgeError(f"{place}, {first_fault(error)}") from error
    return examples


def leaks(examples: Iterable[Example], clinic: Clinic, held_out: frozenset[str]) -> list[str]:
    """What the examples tell about conditions that training must not know, or about none that exists; one line each.

    A held-out condition may be neither the subject nor named anywhere, not even as an alternative. Known conditions
    whose names contain the name of a held-out one ("septic arthritis of the hip") may be named in full.
    """
    spelled = {name: names(name, each.name) for name, each in clinic.conditions.items()}
    known = {word for name in spelled.keys() - held_out for word in spelled[name]}
    found = []
    for example in examples:
        if example.condition is not None and example.condition not in clinic.conditions:
            found.append(f"{example.id}: no condition {example.condition!r}; correct it or write null")
        if example.condition in held_out:
            found.append(f"{example.id}: {example.condition} is held out; write about another condition")
        text = " ".join((example.prompt, example.completion)).lower()
        for name in known:
            text = text.replace(name, "-")
        found += [
            f"{example.id}: names the held-out {name} ({word!r}); leave it out"
            for name in sorted(held_out)
            for word in spelled[name]
            if re.search(rf"\b{re.escape(word)}\b", text)
        ]
    return found


_QUALIFIER = re.compile(r"\b(acute|adult|child|drugs|viral|in an?)\b|\(.*?\)")


def names(condition_id: str, name: str) -> set[str]:
    """How a condition may be called: its id and its name as words, without what only narrows them."""
    return {" ".join(_QUALIFIER.sub(" ", words.lower()).split()) for words in (condition_id.replace("-", " "), name)}
