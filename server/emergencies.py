"""Red flags of a clinical request: found by the rules of `gazal.redflags` before the engine is asked, and counted.

They depend on nothing but what was sent, so they reach the client also when the engine is slow, wrong or away: in a
stream as its first event, and always by name in the `x-gazal-red-flags` header, which error responses carry too.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from gazal.redflags import check

if TYPE_CHECKING:
    import gazal.redflags
    from gazal.case import ClinicalCase
    from server.exchange import Exchange
    from server.metrics import Metrics

HEADER = b"x-gazal-red-flags"
_INLINE_CHARS = 4_000
"""Shorter text takes a few milliseconds; longer text is checked beside the event loop."""


class RedFlag(BaseModel):
    """An emergency sign found by a rule, whatever the model says."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    id: str
    """The rule; stable."""
    title: str
    message: str
    """What to do, for a clinician."""
    source: str
    """Guideline by name and year."""
    evidence: list[str]
    """The words and numbers in the request that the rule rests on."""


async def red_flags(case: ClinicalCase | str, question: str, exchange: Exchange, metrics: Metrics) -> list[RedFlag]:
    """Check a case and the question about it; note the rules that hold in a response header and in the metrics."""
    length = len(question) + len(case if isinstance(case, str) else case.to_text())
    found = _check(case, question) if length <= _INLINE_CHARS else await asyncio.to_thread(_check, case, question)
    for flag in found:
        metrics.red_flags.labels(flag.id).inc()
    if found:
        exchange.headers.append((HEADER, ",".join(flag.id for flag in found).encode()))
    return [
        RedFlag(id=flag.id, title=flag.title, message=flag.message, source=flag.source, evidence=list(flag.evidence))
        for flag in found
    ]


def _check(case: ClinicalCase | str, question: str) -> list[gazal.redflags.RedFlag]:
    """Free text and question are one text; beside a structured case the question is checked by itself."""
    if isinstance(case, str):
        return list(check(f"{case}\n{question}"))
    flags = {flag.id: flag for flag in (*check(question), *check(case))}
    return list(flags.values())
