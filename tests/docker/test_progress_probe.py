"""The engine's probe: idle, busy and hung engines, as vLLM shows them."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tests.docker.deployment import DOCKER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.fakes.engine import FakeEngine


@pytest.fixture
async def url(engine: FakeEngine) -> AsyncIterator[str]:
    runner = web.AppRunner(engine.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    engine.silent_canary = False
    await runner.cleanup()


async def probe(url: str) -> tuple[int | None, str]:
    command = [sys.executable, str(DOCKER / "engine" / "progress.py"), url, "1"]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    said = (await process.communicate())[1]
    return process.returncode, said.decode().strip()


async def test_an_idle_engine_that_gives_a_token_is_well(url: str, engine: FakeEngine) -> None:
    assert await probe(url) == (0, "")
    assert engine.progress == 1


async def test_an_idle_engine_that_gives_none_is_not_however_healthy_it_says_it_is(
    url: str, engine: FakeEngine
) -> None:
    engine.silent_canary = True
    status, reason = await probe(url)
    assert (status, engine.healthy) == (1, True)
    assert "does not answer" in reason


async def test_a_busy_engine_is_not_asked_while_its_counters_move(url: str, engine: FakeEngine) -> None:
    engine.pretend_running = 3
    engine.silent_canary = True

    async def work() -> None:
        while True:
            engine.progress += 1
            await asyncio.sleep(0.1)

    working = asyncio.create_task(work())
    assert await probe(url) == (0, "")
    working.cancel()


async def test_a_busy_engine_whose_counters_stand_still_is_stalled(url: str, engine: FakeEngine) -> None:
    engine.pretend_running = 3
    assert await probe(url) == (1, "the engine has work and has made no progress for 1 s")


async def test_no_engine_at_all(free_port: int) -> None:
    status, reason = await probe(f"http://127.0.0.1:{free_port}")
    assert status == 1
    assert "refused" in reason
