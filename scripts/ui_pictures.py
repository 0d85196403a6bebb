"""The pictures of docs/ui.md, taken of the real page over a running server: `python scripts/ui_pictures.py`.

Starts the page twice, over the server and over an address where nothing answers, drives Debian's Chromium through the
main states, and writes docs/images/ui-*.png. Look at each of them before you keep it.
"""

from __future__ import annotations

import argparse
import io
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

IMAGES = Path(__file__).parents[1] / "docs" / "images"
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
DONE = "#gz-view .gz-run.gz-done"
_PATIENCE_MS = 180_000
_PHONE_PARTS = 5
_GAP = 20


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server-url", default="http://127.0.0.1:8000")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--output", type=Path, default=IMAGES)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        good = stack.enter_context(page_over(options.server_url))
        broken = stack.enter_context(page_over(f"http://127.0.0.1:{free_port()}"))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=options.chromium, args=ARGUMENTS)
        stack.callback(browser.close)
        take(browser, good, broken, options.output)


def take(browser: Browser, good: str, broken: str, output: Path) -> None:
    """Every state once, on fresh pages."""
    with opened(browser, good, width=1280, height=900) as page:
        run(page, "emergency")
        page.wait_for_selector("#gz-view .gz-running")
        page.wait_for_function("Math.abs(document.querySelector('#gz-view').getBoundingClientRect().top) < 40")
        save(page.screenshot(), output / "ui-running.png")
        page.wait_for_selector(DONE)
        page.click("#gz-view .gz-reasoning summary")
        save(page.screenshot(full_page=True), output / "ui-answer.png")
    with opened(browser, f"{good}/ar/", width=1280, height=900, dark=True) as page:
        run(page, "emergency")
        page.wait_for_selector(DONE)
        page.click("#gz-view .gz-reasoning summary")
        save(page.screenshot(full_page=True), output / "ui-arabic-dark.png")
    with opened(browser, good, width=1280, height=900) as page:
        run(page, "child")
        page.wait_for_selector(DONE)
        page.locator("button[role=tab]").nth(1).click()
        page.click("#gz-run-both")
        for view in ("#gz-view-1", "#gz-view-2"):
            page.wait_for_selector(f"{view} .gz-run.gz-done")
        save(page.screenshot(full_page=True), output / "ui-compare.png")
    with opened(browser, good, width=390, height=844) as page:
        run(page, "emergency")
        page.wait_for_selector(DONE)
        save(in_parts(page.screenshot(full_page=True)), output / "ui-phone.png")
    with opened(browser, broken, width=390, height=844) as page:
        run(page, "emergency")
        page.wait_for_selector("#gz-view .gz-failed")
        page.locator("#gz-view .gz-failed").scroll_into_view_if_needed()
        save(page.screenshot(), output / "ui-failed.png")


def run(page: Page, example: str) -> None:
    """Load an example and run it."""
    page.click(f"#gz-example-{example}")
    page.wait_for_function("document.querySelector('#gz-complaint textarea, #gz-vignette textarea')?.value.length > 10")
    page.click("#gz-run")


def in_parts(picture: bytes) -> bytes:
    """A tall picture cut into columns that stand side by side."""
    whole = Image.open(io.BytesIO(picture)).convert("RGB")
    height = -(-whole.height // _PHONE_PARTS)
    sheet = Image.new("RGB", (_PHONE_PARTS * (whole.width + _GAP) - _GAP, height), "white")
    for part in range(_PHONE_PARTS):
        lower = min(whole.height, (part + 1) * height)
        sheet.paste(whole.crop((0, part * height, whole.width, lower)), (part * (whole.width + _GAP), 0))
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


def save(picture: bytes, path: Path) -> None:
    """Write a picture with a palette: a third of the bytes, and a page of text loses nothing."""
    image = Image.open(io.BytesIO(picture)).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
    print(path)


@contextmanager
def opened(browser: Browser, address: str, *, width: int, height: int, dark: bool = False) -> Iterator[Page]:
    """A fresh page that is ready."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    page.goto(address)
    page.wait_for_selector("#gz-chip .gz-chip")
    page.wait_for_selector("#gz-vitals input")
    yield page
    context.close()


@contextmanager
def page_over(server_url: str) -> Iterator[str]:
    """The clinician page over a server; yields the page's address."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "ui", "--server-url", server_url, "--port", str(port)])
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    main()
