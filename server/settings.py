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

from server.keys import keys_path
from server.profiles import MAX_TOKENS_DEFAULT, Profile, load

ApiKeyText = Annotated[str, Field(min_length=32, max_length=256)]


class Settings(BaseSettings):
    """Settings of one gateway process."""

    model_config = SettingsConfigDict(env_prefix="GAZAL_", extra="forbid", use_attribute_docstrings=True)

    model: str = "nano"
    """`nano`, a directory, or `org/repo[@revision]` on the Hugging Face hub."""
    profile: str | None = None
    """Model and vLLM flags for one kind of hardware: `reference`, `reference-h200`, `balanced`, `latency` or `cpu`."""
    require_digest: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$")] = None
    """Serve no weights but those of this artifact digest, as it stands in `gazal.json` and `/v1/models`."""
    upstream: str | None = None
    """An engine that already runs (`http://host:port` or `unix:/path`); without it the gateway starts its own."""
    host: str = "127.0.0.1"
    """Address to listen on. Only loopback is allowed while there are no API keys."""
    allowed_hosts: list[str] = Field(default_factory=list)
    """Names that the Host header may hold, as a JSON list (`["*"]`: any). By default those of loopback when listening
    there, else any."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one."""

    keys_file: Path | None = None
    """Where API keys are kept; by default `server/keys.json` under GAZAL_HOME."""
    secret_file: Path | None = None
    """The secret from which the keys for key hashes, audit and cache salts derive; by default `server/secret` under
    GAZAL_HOME, made on first use."""
    api_keys: list[ApiKeyText] = Field(default_factory=list)
    """API keys with scopes inference and metrics, as a JSON list of strings of at least 32 characters."""
    oidc_issuer: str | None = None
    """Accept bearer tokens of this OpenID Connect issuer too."""
    oidc_audience: str | None = None
    """The audience that such a token must name."""
    requests_per_minute: Annotated[int | None, Field(ge=1)] = None
    """Requests a key may make a minute, where it has no limit of its own."""
    tokens_per_minute: Annotated[int | None, Field(ge=1)] = None
    """Prompt and completion tokens a key may use a minute, where it has no limit of its own."""
    concurrent_streams: Annotated[int | None, Field(ge=1)] = None
    """Streams a key may have at once at one gateway, where it has no limit of its own."""
    redis_url: str | None = None
    """Count requests and tokens in this Redis (`redis://host:6379/0`), for several gateways together."""
    audit_file: Path | None = None
    """Write the audit trail here; without it there is none."""
    audit_rotate_bytes: Annotated[int, Field(ge=4096)] = 256 << 20
    """Begin a new file of the audit trail when the running one is longer."""
    audit_check_interval_s: Annotated[float, Field(ge=0)] = 3600.0
    """How often a process of its own checks the whole trail, for the metric `gazal_audit_chain_sound`; 0 never does."""
    otlp_endpoint: str | None = None
    """Send traces without content to this OpenTelemetry collector (`http://host:4318/v1/traces`)."""
    content_dir: Path | None = None
    """Keep the text of clinical requests that ask for it (`x-gazal-keep-content: yes`) and of their replies here;
    without it nothing is kept."""
    content_keep_hours: Annotated[float, Field(ge=0.1, le=24 * 366)] = 168.0
    """Delete kept content before it is so old."""
    content_redacted: bool = True
    """Replace what may identify a person before content is kept."""
    calibration_file: Path | None = None
    """Calibration of the agreement of samples, written by an evaluation run."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """`info` logs a line a request, without any of its text."""

    max_body_bytes: Annotated[int, Field(ge=1024)] = 1 << 20
    """Longest request body; longer ones get 413 before they are parsed."""
    body_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    """Longest time in which a request's body must arrive."""
    max_tokens_default: Annotated[int, Field(ge=1)] = MAX_TOKENS_DEFAULT
    """Tokens a reply may have when the request does not say; enough for reasoning and answer."""
    max_tokens_limit: Annotated[int, Field(ge=1)] = 16384
    """Highest `max_tokens` a request may ask for."""
    connect_timeout_s: Annotated[float, Field(gt=0)] = 2.0
    """Longest wait for a connection to the engine."""
    first_byte_timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """Longest wait for the first token of a stream."""
    idle_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Longest silence of the engine within a stream."""
    heartbeat_s: Annotated[float, Field(gt=0)] = 10.0
    """Send a comment to the client of a stream that was silent for so long."""
    slow_reader_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Cut a client that takes nothing of its stream for so long; the engine waits for it."""
    max_running: Annotated[int, Field(ge=1)] = 256
    """Requests at the engine at once."""
    max_waiting: Annotated[int, Field(ge=0)] = 256
    """Requests that may wait for a place; others get 503 with Retry-After."""
    queue_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    """Longest wait for a place."""
    total_timeout_s: Annotated[float, Field(gt=0)] = 900.0
    """Longest time for one request; a 32B model needs half a minute for a long answer even when idle."""
    drain_delay_s: Annotated[float, Field(ge=0)] = 0.0
    """After SIGTERM, how long to be not ready but still serve, so that a load balancer can look elsewhere first."""
    drain_timeout_s: Annotated[float, Field(ge=0)] = 10.0
    """How long running requests may then finish; what still runs gets an error event. Use 300 or more for a 32B
    model.
    """

    progress_interval_s: Annotated[float, Field(gt=0)] = 2.0
    """How often to look whether the engine makes progress."""
    stall_timeout_s: Annotated[float, Field(gt=0)] = 8.0
    """An engine that has work and makes no progress for so long is stalled."""
    canary_interval_s: Annotated[float, Field(ge=0)] = 5.0
    """Ask an engine without work for one token so often; 0 never does."""

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
    engine_restarts: Annotated[int, Field(ge=0)] = 3
    """Restarts of an engine that died or stalled within ten minutes, before the server gives up."""

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, value: str | None) -> str | None:
        if value is not None:
            load(value)
        return value

    @field_validator("upstream")
    @classmethod
    def _upstream_form(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://", "unix:/")):
            raise ValueError("must look like http://host:port or unix:/path/to/socket")
        return value.rstrip("/") if value else value

    @field_validator("engine_args")
    @classmethod
    def _no_remote_code(cls, value: list[str]) -> list[str]:
        if any(each.replace("_", "-").startswith("--trust-remote-code") for each in value):
            raise ValueError("--trust-remote-code would run the code of a model; use weights that vLLM knows by itself")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        profile = self.engine_profile()
        if profile and "model" not in self.model_fields_set:
            self.model = profile.model
        if self.require_digest and self.upstream:
            raise ValueError(
                "GAZAL_REQUIRE_DIGEST cannot be kept with an engine that already runs, whose weights nobody here has "
                "hashed; leave --upstream out, or unset it"
            )
        if bool(self.oidc_issuer) != bool(self.oidc_audience):
            raise ValueError("GAZAL_OIDC_ISSUER and GAZAL_OIDC_AUDIENCE belong together; set both")
        if not _is_loopback(self.host) and not (
            self.api_keys or self.oidc_issuer or keys_path(self.keys_file).exists()
        ):
            raise ValueError(
                f"host {self.host!r} is reachable from other machines, and this server has no API keys yet; make one "
                "with `python -m server keys create NAME`, or listen on 127.0.0.1"
            )
        return self

    def engine_profile(self) -> Profile | None:
        """The profile, where one was named."""
        return load(self.profile) if self.profile else None

    def hosts(self) -> frozenset[str]:
        """What the Host header may hold; empty for anything."""
        if "*" in self.allowed_hosts:
            return frozenset()
        if self.allowed_hosts:
            return frozenset(host.lower() for host in self.allowed_hosts)
        return frozenset({self.host, "localhost", "127.0.0.1", "[::1]"}) if _is_loopback(self.host) else frozenset()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
