"""The set-up script: a no-op the second time, and a plain sentence when it cannot work."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "setup.py"


@pytest.fixture
def setup(tmp_path: Path) -> ModuleType:
    """The script as a module, in a copy of the tree that holds only what it reads."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "requirements").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    (tmp_path / "requirements" / "cpu.txt").write_text("six==1.17.0\ntorch==2.13.0+cpu\nuv==0.13.9\n")
    spec = importlib.util.spec_from_file_location("gazal_setup", tmp_path / "scripts" / "setup.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_old_pythons_can_read_it() -> None:
    assert ast.parse(SCRIPT.read_text(), feature_version=(3, 6)).body


def test_a_finished_environment_is_left_alone(setup: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    setup.PYTHON.parent.mkdir(parents=True)
    setup.PYTHON.touch()
    setup.STAMP.write_text(hashlib.sha256(setup.LOCK.read_bytes()).hexdigest() + "\n")
    setup.main()
    assert capsys.readouterr().out == "setup: .venv is up to date\n"


def test_another_python_is_refused_by_name(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"Python 3\.11 is needed .* `make setup PYTHON=python3\.11`"):
        setup.main()


def test_a_full_disk_is_found_first(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    with pytest.raises(SystemExit, match=r"about 6 GB of disk are needed .* 1\.0 GB free"):
        setup.main()


@pytest.mark.slow
def test_a_missing_network_is_found_before_the_long_part(tmp_path: Path, setup: ModuleType) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_NO_CACHE_DIR": "1", "PIP_CONFIG_FILE": os.devnull}
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    finished = subprocess.run(
        [sys.executable, str(tmp_path / "scripts" / "setup.py")],
        env=kept | nowhere,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 1
    assert "no package index can be reached; check the network" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not setup.STAMP.exists()
