"""What a reader thought of an answer, kept in the page's memory and saved by the reader as JSONL.

An entry names the answer by ids and hashes. Case text, the model's text and the reader's own assessment are in it only
when the reader opts in.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ui.export import Choices
    from ui.run import Run

Reason = Literal["good", "wrong", "unsafe", "incomplete"]
REASONS: tuple[Reason, ...] = get_args(Reason)


def identity(run: Run) -> dict[str, Any]:
    """What names an answer without any of its text."""
    response = run.response
    if response is None:
        raise ValueError("only a finished run can be judged")
    provenance = response["provenance"]
    final = response.get("final_answer") or {}
    return {
        "answer_id": response["id"],
        "model": provenance["model"],
        "artifact_digest": provenance["artifact_digest"],
        "mode": provenance["mode"],
        "prompt_sha256": provenance["prompt_sha256"],
        "seed": provenance["sampling"].get("seed"),
        "steps": len(run.steps),
        "completion_tokens": response["usage"]["completion_tokens"],
        "final_answer": final.get("value"),
        "failure": final.get("failure"),
        "recorded": run.recorded,
    }


def entry(run: Run, reasons: Iterable[str], comment: str, choices: Choices, own: str = "") -> dict[str, Any]:
    """One feedback entry. Raises ValueError for a reason that does not exist, and without any reason."""
    given = [reason for reason in REASONS if reason in set(reasons)]
    if not given or set(reasons) - set(REASONS):
        raise ValueError(f"feedback needs a reason of: {', '.join(REASONS)}")
    told: dict[str, Any] = {"kind": "feedback", "at": now(), "reasons": given, "comment": choices.text(comment.strip())}
    told |= identity(run)
    if choices.include_case:
        told |= {
            "prompt": choices.text(run.prompt_text),
            "reasoning": [choices.text(step.text) for step in run.steps],
            "answer": choices.text(run.answer),
        }
        if own.strip():
            told["own_assessment"] = choices.text(own)
    return told


def as_jsonl(entries: Iterable[dict[str, Any]]) -> str:
    """Entries, one a line."""
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in entries)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
