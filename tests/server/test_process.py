"""The process around the gateway: settings, command line, engine supervision, with stand-in engines."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from gazal.artifact import Base, Manifest
from gazal.models import Model
from server import engine as engine_module
from server.engine import Engine, EngineFailedError, command, environment
from server.settings import Settings
from server.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable

STAND_IN = """
import http.server, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
    def address_string(self): return "unix"
    def log_message(self, *a): pass
socketserver.UnixStreamServer(sys.argv[1], Handler).serve_forever()
"""


@pytest.fixture
def model(tmp_path: Path) -> Model:
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 4096}')
    manifest = Manifest(name="m", base=Base(reference="r"), licence="x", files={}, digest="0" * 64)
    return Model(tmp_path, manifest)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(engine_log_dir=tmp_path / "logs", port=0, engine_start_timeout_s=5)


def stand_in(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(engine_module, "command", lambda _m, _s, path: [sys.executable, "-c", code, str(path)])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_without_keys_only_loopback_is_listened_on(host: str) -> None:
    with pytest.raises(ValidationError, match="no API keys"):
        Settings(host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_loopback_addresses_are_accepted(host: str) -> None:
    assert Settings(host=host).host == host


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAZAL_PORT", "9123")
    monkeypatch.setenv("GAZAL_ENGINE_ARGS", '["--tensor-parallel-size", "2"]')
    assert Settings().port == 9123
    assert Settings().engine_args == ["--tensor-parallel-size", "2"]


def test_the_engine_command_names_model_socket_and_context(model: Model) -> None:
    words = command(model, Settings(engine_args=["--seed", "1"]), Path("/run/engine.sock"))
    pairs = dict(itertools.pairwise(words))
    assert pairs["--model"] == str(model.path)
    assert pairs["--served-model-name"] == "m"
    assert pairs["--uds"] == "/run/engine.sock"
    assert pairs["--max-model-len"] == "4096"
    assert "--no-enable-log-requests" in words
    assert words[-2:] == ["--seed", "1"]


def test_the_engine_reports_nothing_to_anyone() -> None:
    assert environment()["VLLM_NO_USAGE_STATS"] == "1"
    assert environment()["HF_HUB_OFFLINE"] == "1"


async def test_an_engine_that_becomes_ready_is_waited_for_and_stopped(
    model: Model, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, STAND_IN)
    reports: list[str] = []
    async with Engine(model, settings) as engine:
        upstream = Upstream(engine.url, settings)
        await engine.wait_ready(upstream, lambda stage, _: reports.append(stage))
        pid = engine._process.pid if engine._process else 0
        upstream.close()
    assert reports[0] == "importing vLLM"
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "import sys; print('ValueError: torch.OutOfMemoryError: out of memory'); sys.exit(3)",
            ["status 3", "not enough memory"],
        ),
        ("raise ModuleNotFoundError(\"No module named 'vllm'\")", ["make setup"]),
        ("import time; print('still loading', flush=True); time.sleep(60)", ["not ready after", "still loading"]),
    ],
)
async def test_an_engine_that_fails_shows_its_last_lines_and_a_hint(
    model: Model, settings: Settings, monkeypatch: pytest.MonkeyPatch, code: str, expected: list[str]
) -> None:
    stand_in(monkeypatch, code)
    settings = settings.model_copy(update={"engine_start_timeout_s": 1.5})
    async with Engine(model, settings) as engine:
        upstream = Upstream(engine.url, settings)
        with pytest.raises(EngineFailedError) as caught:
            await engine.wait_ready(upstream, lambda *_: None)
        upstream.close()
    for text in expected:
        assert text in str(caught.value)


async def test_an_engine_that_ignores_sigterm_is_killed_with_its_children(
    model: Model, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_STOP_S", 0.3)
    stubborn = "import signal, subprocess, sys, time; signal.signal(15, signal.SIG_IGN); "
    stand_in(monkeypatch, stubborn + "subprocess.Popen(['sleep', '300']); time.sleep(300)")
    async with Engine(model, settings) as engine:
        await asyncio.sleep(0.5)
        group = engine._process.pid if engine._process else 0
        assert len(living(group)) == 2
    assert living(group) == []


def run_server(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_taken_port_is_found_before_anything_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        finished = run_server("--port", str(listener.getsockname()[1]))
    assert finished.returncode == 1
    assert "cannot be used" in finished.stderr


def test_an_unknown_model_is_a_sentence(tmp_path: Path) -> None:
    finished = run_server("--model", str(tmp_path / "nothing"), "--port", "0")
    assert finished.returncode == 1
    assert "neither 'nano' nor 'nano-base', nor a directory that exists" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_an_upstream_that_is_not_there_is_a_sentence(free_port: int) -> None:
    finished = run_server("--upstream", f"http://127.0.0.1:{free_port}", "--port", "0")
    assert finished.returncode == 1
    assert "no engine at" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_foreign_address_is_refused_with_the_reason() -> None:
    finished = run_server("--host", "0.0.0.0")
    assert finished.returncode == 2
    assert "no API keys" in finished.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_gateway_of_a_foreign_engine_ends_on_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    code = STAND_IN.replace('self.send_header("content-length", "0"); self.end_headers()', BODY)
    path = tmp_path / "engine.sock"
    with subprocess.Popen([sys.executable, "-c", code, str(path)]) as fake:
        wait_for(path.exists)
        gateway = subprocess.Popen(
            [sys.executable, "-m", "server", "--upstream", f"unix:{path}", "--port", "0"],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert gateway.stderr is not None
        assert any("serving" in line for line in iter(gateway.stderr.readline, ""))
        gateway.send_signal(number)
        assert gateway.wait(timeout=10) == 0
        fake.kill()


BODY = """
        body = b'{"data": [{"id": "foreign"}]}'
        self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
"""


def living(group: int) -> list[str]:
    """Names of the processes of a group, without zombies that nobody has reaped."""
    listing = subprocess.run(["ps", "-eo", "pgid=,stat=,comm="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()]
    return [row[2] for row in rows if int(row[0]) == group and not row[1].startswith("Z")]


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.02)
