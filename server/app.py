"""Builds the FastAPI application from its parts; nothing here starts an engine or reads the environment."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from fastapi import FastAPI

from gazal import __version__
from gazal.artifact import NOT_FOR_CLINICAL_USE
from gazal.redflags import check
from server import errors
from server.audit_watch import watch_audit
from server.middleware import RequestMiddleware
from server.routes import clinical, docs, health, openai, responses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from server.gateway import Gateway


def create_app(gateway: Gateway) -> FastAPI:
    """The service of one gateway; its lifespan watches the engine and closes the connections to it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        check("")  # reads the vocabulary now, a quarter of a second that no request should pay
        await gateway.progress.look()
        background = [
            asyncio.create_task(gateway.progress.watch()),
            asyncio.create_task(watch_audit(gateway.settings, gateway.metrics)),
        ]
        if gateway.content:
            background.append(asyncio.create_task(gateway.content.sweep()))
        try:
            yield
        finally:
            for task in background:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            gateway.progress.close()
            gateway.upstream.close()

    app = FastAPI(
        title="Gazal-R1",
        version=__version__,
        description=f"Step-by-step clinical reasoning behind an OpenAI-compatible API. {NOT_FOR_CLINICAL_USE}",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.gateway = gateway
    errors.install(app)
    app.include_router(health.router)
    app.include_router(openai.router)
    app.include_router(responses.router)
    app.include_router(clinical.router)
    app.include_router(docs.router)
    app.add_middleware(RequestMiddleware, gateway=gateway)
    return app
