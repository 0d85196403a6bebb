"""What is hard-set: no history, analytics, sharing, files or API, nothing from outside, bounded concurrency."""

from __future__ import annotations

import inspect
import json
import os
import re
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from ui.theme import css, script
from ui.web import POLICY, hard_settings

if TYPE_CHECKING:
    from tests.ui.conftest import Stage

FORBIDDEN_PARTS = {
    "image", "imageeditor", "imageslider", "file", "uploadbutton", "audio", "video", "fileexplorer", "gallery",
    "model3d", "multimodaltextbox", "downloadbutton", "deeplinkbutton", "duplicatebutton", "loginbutton",
    "browserstate", "chatbot",
}  # fmt: skip


def get(address: str, **headers: str) -> tuple[int, Any, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def post(address: str, body: bytes = b"{}") -> int:
    try:
        request = urllib.request.Request(address, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module", params=["", "/ar"])
def config(stage: Stage, request: pytest.FixtureRequest) -> dict[str, Any]:
    status, _, text = get(f"{stage.ui}{request.param}/config")
    assert status == 200
    found: dict[str, Any] = json.loads(text)
    return found


def test_switches_that_no_deployment_may_turn_on(config: dict[str, Any]) -> None:
    fixed = hard_settings()
    for name in ("run_history", "show_error", "ssr_mode", "enable_monitoring", "mcp_server", "pwa"):
        assert fixed[name] is False
    assert config["show_error"] is False
    assert not config.get("run_history")
    assert not config.get("is_space")
    assert not config.get("footer_links")
    assert not config.get("analytics_enabled", False)
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] in ("1", "True")


def test_every_hard_setting_is_one_that_this_gradio_knows() -> None:
    import gradio as gr

    assert set(hard_settings()) <= set(inspect.signature(gr.mount_gradio_app).parameters)
    assert gr.__version__ == "6.31.0", "read ui-safety notes again: Gradio adds histories and uploads with releases"


def test_no_part_takes_files_or_images_or_shares(config: dict[str, Any]) -> None:
    assert {part["type"] for part in config["components"]} & FORBIDDEN_PARTS == set()


def test_every_event_is_private_and_bounded(stage: Stage, config: dict[str, Any]) -> None:
    from ui.app import build
    from ui.serve import services_of
    from ui.settings import UiSettings

    assert config["dependencies"]
    assert {each["api_visibility"] for each in config["dependencies"] if each["backend_fn"]} <= {"private"}
    blocks = build(services_of(UiSettings(max_runs=3), None), "en")
    heavy = [fn for fn in blocks.fns.values() if fn.concurrency_id == "runs"]
    assert len(heavy) == 2
    assert {fn.concurrency_limit for fn in heavy} == {3}


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/runs", "/gradio_api/info", "/gradio_api/openapi.json", "/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/file=http://169.254.169.254/", "/gradio_api/proxy=http://evil.example/", "/monitoring", "/docs",
        "/openapi.json", "/gradio_api/deep_link", "/login", "/gradio_api/upload_progress", "/gradio_api/token",
        "/assets/../../etc/passwd", "/static/%2e%2e/%2e%2e/etc/passwd", "/ar/gradio_api/info", "/gradio_api/vibe-code/",
    ],
)  # fmt: skip
def test_paths_that_are_no_part_of_the_page_do_not_exist(stage: Stage, path: str) -> None:
    assert get(f"{stage.ui}{path}")[0] == 404


@pytest.mark.parametrize(
    "path", ["upload", "run/predict", "api/predict", "call/run", "component_server", "run-history/connect"]
)
def test_nothing_can_be_uploaded_or_called_past_the_page(stage: Stage, path: str) -> None:
    assert post(f"{stage.ui}/gradio_api/{path}") == 404


def test_a_body_without_bound_is_refused(stage: Stage) -> None:
    port = int(stage.ui.rpartition(":")[2])
    for head in (f"content-length: {9 << 20}", "transfer-encoding: chunked"):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(f"POST /gradio_api/queue/join HTTP/1.1\r\nhost: 127.0.0.1\r\n{head}\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_another_hosts_name_is_refused(stage: Stage) -> None:
    assert get(f"{stage.ui}/", host="evil.example")[0] == 400


def test_the_policy_lets_nothing_in_from_outside(stage: Stage) -> None:
    for path in ("/", "/ar/", "/config", "/nowhere"):
        assert get(f"{stage.ui}{path}")[1]["content-security-policy"] == POLICY
    assert "http" not in POLICY
    assert "*" not in POLICY


def test_the_page_names_nothing_outside_but_in_words_that_load_nothing(stage: Stage) -> None:
    _, _, text = get(f"{stage.ui}/")
    assert re.findall(r"(?:src|href)=[\"'](?:https?:)?//[^\"']+", text) == []
    assert re.findall(r"url\(|@import|https?://", css()) == []
    for name in ("page.js", "view.js", "editor.js"):
        assert "http" not in script(name)


def test_the_key_of_the_page_reaches_no_browser(stage: Stage) -> None:
    from pydantic import SecretStr

    address = stage.add(api_key=SecretStr("gazal_secret_CANARY"))
    for path in ("/", "/config"):
        assert "CANARY" not in get(f"{address}{path}")[2]


def test_it_lives(stage: Stage) -> None:
    assert get(f"{stage.ui}/livez")[::2] == (200, "ok")
