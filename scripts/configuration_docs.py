"""Writes docs/configuration.md from the settings model, so that the page cannot differ from the program.

python scripts/configuration_docs.py > docs/configuration.md
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from server.settings import Settings


def page() -> str:
    """The page as Markdown."""
    rows = [
        f"| `GAZAL_{name.upper()}` | `{field.default_factory() if field.default_factory else field.default!r}` "
        f"| {' '.join((field.description or '').split()).replace('|', chr(92) + '|')} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(
        [
            "# Configuration",
            "",
            "The server reads these environment variables; `--model`, `--upstream`, `--host` and `--port` of "
            "`python -m server` win over them. This page is made from `server/settings.py` by "
            "`scripts/configuration_docs.py`.",
            "",
            "| variable | default | meaning |",
            "| --- | --- | --- |",
            *rows,
            "",
            "Two more concern every room: `GAZAL_HOME` (default `~/.cache/gazal`) is where models and logs are kept, "
            "and `GAZAL_DATA_DIR` names the directory with the real question sets for `make eval`.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(page())
