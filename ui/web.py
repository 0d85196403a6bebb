"""The page as an ASGI application: both languages, a closed list of paths, a policy that loads nothing from outside.

Gradio has routes for uploads, files, histories, proxies and its API; none of them is part of this page, so only the
paths that it uses are let through. The content security policy is the second wall behind `ui.render`.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from ui.texts import LANGUAGES, Language
from ui.theme import css, script, theme

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ui.app import Services

MAX_BODY_BYTES = 8 << 20

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]

_ALLOWED = re.compile(
    r"(?!.*\.\.)(?:/ar)?(?:/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/(?:assets|static|svelte)/[\w./@-]+"
    r"|/gradio_api/(?:theme\.css|startup-events|app_id/?|queue/join|queue/data|cancel|reset/?|heartbeat/\w+))|/ar|/livez"
)


def create_app(services: Services) -> ASGIApp:
    """The whole application."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import gradio as gr
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from ui.app import build

    settings = services.settings
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/livez")
    def livez() -> PlainTextResponse:
        return PlainTextResponse("ok")

    places: tuple[tuple[Language, str], ...] = (("ar", "/ar"), ("en", "/"))
    for language, path in places:
        blocks = build(services, language)
        blocks.queue(max_size=settings.max_waiting, default_concurrency_limit=settings.max_runs, api_open=False)
        gr.mount_gradio_app(
            app, blocks, path, **hard_settings(),
            theme=theme(), css=css(), js=script("page.js"), head=head(language),
            root_path=f"{settings.root_path}{path.rstrip('/')}" if settings.root_path else None,
        )  # fmt: skip
    return Gate(TrustedHostMiddleware(app, allowed_hosts=settings.hosts), settings.root_path)


def hard_settings() -> dict[str, Any]:
    """What no deployment of this page may switch on."""
    return {
        "run_history": False,
        "show_error": False,
        "ssr_mode": False,
        "enable_monitoring": False,
        "mcp_server": False,
        "pwa": False,
        "footer_links": [],
        "allowed_paths": [],
        "max_file_size": 1,
        "app_kwargs": {"docs_url": None, "redoc_url": None, "openapi_url": None},
    }


def head(language: Language) -> str:
    """Language and direction, before anything is drawn."""
    t = LANGUAGES[language]
    return (
        '<meta name="robots" content="noindex"><meta name="referrer" content="no-referrer">'
        f'<script>document.documentElement.lang="{t["language"]}";document.documentElement.dir="{t["direction"]}";</script>'
    )


class Gate:
    """Lets the page's own paths through, with a bound on bodies, and adds the headers.

    A proxy has taken `root_path` off the path; it is put back, as ASGI wants it, or the inner page finds no route.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app, self._root_path = app, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        sizes = [value for name, value in scope["headers"] if name == b"content-length"]
        too_long = any(not size.isdigit() or int(size) > MAX_BODY_BYTES for size in sizes)
        chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        if not _ALLOWED.fullmatch(scope["path"]):
            await _refuse(send, 404, b"not found")
        elif too_long or (chunked and not sizes):
            await _refuse(send, 413, b"too long")
        else:
            path = self._root_path + scope["path"]
            rooted = {**scope, "path": path, "root_path": self._root_path}
            await self._app(rooted, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
        await send(message)

    return sending


async def _refuse(send: Send, status: int, words: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(words)).encode()), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": words})
