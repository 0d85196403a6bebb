"""Synthetic cases to start from, written for this page: no patient stands behind any of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ui.case_form import Form

FILE = Path(__file__).with_name("examples.json")


@dataclass(frozen=True)
class Example:
    """A case with its title by language."""

    id: str
    title: dict[str, str]
    form: Form


def load_examples() -> list[Example]:
    """All examples, in the order of the file."""
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    return [Example(row["id"], row["title"], Form(**row["form"])) for row in rows]
