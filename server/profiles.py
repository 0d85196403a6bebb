"""Engine profiles: for one kind of hardware, which model runs with which vLLM flags.

A profile is data, `server/profiles/NAME.toml` (TOML, because the standard library reads it and the gateway's image
needs nothing more). `python -m server --profile NAME` takes its model and flags; compose and Kubernetes take the same
flags as the file that vLLM's `--config` reads, which `scripts/deploy_files.py` makes of it and a test keeps current.
What the figures in a profile come from is in docs/sizing.md.
"""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_DIRECTORY = files("server") / "profiles"

MODEL_PATH = "/models/gazal-r1"
"""Where containers find the weights that `python -m server prefetch` put there."""
DRAFT_PATH = "/models/draft"
"""And the draft model of a profile with speculative decoding."""

MAX_TOKENS_DEFAULT = 4096
"""Tokens a reply may have when the request does not say; enough for reasoning and answer."""

Weights = Literal["bf16", "fp8", "int4"]


class ProfileError(ValueError):
    """There is no such profile, or its file is wrong."""


class Profile(BaseModel):
    """One profile."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    summary: str
    model: str
    """The model reference that it serves unless told otherwise."""
    weights: Weights
    """How the weights lie in memory, for the arithmetic of `python -m server size`."""
    gpu: str
    """The hardware that it was written for: a key of `server.sizing.GPUS`, or `cpu`."""
    count: Annotated[int, Field(ge=1)]
    """How many of them; also the tensor parallelism."""
    draft_gb: Annotated[float, Field(ge=0)] = 0.0
    """Memory of a draft model, in GB: its parameters in BF16."""
    flags: dict[str, Any]
    """vLLM's options by their own names without the dashes; a table is passed as JSON."""

    def arguments(self, *, quantized: bool = False) -> list[str]:
        """The flags as command-line words; a checkpoint that is already quantized says so itself."""
        words: list[str] = []
        for flag, value in self.flags.items():
            if flag == "quantization" and quantized:
                continue
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            else:
                words += [f"--{flag}", json.dumps(value) if isinstance(value, dict) else str(value)]
        return words

    def container_config(self) -> dict[str, Any]:
        """What vLLM's `--config` reads in a container: the flags, and what `server.engine` gives a local engine."""
        flags = dict(self.flags)
        if "speculative-config" in flags:
            flags["speculative-config"] = flags["speculative-config"] | {"model": DRAFT_PATH}
        return {
            "model": MODEL_PATH,
            "served-model-name": "gazal-r1",
            "host": "0.0.0.0",  # noqa: S104 only the gateway's network reaches the container
            "port": 8000,
            **flags,
            "reasoning-parser": "qwen3",
            "enable-auto-tool-choice": True,
            "tool-call-parser": "hermes",
            "disable-uvicorn-access-log": True,
            "enable-log-requests": False,
            "disable-fastapi-docs": True,
            "override-generation-config": {"max_new_tokens": MAX_TOKENS_DEFAULT},
        }


def names() -> list[str]:
    """All profiles."""
    return sorted(entry.name.removesuffix(".toml") for entry in _DIRECTORY.iterdir() if entry.name.endswith(".toml"))


def load(name: str) -> Profile:
    """The profile of this name. Raises ProfileError."""
    if name not in names():
        raise ProfileError(f"there is no profile {name[:80]!r}; use one of: {', '.join(names())}")
    data = tomllib.loads((_DIRECTORY / f"{name}.toml").read_text(encoding="utf-8"))
    try:
        return Profile.model_validate({"name": name, **data})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ProfileError(f"profile {name} is wrong at {where}: {first['msg']}") from error
