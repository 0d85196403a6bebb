"""Builds the FastAPI application from its parts; nothing here starts an engine or reads the environment."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import Response

from gazal import __version__
from gazal.artifact import NOT_FOR_CLINICAL_USE
from server import errors
from server.middleware import RequestMiddleware
from server.routes import clinical, health, openai
from server.streaming import ClientDisconnectedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import Request

    from server.gateway import Gateway


def create_app(gateway: Gateway) -> FastAPI:
    """The service of one gateway; its lifespan opens and closes the connections to the engine."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await gateway.upstream.open()
        try:
            yield
        finally:
            await gateway.upstream.close()

    app = FastAPI(
        title="Gazal-R1",
        version=__version__,
        description=f"Step-by-step clinical reasoning behind an OpenAI-compatible API. {NOT_FOR_CLINICAL_USE}",
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.gateway = gateway
    errors.install(app)

    @app.exception_handler(ClientDisconnectedError)
    async def on_disconnect(request: Request, _: ClientDisconnectedError) -> Response:
        gateway.metrics.disconnects.labels(getattr(request.scope.get("route"), "path", "unmatched")).inc()
        return Response(status_code=499)

    app.include_router(health.router)
    app.include_router(openai.router)
    app.include_router(clinical.router)
    app.add_middleware(
        RequestMiddleware,
        digest=gateway.served.digest,
        max_body_bytes=gateway.settings.max_body_bytes,
        body_timeout_s=gateway.settings.body_timeout_s,
        metrics=gateway.metrics,
    )
    return app
