"""Checks the audit trail now and then while the gateway runs, so that a break is an alert and not a find of next year.

The check is `python -m server audit verify` in a process of its own: reading years of records in this one would slow
the streams down.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from pathlib import Path

    from server.metrics import Metrics
    from server.settings import Settings

log = structlog.get_logger(__name__)


async def watch_audit(settings: Settings, metrics: Metrics) -> None:
    """Check at once, then every `audit_check_interval_s`, for ever; return when there is nothing to check."""
    if settings.audit_file is None or not settings.audit_check_interval_s:
        return
    while True:
        problem = await check_audit(settings.audit_file, settings.secret_file)
        if problem:  # a line that was just being written, or a rotation, is whole by now; a break stays
            await asyncio.sleep(1)
            problem = await check_audit(settings.audit_file, settings.secret_file)
        metrics.audit_sound.set(0 if problem else 1)
        if problem:
            log.error("the audit trail is broken", problem=problem)
        await asyncio.sleep(settings.audit_check_interval_s)


async def check_audit(trail: Path, secret_file: Path | None) -> str | None:
    """What is wrong with the trail, or None. The text names files and records, nothing of a request."""
    environment = os.environ | ({"GAZAL_SECRET_FILE": str(secret_file)} if secret_file else {})
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "server",
        "audit",
        "verify",
        str(trail),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        said = (await process.communicate())[1].decode(errors="replace").strip()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode == 0:
        return None
    return said.removeprefix("error: ") or f"the check ended with status {process.returncode}"
