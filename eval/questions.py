"""Question sets: JSONL rows of one form, from the embedded set or from the directory that GAZAL_DATA_DIR names.

A row has `id`, `question`, `options` (label to text), `answer` (a label) and optionally `context` (abstract sections).
Yes/no/maybe questions about an abstract are rendered in mode `research`, all others in mode `mcq`.
"""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazal.prompting import RESEARCH_LABELS, Prompt, render

if TYPE_CHECKING:
    from collections.abc import Iterator

EMBEDDED = Path(__file__).parent / "data"


class QuestionSetError(ValueError):
    """A question set is missing or malformed; the message names file, line, field and fix."""


@dataclass(frozen=True)
class Question:
    """One question with a known answer."""

    id: str
    prompt: Prompt
    answer: str


def find(file_name: str) -> Path:
    """The embedded file of that name, else the one in GAZAL_DATA_DIR. Raises QuestionSetError."""
    embedded = EMBEDDED / file_name
    if embedded.is_file():
        return embedded
    directory = os.environ.get("GAZAL_DATA_DIR")
    if not directory:
        raise QuestionSetError(f"{file_name} is not embedded; set GAZAL_DATA_DIR to the directory that holds it")
    path = Path(directory) / file_name
    if not path.is_file():
        raise QuestionSetError(f"{path} does not exist; correct GAZAL_DATA_DIR or fetch the set")
    return path


def load(path: Path) -> list[Question]:
    """All questions of a `.jsonl` or `.jsonl.gz` file, in its order. Raises QuestionSetError."""
    questions = []
    seen: set[str] = set()
    for number, row in _rows(path):
        try:
            question = _question(row)
        except KeyError as error:
            raise QuestionSetError(f"{path}, line {number}: field {error} is missing") from error
        except ValueError as error:
            raise QuestionSetError(f"{path}, line {number}: {error}") from error
        if question.id in seen:
            raise QuestionSetError(f"{path}, line {number}: id {question.id!r} occurs twice")
        seen.add(question.id)
        questions.append(question)
    if not questions:
        raise QuestionSetError(f"{path} holds no questions")
    return questions


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except json.JSONDecodeError as error:
                    raise QuestionSetError(f"{path}, line {number}: not JSON ({error.msg})") from error


def _question(row: dict[str, Any]) -> Question:
    options: dict[str, str] = row["options"]
    if set(options) == set(RESEARCH_LABELS):
        abstract = "\n".join(row["context"] or ())
        prompt = render("research", abstract, question=row["question"])
    else:
        prompt = render("mcq", row["question"], options=options)
    if row["answer"] not in prompt.choices:
        raise ValueError(f"answer {row['answer']!r} is not one of the options {', '.join(prompt.choices)}")
    return Question(str(row["id"]), prompt, row["answer"])
