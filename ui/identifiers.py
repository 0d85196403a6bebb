"""The one place where the page meets `gazal.identifiers`: find and remove what could name a person.

The library is optional: where this installation lacks it, `available` is false and the page says so.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

MODULE = "gazal.identifiers"


def available() -> bool:
    """Whether identifiers can be looked for here."""
    return importlib.util.find_spec(MODULE) is not None


def kinds_in(text: str) -> dict[str, int]:
    """What kinds of identifiers `text` seems to hold, and how often; empty without the library."""
    if not available():
        return {}
    counts: dict[str, int] = {}
    for found in _module().find(text):
        name = str(found.type)
        counts[name] = counts.get(name, 0) + 1
    return counts


def redacted(text: str) -> str:
    """`text` without identifiers. Raises RuntimeError without the library, so that nothing passes as cleaned."""
    if not available():
        raise RuntimeError("identifiers cannot be removed: this installation has no gazal.identifiers")
    return str(_module().redact(text))


def _module() -> ModuleType:
    return importlib.import_module(MODULE)
