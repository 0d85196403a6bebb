"""Asks a public service for known vulnerabilities of everything in the lock, and says loudly when it could not ask.

pip-audit skips what its service does not know and then reports success, also when it knew nothing at all (a mirror
without vulnerability data answers like that). Here a lock of which nothing could be checked is no success.

    python scripts/audit.py                       # the lock against PyPI's data; 1: vulnerable, 3: could not be checked
    python scripts/audit.py --skip-unreachable    # for CI without such a service: says so and ends with 0
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
VULNERABLE, UNCHECKED = 1, 3


@dataclass(frozen=True)
class Allowed:
    """A vulnerability that is accepted until a day, for a reason."""

    id: str
    package: str
    reason: str
    until: date


def main(arguments: list[str] | None = None) -> int:
    """Audit, print, return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements" / "cpu.txt")
    parser.add_argument("--allow", type=Path, default=ROOT / "requirements" / "audit-allow.toml")
    parser.add_argument("--service", choices=["pypi", "osv"], default="pypi")
    parser.add_argument("--skip-unreachable", action="store_true")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    pins = pinned(options.lock.read_text(encoding="utf-8"))
    allowed = allow_list(options.allow.read_text(encoding="utf-8"))
    # One package tells whether the service knows anything, before hundreds are asked for.
    report = ask(["pip==23.0"], options.service) or []
    if not any(each.get("vulns") for each in report):
        return unchecked(console, options.skip_unreachable, f"{options.service} has no vulnerability data here")
    report = ask(pins, options.service)
    if report is None:
        return unchecked(console, options.skip_unreachable, "pip-audit gave no report")
    return judged(report, allowed, date.today(), console)


def pinned(lock: str) -> list[str]:
    """`name==version` of each entry; a local version such as +cpu is that of the public one it was built from."""
    pins = re.findall(r"^([\w.-]+==[^\s;+\\]+)", lock, re.MULTILINE)
    if not pins:
        raise SystemExit("audit: the lock names no package; give --lock")
    return pins


def allow_list(text: str) -> dict[str, Allowed]:
    """The accepted vulnerabilities by id. Ends the run when an entry lacks its reason or its day."""
    try:
        entries = [Allowed(**entry) for entry in tomllib.loads(text).get("allow", [])]
    except TypeError as error:
        raise SystemExit(
            f"audit: each entry of the allow-list needs id, package, reason and until ({error})"
        ) from error
    for entry in entries:
        if len(entry.reason) < 20 or type(entry.until) is not date:
            raise SystemExit(f"audit: {entry.id} in the allow-list needs a reason in a sentence and a day `until`")
    return {entry.id: entry for entry in entries}


def ask(pins: list[str], service: str) -> list[dict[str, Any]] | None:
    """pip-audit's findings, a dictionary a package, or None where it gave none."""
    with tempfile.TemporaryDirectory() as scratch:
        wanted, found = Path(scratch) / "pins.txt", Path(scratch) / "report.json"
        wanted.write_text("\n".join(pins) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "-s", service, "--disable-pip", "--no-deps", "-r", str(wanted)]
        subprocess.run(
            [*command, "-f", "json", "-o", str(found), "--progress-spinner", "off", "--timeout", "20"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        try:
            report: dict[str, list[dict[str, Any]]] = json.loads(found.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
    return report["dependencies"]


def judged(report: list[dict[str, Any]], allowed: dict[str, Allowed], today: date, console: Console) -> int:
    """Print every finding and whether it is accepted."""
    skipped = [each["name"] for each in report if "skip_reason" in each]
    bad = 0
    for package in report:
        for finding in package.get("vulns", []):
            entry = next((allowed[name] for name in (finding["id"], *finding["aliases"]) if name in allowed), None)
            fine = entry is not None and entry.package == package["name"] and entry.until >= today
            fixed = ", ".join(finding["fix_versions"]) or "no release yet"
            verdict = f"accepted until {entry.until}: {entry.reason}" if fine and entry else "NOT ACCEPTED"
            bad += not fine
            console.print(f"{package['name']} {package['version']}  {finding['id']}  fixed in {fixed}  {verdict}")
    console.print(f"{len(report) - len(skipped)} of {len(report)} packages checked, {bad} finding(s) not accepted")
    if skipped:
        console.print(f"not known to the service, so not checked: {', '.join(skipped)}", style="yellow")
    return VULNERABLE if bad else 0


def unchecked(console: Console, skip: bool, reason: str) -> int:
    """Say that nothing was checked."""
    console.print(
        f"AUDIT SKIPPED: {reason}; NOTHING WAS CHECKED. Run `make audit` where it can be asked.", style="bold red"
    )
    return 0 if skip else UNCHECKED


if __name__ == "__main__":
    sys.exit(main())
