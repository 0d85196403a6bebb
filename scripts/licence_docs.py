"""Brings the dependency tables of docs/licences.md up to date: every package's licence as the package states it.

What stands above them (code, models, data) is written by hand and kept. Licences are read from the installed
distributions, so run it in the environment of the lock:

    python scripts/licence_docs.py
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distributions, metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = "gazal-r1"
PAGE = ROOT / "docs" / "licences.md"
HEADING = "## Dependencies\n"
NOT_PERMISSIVE = re.compile(r"GPL|LGPL|AGPL|MPL|Mozilla|Proprietary|DFSG|Unlicense|CC0|Freeware", re.IGNORECASE)
OVERRIDES = {"orjson": "MPL-2.0 AND (Apache-2.0 OR MIT)"}
"""Where the classifiers of a package say less than its licence field."""


def licence_of(name: str) -> str:
    """What a package's metadata state: the expression, else its classifiers, else the first line of its licence."""
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return "not installed here"
    stated = OVERRIDES.get(name.lower()) or about.get("License-Expression")
    if stated:
        return str(stated)
    classifiers = [
        line.split("::")[-1].strip() for line in about.get_all("Classifier") or [] if line[:9] == "License :"
    ]
    return "; ".join(classifiers) or (about.get("License") or "not stated").strip().split("\n")[0][:60]


def direct_dependencies() -> dict[str, set[str]]:
    """Package to the extras (or `core`) of pyproject.toml that ask for it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {"core": project["dependencies"]} | project["optional-dependencies"]
    found: dict[str, set[str]] = {}
    for extra, requirements in wanted.items():
        for requirement in requirements:
            name = re.match(r"[A-Za-z0-9._-]+", requirement)
            if name and name[0] != OURS:
                found.setdefault(name[0].lower(), set()).add(extra)
    return found


def tables() -> str:
    """Both tables as Markdown."""
    direct = direct_dependencies()
    rows = [f"| {name} | {', '.join(sorted(direct[name]))} | {_cell(licence_of(name))} |" for name in sorted(direct)]
    installed = sorted({str(each.metadata["Name"]).lower() for each in distributions() if each.metadata["Name"]})
    others = [
        f"| {name} | {_cell(licence_of(name))} |"
        for name in installed
        if NOT_PERMISSIVE.search(licence_of(name)) and name != OURS
    ]
    return "\n".join(
        [
            "Direct ones, by the extra that asks for them. Made by `scripts/licence_docs.py`.",
            "",
            "| package | asked for by | licence as stated |",
            "| --- | --- | --- |",
            *rows,
            "",
            "Of everything that the lock installs, these state something else than a plain permissive licence.",
            "None is copied into this repository or changed. Who ships an image ships them too, on their terms.",
            "",
            "| package | licence as stated |",
            "| --- | --- |",
            *others,
            "",
        ]
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    written = PAGE.read_text(encoding="utf-8").partition(HEADING)[0]
    PAGE.write_text(f"{written}{HEADING}\n{tables()}", encoding="utf-8")
