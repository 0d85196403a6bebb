"""Everything that can be configured, with its default and its reason.

Each field is a `GAZAL_...` environment variable (`GAZAL_PORT=9000`) and the common ones are options of
`python -m server`; an option wins over the environment.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of one gateway process."""

    model_config = SettingsConfigDict(env_prefix="GAZAL_", extra="forbid", use_attribute_docstrings=True)

    model: str = "nano"
    """`nano`, a directory, or `org/repo[@revision]` on the Hugging Face hub."""
    upstream: str | None = None
    """An engine that already runs (`http://host:port` or `unix:/path`); without it the gateway starts its own."""
    host: str = "127.0.0.1"
    """Address to listen on. Only loopback is allowed while there are no API keys."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """`info` logs a line a request, without any of its text."""

    max_body_bytes: Annotated[int, Field(ge=1024)] = 1 << 20
    """Longest request body; longer ones get 413 before they are parsed."""
    body_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    """Longest time in which a request's body must arrive."""
    max_tokens_default: Annotated[int, Field(ge=1)] = 4096
    """Tokens a reply may have when the request does not say; enough for reasoning and answer."""
    max_tokens_limit: Annotated[int, Field(ge=1)] = 16384
    """Highest `max_tokens` a request may ask for."""
    connect_timeout_s: Annotated[float, Field(gt=0)] = 2.0
    """Longest wait for a connection to the engine."""
    idle_timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """Longest silence of the engine within a stream, the wait for the first token included."""
    total_timeout_s: Annotated[float, Field(gt=0)] = 900.0
    """Longest time for one request; a 32B model needs half a minute for a long answer even when idle."""
    drain_timeout_s: Annotated[float, Field(ge=0)] = 10.0
    """How long running requests may finish after Ctrl-C or SIGTERM."""

    engine_start_timeout_s: Annotated[float, Field(gt=0)] = 1800.0
    """Loading 65 GB from a slow disk takes many minutes; the small model needs one."""
    engine_context_tokens: Annotated[int | None, Field(ge=256)] = None
    """vLLM's --max-model-len; by default the model's own, at most 8192 on a CPU."""
    engine_kv_cache_bytes: Annotated[int, Field(ge=1 << 26)] = 1 << 30
    """Memory for vLLM's cache on a CPU (a GPU's is sized by vLLM); 1 GiB holds 45,000 tokens of the small model."""
    engine_args: list[str] = Field(default_factory=list)
    """More vLLM arguments, as a JSON list: `GAZAL_ENGINE_ARGS='["--tensor-parallel-size", "2"]'`."""
    engine_log_dir: Path | None = None
    """Where vLLM's log goes; by default `logs` under GAZAL_HOME."""

    @field_validator("upstream")
    @classmethod
    def _upstream_form(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://", "unix:/")):
            raise ValueError("must look like http://host:port or unix:/path/to/socket")
        return value.rstrip("/") if value else value

    @model_validator(mode="after")
    def _loopback_only(self) -> Self:
        if not _is_loopback(self.host):
            raise ValueError(
                f"host {self.host!r} is reachable from other machines, and this server has no API keys yet; listen on "
                "127.0.0.1 and put a reverse proxy that authenticates in front of it"
            )
        return self


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
