"""The page in Chromium over the fake engine: what a clinician does, and what goes wrong."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from tests.ui.conftest import MCQ_REPLY, REPLY, open_page, wait_until, watched
from ui.texts import LANGUAGES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.ui.conftest import Stage

EN = LANGUAGES["en"]
STEP = "#gz-view .gz-step[data-key^='step-']"


def example(page: Page, name: str = "emergency") -> None:
    page.click(f"#gz-example-{name}")
    page.wait_for_function("document.querySelector('#gz-complaint textarea, #gz-vignette textarea')?.value.length > 10")


def ended(page: Page, state: str = "done", view: str = "#gz-view") -> None:
    page.wait_for_selector(f"{view} .gz-run.gz-{state}")


def saved(page: Page, button: str, directory: Path) -> bytes:
    with page.expect_download() as download:
        page.click(button)
    path = directory / "saved"
    download.value.save_as(path)
    return path.read_bytes()


def test_a_case_from_the_form_to_the_saved_answer(stage: Stage, page: Page, tmp_path: Path) -> None:
    stage.engine.delay_s = 0.15
    page.fill("#gz-age input", "27")
    page.fill("#gz-complaint textarea", "Wheeze after amoxicillin CANARY-4711")
    page.fill("#gz-vitals input[aria-label='Heart rate']", "1320")
    assert "0 to 350" in page.inner_text("#gz-vitals [data-row=heart_rate] .gz-row-note")
    page.click("#gz-run")
    page.wait_for_selector("#gz-problems .gz-problems")
    assert "Heart rate" in page.inner_text("#gz-problems")
    assert stage.engine.bodies == []
    page.fill("#gz-vitals input[aria-label='Heart rate']", "132")
    page.select_option("#gz-vitals [data-row=temperature] select", "°F")
    page.fill("#gz-vitals input[aria-label='Temperature']", "98.2")
    page.wait_for_timeout(150)
    page.keyboard.press("Control+Enter")

    page.wait_for_selector(STEP)
    assert page.locator("#gz-view .gz-answer").count() == 0, "steps come before the answer"
    assert page.locator("#gz-view details.gz-reasoning").get_attribute("open") is not None
    ended(page)
    assert page.locator(STEP).count() == 3
    assert page.locator("#gz-view details.gz-reasoning").get_attribute("open") is None
    assert "Anaphylaxis" in page.inner_text("#gz-view .gz-card-lead")
    assert "emergency assessment" in page.inner_text("#gz-view .gz-flags"), "rules spoke, and stand above the steps"
    assert page.inner_text("#gz-status") == "Finished: 3 steps and an answer."
    sent = stage.engine.bodies[0]["messages"][0]["content"]
    assert "27-year-old" in sent
    assert "Temperature 98.2 °F" in sent

    page.click("#gz-view .gz-reasoning summary")
    page.click("#gz-view .gz-close")
    assert page.locator("#gz-view details.gz-reasoning").get_attribute("open") is None

    told = json.loads(saved(page, "#gz-export-json", tmp_path))
    assert "CANARY-4711" not in json.dumps(told)
    page.check("#gz-include input")
    assert b"CANARY-4711" in saved(page, "#gz-export-md", tmp_path)
    assert saved(page, "#gz-export-pdf", tmp_path).startswith(b"%PDF")

    page.uncheck("#gz-include input")
    page.check("#gz-reasons input[value=unsafe], #gz-reasons label:has-text('unsafe') input")
    page.fill("#gz-comment textarea, #gz-comment input", "too calm")
    page.click("#gz-keep")
    page.wait_for_selector("#gz-kept p:has-text('1 kept')")
    (line,) = saved(page, "#gz-save-feedback", tmp_path).splitlines()
    assert json.loads(line)["reasons"] == ["unsafe"]
    assert b"CANARY" not in line

    page.click("#gz-clear")
    page.wait_for_selector("#gz-view .gz-idle")
    wait_until(lambda: page.input_value("#gz-complaint textarea") == "", 5, "the form is empty")
    assert page.input_value("#gz-vitals input[aria-label='Heart rate']") == ""
    assert page.inner_text("#gz-status") == EN["announce_cleared"]
    assert not page.is_visible("#gz-after")
    assert page.evaluate("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0


def test_stop_frees_the_engine_and_keeps_what_came(stage: Stage, page: Page) -> None:
    stage.engine.reply, stage.engine.delay_s = REPLY, 0.25
    example(page)
    page.click("#gz-run")
    page.wait_for_selector(STEP)
    assert stage.engine.running == 1
    page.keyboard.press("Escape")
    stopped_at = time.monotonic()
    wait_until(lambda: stage.engine.running == 0, 2, "the engine is free")
    assert time.monotonic() - stopped_at < 2
    ended(page, "stopped")
    assert page.locator(STEP).count() >= 1
    assert page.inner_text("#gz-status") == EN["announce_stopped"]
    assert page.is_visible("#gz-run")


def test_closing_the_page_frees_the_engine_even_when_it_is_silent(stage: Stage, browser: Browser) -> None:
    stage.reset()
    stage.engine.fault = "stall_midstream"
    with watched(browser) as page:
        open_page(page, stage.add(silence_timeout_s=60))
        example(page)
        page.click("#gz-run")
        wait_until(lambda: stage.engine.running == 1, 10, "the engine works")
    wait_until(lambda: stage.engine.running == 0, 5, "the engine is free")


def test_options_are_added_and_a_multiple_choice_answer_is_read(stage: Stage, page: Page) -> None:
    stage.engine.reply = MCQ_REPLY
    page.click("#gz-mode label:has-text('Multiple choice')")
    page.fill("#gz-complaint textarea", "Chest pain")
    page.fill("#gz-options textarea[aria-label='Option A']", "Aspirin")
    page.fill("#gz-options textarea[aria-label='Option B']", "Heparin")
    page.click("#gz-options .gz-add")
    page.fill("#gz-options textarea[aria-label='Option C']", "Nothing")
    page.click("#gz-options [data-row]:nth-child(2) .gz-remove")
    page.click("#gz-run")
    ended(page)
    assert "A Aspirin" in " ".join(page.inner_text("#gz-view .gz-final").split())
    assert "A. Aspirin\nB. Nothing" in stage.engine.bodies[0]["messages"][0]["content"]
    stage.engine.reply = REPLY
    page.click("#gz-run")
    page.wait_for_selector("#gz-view .gz-final-none")
    assert EN["why_no_answer"] in page.inner_text("#gz-view .gz-final-none")


def test_several_answers_are_counted(stage: Stage, page: Page) -> None:
    stage.engine.reply = MCQ_REPLY
    page.click("#gz-sampling button")
    number = page.locator("#gz-samples input[type=number]")
    number.wait_for()
    example(page, "child")
    page.wait_for_timeout(300)
    number.fill("3")
    number.press("Tab")
    wait_until(lambda: page.input_value("#gz-samples input[type=range]") == "3", 5, "the slider follows the number")
    page.click("#gz-run")
    ended(page)
    assert stage.engine.bodies[0]["n"] == 3
    assert "3 of 3 answers agree on A" in page.inner_text("#gz-view .gz-agreement")
    assert page.locator("#gz-view .gz-sample").count() == 3


def test_the_exact_prompt_is_shown_and_is_what_is_sent(stage: Stage, page: Page) -> None:
    example(page)
    page.click("#gz-prompt button")
    page.wait_for_selector("#gz-prompt .gz-prompt")
    wait_until(lambda: "amoxicillin" in page.inner_text("#gz-prompt .gz-prompt"), 5, "the preview follows")
    page.click("#gz-run")
    ended(page)
    sent = stage.engine.bodies[0]["messages"][0]["content"]
    assert page.text_content("#gz-prompt .gz-prompt") == sent
    assert EN["r_same"] in (page.text_content("#gz-view .gz-readout") or "")


def test_comparing_blind_voting_and_saving_the_vote(stage: Stage, page: Page, tmp_path: Path) -> None:
    example(page)
    page.click("button[role=tab]:has-text('Compare')")
    page.click("#gz-vote")
    page.wait_for_selector(f"#gz-vote-result p:has-text('{EN['vote_wait']}')")
    page.click("#gz-run-both")
    for view in ("#gz-view-1", "#gz-view-2"):
        ended(page, view=view)
        assert "tuned" not in page.inner_text(view)
        assert "base" not in page.inner_text(f"{view} .gz-bar")
    assert stage.engine.bodies[0]["seed"] == stage.second.bodies[0]["seed"]
    assert stage.engine.bodies[0]["messages"] == stage.second.bodies[0]["messages"]
    page.click("#gz-choice label:has-text('Side 2')")
    page.click("#gz-vote")
    page.wait_for_selector("#gz-vote-result p:has-text('Side 1 was')")
    assert {"tuned", "base"} == {name for name in ("tuned", "base") if name in page.inner_text("#gz-vote-result")}
    (line,) = saved(page, "#gz-save-votes", tmp_path).splitlines()
    vote = json.loads(line)
    assert (vote["choice"], vote["blind"]) == ("2", True)
    assert "amoxicillin" not in line.decode()


def failing(page: Page, kind: str) -> str:
    ended(page, "failed")
    shown = page.inner_text("#gz-view .gz-failure")
    assert EN[f"f_{kind}"] in shown
    assert page.is_visible("#gz-run")
    assert "amoxicillin" in page.input_value("#gz-complaint textarea"), "what was typed is kept"
    assert EN[f"f_{kind}"] in page.inner_text("#gz-status")
    return shown


@pytest.mark.parametrize(
    ("fault", "kind"), [("stall_midstream", "silent"), ("status_500", "engine"), ("reset", "engine")]
)
def test_an_engine_that_fails_leads_to_plain_words_and_a_way_on(
    stage: Stage, page: Page, fault: str, kind: str
) -> None:
    stage.engine.fault = fault  # type: ignore[assignment]
    example(page)
    page.click("#gz-run")
    failing(page, kind)
    stage.engine.fault = None
    page.click("#gz-run")
    ended(page)


def test_a_server_that_is_away(stage: Stage, browser: Browser, free_port: int) -> None:
    stage.reset()
    with watched(browser) as page:
        open_page(page, stage.add(server_url=f"http://127.0.0.1:{free_port}"))
        assert EN["unreachable_chip"] in page.inner_text("#gz-chip")
        example(page)
        page.click("#gz-run")
        assert "make serve" in failing(page, "unreachable")


def test_a_key_that_is_missing_and_a_limit_that_is_reached(stage: Stage, browser: Browser) -> None:
    stage.reset()
    with watched(browser) as page:
        open_page(page, stage.add(server_url=stage.guarded))
        example(page)
        page.click("#gz-run")
        assert "GAZAL_UI_API_KEY" in failing(page, "unauthorized")
        open_page(page, stage.add(server_url=stage.guarded, api_key=SecretStr(stage.key)))
        example(page)
        for answered in (1, 2):
            page.click("#gz-run")
            wait_until(lambda: len(stage.engine.bodies) == answered, 60, "the run reached the engine")  # noqa: B023
            ended(page)
            page.wait_for_selector("#gz-stop", state="hidden")
            page.wait_for_timeout(300)
        page.click("#gz-run")
        assert "seconds" in failing(page, "rate_limited")


def test_hostile_cases_and_answers_do_nothing_load_nothing_and_break_nothing(stage: Stage, page: Page) -> None:
    bad = (
        "<script>window.hacked=1</script><img src='http://evil.example/x' onerror='window.hacked=1'>"
        "![x](http://evil.example/p.png) [go](javascript:window.hacked=1) \u202eevil\u202c <svg/onload=window.hacked=1>"
        "<style>body{display:none}</style><base href='http://evil.example'>"
    )
    long = "W" * 3_000
    stage.engine.reply = (
        f"<think>\nStep 1: {bad}\nStep 2: {long}\n</think>\n\n## A\n**Primary Diagnosis**: {bad}\n{long}"
    )
    stage.engine.chunk_chars = 400
    page.fill("#gz-complaint textarea", bad)
    page.fill("#gz-own textarea", bad)
    page.click("#gz-run")
    page.wait_for_selector("#gz-problems .gz-identified")
    assert not stage.engine.bodies, "an address in the case is asked about before anything is sent"
    page.click("#gz-run")
    ended(page)
    page.click("#gz-view .gz-reasoning summary")
    page.click("#gz-prompt button")
    page.wait_for_selector("#gz-prompt .gz-prompt")
    assert page.evaluate("window.hacked") is None
    assert "[U+202E]evil" in page.inner_text("#gz-view .gz-card-lead")
    assert page.locator("#gz-view script, #gz-view img, #gz-view a, #gz-view svg, #gz-view style").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.is_visible("#gz-run")


def test_a_megabyte_is_refused_with_words_when_typed_and_cut_when_shown(stage: Stage, page: Page) -> None:
    page.click("#gz-entry label:has-text('Pasted text')")
    page.wait_for_selector("#gz-vignette textarea")
    page.fill("#gz-vignette textarea", "x" * 1_000_000)
    page.click("#gz-run")
    page.wait_for_selector("#gz-problems .gz-problems")
    assert "1,000,000 characters" in page.inner_text("#gz-problems")
    assert len(page.input_value("#gz-vignette textarea")) == 1_000_000
    stage.engine.reply = "<think>\nStep 1: a\n</think>\n\n" + "y " * 500_000
    stage.engine.chunk_chars = 20_000
    page.fill("#gz-vignette textarea", "short")
    page.click("#gz-run")
    ended(page)
    assert "more characters are not drawn here" in page.inner_text("#gz-view .gz-answer")
    assert len(page.inner_text("#gz-view")) < 60_000


def test_ten_browsers_at_once_all_stream(stage: Stage, browser: Browser) -> None:
    stage.reset()
    stage.engine.delay_s, stage.engine.chunk_chars = 1.0, 10
    with contextlib.ExitStack() as stack:
        address = stage.add(silence_timeout_s=60)
        pages = [stack.enter_context(watched(browser)) for _ in range(10)]
        for page in pages:
            page.goto(address)
        for page in pages:
            page.wait_for_selector("#gz-vitals input")
            page.fill("#gz-complaint textarea", "Wheeze")
        for page in pages:
            page.click("#gz-run")
        wait_until(lambda: stage.engine.running == 10, 60, "ten run at once")
        stage.engine.delay_s = 0.02
        for page in pages:
            page.wait_for_selector(STEP)
        for page in pages:
            ended(page)
            assert page.locator(STEP).count() == 3


def test_a_step_is_on_the_screen_within_300_ms_of_the_gateways_event(stage: Stage, page: Page) -> None:
    """The fake engine notes when it has sent what completes the first step; the gateway adds a few milliseconds."""
    stage.engine.delay_s = 0.2
    stage.engine.reply = REPLY
    example(page)
    page.evaluate(
        """() => { window.seen = null; new MutationObserver(() => {
        if (!window.seen && document.querySelector("#gz-view [data-key='step-0']")) window.seen = Date.now();
        }).observe(document.querySelector('#gz-view'), {childList: true, subtree: true}); }"""
    )
    page.click("#gz-run")
    page.wait_for_selector(STEP)
    sent = next(at for at, text in stage.sent() if "Step 2" in text)
    late_ms = page.evaluate("window.seen") - 1000 * sent
    assert -20 <= late_ms <= 300, f"{late_ms:.0f} ms"
    print(f"first step on the screen {late_ms:.0f} ms after the gateway could send it")


def test_what_is_open_and_marked_survives_the_stream(stage: Stage, page: Page) -> None:
    stage.engine.delay_s = 0.1
    example(page)
    page.click("#gz-run")
    page.wait_for_selector(STEP)
    page.evaluate("document.querySelector('#gz-view .gz-step').dataset.mark = 'kept'; 0")
    page.click("#gz-view .gz-reasoning summary")
    page.wait_for_selector(f"{STEP}:nth-of-type(3)", state="attached")
    assert page.locator("#gz-view .gz-step").first.get_attribute("data-mark") in ("kept", None)
    assert page.locator("#gz-view details.gz-reasoning").get_attribute("open") is None, "closed by the reader stays so"


def test_nothing_is_written_to_the_servers_disk(stage: Stage, page: Page, tmp_path: Path) -> None:
    def files() -> set[Path]:
        return {path for path in Path(tempfile.gettempdir()).glob("gradio/**/*") if path.is_file()}

    before = files()
    page.fill("#gz-complaint textarea", "CANARY-disk")
    page.click("#gz-run")
    ended(page)
    page.check("#gz-include input")
    saved(page, "#gz-export-pdf", tmp_path)
    assert files() == before
