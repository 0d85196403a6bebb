"""One gateway process from start to end: model, engine, HTTP server, signals.

The order is: take the port, verify the weights, start vLLM, wait for it with visible progress, listen. Ctrl-C or
SIGTERM ends whichever of these is going on; while serving, the first signal drains and the second ends at once. The
engine is stopped on every way out; when it dies or stalls while serving it is restarted, a bounded number of times.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
import time
from collections import deque
from contextlib import AsyncExitStack, nullcontext
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn
import uvloop
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from gazal.artifact import ArtifactError
from gazal.models import Model, resolve
from server.access import Access
from server.agreement import load_calibration
from server.app import create_app
from server.audit import AuditLog
from server.content import ContentStore
from server.engine import Engine
from server.errors import ApiError
from server.gateway import UNVERIFIED, Gateway, Served
from server.http_protocol import BoundedHttpProtocol
from server.keys import KeyFile, derived, keys_path, load_secret
from server.tracing import Traces
from server.upstream import Upstream

if TYPE_CHECKING:
    from rich.console import Console

    from server.settings import Settings

_RESTARTS_COUNTED_FOR_S = 600.0

log = structlog.get_logger(__name__)


def run(settings: Settings, console: Console) -> int:
    """Serve until told to stop; returns the exit status.

    Raises ArtifactError or EngineFailedError with the fix, KeyboardInterrupt when stopped before serving began.
    """
    configure_logs(settings.log_level)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _reserved_port(settings) as listener:
        model = None if settings.upstream else _verified(settings, console)
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
    stop = asyncio.Event()
    abrupt = asyncio.Event()
    main = asyncio.current_task()
    serving: asyncio.Task[int] | None = None

    def on_signal() -> None:
        if serving is None:
            if main:
                main.cancel()
        else:
            (abrupt if stop.is_set() else stop).set()

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
        gateway = build_gateway(settings, upstream, served)
        if gateway.audit:
            stack.callback(gateway.audit.close)
        if gateway.traces:
            stack.callback(gateway.traces.close)
        serving = asyncio.create_task(_listen(gateway, listener, console, stop, abrupt))
        if engine is None:
            return await serving
        supervising = asyncio.create_task(supervise(engine, gateway))
        await asyncio.wait({serving, supervising}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            stop.set()
            abrupt.set()
            await serving
            await supervising  # raises why the engine was given up
        supervising.cancel()
        return await serving


def build_gateway(settings: Settings, upstream: Upstream, served: Served) -> Gateway:
    """The gateway that the settings describe. Raises KeysError, AuditError, ContentError or ValueError with the fix."""
    secret = load_secret(settings.secret_file)
    tokens = None
    if settings.oidc_issuer and settings.oidc_audience:
        from server.oidc import TokenVerifier

        tokens = TokenVerifier(settings.oidc_issuer, settings.oidc_audience)
    return Gateway(
        settings,
        upstream,
        served,
        Access(KeyFile(keys_path(settings.keys_file), secret), settings.api_keys, tokens),
        audit=AuditLog(settings.audit_file, secret, settings.audit_rotate_bytes) if settings.audit_file else None,
        traces=Traces(settings.otlp_endpoint) if settings.otlp_endpoint else None,
        content=_content_store(settings),
        calibration=load_calibration(settings.calibration_file) if settings.calibration_file else None,
        cache_salt_key=derived(secret, "cache-salt"),
    )


def _content_store(settings: Settings) -> ContentStore | None:
    if settings.content_dir is None:
        return None
    return ContentStore(settings.content_dir, 3600 * settings.content_keep_hours, redacted=settings.content_redacted)


async def supervise(engine: Engine, gateway: Gateway) -> None:
    """Restart the engine when it dies or stalls; its old log is kept. Raises EngineFailedError after too many times."""
    restarts: deque[float] = deque()
    progress, allowed = gateway.progress, gateway.settings.engine_restarts
    while True:
        progress.group = engine.group
        while not engine.ended() and progress.state not in ("stalled", "down"):
            await asyncio.sleep(0.2)
        failure = engine.failure(f"the engine {'ended' if engine.ended() else 'stalled'} while serving")
        now_s = time.monotonic()
        while restarts and restarts[0] < now_s - _RESTARTS_COUNTED_FOR_S:
            restarts.popleft()
        if len(restarts) >= allowed:
            raise failure
        restarts.append(now_s)
        gateway.metrics.restarts.inc()
        log.error("the engine is restarted", reason=str(failure), restart=len(restarts), allowed=allowed)
        progress.restart()
        gateway.upstream.close()
        await engine.restart()
        await engine.wait_ready(gateway.upstream, lambda *_: None)
        log.info("the engine serves again", pid=engine.group)


async def _listen(
    gateway: Gateway, listener: socket.socket, console: Console, stop: asyncio.Event, abrupt: asyncio.Event
) -> int:
    """Serve until `stop`, then drain: not ready, later no new connections, later the rest is told and cut."""
    settings = gateway.settings
    server = _Server(
        uvicorn.Config(
            create_app(gateway),
            http=BoundedHttpProtocol,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            backlog=2048,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, round(settings.drain_timeout_s) + 5),
        )
    )
    serving = asyncio.create_task(server.serve([listener]))
    await _announce(server, serving, gateway.served, listener, console)
    gc.freeze()  # the modules' objects live as long as the process: not to be looked through again and again
    stopping = asyncio.create_task(stop.wait())
    cutting = asyncio.create_task(abrupt.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        gateway.draining = True
        log.info("draining", in_flight=len(gateway.exchanges))
        await asyncio.wait({cutting}, timeout=settings.drain_delay_s)
        server.should_exit = True
        await asyncio.wait({serving, cutting}, timeout=settings.drain_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        gateway.interrupt_all()
        await asyncio.wait({serving}, timeout=2)
        server.force_exit = True
    for task in (stopping, cutting):
        task.cancel()
    await serving
    return 0 if server.started else 1


def _reserved_port(settings: Settings) -> socket.socket:
    """Bind now, so that a taken port is found before minutes of loading; nothing listens on it yet."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise ListenError(
            f"port {settings.port} on {settings.host} cannot be used ({error.strerror}); give --port"
        ) from error
    return listener


def _verified(settings: Settings, console: Console) -> Model:
    """The weights, hashed in this call and, where a digest is required, of that digest. Raises ArtifactError."""
    reference, required = settings.model, settings.require_digest
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(f"verifying {reference}", total=None)
        model = resolve(reference, progress=lambda done, total: bars.update(bar, completed=done, total=total))
    if required and model.manifest.digest != required:
        raise ArtifactError(
            f"{model.path} has the digest {model.manifest.digest}, and GAZAL_REQUIRE_DIGEST asks for {required}; give "
            "--model the artifact of that digest, or correct the setting"
        )
    digest = model.manifest.digest[:16]
    console.print(f"model    {model.manifest.name}, digest {digest}, {model.path}", highlight=False, soft_wrap=True)
    return model


async def _foreign(upstream: Upstream) -> Served:
    """The name of what another engine serves; nobody here has seen its weights."""
    try:
        models = (await upstream.get_json("/v1/models")).get("data")
    except ApiError as error:
        raise ArtifactError(f"no engine at {upstream.url}: {error.message}; start it or correct --upstream") from error
    if not isinstance(models, list) or not models or not isinstance(models[0], dict) or "id" not in models[0]:
        raise ArtifactError(f"the engine at {upstream.url} lists no model")
    return Served(name=str(models[0]["id"]), digest=UNVERIFIED)


async def _wait_ready(engine: Engine, upstream: Upstream, console: Console) -> None:
    reported_s = 0.0
    with console.status("vLLM: starting") as status:

        def report(stage: str, elapsed_s: float) -> None:
            nonlocal reported_s
            status.update(f"vLLM: {stage}, {elapsed_s:.0f} s (log: {engine.log_path})")
            if not console.is_terminal and elapsed_s - reported_s >= 10:
                reported_s = elapsed_s
                console.print(f"vLLM     {stage}, {elapsed_s:.0f} s", highlight=False)

        await engine.wait_ready(upstream, report)


async def _announce(
    server: _Server, serving: asyncio.Task[None], served: Served, listener: socket.socket, console: Console
) -> None:
    while not server.started and not serving.done():
        await asyncio.sleep(0.02)
    if server.started:
        host, port = listener.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        console.print(f"serving  {served.name} on {address} (API: {address}/docs, stop: Ctrl-C)", highlight=False)
