"""Every control of the hazard log names code that is there and a test that is there; the page and the list agree.

That each test fails without its control is shown by `make prove-controls`, which takes minutes.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from scripts.remove_controls import ROOT, Control, load_controls, prove, without

CONTROLS = load_controls()
HAZARD_ROW = re.compile(r"^\| [^|]*\| ([^|]+) \| `([a-z-]+)`: ([^|]+) \| `(tests/[^`]+)` \|$", re.MULTILINE)


def functions(path: Path) -> dict[str, list[str]]:
    """The tests of a file as pytest names them, each with its decorators as written."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        for each in inside:
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{node.name}::{each.name}" if isinstance(node, ast.ClassDef) else each.name
                found[name] = [ast.unparse(decorator) for decorator in each.decorator_list]
    return found


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_a_control_stands_where_the_list_says_and_its_test_exists_and_runs_in_ci(control: Control) -> None:
    text = (ROOT / control.file).read_text(encoding="utf-8")
    assert without(control, text) != text
    path, _, name = control.test.partition("::")
    tests = functions(ROOT / path)
    assert name in tests
    assert not [mark for mark in tests[name] if re.search(r"mark\.(gpu|skip)", mark)]


def test_every_control_is_in_the_hazard_log_with_its_words_and_its_test() -> None:
    rows = HAZARD_ROW.findall((ROOT / "docs" / "safety.md").read_text(encoding="utf-8"))
    assert [identity for identity, count in Counter(row[1] for row in rows).items() if count > 1] == []
    assert {identity: (what, test) for _, identity, what, test in rows} == {
        control.id: (control.what, control.test) for control in CONTROLS
    }


def test_every_test_that_a_page_names_exists() -> None:
    for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]):
        for path, name in re.findall(r"`(tests/[\w/]+\.py)(?:::([\w:]+))?", page.read_text(encoding="utf-8")):
            assert (ROOT / path).is_file(), f"{page.name}: {path}"
            assert not name or name in functions(ROOT / path), f"{page.name}: {path}::{name}"


def test_every_link_between_the_pages_leads_somewhere() -> None:
    for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]):
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize(
    ("status", "line", "proved"),
    [
        (1, "1 failed in 0.10s", True),
        (0, "1 passed in 0.10s", False),
        (1, "1 passed, 1 error in 0.10s", False),
        (2, "1 error in 0.10s", False),
        (-1, "no end within 300 s", False),
    ],
)
def test_only_a_test_that_ran_and_failed_is_a_proof(tmp_path: Path, status: int, line: str, proved: bool) -> None:
    code = tmp_path / "code.py"
    code.write_text("CONTROL = True\n")
    seen = []

    def run(tree: Path, tests: list[str]) -> tuple[int, str]:
        seen.append((code.read_text(), tree, tests))
        return status, line

    assert prove(Control("x", "what", "code.py", "True", "False", "t.py::test_it"), tmp_path, run) == (proved, line)
    assert seen == [("CONTROL = False\n", tmp_path, ["t.py::test_it"])]
    assert code.read_text() == "CONTROL = True\n"


def test_a_control_that_has_moved_is_named() -> None:
    with pytest.raises(ValueError, match=r"x: code\.py holds the text to remove 2 times"):
        without(Control("x", "what", "code.py", "a", "b", "t"), "a a")
