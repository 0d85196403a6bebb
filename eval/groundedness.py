"""How often a run's reasoning cites findings that its case does not hold: `python -m eval grounding RUN`.

`gazal.grounding` judges each step. The unit is the answer: one with any fabricated finding counts, and the share gets
Wilson's interval. Answers that cite nothing in a form that can be judged are counted apart and are no good sign.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from eval.grading import split
from eval.runner import RunError
from eval.stats import Interval, wilson
from gazal.grounding import KINDS, case_of, check
from gazal.prompting import RESEARCH_LABELS

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from eval.graded import Answered, GradedRun

FILE_NAME = "grounding.json"
SHOWN = 10


@dataclass(frozen=True)
class Example:
    """One fabricated finding, for a reader to judge."""

    question: str
    step: int
    cited: str
    kind: str


@dataclass(frozen=True)
class TaskGrounding:
    """One task's answers."""

    task: str
    answers: int
    """Answers with reasoning that cites findings."""
    without_citations: int
    citations: int
    fabricated: int
    """Citations that the case does not hold."""
    answers_with_fabrication: int
    share: float | None
    """Of the answers that cite; None where there is none."""
    interval: Interval | None
    kinds: dict[str, int]
    examples: list[Example]


def grounding_of(run: GradedRun, limit: int | None, seed: int = 0) -> list[TaskGrounding]:
    """The figures of every task about cases; `limit` answers a task, drawn with `seed`. Raises RunError."""
    found = [_task(name, answered, limit, seed) for name, answered in run.tasks.items() if _about_cases(answered)]
    if not found:
        raise RunError(f"{run.directory} holds no answer about a case; run a task such as gazal_combinations first")
    return found


def save(run: GradedRun, tasks: list[TaskGrounding]) -> Path:
    """Write the figures beside the run's results, whole or not at all."""
    path = run.directory / FILE_NAME
    partial = path.with_suffix(".partial")
    text = json.dumps({"artifact": run.plan.artifact, "tasks": [asdict(task) for task in tasks]}, ensure_ascii=False)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def print_grounding(console: Console, tasks: list[TaskGrounding]) -> None:
    """The figures as a table, and some of what was made up."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for header in ("task", "answers", "% with fabricated findings [95 %]", "citations", *KINDS, "cite nothing"):
        table.add_column(header, justify="left" if header == "task" else "right")
    for task in tasks:
        table.add_row(
            task.task,
            str(task.answers),
            _share(task),
            str(task.citations),
            *(str(task.kinds[kind]) for kind in KINDS),
            str(task.without_citations),
        )
    console.print(table)
    for task in tasks:
        for example in task.examples:
            console.print(
                f"{task.task} {example.question}, step {example.step}, {example.kind}: {example.cited}", markup=False
            )


def _share(task: TaskGrounding) -> str:
    if task.share is None or task.interval is None:
        return "none"
    return f"{100 * task.share:.1f} [{100 * task.interval.low:.1f}, {100 * task.interval.high:.1f}]"


def _about_cases(answered: list[Answered]) -> bool:
    return any(item.question.choices != list(RESEARCH_LABELS) and case_of(item.question.prompt) for item in answered)


def _task(name: str, answered: list[Answered], limit: int | None, seed: int) -> TaskGrounding:
    replies = [(item.question, reply) for item in answered for reply in item.replies if reply.status == "ok"]
    if limit is not None and limit < len(replies):
        replies = random.Random(seed).sample(replies, limit)  # noqa: S311
    kinds: Counter[str] = Counter()
    citing = silent = citations = bad = 0
    examples: list[Example] = []
    for question, reply in replies:
        case = case_of(question.prompt) or ""
        found = check([step.text for step in split(reply).steps], case)
        if not found.citations:
            silent += 1
            continue
        citing += 1
        citations += found.citations
        bad += bool(found.fabrications)
        kinds.update(each.kind for each in found.fabrications)
        examples += [Example(question.id, each.step, each.cited, each.kind) for each in found.fabrications]
    return TaskGrounding(
        task=name,
        answers=citing,
        without_citations=silent,
        citations=citations,
        fabricated=kinds.total(),
        answers_with_fabrication=bad,
        share=bad / citing if citing else None,
        interval=wilson(bad, citing) if citing else None,
        kinds={kind: kinds[kind] for kind in KINDS},
        examples=examples[:SHOWN],
    )
