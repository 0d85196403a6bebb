"""Shows that each control of the hazard log is proved by its test: remove the control, and the test must fail.

The tree is copied to a scratch directory. There the named tests must pass as they are; then each control of
`tests/controls.yaml` is taken out by itself, its test is run, and the control is put back. A test that cannot even be
collected proves nothing. The working tree is never touched.

    python scripts/remove_controls.py                   # all: a few minutes
    python scripts/remove_controls.py case-is-data      # one, by id
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
CONTROLS = ROOT / "tests" / "controls.yaml"
TIMEOUT_S = 300
_TESTS_FAILED = 1
"""pytest's status when tests ran and some failed; others mean that it could not run them."""
_PLUGINS = ("pytest_asyncio.plugin", "pytest_timeout", "_hypothesis_pytestplugin")
"""What the tests use; finding and loading every plugin that is installed takes longer than most of them."""


@dataclass(frozen=True)
class Control:
    """One control: where it stands, what takes its place, and the test that must then fail."""

    id: str
    what: str
    file: str
    remove: str
    replacement: str
    test: str


def load_controls(path: Path = CONTROLS) -> list[Control]:
    """The controls of the data file. Raises KeyError for a row without one of the fields."""
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [Control(*(row[name] for name in ("id", "what", "file", "remove", "with", "test"))) for row in rows]


def without(control: Control, text: str) -> str:
    """The text of the control's file without the control. Raises ValueError unless it stands there exactly once."""
    if text.count(control.remove) != 1:
        raise ValueError(
            f"{control.id}: {control.file} holds the text to remove {text.count(control.remove)} times; correct "
            f"{CONTROLS.name}"
        )
    return text.replace(control.remove, control.replacement)


def copy_tree(target: Path) -> None:
    """Copy what git tracks or would track."""
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listing.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def run_tests(tree: Path, tests: list[str]) -> tuple[int, str]:
    """pytest's status and last line for these tests in `tree`."""
    plugins = [word for name in ("no:cacheprovider", *_PLUGINS) for word in ("-p", name)]
    command = [sys.executable, "-m", "pytest", "-q", "-x", *plugins, *tests]
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        finished = subprocess.run(
            command,
            cwd=tree,
            env=os.environ | environment | {"HYPOTHESIS_STORAGE_DIRECTORY": str(tree / ".hypothesis")},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1, f"no end within {TIMEOUT_S} s"
    return finished.returncode, (finished.stdout.strip().splitlines() or [finished.stderr.strip()])[-1]


def prove(
    control: Control, tree: Path, run: Callable[[Path, list[str]], tuple[int, str]] = run_tests
) -> tuple[bool, str]:
    """Whether the control's test runs and fails without it, and pytest's last line."""
    path = tree / control.file
    whole = path.read_text(encoding="utf-8")
    path.write_text(without(control, whole), encoding="utf-8")
    try:
        status, line = run(tree, [control.test])
    finally:
        path.write_text(whole, encoding="utf-8")
    return status == _TESTS_FAILED and "failed" in line and "error" not in line, line


def main(chosen: list[str]) -> int:
    """Print the table; 0 when every control is proved."""
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    controls = [control for control in load_controls() if not chosen or control.id in chosen]
    if not controls:
        console.print(f"no control {', '.join(chosen)}; ids are in {CONTROLS.relative_to(ROOT)}", markup=False)
        return 2
    table = Table("control", "removed from", "its test", "without it", box=None, padding=(0, 2, 0, 0))
    unproved = []
    with tempfile.TemporaryDirectory(prefix="gazal-controls-") as scratch:
        tree = Path(scratch)
        copy_tree(tree)
        status, line = run_tests(tree, sorted({control.test for control in controls}))
        console.print(f"with every control in place: {line}", markup=False)
        if status:
            console.print("the tests must pass before a control can be proved; run them and see", markup=False)
            return 1
        for control in controls:
            proved, line = prove(control, tree)
            table.add_row(control.id, control.file, control.test.split("::", 1)[-1], line)
            if not proved:
                unproved.append(control.id)
            console.print(f"{control.id}: {'proved' if proved else 'NOT PROVED'}, {line}", markup=False)
    console.print(table)
    console.print(
        f"{len(controls) - len(unproved)} of {len(controls)} controls proved by a test that fails without them"
    )
    if unproved:
        console.print(f"not proved: {', '.join(unproved)}", style="red", markup=False)
    return 1 if unproved else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
