"""A finished answer as Markdown or JSON, with where it came from; the PDF of it is `ui.pdf`.

The case is part of an export only when the user says so. Redaction, where it is asked for, covers every text of the
export, since a model repeats what it has read; hashes and counts stay.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gazal.artifact import NOT_FOR_CLINICAL_USE
from ui import identifiers
from ui.render import visible

if TYPE_CHECKING:
    from ui.run import Run

AI_NOTICE = "Written by an AI model. Its reasoning is text it produced, not proof of how it decided."


@dataclass(frozen=True)
class Choices:
    """What an export holds."""

    include_case: bool = False
    redact: bool = False

    def text(self, text: str) -> str:
        """A text as it goes out. Raises RuntimeError where redaction is asked for and cannot be done."""
        return identifiers.redacted(text) if self.redact else text


def as_object(run: Run, choices: Choices, own: str = "") -> dict[str, Any]:
    """Everything about a finished run, as JSON types."""
    response = run.response
    if response is None:
        raise ValueError("only a finished run can be exported")
    told: dict[str, Any] = {
        "notice": NOT_FOR_CLINICAL_USE,
        "ai_notice": AI_NOTICE,
        "asked_at": run.began_at.isoformat(timespec="seconds"),
        "recorded": run.recorded,
        "red_flags": None if run.red_flags is None else [_redacted(flag, choices) for flag in run.red_flags],
        "steps": [
            {"number": step.number, "text": choices.text(step.text), "at_s": round(step.at_s, 1)} for step in run.steps
        ],
        "answer": choices.text(run.answer),
        "final_answer": response.get("final_answer"),
        "finish_reason": response.get("finish_reason"),
        "agreement": response.get("agreement"),
        "samples": [_redacted(sample, choices) for sample in response["samples"]] if response.get("samples") else None,
        "usage": response["usage"],
        "timings": response["timings"],
        "provenance": response["provenance"],
        "redacted": choices.redact,
    }
    if own.strip():
        told["own_assessment"] = choices.text(own)
    if choices.include_case:
        told["prompt"] = choices.text(run.prompt_text)
    return told


def _redacted(value: Any, choices: Choices) -> Any:  # noqa: ANN401
    if isinstance(value, str):
        return choices.text(value)
    if isinstance(value, dict):
        return {name: _redacted(each, choices) for name, each in value.items()}
    return [_redacted(each, choices) for each in value] if isinstance(value, list) else value


def as_json(run: Run, choices: Choices, own: str = "") -> str:
    """The export as JSON."""
    return json.dumps(as_object(run, choices, own), ensure_ascii=False, indent=2) + "\n"


def as_markdown(run: Run, choices: Choices, own: str = "") -> str:
    """The export as Markdown, the notice first and the provenance last."""
    told = as_object(run, choices, own)
    parts = ["# Gazal-R1: a reasoned answer", f"> **{told['notice']}** {told['ai_notice']}"]
    parts += _flag_lines(told["red_flags"])
    if "prompt" in told:
        fence = "`" * 4
        parts += ["## Prompt", f"{fence}text\n{visible(told['prompt'])}\n{fence}"]
    if "own_assessment" in told:
        parts += ["## Own assessment, written before", visible(told["own_assessment"])]
    parts.append("## The model's written reasoning")
    parts += [f"**Step {step['number']}** ({step['at_s']} s): {visible(step['text'])}" for step in told["steps"]]
    parts += ["## Answer", visible(told["answer"])]
    final = told["final_answer"]
    if final:
        said = f"{final['value']} {final.get('text') or ''}".strip() if final["value"] else f"none ({final['failure']})"
        parts.append(f"**Final answer**: {said}")
    if told["agreement"]:
        vote = told["agreement"]
        parts.append(f"**Agreement**: {vote['agreeing']} of {vote['samples']} answers (a count, not a probability)")
    return "\n\n".join([*parts, "---", *provenance_lines(told)]) + "\n"


def _flag_lines(flags: list[dict[str, Any]] | None) -> list[str]:
    if flags is None:
        return ["**Red flags**: not checked."]
    if not flags:
        return ["**Red flags**: no rule fired. This excludes nothing."]
    names = [str(flag.get("title") or flag.get("name") or flag.get("id")) for flag in flags]
    said = [str(flag.get("action") or flag.get("message") or flag.get("reason") or "") for flag in flags]
    return ["## Red flags found by fixed rules", "\n".join(f"- **{n}**: {s}" for n, s in zip(names, said, strict=True))]


def provenance_lines(told: dict[str, Any]) -> list[str]:
    """The footer: from what, when and how this answer came."""
    provenance, usage = told["provenance"], told["usage"]
    sampling = ", ".join(f"{name} {value}" for name, value in provenance["sampling"].items() if value is not None)
    lines = [
        f"Model {provenance['model']}, artifact {provenance['artifact_digest']}",
        f"Mode {provenance['mode']}, prompt version {provenance['template_version']}, "
        f"sha256 {provenance['prompt_sha256']}",
        f"Sampling: {sampling}; {usage['completion_tokens']} tokens written",
        f"Asked {told['asked_at']}" + (f"; a recording of {told['recorded']}" if told["recorded"] else ""),
        told["notice"],
    ]
    if provenance["constrained"]:
        lines.insert(1, "The server held this model, which was never trained on the form, to the form of an answer.")
    return lines
