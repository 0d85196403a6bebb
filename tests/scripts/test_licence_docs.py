"""The licence page covers every package that pyproject.toml asks for, and hides no copyleft."""

from __future__ import annotations

import re

from scripts.licence_docs import HEADING, NOT_PERMISSIVE, PAGE, direct_dependencies, licence_of

DIRECT, _, EXCEPTIONS = PAGE.read_text(encoding="utf-8").partition(HEADING)[2].partition("Of everything")
RERUN = "run `python scripts/licence_docs.py`"


def test_every_direct_dependency_has_its_row_with_a_licence() -> None:
    rows = dict(re.findall(r"^\| ([\w.-]+) \| [a-z, ]+ \| ([^|]+) \|$", DIRECT, re.MULTILINE))
    rows.pop("package")
    assert sorted(rows) == sorted(direct_dependencies()), RERUN
    assert [name for name, licence in rows.items() if licence == "not installed here"] == [], RERUN


def test_a_dependency_under_copyleft_is_named_among_the_exceptions() -> None:
    found = [name for name in direct_dependencies() if NOT_PERMISSIVE.search(licence_of(name))]
    assert "fpdf2" in found
    assert [name for name in found if f"| {name} |" not in EXCEPTIONS] == [], RERUN
