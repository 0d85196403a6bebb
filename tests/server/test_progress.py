"""Health by progress: a stall is seen within its time, a slow prefill is none, and a supervised engine is restarted."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import pytest

from gazal.artifact import Base, Manifest
from gazal.models import Model
from server import engine as engine_module
from server.access import Access
from server.engine import Engine, EngineFailedError
from server.gateway import Gateway, Served
from server.keys import KeyFile
from server.lifecycle import supervise
from server.settings import Settings
from server.upstream import Upstream
from tests.conftest import SECRET, running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.engine import FakeEngine

QUICK = Settings(progress_interval_s=0.05, stall_timeout_s=0.4, canary_interval_s=0.2)


@pytest.fixture
def settings() -> Settings:
    return QUICK


async def state(client: aiohttp.ClientSession) -> str:
    async with client.get("/readyz") as response:
        body = await response.json()
        assert (response.status == 200) == (body["status"] == "ready")
        return str(body["status"])


async def until(client: aiohttp.ClientSession, wanted: str, seconds: float = 2) -> float:
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while await state(client) != wanted:
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_work_without_progress_is_a_stall_and_one_token_ends_it(
    client: aiohttp.ClientSession, engine: FakeEngine
) -> None:
    assert await state(client) == "ready"
    engine.pretend_running = 1
    assert await until(client, "stalled") < 1
    async with client.get("/livez") as response:
        assert response.status == 200
    engine.progress += 1
    await until(client, "ready")


async def test_a_slow_engine_that_moves_stays_ready(client: aiohttp.ClientSession, engine: FakeEngine) -> None:
    engine.pretend_running = 1
    for _ in range(20):
        engine.progress += 1
        await asyncio.sleep(0.05)
        assert await state(client) == "ready"


async def test_an_idle_engine_that_hangs_is_found_by_asking_for_a_token(
    client: aiohttp.ClientSession, engine: FakeEngine
) -> None:
    await asyncio.sleep(0.5)
    assert engine.progress >= 1
    assert await state(client) == "ready"
    engine.silent_canary = True
    await until(client, "stalled")
    engine.silent_canary = False


async def test_a_router_that_calls_itself_unwell_but_serves_is_ready(
    client: aiohttp.ClientSession, engine: FakeEngine
) -> None:
    """vllm-router's /health is 503 while one of its engines is down; the gateway then left its load balancer too."""
    engine.unwell = True
    began = time.monotonic()
    while time.monotonic() - began < 0.6:
        assert await state(client) == "ready"
        await asyncio.sleep(0.02)
    engine.silent_canary = True
    await until(client, "down", seconds=5)
    engine.silent_canary = False
    await until(client, "ready", seconds=5)


async def test_a_stream_that_flows_is_progress_whatever_the_metrics_say(
    client: aiohttp.ClientSession, engine: FakeEngine
) -> None:
    engine.delay_s, engine.reply, engine.chunk_chars = 0.1, "a" * 10, 1
    body = {"model": "fake", "prompt": "x", "stream": True}
    async with client.post("/v1/completions", json=body) as response:
        reading = asyncio.create_task(response.read())
        while not reading.done():
            assert await state(client) == "ready"
            await asyncio.sleep(0.05)


async def test_a_prefill_that_computes_for_long_is_no_stall(
    gateway: Gateway, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counters stand still, but the supervised engine burns CPU."""
    began = time.monotonic()
    monkeypatch.setattr("server.progress._group_cpu_s", lambda group: time.monotonic() - began)
    gateway.progress.group = 1
    engine.pretend_running = 1
    async with running(gateway) as base, aiohttp.ClientSession(base) as client:
        await asyncio.sleep(1)
        assert await state(client) == "ready"


VLLM_STAND_IN = """
import http.server, os, socketserver, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.answer(b"vllm:num_requests_running 0.0\\n")
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.answer(b'{"choices": [{"index": 0, "text": "a"}]}')
    def answer(self, body):
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def address_string(self): return "unix"
    def log_message(self, *a): pass
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer): daemon_threads = True
print("the stand-in serves", flush=True)
if os.path.exists(sys.argv[1]): os.unlink(sys.argv[1])
Server(sys.argv[1], Handler).serve_forever()
"""


@pytest.mark.slow
class TestSupervision:
    """A real process behind a real gateway."""

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return Settings(
            engine_log_dir=tmp_path / "logs",
            port=0,
            engine_start_timeout_s=10,
            engine_restarts=1,
            progress_interval_s=0.1,
            stall_timeout_s=0.5,
            canary_interval_s=0.2,
        )

    @pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
    async def test_a_stopped_or_killed_engine_is_restarted_once_and_then_given_up(
        self, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
    ) -> None:
        monkeypatch.setattr(
            engine_module, "command", lambda _m, _s, path: [sys.executable, "-c", VLLM_STAND_IN, str(path)]
        )
        manifest = Manifest(name="m", base=Base(reference="r"), licence="x", files={}, digest="0" * 64)
        async with Engine(Model(tmp_path, manifest), settings) as engine:
            upstream = Upstream(engine.url, settings)
            access = Access(KeyFile(tmp_path / "keys.json", SECRET))
            gateway = Gateway(settings, upstream, Served("m", "0" * 64), access)
            await engine.wait_ready(upstream, lambda *_: None)
            async with running(gateway) as base, aiohttp.ClientSession(base) as client:
                supervising = asyncio.create_task(supervise(engine, gateway))
                await until(client, "ready")
                first = engine.group
                assert first
                os.killpg(first, number)
                async with asyncio.timeout(8):
                    while engine.group == first:
                        await asyncio.sleep(0.05)
                await until(client, "ready", 8)
                assert gateway.metrics.restarts._value.get() == 1
                assert "the stand-in serves" in engine.log_path.with_name(engine.log_path.name + ".1").read_text()
                with pytest.raises(ProcessLookupError):
                    os.killpg(first, 0)
                await asyncio.sleep(0.7)  # the restart itself asks for readiness twice a second
                second = engine.group
                assert second
                os.killpg(second, number)
                with pytest.raises(EngineFailedError, match="the stand-in serves"):
                    await asyncio.wait_for(supervising, 8)


async def test_draining_is_not_ready_and_still_answers(gateway: Gateway) -> None:
    draining = replace(gateway, draining=True)
    async with running(draining) as base, aiohttp.ClientSession(base) as client:
        assert await state(client) == "draining"
        async with client.post("/v1/completions", json={"model": "fake", "prompt": "x"}) as response:
            assert response.status == 200
            assert response.headers["connection"] == "close"
