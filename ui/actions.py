"""What the buttons do, apart from Gradio's wiring: each returns what the parts of the page show next.

An `Update` is what Gradio takes for one output: a value, `gr.update(...)` or `gr.skip()`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import TYPE_CHECKING, Any

import gradio as gr

from ui import identifiers
from ui.case_form import Form, Parsed, parse
from ui.client import Failure
from ui.compare import Pair, Side, cast, shuffled, sides
from ui.export import Choices, as_json, as_markdown
from ui.feedback import as_jsonl, entry
from ui.pdf import as_pdf
from ui.render import cut, escaped
from ui.run import Run, follow
from ui.view import idle, run_view

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from ui.client import Source
    from ui.session import Session, Stops
    from ui.texts import Texts

Update = Any


async def model_chip(source: Source, t: Texts, *, recorded: bool) -> str:
    """Who answers here, or that nobody does."""
    try:
        info = await source.model()
    except Failure as failure:
        return f'<p class="gz-chip gz-off">{escaped(t["unreachable_chip"])}: {escaped(t[f"f_{failure.kind}"])}</p>'
    digest = f" · {escaped(t['digest'])} <code>{escaped(info.digest[:16])}</code>" if info.digest else ""
    word = t["recorded_chip"] if recorded else t["served"]
    return f'<p class="gz-chip{" gz-tape" if recorded else ""}">{escaped(word)} <b>{escaped(info.name)}</b>{digest}</p>'


def prompt_preview(form: Form, t: Texts) -> str:
    """The exact prompt, or that there is none yet."""
    parsed = parse(form)
    if parsed.prompt is None:
        empty = not parsed.problems or "empty" in parsed.problems[0].message
        return f"<p>{escaped(t['prompt_empty'])}</p>" if empty else _problems(parsed, t)
    drawn, left_out = cut(parsed.prompt.text)
    more = f"<p>{escaped(t['more_chars'].format(n=f'{left_out:,}'))}</p>" if left_out else ""
    return (
        f'<pre class="gz-prompt" tabindex="0" lang="en">{escaped(drawn)}</pre>{more}'
        f'<p class="gz-small">{escaped(t["prompt_hash"])} {parsed.prompt.sha256}</p>'
    )


def _problems(parsed: Parsed, t: Texts) -> str:
    rows = "".join(
        f"<li><b>{escaped(t.get(each.field, each.field))}</b>: <span dir='auto'>{escaped(each.message)}</span></li>"
        for each in parsed.problems[:12]
    )
    return f'<div class="gz-problems"><strong>{escaped(t["problems"])}</strong><ul>{rows}</ul></div>'


def _checked(session: Session, form: Form, t: Texts) -> tuple[Parsed, str]:
    """The parsed form, and what must be read before it is sent (empty: it can go)."""
    parsed = parse(form)
    if parsed.problems or parsed.prompt is None:
        return parsed, _problems(parsed, t)
    kinds = identifiers.kinds_in(parsed.case_text)
    if kinds and session.must_warn(parsed.case_text):
        listing = ", ".join(f"{name.replace('_', ' ')} ({count})" for name, count in kinds.items())
        return parsed, f'<div class="gz-identified">{escaped(t["identifiers"].format(kinds=listing))}</div>'
    return parsed, ""


async def run_case(
    session: Session, form: Form, own: str, page: str, source: Source, stops: Stops, t: Texts
) -> AsyncGenerator[list[Update]]:
    """Run the case and yield (problems, view, run button, stop button, what comes after, what was kept)."""
    parsed, obstacle = _checked(session, form, t)
    if obstacle or parsed.request is None or parsed.prompt is None:
        yield [obstacle, gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip()]
        return
    run = Run(parsed.request, parsed.prompt.text, parsed.prompt.sha256, recorded=_recorded(source, parsed.request))
    session.run, session.own = run, own
    stop = stops.begin(page)
    yield ["", run_view(run, t), gr.update(visible=False), gr.update(visible=True), gr.update(visible=False), ""]
    try:
        async with contextlib.aclosing(follow(run, source, stop)) as updates:
            async for _ in updates:
                yield [gr.skip(), run_view(run, t, own), gr.skip(), gr.skip(), gr.skip(), gr.skip()]
    finally:
        stops.end(page, stop)
    if session.run is run:
        finished = gr.update(visible=run.state == "done")
        yield [gr.skip(), gr.skip(), gr.update(visible=True), gr.update(visible=False), finished, gr.skip()]
    else:
        yield [
            gr.skip(),
            idle(t),
            gr.update(visible=True),
            gr.update(visible=False),
            gr.update(visible=False),
            gr.skip(),
        ]


def _recorded(source: Source, request: dict[str, Any]) -> str | None:
    find = getattr(source, "find", None)
    recording = find(request) if find else None
    return recording.recorded if recording else None


def cleared(t: Texts) -> list[Update]:
    """Everything but the form, as at the start."""
    hidden = gr.update(visible=False)
    return [
        "", "", idle(t, t["announce_cleared"]), hidden, [], "", False, "", "", idle(t), idle(t), None, "", None,
    ]  # fmt: skip


def give_feedback(
    session: Session, reasons: list[str], comment: str, include: bool, redact: bool, t: Texts
) -> list[Update]:
    """Keep one entry; returns (what was kept, reasons, comment)."""
    if session.run is None or session.run.state != "done":
        return [_note(t["nothing_yet"]), gr.skip(), gr.skip()]
    if not reasons:
        return [_note(t["feedback_reason"]), gr.skip(), gr.skip()]
    session.feedback.append(entry(session.run, reasons, comment, Choices(include, redact), session.own))
    return [_note(t["feedback_kept"].format(n=len(session.feedback))), [], ""]


def save_answer(session: Session, kind: str, include: bool, redact: bool, font: Path | None, t: Texts) -> list[Update]:
    """A file of the answer; returns (file, note)."""
    run = session.run
    if run is None or run.state != "done":
        return [gr.skip(), _note(t["nothing_yet"])]
    choices = Choices(include, redact)
    if kind == "pdf":
        pdf = as_pdf(run, choices, session.own, font)
        note = _note(t["pdf_lost"].format(n=pdf.lost)) if pdf.lost else ""
        return [_file(session, "gazal-answer.pdf", "application/pdf", pdf.data), note]
    if kind == "json":
        data = as_json(run, choices, session.own).encode()
        return [_file(session, "gazal-answer.json", "application/json", data), ""]
    return [_file(session, "gazal-answer.md", "text/markdown", as_markdown(run, choices, session.own).encode()), ""]


def save_entries(session: Session, entries: list[dict[str, Any]], name: str) -> Update:
    """A JSONL file of feedback or votes; an empty one says that there is nothing."""
    return _file(session, name, "application/jsonl", as_jsonl(entries).encode())


def _file(session: Session, name: str, kind: str, data: bytes) -> dict[str, Any]:
    session.saved += 1
    return {"name": name, "type": kind, "data": base64.b64encode(data).decode(), "number": session.saved}


def _note(text: str) -> str:
    return f'<p class="gz-small">{escaped(text)}</p>'


async def both(
    session: Session, form: Form, blind: bool, page: str, first: Source, second: Source | None, stops: Stops, t: Texts
) -> AsyncGenerator[list[Update]]:
    """Run both sides; yield (problems, two views, run button, stop button, choice, result)."""
    parsed, obstacle = _checked(session, form, t)
    if obstacle or parsed.request is None or parsed.prompt is None:
        yield [obstacle, *[gr.skip()] * 6]
        return
    names = await _names(first, second)
    pair_of_sides = sides(
        parsed.request, (names[0], first), (names[1], second) if second is not None else None, t["seed_of"]
    )
    shown = shuffled(pair_of_sides) if blind else pair_of_sides
    runs = tuple(
        Run(side.request, parsed.prompt.text, parsed.prompt.sha256, recorded=_recorded(side.source, side.request))
        for side in shown
    )
    pair = Pair((runs[0], runs[1]), (shown[0].name, shown[1].name), blind)
    session.pair = pair
    stop = stops.begin(page)
    yield ["", *pair_views(pair, t), gr.update(visible=False), gr.update(visible=True), None, ""]
    try:
        async with contextlib.aclosing(_follow_both(pair, shown, stop)) as updates:
            async for _ in updates:
                yield [gr.skip(), *pair_views(pair, t), *[gr.skip()] * 4]
    finally:
        stops.end(page, stop)
    views = [gr.skip(), gr.skip()] if session.pair is pair else [idle(t), idle(t)]
    yield [gr.skip(), *views, gr.update(visible=True), gr.update(visible=False), gr.skip(), gr.skip()]


async def _names(first: Source, second: Source | None) -> tuple[str, str]:
    names = []
    for source in (first, second or first):
        try:
            info = await source.model()
            names.append(f"{info.name} ({(info.digest or '')[:8]})" if info.digest else info.name)
        except Failure:
            names.append("model")
    return names[0], names[1]


async def _follow_both(pair: Pair, shown: tuple[Side, Side], stop: asyncio.Event) -> AsyncGenerator[None]:
    news = asyncio.Event()

    async def one(run: Run, side: Side) -> None:
        async with contextlib.aclosing(follow(run, side.source, stop)) as updates:
            async for _ in updates:
                news.set()

    async def all_of() -> None:
        await asyncio.gather(*(one(run, side) for run, side in zip(pair.runs, shown, strict=True)))

    task = asyncio.create_task(all_of())
    task.add_done_callback(lambda _: news.set())
    try:
        finished = False
        while not finished:
            await news.wait()
            news.clear()
            finished = task.done()
            yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def pair_views(pair: Pair, t: Texts) -> list[str]:
    """Both sides; names stay hidden in blind mode until the vote."""
    numbered = [t["side"].format(n=number) for number in (1, 2)]
    if not pair.names_hidden:
        numbered = [f"{number}: {name}" for number, name in zip(numbered, pair.names, strict=True)]
    return [run_view(run, t, name=name) for run, name in zip(pair.runs, numbered, strict=True)]


def give_vote(session: Session, choice: str, t: Texts) -> list[Update]:
    """Take a vote; returns (result, two views)."""
    pair = session.pair
    if pair is None or not pair.finished:
        return [_note(t["vote_wait"]), gr.skip(), gr.skip()]
    if pair.vote is not None:
        return [_note(t["vote_done"]), gr.skip(), gr.skip()]
    if not choice:
        return [_note(t["vote_first"]), gr.skip(), gr.skip()]
    session.votes.append(cast(pair, choice))
    revealed = t["vote_reveal"].format(one=pair.names[0], two=pair.names[1])
    kept = t["vote_kept"].format(n=len(session.votes))
    return [_note(f"{revealed} {kept}"), *pair_views(pair, t)]
