"""Fixtures that several rooms use."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
import uvicorn
from aiohttp import web

from server.access import Access
from server.app import create_app
from server.gateway import Gateway, Served
from server.http_protocol import BoundedHttpProtocol
from server.keys import KeyFile
from server.settings import Settings
from server.upstream import Upstream
from tests.fakes.engine import FakeEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytest_plugins = ["tests.time_limit"]

DIGEST = "d" * 64
SECRET = b"s" * 32


@pytest.fixture
def engine() -> FakeEngine:
    """A fake engine to script; `gateway_url` starts it."""
    return FakeEngine()


@pytest.fixture
def served() -> Served:
    """What the gateway under test serves."""
    return Served(name="fake", digest=DIGEST, aliases=frozenset({"nano"}))


@pytest.fixture
def settings() -> Settings:
    """Short deadlines, so that a test of a fault ends soon."""
    return Settings(
        first_byte_timeout_s=0.4,
        idle_timeout_s=0.4,
        total_timeout_s=10,
        connect_timeout_s=1,
        progress_interval_s=0.05,
        canary_interval_s=0,
    )


@pytest.fixture
async def gateway(engine: FakeEngine, served: Served, settings: Settings, tmp_path: Path) -> AsyncIterator[Gateway]:
    """The gateway's parts, connected to the running fake engine over a Unix socket."""
    runner = web.AppRunner(engine.app(), handler_cancellation=True)
    await runner.setup()
    socket_path = tmp_path / "engine.sock"
    await web.UnixSite(runner, str(socket_path)).start()
    access = Access(KeyFile(tmp_path / "keys.json", SECRET))
    yield Gateway(settings, Upstream(f"unix:{socket_path}", settings), served, access)
    await runner.cleanup()


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client of the gateway, which runs on a real port."""
    async with running(gateway) as base, aiohttp.ClientSession(base) as session:
        yield session


class _QuickServer(uvicorn.Server):
    """uvicorn waits 0.1 s here and there before it ends, which hundreds of tests would add up."""

    async def main_loop(self) -> None:
        while not self.should_exit:
            await asyncio.sleep(0.002)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self.lifespan.shutdown()


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[str]:
    """Serve `gateway` with uvicorn; yields its address."""
    # With the protocol named, asyncio switches off Nagle's algorithm, which would add 40 ms to every reply.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = _QuickServer(
        uvicorn.Config(
            create_app(gateway),
            http=BoundedHttpProtocol,
            log_level="error",
            timeout_graceful_shutdown=1,
        )
    )
    task = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await task


def unused_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    return unused_port()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real question sets. CI must have them; elsewhere their tests are skipped without."""
    directory = Path(os.environ.get("GAZAL_DATA_DIR") or Path(__file__).parents[2] / "shared" / "data")
    if not directory.is_dir():
        if os.environ.get("CI"):
            pytest.fail("GAZAL_DATA_DIR must name the real question sets in CI")
        pytest.skip("needs the real question sets: set GAZAL_DATA_DIR")
    return directory
