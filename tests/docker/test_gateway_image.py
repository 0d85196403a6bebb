"""The gateway's image without Docker: the Dockerfile's own install and compile steps in a clean place, then a start."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import unused_port
from tests.docker.deployment import DOCKER, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LARGEST_MB = 250


def steps(stage: str) -> list[tuple[str, str]]:
    """The COPY and RUN instructions of one stage of the gateway's Dockerfile."""
    text = re.sub(r"\\\n\s*", "", (DOCKER / "gateway.Dockerfile").read_text(encoding="utf-8"))
    (body,) = re.findall(rf"^FROM base AS {stage}\n(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^(COPY|RUN) (.*)$", body, re.MULTILINE)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what the stage gateway-build leaves: `opt` for /opt/gazal, `app` for /app."""
    root = tmp_path_factory.mktemp("image")
    (root / "app").mkdir()
    (root / "bin").mkdir()
    (root / "bin" / "python").symlink_to(sys.executable)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PATH"] = f"{root / 'bin'}:{environment['PATH']}"
    for instruction, words in steps("gateway-build"):
        if instruction == "COPY":
            source, target = words.split()
            copied = root / "app" / (target + Path(source).name if target.endswith("/") else target)
            copied.parent.mkdir(parents=True, exist_ok=True)
            ignore = shutil.ignore_patterns("__pycache__")
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, copied, ignore=ignore)
            else:
                shutil.copy(ROOT / source, copied)
        else:
            command = words.replace("/opt/gazal", str(root / "opt"))
            subprocess.run(command, shell=True, check=True, cwd=root / "app", env=environment, executable="/bin/sh")
    return root


def megabytes(directory: Path) -> float:
    return sum(path.lstat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6


def test_it_holds_no_torch_and_is_small(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packages = {path.name.lower() for path in (image / "opt" / "lib").glob("python*/site-packages/*")}
    assert "fastapi" in packages
    assert not packages & {"torch", "vllm", "transformers", "gradio", "pip", "setuptools"}
    size = megabytes(image)
    with capsys.disabled():
        print(f"\ngateway image above its base: {size:.0f} MB")
    assert size < LARGEST_MB


def test_it_serves_a_request_with_a_newer_fastapi_than_vllm_allows(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine_port, port = unused_port(), unused_port()
    bare = [sys.executable, str(ROOT / "tests" / "bench" / "gateway_engine.py"), "--port", str(engine_port)]
    environment = {
        "PATH": f"{image / 'opt' / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "GAZAL_SECRET_FILE": str(tmp_path / "secret"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    python = str(image / "opt" / "bin" / "python")
    program = [python, "-m", "server", "--upstream", f"http://127.0.0.1:{engine_port}", "--port", str(port)]
    engine = subprocess.Popen(bare, stdout=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{engine_port}/health")
        began = time.monotonic()
        gateway = subprocess.Popen(program, cwd=image / "app", env=environment)
        try:
            wait_for(f"http://127.0.0.1:{port}/readyz")
            waited_s, computed_s = time.monotonic() - began, cpu_seconds(gateway.pid)
            with capsys.disabled():
                print(f"\nready after {waited_s:.2f} s, {computed_s:.2f} s of them computing")
            probe = subprocess.run(
                [python, "-m", "server", "probe", f"http://127.0.0.1:{port}"],
                cwd=image / "app",
                env=environment,
                check=False,
            )
            assert probe.returncode == 0
            body = b'{"model": "fake", "messages": [{"role": "user", "content": "x"}]}'
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/chat/completions", body, {"content-type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=20) as reply:
                assert b"An answer." in reply.read()
        finally:
            gateway.send_signal(signal.SIGTERM)
            assert gateway.wait(60) == 0
    finally:
        engine.kill()
        engine.wait()
    shown = subprocess.run(
        [python, "-c", "import fastapi; print(fastapi.__version__)"], capture_output=True, check=True
    )
    assert tuple(map(int, shown.stdout.split(b".")[:2])) > (0, 136)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.02)
    pytest.fail(f"{url} does not answer")
