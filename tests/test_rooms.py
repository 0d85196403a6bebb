"""The import rules of the design: who may import whom, and what must stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {"server", "eval", "training", "ui"}
HEAVY = {"torch", "vllm", "transformers", "fastapi", "gradio", "trl", "peft", "lm_eval", "datasets"}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("room", sorted(ROOMS | {"gazal"}))
def test_a_room_imports_no_other_room(room: str) -> None:
    forbidden = ROOMS - {room}
    offenders = {str(path): bad for path in (ROOT / room).rglob("*.py") if (bad := imports(path) & forbidden)}
    assert offenders == {}


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(finished.stdout.split())


def test_the_core_loads_nothing_heavy() -> None:
    modules = " ".join(
        f"import gazal.{path.stem};" for path in (ROOT / "gazal").glob("*.py") if path.stem != "__init__"
    )
    assert loaded_by(modules.rstrip(";")) & HEAVY == set()


def test_splitting_and_extraction_need_not_even_pydantic() -> None:
    assert "pydantic" not in loaded_by("import gazal.trace, gazal.answers, gazal.prompting")


@pytest.mark.parametrize("door", ["server", "eval", "ui"])
def test_help_loads_nothing_heavy(door: str) -> None:
    code = f"import runpy, sys; sys.argv = ['{door}', '--help']\ntry: runpy.run_module('{door}', run_name='__main__')\n"
    code += "except SystemExit: print('LOADED', *{name.partition('.')[0] for name in sys.modules})"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(finished.stdout.rpartition("LOADED")[2].split())
    assert "typer" in loaded
    assert loaded & (HEAVY | {"uvicorn", "aiohttp"}) == set()


def test_no_module_is_longer_than_the_house_allows() -> None:
    rooms = [*ROOMS, "gazal", "scripts", "tests"]
    lengths = {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n")
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
    }
    assert {path: lines for path, lines in lengths.items() if lines > 500} == {}
