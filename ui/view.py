"""A run as HTML: red flags above everything, then the state, the reasoning as a timeline, the answer card, the vote.

Pure functions from a `Run` to a string; static/view.js puts the string in place without disturbing what is open or
marked. Every text goes through `ui.render`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ui.agreement import agreement_card, open_samples
from ui.readout import readout, tokens_per_s
from ui.render import Section, cut, escaped, markdown, sections, with_code

if TYPE_CHECKING:
    from typing import Any

    from ui.client import Failure
    from ui.run import Run
    from ui.texts import Texts

CHARS_A_TOKEN = 4.0
"""Rough, for the speed while a reply is written; the readout of a finished run has the engine's own count."""


def idle(t: Texts, announce: str = "") -> str:
    """The panel before any run."""
    return (
        f'<div class="gz-run gz-idle" data-announce="{escaped(announce)}"><p class="gz-idle-title">'
        f"{escaped(t['idle_title'])}</p><p>{escaped(t['idle_text'])}</p></div>"
    )


def run_view(run: Run, t: Texts, own: str = "", *, name: str | None = None) -> str:
    """The whole panel of one run; `name` replaces the model's where it is hidden."""
    parts = [
        _flags(run, t),
        _failure(run.failure, t) if run.failure else "",
        _bar(run, t, name),
        _reasoning(run, t),
        _answer(run, t),
        _own(own, t) if own.strip() and run.state == "done" else "",
        _agreement(run, t),
        readout(run, t) if run.response and name is None else "",
        f'<p class="gz-foot">{escaped(t["notice"])}</p>',
    ]
    return f'<div class="gz-run gz-{run.state}" data-announce="{escaped(_announce(run, t))}">{"".join(parts)}</div>'


def _announce(run: Run, t: Texts) -> str:
    if run.state == "failed":
        return t["announce_failed"].format(why=t[f"f_{run.failure.kind}"] if run.failure else "")
    return t[f"announce_{run.state}"].format(n=len(run.steps))


def _flags(run: Run, t: Texts) -> str:
    if run.red_flags is None:
        key = "flags_pending" if run.state == "running" else "flags_unchecked"
        return f'<p class="gz-flags-note" data-key="flags">{escaped(t[key])}</p>'
    if not run.red_flags:
        return f'<p class="gz-flags-note" data-key="flags">{escaped(t["flags_none"])}</p>'
    flags = "".join(f"<li>{_flag(flag, t)}</li>" for flag in run.red_flags[:50])
    return (
        f'<section class="gz-flags" data-key="flags" aria-label="{escaped(t["flags"])}">'
        f"<h3>{escaped(t['flags'])}</h3><ul>{flags}</ul></section>"
    )


def _flag(flag: dict[str, Any], t: Texts) -> str:
    title = flag.get("title") or flag.get("name") or flag.get("id") or ""
    said = [flag.get(name) for name in ("message", "action", "reason")]
    lines = [f'<p dir="auto"><strong>{escaped(str(title))}</strong></p>']
    lines += [f'<p dir="auto">{escaped(str(text))}</p>' for text in said if text]
    evidence = flag.get("evidence")
    found = [str(each) for each in evidence] if isinstance(evidence, list) else [str(evidence)] if evidence else []
    if found:
        listing = "; ".join(cut(each)[0][:300] for each in found[:10])
        lines.append(
            f'<p class="gz-small">{escaped(t["flag_evidence"])}: <span dir="auto">{escaped(listing)}</span></p>'
        )
    if flag.get("source"):
        source = escaped(str(flag["source"]))
        lines.append(f'<p class="gz-small">{escaped(t["flag_source"])}: <span dir="auto">{source}</span></p>')
    return "".join(lines)


def _failure(failure: Failure, t: Texts) -> str:
    wait = t["a_moment"] if failure.retry_after_s is None else t["seconds"].format(n=f"{failure.retry_after_s:.0f}")
    way = t[f"f_{failure.kind}_way"].format(wait=wait)
    details = [f"{t['server_says']}: {failure.detail}"] if failure.detail else []
    details += [f"{t['f_request']} {failure.request_id}"] if failure.request_id else []
    small = f'<p class="gz-small" dir="auto">{escaped(" · ".join(details))}</p>' if details else ""
    return (
        f'<section class="gz-failure" data-key="failure"><strong>{escaped(t[f"f_{failure.kind}"])}</strong>'
        f"<p>{with_code(way)}</p>{small}</section>"
    )


def _bar(run: Run, t: Texts, name: str | None) -> str:
    written = sum(len(step.text) for step in run.steps) + len(run.answer)
    facts = [t["steps_count"].format(n=len(run.steps))]
    if run.response:
        speed = tokens_per_s(run)
        facts += [t["rate"].format(n=f"{speed:.0f}")] if speed else []
    elif run.elapsed_s > 0.5 and written:
        facts.append(t["about_rate"].format(n=f"{written / CHARS_A_TOKEN / run.elapsed_s:.0f}"))
    if run.other_samples:
        facts.append(t["other_samples"].format(n=len(run.other_samples)))
    title = name or run.model
    ticking = ' data-ticking="1"' if run.state == "running" else ""
    return (
        f'<div class="gz-bar" data-key="bar"><span class="gz-state">{escaped(t[f"state_{run.state}"])}</span>'
        f'<span class="gz-fact"><span class="gz-elapsed" data-elapsed="{run.elapsed_s:.1f}"{ticking}>'
        f"{run.elapsed_s:.1f}</span> s {escaped(t['elapsed'])}</span>"
        + "".join(f'<span class="gz-fact">{escaped(fact)}</span>' for fact in facts)
        + (f'<span class="gz-fact gz-name">{escaped(title)}</span>' if title else "")
        + "</div>"
    )


def _reasoning(run: Run, t: Texts) -> str:
    if run.state == "failed" and not run.steps:
        return ""
    steps = "".join(
        f'<li class="gz-step" data-key="step-{index}"><span class="gz-step-number" aria-hidden="true">'
        f"{step.number}</span>"
        f'<div class="gz-step-body"><p class="gz-step-head">{escaped(t["step"])} {step.number} '
        f'<span class="gz-at">{step.at_s:.1f} s</span></p><div class="gz-step-text" dir="auto" lang="en">'
        f"{_paragraphs(step.text, t)}</div></div></li>"
        for index, step in enumerate(run.steps)
    )
    if run.state == "running" and not run.answer:
        steps += f'<li class="gz-step gz-next" data-key="next" aria-hidden="true"><span class="gz-step-number"></span><div class="gz-step-body">{escaped(t["waiting"]) if not run.steps else ""}</div></li>'  # noqa: E501
    if run.state != "running" and not run.steps:
        steps = f'<li class="gz-step" data-key="none">{escaped(t["no_steps"])}</li>'
    cut_off = run.response is not None and not run.response["reasoning"]["complete"]
    note = f'<p class="gz-warn">{escaped(t["reasoning_cut"])}</p>' if cut_off else ""
    auto = "closed" if run.state == "done" else "open"
    return (
        f'<details class="gz-reasoning" data-key="reasoning" data-auto="{auto}"><summary>'
        f"<span>{escaped(t['reasoning'])}</span><span class='gz-count'>"
        f"{escaped(t['steps_count'].format(n=len(run.steps)))}</span></summary>"
        f'<p class="gz-label">{escaped(t["reasoning_label"])}</p><ol class="gz-timeline">{steps}</ol>{note}'
        f'<button type="button" class="gz-close" data-close="1">{escaped(t["close_reasoning"])}</button></details>'
    )


def _paragraphs(text: str, t: Texts) -> str:
    drawn, left_out = cut(text)
    return markdown(drawn) + _left_out(left_out, t)


def _left_out(count: int, t: Texts) -> str:
    return f'<p class="gz-warn">{escaped(t["more_chars"].format(n=f"{count:,}"))}</p>' if count else ""


def _answer(run: Run, t: Texts) -> str:
    if not run.answer and not run.response:
        return ""
    final = _final(run, t)
    cards = "".join(_card(section, t) for section in sections(run.answer))
    truncated = run.response is not None and run.response.get("finish_reason") == "length"
    warning = f'<p class="gz-warn">{escaped(t["truncated"])}</p>' if truncated else ""
    if run.response and run.response.get("abstained"):
        warning = f'<p class="gz-warn gz-abstained">{escaped(t["abstained"])}</p>' + warning
    return (
        f'<section class="gz-answer" data-key="answer" aria-label="{escaped(t["answer"])}">'
        f"<h3>{escaped(t['answer'])}</h3>"
        f"{final}{warning}<div class='gz-cards'>{cards}</div>{_left_out(cut(run.answer)[1], t)}</section>"
    )


def _card(section: Section, t: Texts) -> str:
    title = section.label or ""
    tag = (  # the model's own labels are English
        f'<span class="gz-kind">{escaped(t[f"kind_{section.kind}"])}</span>'
        if t["language"] != "en" and section.kind not in ("lead", "other")
        else ""
    )
    head = f'<h4 dir="auto"><span lang="en">{escaped(title)}</span>{tag}</h4>' if title or tag else ""
    body = f'<div dir="auto" lang="en">{markdown(section.text)}</div>'
    return f'<div class="gz-card gz-card-{section.kind}">{head}{body}</div>'


def _final(run: Run, t: Texts) -> str:
    final = run.response.get("final_answer") if run.response else None
    if not final:
        return ""
    if final.get("value") is None:
        why = t.get(f"why_{final.get('failure')}", "")
        return (
            f'<div class="gz-final gz-final-none"><span class="gz-final-label">{escaped(t["no_final"])}</span>'
            f"<span>{escaped(why)}</span></div>"
        )
    text = f" {escaped(str(final['text']))}" if final.get("text") else ""
    return (
        f'<div class="gz-final"><span class="gz-final-label">{escaped(t["final_answer"])}</span>'
        f'<span dir="auto"><b>{escaped(str(final["value"]))}</b>{text}</span></div>'
    )


def _own(own: str, t: Texts) -> str:
    drawn, left_out = cut(own)
    return (
        f'<section class="gz-own" data-key="own"><h4>{escaped(t["own_shown"])}</h4><p dir="auto">{escaped(drawn)}</p>'
        f"{_left_out(left_out, t)}</section>"
    )


def _agreement(run: Run, t: Texts) -> str:
    if not run.response or not run.response.get("samples"):
        return ""
    samples = run.response["samples"]
    vote = run.response.get("agreement")
    inner = agreement_card(vote, run.response.get("final_answer") or {}, t) if vote else ""
    return (
        f'<section class="gz-agreement" data-key="agreement"><h3>{escaped(t["agreement"].format(n=len(samples)))}</h3>'
        f"{inner or '<p>' + escaped(t['agreement_open']) + '</p>'}{open_samples(samples, t)}</section>"
    )
