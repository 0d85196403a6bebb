"""Question sets: JSONL rows of one form, found in the package, in GAZAL_DATA_DIR or on the hub.

A row has `id`, `question`, `options` (label to text), `answer` (a label) and optionally `context` (abstract sections)
and `meta` (subject, exam and the like; without it, the row's own `condition` and `topic`). Yes/no/maybe questions about
an abstract are rendered in mode `research`, all others in mode `mcq`. A row with a `family` is a behaviour item and
becomes one question an arm (`eval.trust`).

    questions = load(find("medqa_usmle_test"))
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.trust import arms_of
from eval.variants import ORIGINAL, vary_prompt, vary_row
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
    stem: str
    """The question without options and instructions."""
    row_sha256: str
    """Identity of the row before any variant: id, question, options, answer and context."""
    meta: dict[str, Any] = field(default_factory=dict)
    history: tuple[dict[str, str], ...] = ()
    """Turns of the conversation before the prompt."""


def find(name: str, *, download: bool = True) -> Path:
    """The file of the set `name`: embedded, else in GAZAL_DATA_DIR, else fetched from the hub at its pinned revision.

    GAZAL_DATA_DIR may hold the whole set (`name.jsonl`, `name.jsonl.gz`) or a named part of it (`name.PART.jsonl.gz`).
    Raises QuestionSetError, also when the set would have to be downloaded and may not.
    """
    embedded = EMBEDDED / f"{name}.jsonl"
    if embedded.is_file():
        return embedded
    directory = os.environ.get("GAZAL_DATA_DIR")
    if not directory:
        from eval.hub import fetch

        return fetch(name, download=download)
    for pattern in (f"{name}.jsonl", f"{name}.jsonl.gz", f"{name}.*.jsonl", f"{name}.*.jsonl.gz"):
        found = sorted(Path(directory).glob(pattern))
        if len(found) > 1:
            raise QuestionSetError(f"{directory} holds several parts of {name}; keep one of {found[0]}, {found[1]}")
        if found:
            return found[0]
    raise QuestionSetError(
        f"{directory} holds no {name}.jsonl or {name}.jsonl.gz; correct GAZAL_DATA_DIR, or unset it to fetch the set "
        "from the hub"
    )


def load(path: Path, variant: str = ORIGINAL) -> list[Question]:
    """All questions of a `.jsonl` or `.jsonl.gz` file, in its order, in one of the robustness variants.

    Raises QuestionSetError.
    """
    questions = []
    seen: set[str] = set()
    for number, row in _rows(path):
        try:
            found = _behaviour(row) if "family" in row else [_question(row, variant)]
        except KeyError as error:
            raise QuestionSetError(f"{path}, line {number}: field {error} is missing") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise QuestionSetError(f"{path}, line {number}: {error}") from error
        for question in found:
            if question.id in seen:
                raise QuestionSetError(f"{path}, line {number}: id {question.id!r} occurs twice")
            seen.add(question.id)
            questions.append(question)
    if not questions:
        raise QuestionSetError(f"{path} holds no questions")
    return questions


def sha256_of(path: Path) -> str:
    """Hash of the set's rows, the same whether the file is compressed or not."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        row = json.loads(line)
                    except json.JSONDecodeError as error:
                        raise QuestionSetError(f"{path}, line {number}: not JSON ({error.msg})") from error
                    if not isinstance(row, dict):
                        raise QuestionSetError(f"{path}, line {number}: not a JSON object")
                    yield number, row
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise QuestionSetError(f"{path} cannot be read ({error}); copy or fetch it again") from error


def _behaviour(row: dict[str, Any]) -> list[Question]:
    identity = hashlib.sha256(json.dumps(row, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
    stem = " ".join(f"{row['case']} {row['question']}".split())
    return [
        Question(
            f"{row['id']}-{arm.name}",
            arm.prompt,
            arm.answer,
            stem,
            hashlib.sha256(f"{identity}/{arm.name}".encode()).hexdigest(),
            arm.meta,
            arm.history,
        )
        for arm in arms_of(row)
    ]


def _question(original: dict[str, Any], variant: str) -> Question:
    identity = [str(original["id"]), original["question"], original["options"], original["answer"]]
    identity.append(original.get("context"))
    row_sha256 = hashlib.sha256(json.dumps(identity, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
    row = vary_row(original, variant)
    options: dict[str, str] = row["options"]
    if set(options) == set(RESEARCH_LABELS):
        abstract = "\n".join(row.get("context") or ())
        prompt = render("research", abstract, question=row["question"])
    else:
        prompt = render("mcq", row["question"], options=options)
    if row["answer"] not in prompt.choices:
        raise ValueError(f"answer {row['answer']!r} is not one of the options {', '.join(prompt.choices)}")
    return Question(
        str(row["id"]),
        vary_prompt(prompt, variant),
        row["answer"],
        " ".join(row["question"].split()),
        row_sha256,
        dict(row.get("meta") or {name: row[name] for name in ("condition", "topic") if name in row}),
    )
