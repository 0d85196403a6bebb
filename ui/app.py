"""The page at work: what each button does, and how a run gets to the screen.

Every event is private and has its own limit of concurrency; the page is not an API. Dependencies come in as `Services`,
so that tests build the same page over recordings, over a fake engine's gateway, or over the real stack. Gradio reads
the annotations of handlers when it calls them, so what those name is imported outright here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr

from ui import identifiers
from ui.actions import (
    Update,
    both,
    cleared,
    give_feedback,
    give_vote,
    model_chip,
    prompt_preview,
    run_case,
    save_answer,
    save_entries,
)
from ui.case_form import Form
from ui.layout import CaseTab, CompareTab, about, benchmarks_tab, case_tab, compare_tab, header
from ui.render import escaped
from ui.session import Session, Stops
from ui.texts import LANGUAGES, Language

if TYPE_CHECKING:
    from collections.abc import Callable

    from ui.client import Source
    from ui.examples import Example
    from ui.settings import UiSettings
    from ui.texts import Texts

SAVER = "watch('value', () => window.gazalSave(props.value));"
FIELD_NAMES = tuple(Form.__dataclass_fields__)


@dataclass(frozen=True)
class Services:
    """What a page needs from outside."""

    settings: UiSettings
    source: Source
    second: Source | None
    examples: list[Example]
    recorded: tuple[str, str, str, bool] | None = None
    """Date, model, digest and whether it was untrained, in recorded mode."""
    stops: Stops = field(default_factory=Stops)


def form_of(values: tuple[object, ...]) -> Form:
    """The form from the values that Gradio passes, in the order of the fields."""
    given: dict[str, Any] = dict(zip(FIELD_NAMES, values, strict=True))
    given["structured"] = given["structured"] == "form"
    for name in FIELD_NAMES:
        if given[name] is None:
            given[name] = [] if name in ("vitals", "labs", "options") else ""
    return Form(**given)


def build(services: Services, language: Language) -> gr.Blocks:
    """One page in one language."""
    t = LANGUAGES[language]
    blocks: gr.Blocks = gr.Blocks(title=t["title"], analytics_enabled=False)
    with blocks:
        session = gr.State(Session())
        gr.HTML(header(t, _banner(services, t), "../" if language == "ar" else "ar/"), apply_default_css=False)
        chip = gr.HTML("", elem_id="gz-chip", apply_default_css=False)
        saver = gr.HTML(
            None, html_template="", js_on_load=SAVER, elem_id="gz-saver", elem_classes="gz-sr", apply_default_css=False
        )
        with gr.Tabs():
            with gr.Tab(t["tab_case"], id="case"):
                case = case_tab(t, services.settings, services.examples, identifiers.available())
            with gr.Tab(t["tab_compare"], id="compare"):
                compare = compare_tab(t, services.second is not None)
            with gr.Tab(t["tab_benchmarks"], id="benchmarks"):
                bench = benchmarks_tab(t, services.settings)
            with gr.Tab(t["tab_about"], id="about"):
                gr.HTML(about(t), apply_default_css=False)
        page = _Page(services, t, session, saver, case, compare)
        page.wire_form()
        page.wire_runs()
        page.wire_after()
        page.wire_compare()

        async def show_model() -> str:
            return await model_chip(services.source, t, recorded=services.recorded is not None)

        def refresh() -> str:
            from ui.benchmarks import benchmarks_view

            return benchmarks_view(services.settings.reports_dir, t)

        blocks.load(show_model, None, chip, **LIGHT)
        blocks.load(refresh, None, bench, **LIGHT)
        blocks.unload(_closing(services.stops))
    return blocks


LIGHT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None}


def _closing(stops: Stops) -> Callable[[gr.Request], None]:
    def closed(request: gr.Request) -> None:
        stops.stop(request.session_hash or "")

    return closed


def _banner(services: Services, t: Texts) -> str:
    if services.recorded is None:
        return ""
    date, model, digest, untrained = services.recorded
    words = [t["recorded_banner"].format(date=date, model=model, digest=digest[:16])]
    words += [t["recorded_untrained"]] if untrained else []
    return escaped(" ".join([*words, t["recorded_hint"]]))


class _Page:
    """The wiring of one page; a class only so that its parts need not be passed around."""

    def __init__(
        self, services: Services, t: Texts, session: gr.State, saver: gr.HTML, case: CaseTab, compare: CompareTab
    ) -> None:
        self.services, self.t, self.session, self.saver = services, t, session, saver
        self.case, self.compare = case, compare
        self.heavy = LIGHT | {"concurrency_limit": services.settings.max_runs, "concurrency_id": "runs"}

    def wire_form(self) -> None:
        """Examples, what is visible, and the preview of the prompt."""
        case, t = self.case, self.t

        def visible(mode: str, entry: str) -> list[Update]:
            as_text = entry == "text" or mode == "research"
            return [
                gr.update(visible=not as_text),
                gr.update(visible=as_text),
                gr.update(visible=mode == "mcq"),
                gr.update(visible=mode != "research"),
            ]

        groups = [case.form_group, case.text_group, case.options_group, case.entry_row]
        gr.on(
            [case.fields.mode.change, case.fields.structured.change], visible,
            [case.fields.mode, case.fields.structured], groups, trigger_mode="always_last", **LIGHT,
        )  # fmt: skip

        def preview(*values: object) -> str:
            return prompt_preview(form_of(values), t)

        gr.on(
            [each.change for each in case.fields.all], preview, case.fields.all, case.prompt,
            trigger_mode="always_last", **LIGHT,
        )  # fmt: skip
        for button, example in case.examples:

            def fill(example: Example = example) -> list[Any]:
                return self._values(example.form)

            button.click(fill, None, case.fields.all, **LIGHT)

    def _values(self, form: Form) -> list[Any]:
        values = {name: getattr(form, name) for name in FIELD_NAMES}
        values["structured"] = "form" if form.structured else "text"
        values["max_tokens"] = form.max_tokens or str(self.services.settings.max_tokens)
        values["options"] = form.options or ["", ""]
        return list(values.values())

    def wire_runs(self) -> None:
        """Run, stop and clear."""
        case, services, t = self.case, self.services, self.t

        async def run(session: Session, own: str, request: gr.Request, *values: object) -> AsyncGenerator[list[Update]]:
            page = request.session_hash or ""
            async for update in run_case(session, form_of(values), own, page, services.source, services.stops, t):
                yield update

        case.run.click(
            run, [self.session, case.own, *case.fields.all],
            [case.problems, case.view, case.run, case.stop, case.after, case.kept], **self.heavy,
        )  # fmt: skip
        gr.on([case.stop.click, self.compare.stop.click], _closing(services.stops), None, None, **LIGHT)

        def clear(session: Session, request: gr.Request) -> list[Update]:
            services.stops.stop(request.session_hash or "")
            session.clear()
            return [*self._values(Form()), *cleared(t)]

        compare = self.compare
        everything = [
            case.own, case.problems, case.view, case.after, case.reasons, case.comment, case.include_case, case.kept,
            compare.problems, *compare.views, compare.choice, compare.result, self.saver,
        ]  # fmt: skip
        case.clear.click(clear, self.session, [*case.fields.all, *everything], **LIGHT)

    def wire_after(self) -> None:
        """Feedback and exports of a finished answer."""
        case, t = self.case, self.t

        def keep(session: Session, reasons: list[str], comment: str, include: bool, redact: bool) -> list[Update]:
            return give_feedback(session, reasons, comment, include, redact, t)

        case.keep.click(
            keep, [self.session, case.reasons, case.comment, case.include_case, case.redact],
            [case.kept, case.reasons, case.comment], **LIGHT,
        )  # fmt: skip

        def save_feedback(session: Session) -> Update:
            return save_entries(session, session.feedback, "gazal-feedback.jsonl")

        case.save_feedback.click(save_feedback, self.session, self.saver, **LIGHT)
        font = self.services.settings.pdf_font
        for kind, button in case.exports.items():

            def save(session: Session, include: bool, redact: bool, kind: str = kind) -> list[Update]:
                return save_answer(session, kind, include, redact, font, t)

            button.click(save, [self.session, case.include_case, case.redact], [self.saver, case.kept], **LIGHT)

    def wire_compare(self) -> None:
        """Two runs at once, and the vote."""
        compare, services, t = self.compare, self.services, self.t

        async def run(
            session: Session, blind: bool, request: gr.Request, *values: object
        ) -> AsyncGenerator[list[Update]]:
            page = request.session_hash or ""
            stream = both(session, form_of(values), blind, page, services.source, services.second, services.stops, t)
            async for update in stream:
                yield update

        compare.run.click(
            run, [self.session, compare.blind, *self.case.fields.all],
            [compare.problems, *compare.views, compare.run, compare.stop, compare.choice, compare.result], **self.heavy,
        )  # fmt: skip

        def vote(session: Session, choice: str | None) -> list[Update]:
            return give_vote(session, choice or "", t)

        compare.vote.click(vote, [self.session, compare.choice], [compare.result, *compare.views], **LIGHT)

        def save_votes(session: Session) -> Update:
            return save_entries(session, session.votes, "gazal-votes.jsonl")

        compare.save.click(save_votes, self.session, self.saver, **LIGHT)
