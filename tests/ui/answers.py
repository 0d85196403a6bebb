"""A whole response of the clinical endpoint, to build views and exports from without any server."""

from __future__ import annotations

from typing import Any

from ui.client import Event
from ui.run import Run

ANSWER = """## Clinical Assessment
**Primary Diagnosis**: Anaphylaxis
**Must Not Miss**: Airway obstruction
**Supporting Findings**:
- urticaria
- wheeze
**Findings Against**: none
**Missing Information**: tryptase
**Next Steps**: intramuscular adrenaline

Final answer: \\boxed{A}"""


def response(**changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": "reason-1",
        "reasoning": {
            "text": "Step 1: Look.\nStep 2: Think.",
            "steps": [{"number": 1, "text": "Look."}, {"number": 2, "text": "Think."}],
            "complete": True,
        },
        "answer": ANSWER,
        "final_answer": {"value": "A", "text": "Adrenaline", "failure": None, "method": "boxed"},
        "finish_reason": "stop",
        "agreement": None,
        "samples": None,
        "red_flags": None,
        "usage": {"prompt_tokens": 100, "completion_tokens": 200, "total_tokens": 300},
        "timings": {"first_token_ms": 500.0, "total_ms": 10500.0},
        "provenance": {
            "model": "gazal-r1-nano",
            "artifact_digest": "a" * 64,
            "mode": "mcq",
            "template_version": 2,
            "template_sha256": "b" * 64,
            "prompt_sha256": "c" * 64,
            "sampling": {"temperature": 0.7, "seed": 7},
            "constrained": False,
        },
    }
    return told | changes


def finished(**changes: Any) -> Run:
    """A run that has ended, its prompt naming a person."""
    run = Run({"mode": "mcq"}, "Case of Mrs Jane Doe, 27", "c" * 64)
    run.take(Event("step", {"number": 1, "text": "Look."}))
    run.take(Event("done", response(**changes)))
    return run


def vote(**changes: Any) -> dict[str, Any]:
    told = {
        "method": "self-consistency", "samples": 5, "agreeing": 4, "tied": False, "calibrated": False,
        "probability": None,
        "dissent": [{"value": "B", "failure": None, "count": 1}],
    }  # fmt: skip
    return told | changes


def sample(value: str | None, failure: str | None = None) -> dict[str, Any]:
    final = {"value": value, "text": None, "failure": failure, "method": None}
    return {
        "answer": "An answer.",
        "final_answer": final,
        "steps": 2,
        "reasoning_complete": True,
        "finish_reason": "stop",
    }
