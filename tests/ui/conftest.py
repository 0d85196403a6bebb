"""The page on a stage: fake engines behind real gateways behind the real page, in one thread with its own loop, so that
Playwright's blocking interface can drive a browser from the test's own thread."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
import threading
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from aiohttp import web

from server.access import Access
from server.gateway import Gateway, Served
from server.keys import KeyFile, Limits
from server.settings import Settings
from server.upstream import Upstream
from tests.conftest import DIGEST, SECRET, running
from tests.fakes.engine import FakeEngine
from ui.serve import services_of
from ui.settings import UiSettings
from ui.web import create_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from playwright.sync_api import Browser, Page

REPLY = """<think>
Step 1: The rash, the wheeze and the low pressure began minutes after the first dose, which points to anaphylaxis.
Step 2: A pressure of 78 over 42 with a rate of 132 is shock; waiting for more findings costs time.
Step 3: Asthma alone explains the wheeze but neither the urticaria nor the shock.
</think>

## Clinical Assessment
**Primary Diagnosis**: Anaphylaxis after amoxicillin
**Must Not Miss**: Airway obstruction; a second wave within hours
**Supporting Findings**:
- onset within minutes
- urticaria, lip swelling, wheeze
**Findings Against**: none that is strong
**Missing Information**: tryptase, earlier doses of penicillins
**Next Steps**: intramuscular adrenaline into the thigh, oxygen, lie flat, fluids"""

MCQ_REPLY = REPLY + "\n\nFinal answer: \\boxed{A}"

CHROMIUM = "/usr/bin/chromium"
QUIET = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-default-apps", "--disable-dev-shm-usage",
]  # fmt: skip


@dataclass
class NotingEngine(FakeEngine):
    """A fake engine that notes when each piece of text left it."""

    noted: list[tuple[float, str]] = field(default_factory=list)

    async def _event(self, response: Any, body: Any, kind: str, choices: list[Any], **extra: Any) -> None:
        for choice in choices:
            self.noted.append((time.time(), choice.get("delta", {}).get("content") or ""))
        await super()._event(response, body, kind, choices, **extra)


@dataclass
class Stage:
    """Everything that runs, and where."""

    engine: NotingEngine
    second: FakeEngine
    ui: str
    gateway: str
    loop: asyncio.AbstractEventLoop
    directory: Path
    guarded: str
    """A gateway that wants a key, which may ask twice a minute."""
    key: str
    add: Callable[..., str] = field(repr=False)

    def sent(self) -> list[tuple[float, str]]:
        """When the first engine had sent so much of its reply, with all the text up to then."""
        whole, out = "", []
        for at, text in self.engine.noted:
            whole += text
            out.append((at, whole))
        return out

    def reset(self) -> None:
        """Both engines as at the start."""
        for engine in (self.engine, self.second):
            engine.__init__(reply=REPLY, chunk_chars=40)  # type: ignore[misc]


async def start_engine(stack: AsyncExitStack, engine: FakeEngine, path: Path) -> str:
    runner = web.AppRunner(engine.app(), handler_cancellation=True)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.UnixSite(runner, str(path)).start()
    return f"unix:{path}"


def make_gateway(address: str, name: str, keys: KeyFile, **settings: Any) -> Gateway:
    given = Settings(first_byte_timeout_s=30, idle_timeout_s=30, canary_interval_s=0, stall_timeout_s=3600, **settings)
    served = Served(name=name, digest=DIGEST, aliases=frozenset({"nano"}))
    return Gateway(given, Upstream(address, given), served, Access(keys))


@asynccontextmanager
async def page_at(settings: UiSettings, recordings: Path | None = None, pace: float = 0) -> AsyncIterator[str]:
    """Serve the page; yields its address."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    app = create_app(services_of(settings, recordings, pace))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.02)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await task


async def _run_stage(ready: Callable[[Stage], None], stop: asyncio.Event, directory: Path) -> None:
    engine, second = NotingEngine(reply=REPLY, chunk_chars=40), FakeEngine(reply=REPLY, chunk_chars=40)
    keys = KeyFile(directory / "none.json", SECRET)
    locked = KeyFile(directory / "keys.json", SECRET)
    key, _ = locked.create("ui", frozenset({"inference"}), None, Limits(requests_per_minute=2))
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        first_at = await start_engine(stack, engine, directory / "a.sock")
        second_at = await start_engine(stack, second, directory / "b.sock")
        gateway = await stack.enter_async_context(running(make_gateway(first_at, "tuned", keys)))
        other = await stack.enter_async_context(running(make_gateway(second_at, "base", keys)))
        guarded = await stack.enter_async_context(running(make_gateway(first_at, "guarded", locked)))
        settings = UiSettings(
            server_url=gateway, compare_url=other, reports_dir=directory / "reports", silence_timeout_s=1.5,
            connect_timeout_s=2,
        )  # fmt: skip
        ui = await stack.enter_async_context(page_at(settings))

        def add(recordings: Path | None = None, **given: Any) -> str:
            async def start() -> str:
                changed = settings.model_copy(update=given)
                return await stack.enter_async_context(page_at(changed, recordings))

            return asyncio.run_coroutine_threadsafe(start(), loop).result(60)

        ready(Stage(engine, second, ui, gateway, loop, directory, guarded, key, add))
        await stop.wait()


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The page over two fake engines, for the whole session."""
    with tempfile.TemporaryDirectory() as name:
        found: list[Stage] = []
        started = threading.Event()
        stop = asyncio.Event()
        loop = asyncio.new_event_loop()

        def ready(stage: Stage) -> None:
            found.append(stage)
            started.set()

        thread = threading.Thread(
            target=lambda: loop.run_until_complete(_run_stage(ready, stop, Path(name))), daemon=True
        )
        thread.start()
        assert started.wait(100), "the page did not start"
        yield found[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, kept off the network. CI must have it; elsewhere its tests are skipped without.

    Of the module, since Playwright's blocking interface takes the thread's only event loop while it runs.
    """
    path = shutil.which("chromium") or CHROMIUM
    if not Path(path).exists():
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(stage: Stage, browser: Browser) -> Iterator[Page]:
    """A fresh page of the stage, on which no request may leave this machine and no script may fail."""
    stage.reset()
    with watched(browser) as page:
        open_page(page, stage.ui)
        yield page


class watched:
    """A context with one page whose foreign requests and script errors are noted, and refused at the end."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        self._context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        self.foreign: list[str] = []
        self.errors: list[str] = []

    def __enter__(self) -> Page:
        self._context.route("**/*", self._route)
        page = self._context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.set_default_timeout(45_000)
        return page

    def _route(self, route: Any) -> None:
        url = route.request.url
        if url.startswith(("http://127.0.0.1", "blob:", "data:")):
            route.continue_()
        else:
            self.foreign.append(url)
            route.abort()

    def __exit__(self, kind: object, *_: object) -> None:
        self._context.close()
        if kind is None:
            assert self.foreign == []
            assert self.errors == []


def open_page(page: Page, address: str) -> None:
    """Load the page and wait until it works."""
    page.goto(address)
    page.wait_for_selector("#gz-chip .gz-chip")
    page.wait_for_selector("#gz-vitals input")


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
