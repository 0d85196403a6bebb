"""A broken audit trail becomes a metric, a sound one stays sound while it grows."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import pytest

from server.admission import Admission
from server.audit import AuditLog, verify
from server.audit_watch import check_audit, watch_audit
from server.errors import ApiError
from server.keys import load_secret
from server.metrics import Metrics
from server.settings import Settings


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """A trail of three records, and the secret beside it."""
    audit = AuditLog(tmp_path / "trail.jsonl", load_secret(tmp_path / "secret"), rotate_bytes=1 << 20)
    audit.write({"event": "request", "status": 200})
    audit.close()
    return tmp_path / "trail.jsonl"


def value(metrics: Metrics, name: str) -> float:
    sample = metrics.registry.get_sample_value(name)
    assert sample is not None
    return sample


async def test_the_metric_tells_a_sound_trail_from_a_broken_one(trail: Path, tmp_path: Path) -> None:
    settings = Settings(audit_file=trail, secret_file=tmp_path / "secret", audit_check_interval_s=0.1)
    metrics = Metrics()
    assert math.isnan(value(metrics, "gazal_audit_chain_sound"))
    watching = asyncio.create_task(watch_audit(settings, metrics))
    async with asyncio.timeout(20):
        while value(metrics, "gazal_audit_chain_sound") != 1:
            await asyncio.sleep(0.02)
        lines = trail.read_text().splitlines(keepends=True)
        record = json.loads(lines[1])
        lines[1] = lines[1].replace(f'"status":{record["status"]}', '"status":500')
        trail.write_text("".join(lines))
        while value(metrics, "gazal_audit_chain_sound") != 0:
            await asyncio.sleep(0.02)
    watching.cancel()
    assert "record 2 was changed" in str(await check_audit(trail, tmp_path / "secret"))


async def test_without_a_trail_there_is_nothing_to_check() -> None:
    metrics = Metrics()
    await watch_audit(Settings(), metrics)
    assert math.isnan(value(metrics, "gazal_audit_chain_sound"))


def test_a_trail_that_grows_while_it_is_read_is_sound(trail: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The head was read last once, and then named a record that the reader had not seen."""
    from server import audit as module

    secret = load_secret(trail.with_name("secret"))
    audit = AuditLog(trail, secret, rotate_bytes=1 << 20)
    lines = module._lines

    def growing(path: Path):
        yield from lines(path)
        audit.write({"event": "request", "status": 200})

    monkeypatch.setattr(module, "_lines", growing)
    assert verify(trail, secret).problem is None
    audit.close()


async def test_the_wait_for_a_place_is_measured_also_in_vain() -> None:
    metrics = Metrics()
    admission = Admission(max_running=1, max_waiting=1, max_wait_s=0.05)
    metrics.watch(admission)
    async with admission.place():
        with pytest.raises(ApiError):
            async with admission.place():
                pass
    assert value(metrics, "gazal_queue_seconds_count") == 2
    assert 0.04 < value(metrics, "gazal_queue_seconds_sum") < 5
