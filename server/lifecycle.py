"""One gateway process from start to end: model, engine, HTTP server, signals.

The order is: take the port, verify the weights, start vLLM, wait for it with visible progress, listen. Ctrl-C or
SIGTERM ends whichever of these is going on; while serving, the first signal lets running requests finish and the second
ends at once. The engine is stopped on every way out, and its death while serving ends the gateway with the reason.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from contextlib import AsyncExitStack, nullcontext
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn
import uvloop
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from gazal.artifact import ArtifactError
from gazal.models import Model, resolve
from server.app import create_app
from server.engine import Engine
from server.errors import ApiError
from server.gateway import UNVERIFIED, Gateway, Served
from server.upstream import Upstream

if TYPE_CHECKING:
    from rich.console import Console

    from server.settings import Settings


def run(settings: Settings, console: Console) -> int:
    """Serve until told to stop; returns the exit status.

    Raises ArtifactError or EngineFailedError with the fix, KeyboardInterrupt when stopped before serving began.
    """
    configure_logs(settings.log_level)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _reserved_port(settings) as listener:
        model = None if settings.upstream else _verified(settings.model, console)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_serve(settings, model, listener, console))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            # Everything is stopped; a late signal must not turn an orderly end into an abrupt one.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)


def configure_logs(level: str) -> None:
    """Log lines to stderr: readable for a person at a terminal, JSON otherwise."""
    renderer: Any = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


class ListenError(RuntimeError):
    """The address cannot be listened on."""


class _Server(uvicorn.Server):
    """uvicorn's server with signals left to us: they must also reach the engine's start and its supervision."""

    capture_signals = staticmethod(nullcontext)  # type: ignore[assignment]


async def _serve(settings: Settings, model: Model | None, listener: socket.socket, console: Console) -> int:
    server: _Server | None = None
    main = asyncio.current_task()

    def on_signal() -> None:
        if server is None:
            if main:
                main.cancel()
        elif server.should_exit:
            server.force_exit = True
        else:
            server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)

    async with AsyncExitStack() as stack:
        engine: Engine | None = None
        if model is None:
            upstream = Upstream(settings.upstream or "", settings)
            served = await _foreign(upstream)
        else:
            engine = await stack.enter_async_context(Engine(model, settings))
            upstream = Upstream(engine.url, settings)
            served = Served.from_model(model, settings.model)
            await _wait_ready(engine, upstream, console)
        server = _Server(_uvicorn_config(Gateway(settings, upstream, served), settings))
        serving = asyncio.create_task(server.serve([listener]))
        ended = asyncio.create_task(engine.wait_ended()) if engine else None
        await _announce(server, serving, served, listener, console)
        await asyncio.wait({serving, *([ended] if ended else [])}, return_when=asyncio.FIRST_COMPLETED)
        if ended and ended.done() and not server.should_exit:
            server.should_exit = server.force_exit = True
            await serving
            raise ended.result()
        if ended:
            ended.cancel()
        await serving
        return 0 if server.started else 1


def _uvicorn_config(gateway: Gateway, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(gateway),
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout_s)),
    )


def _reserved_port(settings: Settings) -> socket.socket:
    """Bind now, so that a taken port is found before minutes of loading; nothing listens on it yet."""
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise ListenError(
            f"port {settings.port} on {settings.host} cannot be used ({error.strerror}); give --port"
        ) from error
    return listener


def _verified(reference: str, console: Console) -> Model:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(f"verifying {reference}", total=None)
        model = resolve(reference, progress=lambda done, total: bars.update(bar, completed=done, total=total))
    digest = model.manifest.digest[:16]
    console.print(f"model    {model.manifest.name}, digest {digest}, {model.path}", highlight=False, soft_wrap=True)
    return model


async def _foreign(upstream: Upstream) -> Served:
    """The name of what another engine serves; nobody here has seen its weights."""
    await upstream.open()
    try:
        models = (await upstream.get_json("/v1/models")).get("data")
    except ApiError as error:
        raise ArtifactError(f"no engine at {upstream.url}: {error.message}; start it or correct --upstream") from error
    finally:
        await upstream.close()
    if not models:
        raise ArtifactError(f"the engine at {upstream.url} lists no model")
    return Served(name=str(models[0]["id"]), digest=UNVERIFIED)


async def _wait_ready(engine: Engine, upstream: Upstream, console: Console) -> None:
    reported_s = 0.0
    await upstream.open()
    try:
        with console.status("vLLM: starting") as status:

            def report(stage: str, elapsed_s: float) -> None:
                nonlocal reported_s
                status.update(f"vLLM: {stage}, {elapsed_s:.0f} s (log: {engine.log_path})")
                if not console.is_terminal and elapsed_s - reported_s >= 10:
                    reported_s = elapsed_s
                    console.print(f"vLLM     {stage}, {elapsed_s:.0f} s", highlight=False)

            await engine.wait_ready(upstream, report)
    finally:
        await upstream.close()


async def _announce(
    server: _Server, serving: asyncio.Task[None], served: Served, listener: socket.socket, console: Console
) -> None:
    while not server.started and not serving.done():
        await asyncio.sleep(0.02)
    if server.started:
        host, port = listener.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        console.print(f"serving  {served.name} on {address} (API: {address}/docs, stop: Ctrl-C)", highlight=False)
