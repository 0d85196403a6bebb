"""The audit: what passes, what fails, and that an audit that could not ask is no success."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 28)
FINDING = {"id": "GHSA-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2.0"], "description": ""}
ENTRY = 'id = "CVE-2026-1"\npackage = "demo"\nreason = "we never parse untrusted input with it"\nuntil = 2026-12-31\n'


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("gazal_audit", ROOT / "scripts" / "audit.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gazal_audit", module)
    spec.loader.exec_module(module)
    return module


def package(name: str = "demo", *findings: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": list(findings)}


def test_a_clean_lock_passes(audit: ModuleType) -> None:
    assert audit.judged([package()], {}, TODAY, Console()) == 0


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        ("", 1),
        (ENTRY, 0),
        (ENTRY.replace("2026-12-31", "2026-11-27"), 1),
        (ENTRY.replace('"demo"', '"other"'), 1),
        (ENTRY.replace("CVE-2026-1", "GHSA-1"), 0),
    ],
    ids=["unknown", "accepted by alias", "accepted once", "of another package", "accepted by id"],
)
def test_a_finding_needs_a_reason_that_still_holds(audit: ModuleType, entry: str, status: int) -> None:
    allowed = audit.allow_list(f"[[allow]]\n{entry}" if entry else "")
    assert audit.judged([package("demo", FINDING)], allowed, TODAY, Console()) == status


@pytest.mark.parametrize("entry", [ENTRY.replace("we never parse untrusted input with it", "ok"), 'id = "X"\n'])
def test_an_entry_without_reason_or_day_ends_the_run(audit: ModuleType, entry: str) -> None:
    with pytest.raises(SystemExit, match="allow-list needs"):
        audit.allow_list(f"[[allow]]\n{entry}")


@pytest.mark.parametrize("answer", [None, [], [{"name": "pip", "skip_reason": "not found"}]])
def test_a_service_that_knows_nothing_is_no_success(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: Any
) -> None:
    monkeypatch.setattr(audit, "ask", lambda *_: answer)
    assert audit.main([]) == 3
    assert audit.main(["--skip-unreachable"]) == 0
    assert "NOTHING WAS CHECKED" in " ".join(capsys.readouterr().err.split())


def test_the_whole_lock_is_asked_for_with_public_versions(audit: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def ask(pins: list[str], _: str) -> list[dict[str, Any]]:
        asked.append(pins)
        return [package("demo", FINDING)] if len(asked) == 1 else [package()]

    monkeypatch.setattr(audit, "ask", ask)
    assert audit.main([]) == 0
    assert len(asked[1]) > 200
    assert any(pin.startswith("torch==2") and "+" not in pin for pin in asked[1])
    assert all(pin.count("==") == 1 and not pin.endswith("\\") for pin in asked[1])


def test_the_allow_list_of_this_tree_can_be_read(audit: ModuleType) -> None:
    audit.allow_list((ROOT / "requirements" / "audit-allow.toml").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_bill_of_materials_names_a_locked_package_with_its_hash(tmp_path: Path) -> None:
    lock, bill = tmp_path / "lock.txt", tmp_path / "sbom.json"
    lock.write_text(f"six==1.17.0 --hash=sha256:{'a' * 64}\n")
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(lock), "--of", "JSON", "-o", str(bill)]
    subprocess.run(command, check=True, capture_output=True)
    (component,) = json.loads(bill.read_text())["components"]
    assert component["purl"] == "pkg:pypi/six@1.17.0"
    assert component["externalReferences"][0]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
