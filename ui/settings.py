"""Settings of the page, from `GAZAL_UI_...` environment variables; docs/ui.md lists them.

Read once at the start and passed on. The key stays in this process: no browser ever sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

PREFIX = "GAZAL_UI_"
LOOPBACK = ("127.0.0.1", "localhost", "::1")

Url = Annotated[str, Field(max_length=500)]


class SettingsError(ValueError):
    """A setting is wrong; the message names the variable."""


class UiSettings(BaseModel):
    """What the page needs to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    server_url: Url = "http://127.0.0.1:8000"
    api_key: SecretStr | None = None
    """The variable with `_FILE` at its end names a file that holds it, as containers mount secrets."""
    compare_url: Url | None = None
    """A second server for side-by-side runs; without it the same model answers twice, with two seeds."""
    compare_api_key: SecretStr | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 7860
    root_path: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._~-]+)*$")] = ""
    """The path under which a proxy shows the page."""
    allowed_hosts: tuple[str, ...] = ()
    """Names that the Host header may hold; by default those of loopback when listening there, else any."""
    reports_dir: Path = Path("reports")
    pdf_font: Path | None = None
    """A TrueType font for PDF exports, for scripts that the built-in one lacks."""
    max_runs: Annotated[int, Field(ge=1, le=256)] = 16
    """Cases that may run at once; others wait in line."""
    max_waiting: Annotated[int, Field(ge=1, le=1024)] = 64
    connect_timeout_s: Annotated[float, Field(gt=0)] = 5.0
    silence_timeout_s: Annotated[float, Field(gt=0)] = 45.0
    """Longest time without a byte of a stream; the server sends a comment every ten seconds."""
    max_tokens: Annotated[int, Field(ge=1)] = 1024

    @field_validator("server_url", "compare_url")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is not None:
            AnyHttpUrl(value)
        return value.rstrip("/") if value else value

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _comma_list(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the page."""
        return self.host in LOOPBACK

    @property
    def hosts(self) -> list[str]:
        """What the Host header may hold."""
        return [*(self.allowed_hosts or (LOOPBACK if self.on_loopback else ("*",)))]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **given: object) -> Self:
        """Read the settings; `given` (from the command line) wins. Raises SettingsError naming the variable."""
        values: dict[str, Any] = {}
        for name, value in environment.items():
            if name.startswith(PREFIX) and value:
                values[name.removeprefix(PREFIX).lower()] = value
        values |= {name: value for name, value in given.items() if value is not None}
        for key in ("api_key", "compare_api_key"):
            if path := values.pop(f"{key}_file", None):
                values.setdefault(key, _secret(path, f"{PREFIX}{key.upper()}_FILE"))
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            field = str(first["loc"][0]) if first["loc"] else "settings"
            problem = "is no setting of the page" if first["type"] == "extra_forbidden" else first["msg"]
            raise SettingsError(f"{PREFIX}{field.upper()}: {problem}; see docs/ui.md") from None


def _secret(path: str, variable: str) -> str:
    """The text of a mounted secret. Raises SettingsError."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}: {path} cannot be read ({error}); mount the secret there") from None
