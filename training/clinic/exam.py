"""Held-out cases of the clinic as rows of a question set, in the form that `eval/questions.py` reads.

The evaluation may not import this room, so its two generated sets lie in `eval/data/` as files, made here with a fixed
seed; a test makes them again and compares. Case and question stand together, as in every benchmark.

    rows = exam_rows(load(), "combination", count=500, seed=6)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from training.clinic.generate import Scope, generate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.clinic.generate import Example, Split
    from training.clinic.knowledge import Clinic

_PARTS = re.compile(r"\n<case>\n(?P<case>.*)\n</case>\n(?P<question>.*?)\n?A\. ", re.DOTALL)


def exam_rows(clinic: Clinic, split: Split, count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield `count` multiple-choice questions of a split. Raises ValueError when the clinic cannot give that many."""
    specialties = {condition.id: condition.specialty for condition in clinic.conditions.values()}
    examples = generate(clinic, split, count, seed, Scope(only_closed=True, length="compact"))
    for number, example in enumerate(examples, 1):
        yield {
            "id": f"{split}-{number:03d}",
            "question": _wording(example),
            "options": example.options,
            "answer": example.answer,
            "context": None,
            "source": "gazal-clinic",
            "split": "test",
            "meta": {
                "specialty": specialties[example.condition],
                "condition": example.condition,
                "combination": example.combination,
                "topic": example.topic,
                "form": example.style,
            },
        }


def _wording(example: Example) -> str:
    """Case and question as one text."""
    found = _PARTS.search(example.prompt)
    if found is None:
        raise ValueError(f"the template of mode {example.mode!r} has changed; correct training/clinic/exam.py")
    case, question = found["case"], found["question"]
    return f"{case}{chr(10) if chr(10) in case else ' '}{question}".strip()
