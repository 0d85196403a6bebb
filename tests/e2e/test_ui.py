"""The page over the real stack: the small model on vLLM, behind two gateways, driven once from a case to a vote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.conftest import unused_port
from tests.e2e.conftest import ready, wait_until
from tests.ui.conftest import browser, open_page, stage, watched  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.e2e.conftest import Stack
    from tests.ui.conftest import Stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]


def running(base: str) -> float:
    """Requests that the engine works at, by its own metrics."""
    with urllib.request.urlopen(f"{base}/metrics/engine", timeout=5) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:num_requests_running"))


@pytest.fixture
def second_gateway(stack: Stack, tmp_path: Path) -> Iterator[str]:
    """A second gateway over the same engine, as the other side of a comparison."""
    port = unused_port()
    words = [sys.executable, "-m", "server", "--upstream", f"unix:{stack.engine_socket()}", "--port", str(port)]
    with (tmp_path / "log").open("wb") as output:
        process = subprocess.Popen(
            words, stdout=output, stderr=output, env=os.environ | {"GAZAL_CANARY_INTERVAL_S": "0"}
        )
    base = f"http://127.0.0.1:{port}"
    wait_until(lambda: ready(base), 90, "the second gateway is ready")
    yield base
    process.terminate()
    process.wait(30)


def test_a_case_a_stop_a_comparison_and_a_vote(
    stack: Stack,
    second_gateway: str,
    stage: Stage,  # noqa: F811
    browser: Browser,  # noqa: F811
    tmp_path: Path,
) -> None:
    address = stage.add(server_url=stack.base, compare_url=second_gateway, silence_timeout_s=60, max_tokens=300)
    with watched(browser) as page:
        page.set_default_timeout(120_000)
        open_page(page, address)
        assert "gazal-r1-nano" in page.inner_text("#gz-chip")
        page.click("#gz-example-child")
        page.wait_for_function("document.querySelector('#gz-complaint textarea').value.length > 10")
        page.click("#gz-run")
        page.wait_for_selector("#gz-view .gz-step[data-key='step-0']")
        assert page.locator("#gz-view .gz-done").count() == 0, "a step is there before the answer is complete"
        page.wait_for_selector("#gz-view .gz-done")
        assert page.locator("#gz-view .gz-final").count() == 1
        assert "tokens/s" in page.inner_text("#gz-view .gz-bar")

        page.click("#gz-run")
        wait_until(lambda: running(stack.base) == 1, 60, "the engine works")
        page.click("#gz-stop")
        stopped_at = time.monotonic()
        wait_until(lambda: running(stack.base) == 0, 2, "the engine is free within two seconds")
        print(f"engine free {time.monotonic() - stopped_at:.2f} s after Stop")
        page.wait_for_selector("#gz-view .gz-stopped")

        page.click("button[role=tab]:has-text('Compare')")
        page.click("#gz-run-both")
        for view in ("#gz-view-1", "#gz-view-2"):
            page.wait_for_selector(f"{view} .gz-done")
        page.click("#gz-choice label:has-text('neither')")
        page.click("#gz-vote")
        page.wait_for_selector("#gz-vote-result p:has-text('Side 1 was')")
        with page.expect_download() as download:
            page.click("#gz-save-votes")
        download.value.save_as(tmp_path / "votes.jsonl")
        vote = json.loads((tmp_path / "votes.jsonl").read_text())
        assert vote["choice"] == "neither"
        assert vote["side_1"]["prompt_sha256"] == vote["side_2"]["prompt_sha256"]

        page.click("button[role=tab]:has-text('Case')")
        page.click("#gz-clear")
        page.wait_for_selector("#gz-view .gz-idle")
