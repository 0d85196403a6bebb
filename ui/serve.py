"""Put the page together from its settings, serve it, and record answers for the mode without a server."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from gazal.artifact import NOT_FOR_CLINICAL_USE
from ui.case_form import parse
from ui.client import ServerClient
from ui.examples import load_examples
from ui.replay import RecordingError, ReplaySource, load_recordings, record

if TYPE_CHECKING:
    from ui.app import Services
    from ui.replay import Recording
    from ui.settings import UiSettings

COMPARED = "child"
"""The example that is recorded with two seeds, for the comparison without a server."""
COMPARED_SEEDS = (7, 8)
AGREED = "child"
"""The example that is also recorded with several answers."""
AGREED_SAMPLES = 5


def client_of(settings: UiSettings) -> ServerClient:
    """The client of the first server."""
    key = settings.api_key.get_secret_value() if settings.api_key else None
    return ServerClient(settings.server_url, key, settings.connect_timeout_s, settings.silence_timeout_s)


def services_of(settings: UiSettings, recordings: Path | None, pace: float = 1.0) -> Services:
    """The parts of the page. Raises RecordingError."""
    from ui.app import Services

    examples = load_examples()
    if recordings is not None:
        recorded = load_recordings(recordings)
        if not recorded:
            raise RecordingError(f"{recordings} holds no recording; make some: python -m ui record")
        first = recorded[0]
        label = (first.recorded, first.model, first.digest, first.untrained)
        return Services(settings, ReplaySource(recorded, pace), None, examples, recorded=label)
    second = None
    if settings.compare_url:
        key = settings.compare_api_key.get_secret_value() if settings.compare_api_key else None
        second = ServerClient(settings.compare_url, key, settings.connect_timeout_s, settings.silence_timeout_s)
    return Services(settings, client_of(settings), second, examples)


def run(settings: UiSettings, recordings: Path | None) -> None:
    """Serve the page until Ctrl-C. Raises OSError when the address is taken, or RecordingError."""
    import uvicorn

    from ui.web import create_app

    console = Console(stderr=True)
    services = services_of(settings, recordings)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        raise OSError(f"port {settings.port} cannot be used ({error.strerror}); choose another with --port") from error
    port = listener.getsockname()[1]
    what = "recorded answers" if recordings else f"server {settings.server_url}"
    console.print(
        f"page     http://{settings.host}:{port}{settings.root_path}/  ({what})", markup=False, soft_wrap=True
    )
    if not settings.on_loopback:
        console.print(
            "This page has no login: whoever can reach it can use its key. Put a proxy with one in front.",
            style="yellow",
        )
    console.print(NOT_FOR_CLINICAL_USE, style="bold red")
    config = uvicorn.Config(create_app(services), log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[listener])


def requests_to_record(settings: UiSettings) -> dict[str, dict[str, Any]]:
    """Every example as a request, by the name of its recording."""
    found = {}
    for example in load_examples():
        form = dataclasses.replace(example.form, max_tokens=str(settings.max_tokens))
        request = parse(form).request
        if request is None:
            raise ValueError(f"the example {example.id} cannot be sent")
        found[example.id] = request
        if example.id == COMPARED:
            found |= {f"{example.id}-seed-{seed}": request | {"seed": seed} for seed in COMPARED_SEEDS}
        if example.id == AGREED:
            found[f"{example.id}-samples"] = request | {"samples": AGREED_SAMPLES}
    return found


def record_all(settings: UiSettings, directory: Path) -> None:
    """Record every example from the server, all asked at once. Raises Failure or OSError, and then changes nothing."""
    client = client_of(settings)
    requests = requests_to_record(settings)

    async def ask_all(into: Path) -> list[Recording]:
        asked = (record(client, request, into / f"{name}.jsonl") for name, request in requests.items())
        return await asyncio.gather(*asked)

    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as fresh:
        made = asyncio.run(ask_all(Path(fresh)))
        for old in directory.glob("*.jsonl"):
            old.unlink()
        for new in Path(fresh).glob("*.jsonl"):
            new.replace(directory / new.name)
    for name, each in zip(requests, made, strict=True):
        Console().print(f"{name}: {each.model}, {len(each.events)} events, {each.events[-1][0]:.0f} s", markup=False)
