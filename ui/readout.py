"""What a run cost and where its answer came from, as a table under the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ui.render import escaped

if TYPE_CHECKING:
    from ui.run import Run
    from ui.texts import Texts


def tokens_per_s(run: Run) -> float | None:
    """Tokens a second after the first, by the engine's count and the gateway's clock."""
    if not run.response:
        return None
    timings = run.response["timings"]
    seconds = (timings["total_ms"] - (timings["first_token_ms"] or 0)) / 1000
    tokens = run.response["usage"]["completion_tokens"]
    return tokens / seconds if seconds > 0 and tokens else None


def facts_of(run: Run, t: Texts) -> list[tuple[str, str]]:
    """The rows of the readout of a finished run."""
    response = run.response
    if not response:
        return []
    provenance, usage, timings = response["provenance"], response["usage"], response["timings"]
    same = provenance["prompt_sha256"] == run.prompt_sha256
    sampling = provenance["sampling"]
    speed = tokens_per_s(run)
    rows = [
        (t["r_model"], str(provenance["model"])),
        (t["r_digest"], str(provenance["artifact_digest"])),
        (t["r_prompt"], f"{provenance['prompt_sha256']} ({t['r_same'] if same else t['r_differs']})"),
        (t["r_seed"], f"{_given(sampling.get('seed'))}, {_given(sampling.get('temperature'))}"),
        (t["r_first"], f"{(timings['first_token_ms'] or 0) / 1000:.1f} s"),
        (t["r_total"], f"{timings['total_ms'] / 1000:.1f} s"),
        (
            t["r_tokens"],
            t["r_tokens_value"].format(completion=usage["completion_tokens"], prompt=usage["prompt_tokens"]),
        ),
    ]
    if speed:
        rows.append((t["r_rate"], t["rate"].format(n=f"{speed:.1f}")))
    if not response.get("samples"):
        rows.append((t["r_split"], _split(run, t)))
    rows.append((t["r_cut"], t["yes"] if response.get("finish_reason") == "length" else t["no"]))
    return rows


def readout(run: Run, t: Texts) -> str:
    """The readout as HTML."""
    rows = "".join(
        f"<div><dt>{escaped(name)}</dt><dd dir='auto'>{escaped(value)}</dd></div>" for name, value in facts_of(run, t)
    )
    notes = []
    if run.response and run.response["provenance"].get("constrained"):
        notes.append(t["r_constrained"])
    if run.recorded:
        notes.append(t["r_recorded"].format(date=run.recorded))
    small = "".join(f'<p class="gz-small">{escaped(note)}</p>' for note in notes)
    return (
        f'<details class="gz-readout" data-key="readout"><summary>{escaped(t["readout"])}</summary>'
        f"<dl>{rows}</dl></details>{small}"
    )


def _given(value: object) -> str:
    return "–" if value is None else str(value)  # noqa: RUF001


def _split(run: Run, t: Texts) -> str:
    response = run.response or {}
    tokens = int(response["usage"]["completion_tokens"])
    reasoning, answer = len(response["reasoning"]["text"]), len(str(response["answer"]))
    share = reasoning / max(1, reasoning + answer)
    return t["r_split_value"].format(reasoning=round(tokens * share), answer=tokens - round(tokens * share))
