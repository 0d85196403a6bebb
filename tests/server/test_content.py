"""Kept content: never by default, only when asked for, redacted, private, and gone in time."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from server.content import HEADER, ContentError, ContentStore
from server.lifecycle import build_gateway
from server.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from server.gateway import Gateway

REASON = "/v1/clinical/reason"
NAME = "Mrs Zebediah Canary"
BODY = {"vignette": f"{NAME}, DOB 03/04/1956, vomits blood.", "question": f"What should {NAME} have?"}
ASKED = {HEADER: "yes"}


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def everything_under(directory: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in directory.rglob("*") if path.is_file())


async def test_nothing_is_kept_by_default_even_when_a_request_asks(
    client: aiohttp.ClientSession, gateway: Gateway, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert Settings().content_dir is None
    async with client.post(REASON, json=BODY, headers=ASKED) as response:
        assert response.status == 200
    captured = capfd.readouterr()
    assert "Canary" not in everything_under(tmp_path) + captured.out + captured.err


@pytest.mark.parametrize("headers", [{}, {HEADER: "no"}, {HEADER: "1"}])
async def test_nothing_is_kept_of_a_request_that_does_not_ask(
    client: aiohttp.ClientSession, gateway: Gateway, tmp_path: Path, headers: dict[str, str]
) -> None:
    gateway.content = ContentStore(tmp_path / "content", 3600)
    async with client.post(REASON, json=BODY, headers=headers) as response:
        assert response.status == 200
    assert gateway.content.kept().records == 0


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_is_kept_is_redacted_and_private(
    client: aiohttp.ClientSession, gateway: Gateway, tmp_path: Path, streamed: bool
) -> None:
    gateway.content = ContentStore(tmp_path / "content", 3600)
    async with client.post(REASON, json=BODY | {"stream": streamed}, headers=ASKED) as response:
        await response.read()
    (path,) = (tmp_path / "content").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    record = json.loads(path.read_text())
    assert record["redacted"] is True
    assert record["case"] == "[NAME], DOB [DATE], vomits blood."
    assert record["question"] == "What should [NAME] have?"
    assert record["answer"].startswith("## Clinical Assessment")
    assert record["red_flags"] == ["gastrointestinal_bleed"]
    assert len(record["request_id"]) == 32


async def test_it_can_be_kept_as_it_was(client: aiohttp.ClientSession, gateway: Gateway, tmp_path: Path) -> None:
    gateway.content = ContentStore(tmp_path / "content", 3600, redacted=False)
    async with client.post(REASON, json=BODY, headers=ASKED) as response:
        assert response.status == 200
    assert NAME in everything_under(tmp_path / "content")


async def test_a_full_disk_fails_no_request_and_logs_no_text(
    client: aiohttp.ClientSession, gateway: Gateway, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    gateway.content = ContentStore(tmp_path / "content", 3600)
    (tmp_path / "content").rmdir()
    async with client.post(REASON, json=BODY, headers=ASKED) as response:
        assert response.status == 200
    captured = capfd.readouterr()
    assert "content could not be kept" in captured.out + captured.err
    assert "Canary" not in captured.out + captured.err


class TestTimeToLive:
    @pytest.mark.parametrize("keep_s", [360.0, 3600.0, 604_800.0])
    def test_no_record_outlives_it_when_swept_as_often_as_said(self, tmp_path: Path, keep_s: float) -> None:
        clock = Clock()
        store = ContentStore(tmp_path / "content", keep_s, clock=clock)
        written = clock.now = 1_000_003.0
        store.keep({}, {"case": "x"})
        while store.kept().records:
            assert clock.now - written <= keep_s
            clock.now += store.sweep_every_s
            store.purge()
        assert clock.now - written > 0.9 * keep_s

    def test_what_is_younger_stays(self, tmp_path: Path) -> None:
        clock = Clock()
        store = ContentStore(tmp_path / "content", 3600, clock=clock)
        store.keep({}, {"case": "old"})
        clock.now += 3000
        store.keep({}, {"case": "young"})
        clock.now += 700
        assert store.purge() == 1
        assert "young" in everything_under(tmp_path)
        assert "old" not in everything_under(tmp_path)

    def test_a_start_deletes_what_became_too_old_meanwhile(self, tmp_path: Path) -> None:
        clock = Clock()
        ContentStore(tmp_path / "content", 3600, clock=clock).keep({}, {"case": "x"})
        clock.now += 3601
        assert ContentStore(tmp_path / "content", 3600, clock=clock).kept().records == 0

    async def test_a_running_server_sweeps(self, tmp_path: Path) -> None:
        clock = Clock()
        store = ContentStore(tmp_path / "content", 1, clock=clock)
        store._slot_s = 0.02
        store.keep({}, {"case": "x"})
        sweeping = asyncio.create_task(store.sweep())
        clock.now += 2
        async with asyncio.timeout(3):
            while store.kept().records:
                await asyncio.sleep(0.01)
        sweeping.cancel()

    def test_other_files_are_left_alone(self, tmp_path: Path) -> None:
        store = ContentStore(tmp_path / "content", 3600)
        (tmp_path / "content" / "notes.txt").write_text("mine")
        store.purge(everything=True)
        assert (tmp_path / "content" / "notes.txt").exists()


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ContentError, match="correct GAZAL_CONTENT_DIR"):
        ContentStore(tmp_path / "file" / "content", 3600)


def test_the_settings_make_the_store(gateway: Gateway, tmp_path: Path) -> None:
    settings = Settings(content_dir=tmp_path / "kept", content_keep_hours=2, secret_file=tmp_path / "secret")
    made = build_gateway(settings, gateway.upstream, gateway.served)
    assert made.content is not None
    assert (tmp_path / "kept").is_dir()
    assert build_gateway(Settings(secret_file=tmp_path / "secret"), gateway.upstream, gateway.served).content is None


def run_verb(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", "content", *arguments],
        env={name: value for name, value in os.environ.items() if name != "GAZAL_CONTENT_DIR"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_verbs_count_and_delete(tmp_path: Path) -> None:
    clock = Clock()
    store = ContentStore(tmp_path, 3600, clock=clock, purge=False)
    store.keep({}, {"case": "old"})
    ContentStore(tmp_path, 3600).keep({}, {"case": "young"})
    store.keep({}, {"case": "old"})
    where = {"GAZAL_CONTENT_DIR": str(tmp_path), "GAZAL_CONTENT_KEEP_HOURS": "1"}
    assert run_verb("show", **where).stdout.startswith("2 record(s) in 2 file(s), the oldest since 1970-01-12")
    assert run_verb("purge", **where).stdout == "1 file(s) deleted\n"
    assert "young" in everything_under(tmp_path)
    assert run_verb("purge", "--all", **where).stdout == "1 file(s) deleted\n"
    finished = run_verb("purge")
    assert finished.returncode == 2
    assert "GAZAL_CONTENT_DIR is not set" in finished.stderr
