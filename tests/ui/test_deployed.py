"""The page as it is deployed: behind nginx at a path, as a command, and without any server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import unused_port
from tests.ui.conftest import MCQ_REPLY, open_page, wait_until, watched
from ui.replay import load_recordings
from ui.serve import record_all, requests_to_record
from ui.settings import UiSettings
from ui.texts import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from tests.ui.conftest import Stage

EN = LANGUAGES["en"]


@pytest.fixture
def proxy(stage: Stage, tmp_path: Path) -> Iterator[str]:
    """nginx with the snippet of docs/ui.md, in front of a page that knows its path."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not os.path.exists(program):  # noqa: PTH110
        if os.environ.get("CI"):
            pytest.fail("nginx is missing: apt-get install nginx")
        pytest.skip("needs nginx: apt-get install nginx")
    page = stage.add(root_path="/gazal", allowed_hosts=("127.0.0.1",))
    text = (Path(__file__).parents[2] / "docs" / "ui.md").read_text(encoding="utf-8")
    snippet = re.search(r"```nginx\n(.*?)```", text, re.DOTALL)
    assert snippet, "docs/ui.md shows the nginx snippet"
    port = unused_port()
    places = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}\n"
        f"http {{ access_log off; {places} server {{ listen 127.0.0.1:{port};\n"
        f"{snippet[1].replace('http://127.0.0.1:7860', page)} }} }}"
    )
    process = subprocess.Popen(
        [program, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)], stderr=subprocess.PIPE
    )
    yield f"http://127.0.0.1:{port}/gazal/"
    process.send_signal(signal.SIGTERM)
    process.wait(10)


def test_behind_a_proxy_path_it_streams_and_stops(stage: Stage, browser: Browser, proxy: str) -> None:
    stage.reset()
    stage.engine.delay_s = 0.2
    with watched(browser) as page:
        open_page(page, proxy)
        page.fill("#gz-complaint textarea", "Wheeze")
        page.click("#gz-run")
        page.wait_for_selector("#gz-view .gz-step[data-key='step-0']")
        assert page.locator("#gz-view .gz-done").count() == 0, "it streams through the proxy"
        page.click("#gz-stop")
        wait_until(lambda: stage.engine.running == 0, 2, "the engine is free")
        page.click(".gz-tools a")
        page.wait_for_selector("#gz-vitals input")
        assert page.url == f"{proxy}ar/"


def test_recorded_answers_need_no_server_and_say_what_they_are(stage: Stage, browser: Browser, tmp_path: Path) -> None:
    stage.reset()
    stage.engine.reply = MCQ_REPLY
    with ThreadPoolExecutor(1) as apart:  # the blocking Playwright holds this thread's event loop
        apart.submit(record_all, UiSettings(server_url=stage.gateway), tmp_path).result(60)
    address = stage.add(tmp_path, server_url=f"http://127.0.0.1:{unused_port()}", compare_url=None)
    recording = load_recordings(tmp_path)[0]
    assert len(load_recordings(tmp_path)) == len(requests_to_record(UiSettings()))
    with watched(browser) as page:
        open_page(page, address)
        banner = page.inner_text(".gz-recorded")
        assert recording.model in banner
        assert recording.recorded in banner
        assert recording.digest[:16] in banner
        assert (EN["recorded_untrained"] in banner) == recording.untrained
        page.click("#gz-example-child")
        page.wait_for_function("document.querySelector('#gz-complaint textarea').value.length > 10")
        page.click("#gz-run")
        page.wait_for_selector("#gz-view .gz-done")
        assert EN["r_same"] in (page.text_content("#gz-view .gz-readout") or "")
        assert recording.recorded in page.inner_text("#gz-view")
        page.click("button[role=tab]:has-text('Compare')")
        page.uncheck("#gz-blind input")
        page.click("#gz-run-both")
        for view in ("#gz-view-1", "#gz-view-2"):
            page.wait_for_selector(f"{view} .gz-done")
        page.click("button[role=tab]:has-text('Case')")
        page.fill("#gz-complaint textarea", "Something else entirely")
        page.click("#gz-run")
        page.wait_for_selector("#gz-view .gz-failed")
        assert EN["f_no_recording"] in page.inner_text("#gz-view .gz-failure")


def test_the_command_prints_its_address_and_ends_in_order(tmp_path: Path) -> None:
    port = unused_port()
    words = [sys.executable, "-m", "ui", "--port", str(port)]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(words, stderr=output, stdout=output, env=os.environ | {"COLUMNS": "200"})
    try:
        wait_until(lambda: f"http://127.0.0.1:{port}/" in log.read_text(), 60, "the address is printed")
        wait_until(lambda: "not a medical device" in log.read_text(), 60, "the notice is printed")
        wait_until(lambda: alive(port), 60, "it lives")
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(30) in (0, 130, -signal.SIGINT)


def alive(port: int) -> bool:
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize(
    ("environment", "words"),
    [({"GAZAL_UI_PORT": "x"}, "GAZAL_UI_PORT"), ({"GAZAL_UI_NOTHING": "1"}, "GAZAL_UI_NOTHING")],
)
def test_a_wrong_setting_ends_the_command_with_its_name(environment, words) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "ui", "--replay"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert finished.returncode == 2
    assert words in finished.stderr
    assert "Traceback" not in finished.stderr
