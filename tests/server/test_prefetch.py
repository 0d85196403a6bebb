"""Prefetch: a complete, verified directory or a plain refusal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gazal.artifact import ArtifactError, load_manifest
from gazal.models import resolve
from server.prefetch import prefetch


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model directory as another machine left it, without a manifest."""
    directory = tmp_path / "source"
    directory.mkdir()
    (directory / "config.json").write_text("{}")
    (directory / "tokenizer_config.json").write_text("{}")
    (directory / "model.safetensors").write_bytes(b"weights")
    (directory / "README.md").write_text("a card")
    return directory


def test_the_directory_serves_without_anything_else(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "models" / "gazal"
    manifest = prefetch(str(source), target)
    assert resolve(str(target)).manifest == manifest == load_manifest(target)
    assert (target / "README.md").read_text() == "a card"
    assert manifest.digest == resolve(str(source)).manifest.digest
    assert [path.name for path in target.parent.iterdir()] == ["gazal"]


def test_a_second_time_it_is_only_verified(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "gazal"
    first = prefetch(str(source), target)
    before = (target / "model.safetensors").stat().st_mtime_ns
    assert prefetch(str(source), target) == first
    assert (target / "model.safetensors").stat().st_mtime_ns == before
    (target / "model.safetensors").write_bytes(b"weighty")
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        prefetch(str(source), target)


def test_another_model_or_somebodys_files_are_left_alone(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "gazal"
    prefetch(str(source), target)
    with pytest.raises(ArtifactError, match=r"holds .*source; give --to another directory"):
        prefetch("nano", target)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear")
    with pytest.raises(ArtifactError, match="holds something else"):
        prefetch(str(source), mine)
    assert (mine / "letter.txt").read_text() == "dear"


def test_what_a_killed_run_left_is_replaced(source: Path, tmp_path: Path) -> None:
    (tmp_path / ".gazal.partial").mkdir()
    (tmp_path / ".gazal.partial" / "model.safetensors").write_bytes(b"half")
    (tmp_path / "gazal").mkdir()  # as an empty mounted folder would be
    prefetch(str(source), tmp_path / "gazal")
    assert (tmp_path / "gazal" / "model.safetensors").read_bytes() == b"weights"
    assert not (tmp_path / ".gazal.partial").exists()


def test_what_lies_in_the_hubs_cache_takes_no_second_place(source: Path, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    (source / "model.safetensors").rename(blob)
    (source / "model.safetensors").symlink_to(blob)
    prefetch(str(source), tmp_path / "gazal")
    held = tmp_path / "gazal" / "model.safetensors"
    assert held.stat().st_ino == blob.stat().st_ino
    assert not held.is_symlink()
    assert (tmp_path / "gazal" / "config.json").stat().st_ino != (source / "config.json").stat().st_ino


def test_a_full_disk_is_found_before_copying(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from server import prefetch as module

    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=3))
    with pytest.raises(ArtifactError, match="0 MB free"):
        prefetch(str(source), tmp_path / "gazal")
    assert not (tmp_path / "gazal").exists()


def test_the_command_says_what_is_there_and_what_is_wrong(source: Path, tmp_path: Path) -> None:
    base = [sys.executable, "-m", "server", "prefetch"]
    done = subprocess.run([*base, str(source), "--to", tmp_path / "x"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("source, digest ")
    wrong = subprocess.run([*base, "nonsense", "--to", tmp_path / "y"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert "neither 'nano'" in wrong.stderr
