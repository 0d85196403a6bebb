"""What the task files call: rows for lm-eval, and scoring by `gazal.answers` alone.

lm-eval loads this file by its path, outside any package, so that the YAML also works with the plain command:

    python -m lm_eval run --include_path eval/tasks --tasks gazal_clinic --model local-chat-completions ...
"""

from __future__ import annotations

import json
from typing import Any

import datasets

from eval.questions import find, load
from eval.variants import ORIGINAL
from gazal.trace import parse


def load_rows(name: str, variant: str = ORIGINAL, **_: object) -> datasets.DatasetDict:
    """The question set `name` as lm-eval's data set, prompts already rendered."""
    rows = [
        {
            "id": question.id,
            "row_sha256": question.row_sha256,
            "prompt": question.prompt.text,
            "prompt_sha256": question.prompt.sha256,
            "choices": list(question.prompt.choices),
            "options": json.dumps(dict(question.prompt.options)),
            "answer": question.answer,
            "history": json.dumps(question.history),
        }
        for question in load(find(name), variant)
    ]
    return datasets.DatasetDict({"test": datasets.Dataset.from_list(rows)})


def score(row: dict[str, Any], replies: list[str]) -> dict[str, float]:
    """Score one reply: right or not, and whether an answer could be read at all.

    A server may leave the reasoning tags in the content; they are split off here, so both kinds score the same.
    """
    answer = parse(replies[0], choices=row["choices"], options=json.loads(row["options"]) or None)
    value = answer.final.value if answer.final else None
    return {"acc": float(value == row["answer"]), "answered": float(value is not None)}
