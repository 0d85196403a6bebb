"""axe finds nothing serious, in both themes and languages; one polite region speaks; a narrow screen clips nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ui.conftest import MCQ_REPLY, open_page, watched
from ui.texts import LANGUAGES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.ui.conftest import Stage


def finish(page: Page) -> None:
    page.click("#gz-example-child")
    page.wait_for_function("document.querySelector('#gz-complaint textarea').value.length > 10")
    page.click("#gz-run")
    page.wait_for_selector("#gz-view .gz-done")
    page.click("#gz-view .gz-reasoning summary")
    page.wait_for_selector("#gz-after")


def serious(page: Page) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:160]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_serious_is_found(stage: Stage, browser: Browser, language: str, theme: str) -> None:
    stage.reset()
    stage.engine.reply = MCQ_REPLY
    with watched(browser, color_scheme=theme) as page:
        open_page(page, stage.ui + ("/ar/" if language == "ar" else "/"))
        assert page.evaluate("document.documentElement.lang") == language
        assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
        finish(page)
        assert serious(page) == []
        for name in ("compare", "benchmarks", "about"):
            page.click(f"button[role=tab]:has-text('{LANGUAGES[language][f'tab_{name}']}')")  # type: ignore[index]
            page.wait_for_timeout(100)
            assert serious(page) == [], name


def test_one_polite_region_speaks_and_no_text_is_live(stage: Stage, page: Page) -> None:
    finish(page)
    live = page.evaluate(
        """() => [...document.querySelectorAll("[aria-live], [role=status], [role=alert], [role=log]")]
        .filter((each) => each.closest("#gz-view, #gz-after, main") || each.id)
        .map((each) => each.id || each.outerHTML.slice(0, 120))"""
    )
    assert live == ["gz-status"]


def test_focus_can_be_seen_and_the_whole_run_needs_no_mouse(stage: Stage, page: Page) -> None:
    page.focus("#gz-complaint textarea")
    page.keyboard.type("Wheeze")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#gz-view .gz-done")
    page.focus("#gz-view .gz-reasoning summary")
    page.keyboard.press("Enter")
    assert page.locator("#gz-view details.gz-reasoning").get_attribute("open") is not None
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("language", ["en", "ar"])
def test_a_phone_clips_nothing(stage: Stage, browser: Browser, language: str) -> None:
    stage.reset()
    stage.engine.reply = MCQ_REPLY
    with watched(browser, viewport={"width": 390, "height": 844}) as page:
        open_page(page, stage.ui + ("/ar/" if language == "ar" else "/"))
        assert page.evaluate("document.documentElement.dir") == ("rtl" if language == "ar" else "ltr")
        finish(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        wide = page.evaluate(
            """() => [...document.querySelectorAll("main *")].filter((each) => {
            const box = each.getBoundingClientRect();
            const apart = ".gz-scroll, .gz-sr, .gz-prompt, [role=tablist], .tab-wrapper, .overflow-menu";
            return box.width && !each.closest(apart) && (box.right > 391 || box.left < -1);
            }).map((each) => each.outerHTML.slice(0, 100))"""
        )
        assert wide == []


def test_the_theme_button_and_the_way_to_the_other_language(stage: Stage, page: Page) -> None:
    dark = page.evaluate("document.body.classList.contains('dark')")
    page.click("#gz-theme")
    assert page.evaluate("document.body.classList.contains('dark')") != dark
    page.click(".gz-tools a")
    page.wait_for_selector("#gz-vitals input")
    assert page.url.endswith("/ar/")
    assert LANGUAGES["ar"]["notice"] in page.inner_text(".gz-notice")
    page.click(".gz-tools a")
    page.wait_for_url(stage.ui + "/")
