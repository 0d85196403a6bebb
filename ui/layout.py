"""The parts of the page, built from texts; `ui.app` gives them life.

The order of `Fields` is the order in which Gradio passes the form to every handler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gazal.case import MAX_TEXT_CHARS
from gazal.prompting import MODES
from gazal.quantities import LABS, VITALS
from ui.benchmarks import benchmarks_view
from ui.case_form import editor_rows
from ui.compare import CHOICES
from ui.feedback import REASONS
from ui.render import escaped, markdown
from ui.theme import script
from ui.view import idle

if TYPE_CHECKING:
    from collections.abc import Mapping

    import gradio as gr
    from gradio.components.textbox import InputHTMLAttributes

    from gazal.quantities import Quantity
    from ui.examples import Example
    from ui.settings import UiSettings
    from ui.texts import Texts

AGE_UNITS = ("years", "months", "weeks", "days")
SEXES = ("unknown", "female", "male", "other")
_EDITOR_WORDS = frozenset(
    (
        "add_lab",
        "add_option",
        "no_number",
        "option",
        "other_test",
        "range",
        "remove",
        "test",
        "test_name",
        "unit",
        "value",
    )
)


@dataclass(frozen=True)
class Fields:
    """The inputs of the form, in the order of `ui.case_form.Form`."""

    mode: gr.Radio
    structured: gr.Radio
    age: gr.Textbox
    age_unit: gr.Dropdown
    sex: gr.Dropdown
    pregnancy_weeks: gr.Textbox
    complaint: gr.Textbox
    history: gr.Textbox
    medications: gr.Textbox
    allergies: gr.Textbox
    examination: gr.Textbox
    vitals: gr.HTML
    labs: gr.HTML
    investigations: gr.Textbox
    vignette: gr.Textbox
    question: gr.Textbox
    options: gr.HTML
    samples: gr.Slider
    temperature: gr.Slider
    seed: gr.Textbox
    max_tokens: gr.Textbox

    @property
    def all(self) -> list[Any]:
        """Every input, in order."""
        return [getattr(self, name) for name in self.__dataclass_fields__]


@dataclass(frozen=True)
class CaseTab:
    """The case on one side, the answer on the other."""

    fields: Fields
    examples: list[tuple[gr.Button, Example]]
    form_group: gr.Column
    text_group: gr.Column
    options_group: gr.Column
    entry_row: gr.Column
    own: gr.Textbox
    prompt: gr.HTML
    problems: gr.HTML
    run: gr.Button
    stop: gr.Button
    clear: gr.Button
    view: gr.HTML
    after: gr.Accordion
    reasons: gr.CheckboxGroup
    comment: gr.Textbox
    include_case: gr.Checkbox
    redact: gr.Checkbox
    keep: gr.Button
    kept: gr.HTML
    save_feedback: gr.Button
    exports: dict[str, gr.Button]


@dataclass(frozen=True)
class CompareTab:
    """Two answers and a vote."""

    blind: gr.Checkbox
    run: gr.Button
    stop: gr.Button
    problems: gr.HTML
    views: tuple[gr.HTML, gr.HTML]
    choice: gr.Radio
    vote: gr.Button
    result: gr.HTML
    save: gr.Button


def header(t: Texts, banner: str, other_page: str) -> str:
    """The top of the page: name, notice, tools and the one status region."""
    recorded = f'<div class="gz-recorded" role="note">{banner}</div>' if banner else ""
    other = "en" if t["language"] == "ar" else "ar"
    return (
        '<div class="gz-head"><div class="gz-brand"><span class="gz-mark" aria-hidden="true">G</span><div>'
        f"<h1>Gazal-R1</h1><p>{escaped(t['tagline'])}</p></div></div>"
        f'<div class="gz-tools"><button type="button" id="gz-theme">{escaped(t["theme"])}</button>'
        f'<a href="{other_page}" lang="{other}" hreflang="{other}">{escaped(t["other_language"])}</a></div></div>'
        f'<div class="gz-notice" role="note"><strong>{escaped(t["notice"])}</strong> {escaped(t["notice_more"])}</div>'
        f'{recorded}<div id="gz-status" class="gz-sr" role="status" aria-live="polite"></div>'
    )


def about(t: Texts) -> str:
    """The page on how to read the others."""
    return f'<div class="gz-about">{markdown(t["about"])}</div>'


def run_panel(t: Texts, elem_id: str) -> gr.HTML:
    """A place for the view of a run."""
    import gradio as gr

    return gr.HTML(
        idle(t), html_template='<div class="gz-view"></div>', js_on_load=script("view.js"), elem_id=elem_id,
        apply_default_css=False,
    )  # fmt: skip


def case_tab(t: Texts, settings: UiSettings, examples: list[Example], redaction: bool) -> CaseTab:
    """Build the first tab."""
    import gradio as gr

    with gr.Row(elem_classes="gz-columns"):
        with gr.Column(scale=5, min_width=340, elem_classes="gz-panel"):
            gr.HTML(f'<p class="gz-label-line">{escaped(t["examples"])}</p>', apply_default_css=False)
            with gr.Row(elem_classes="gz-examples"):
                buttons = [
                    (gr.Button(each.title[t["language"]], size="sm", elem_id=f"gz-example-{each.id}"), each)
                    for each in examples
                ]
            form = _form(t, settings)
            own = gr.Textbox(label=t["own"], info=t["own_info"], lines=2, rtl=_rtl(t), elem_id="gz-own")
            with gr.Accordion(t["prompt"], open=False, elem_id="gz-prompt"):
                prompt = gr.HTML(f"<p>{escaped(t['prompt_empty'])}</p>", apply_default_css=False)
            problems = gr.HTML("", elem_id="gz-problems", apply_default_css=False)
            with gr.Row(elem_classes="gz-actions"):
                run = gr.Button(t["run"], variant="primary", elem_id="gz-run")
                stop = gr.Button(t["stop"], variant="stop", elem_id="gz-stop", visible=False)
                clear = gr.Button(t["clear"], elem_id="gz-clear")
        with gr.Column(scale=7, min_width=340, elem_classes="gz-answer-column"):
            view = run_panel(t, "gz-view")
            after = _after(t, redaction)
    return CaseTab(
        **form,
        own=own,
        prompt=prompt,
        problems=problems,
        run=run,
        stop=stop,
        clear=clear,
        view=view,
        examples=buttons,
        **after,
    )


def _form(t: Texts, settings: UiSettings) -> dict[str, Any]:
    import gradio as gr

    rtl = _rtl(t)
    mode = gr.Radio(
        [(t[f"mode_{name}"], name) for name in MODES], value="diagnosis", label=t["mode"], elem_id="gz-mode"
    )
    with gr.Column() as entry_row:
        structured = gr.Radio(
            [(t["entry_form"], "form"), (t["entry_text"], "text")], value="form", label=t["entry"], elem_id="gz-entry"
        )
    with gr.Column() as form_group:
        with gr.Row(elem_classes="gz-narrow"):
            age = gr.Textbox(label=t["age"], max_lines=1, html_attributes=_number(), elem_id="gz-age")
            age_unit = gr.Dropdown([(t[unit], unit) for unit in AGE_UNITS], value="years", label=t["age_unit"])
            sex = gr.Dropdown([(t[name], name) for name in SEXES], value="unknown", label=t["sex"])
            weeks = gr.Textbox(label=t["pregnancy_weeks"], max_lines=1, html_attributes=_number())
        complaint = gr.Textbox(label=t["complaint"], info=t["complaint_info"], lines=2, rtl=rtl, elem_id="gz-complaint")
        history = gr.Textbox(label=t["history"], placeholder=t["one_a_line"], lines=2, rtl=rtl)
        with gr.Row():
            drugs = gr.Textbox(label=t["medications"], placeholder=t["one_a_line"], lines=2, rtl=rtl)
            allergies = gr.Textbox(label=t["allergies"], placeholder=t["one_a_line"], lines=2, rtl=rtl)
        examination = gr.Textbox(label=t["examination"], lines=2, rtl=rtl)
        vitals = _editor(t, "vitals", VITALS)
        labs = _editor(t, "labs", LABS)
        investigations = gr.Textbox(label=t["investigations"], lines=2, rtl=rtl)
    with gr.Column(visible=False) as text_group:
        vignette = gr.Textbox(
            label=t["vignette"], info=t["vignette_info"].format(n=MAX_TEXT_CHARS), lines=9, max_lines=18, rtl=rtl,
            elem_id="gz-vignette",
        )  # fmt: skip
    question = gr.Textbox(label=t["question"], info=t["question_info"], rtl=rtl, elem_id="gz-question")
    with gr.Column(visible=False) as options_group:
        options = _editor(t, "options", None)
    with gr.Accordion(t["sampling"], open=False, elem_id="gz-sampling"):
        samples = gr.Slider(1, 8, value=1, step=1, label=t["samples"], info=t["samples_info"], elem_id="gz-samples")
        temperature = gr.Slider(0, 2, value=0.7, step=0.05, label=t["temperature"])
        with gr.Row():
            seed = gr.Textbox(
                label=t["seed"], info=t["seed_info"], max_lines=1, html_attributes=_number(), elem_id="gz-seed"
            )
            tokens = gr.Textbox(str(settings.max_tokens), label=t["max_tokens"], max_lines=1, html_attributes=_number())
    fields = Fields(
        mode, structured, age, age_unit, sex, weeks, complaint, history, drugs, allergies, examination, vitals, labs,
        investigations, vignette, question, options, samples, temperature, seed, tokens,
    )  # fmt: skip
    return {
        "fields": fields, "form_group": form_group, "text_group": text_group, "options_group": options_group,
        "entry_row": entry_row,
    }  # fmt: skip


def _editor(t: Texts, kind: str, quantities: Mapping[str, Quantity] | None) -> gr.HTML:
    import gradio as gr

    gr.HTML(f'<p class="gz-label-line">{escaped(t[kind])}</p>', apply_default_css=False)
    return gr.HTML(
        ["", ""] if kind == "options" else [],
        html_template='<div class="gz-editor"></div>',
        js_on_load=script("editor.js"),
        elem_classes=f"gz-{kind}",
        elem_id=f"gz-{kind}",
        apply_default_css=False,
        kind=kind,
        quantities=editor_rows(quantities) if quantities else [],
        words={name: t[name] for name in t if name in _EDITOR_WORDS or name.startswith("v_")},
    )


def _after(t: Texts, redaction: bool) -> dict[str, Any]:
    import gradio as gr

    with gr.Accordion(t["after"], open=True, visible=False, elem_id="gz-after", elem_classes="gz-panel") as after:
        reasons = gr.CheckboxGroup([(t[name], name) for name in REASONS], label=t["feedback"], elem_id="gz-reasons")
        comment = gr.Textbox(label=t["comment"], rtl=_rtl(t), elem_id="gz-comment")
        include = gr.Checkbox(label=t["include_case"], info=t["include_case_info"], elem_id="gz-include")
        redact = gr.Checkbox(
            redaction, label=t["redact"], info=None if redaction else t["redact_missing"], interactive=redaction,
            elem_id="gz-redact",
        )  # fmt: skip
        with gr.Row():
            keep = gr.Button(t["give_feedback"], size="sm", elem_id="gz-keep")
            save = gr.Button(t["export_feedback"], size="sm", elem_id="gz-save-feedback")
        kept = gr.HTML("", elem_id="gz-kept", apply_default_css=False)
        gr.HTML(f'<p class="gz-label-line">{escaped(t["export"])}</p>', apply_default_css=False)
        with gr.Row():
            exports = {
                kind: gr.Button(t[f"export_{kind}"], size="sm", elem_id=f"gz-export-{kind}")
                for kind in ("md", "json", "pdf")
            }
    return {
        "after": after, "reasons": reasons, "comment": comment, "include_case": include, "redact": redact, "keep": keep,
        "kept": kept, "save_feedback": save, "exports": exports,
    }  # fmt: skip


def compare_tab(t: Texts, two_servers: bool) -> CompareTab:
    """Build the second tab."""
    import gradio as gr

    words = t["compare_two"] if two_servers else t["compare_same"]
    with gr.Column(elem_classes="gz-panel"):
        gr.HTML(f"<p>{escaped(t['compare_intro'])} {escaped(words)}</p>", apply_default_css=False)
        blind = gr.Checkbox(True, label=t["blind"], elem_id="gz-blind")
        problems = gr.HTML("", apply_default_css=False)
        with gr.Row(elem_classes="gz-actions"):
            run = gr.Button(t["run_both"], variant="primary", elem_id="gz-run-both")
            stop = gr.Button(t["stop"], variant="stop", elem_id="gz-stop-both", visible=False)
    with gr.Row(elem_classes="gz-pair"):
        views = (run_panel(t, "gz-view-1"), run_panel(t, "gz-view-2"))
    with gr.Column(elem_classes="gz-panel"):
        choice = gr.Radio([(t[f"vote_{each}"], each) for each in CHOICES], label=t["vote"], elem_id="gz-choice")
        with gr.Row():
            vote = gr.Button(t["give_vote"], size="sm", elem_id="gz-vote")
            save = gr.Button(t["export_votes"], size="sm", elem_id="gz-save-votes")
        result = gr.HTML("", elem_id="gz-vote-result", apply_default_css=False)
    return CompareTab(blind, run, stop, problems, views, choice, vote, result, save)


def benchmarks_tab(t: Texts, settings: UiSettings) -> gr.HTML:
    """Build the third tab."""
    import gradio as gr

    return gr.HTML(benchmarks_view(settings.reports_dir, t), elem_id="gz-benchmarks", apply_default_css=False)


def _rtl(t: Texts) -> bool:
    return t["direction"] == "rtl"


def _number() -> InputHTMLAttributes:
    from gradio.components.textbox import InputHTMLAttributes

    return InputHTMLAttributes(autocomplete="off")
