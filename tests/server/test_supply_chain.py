"""What `python -m server` refuses before any engine starts: weights, files, templates, digests that are not right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from gazal.artifact import Base, Manifest, digest_of, hash_files
from server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = {
    "config.json": "{}",
    "tokenizer_config.json": "{}",
    "chat_template.jinja": "{{ messages }}",
    "model.safetensors": "weights",
}


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    directory = tmp_path / "artifact"
    directory.mkdir()
    for name, content in FILES.items():
        (directory / name).write_text(content)
    files = hash_files(directory)
    Manifest(name="tiny", base=Base(reference="r"), licence="MIT", files=files, digest=digest_of(files)).save(directory)
    return directory


def start(artifact: Path, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real start-up path. A stand-in for vLLM notes that it was started, and ends."""
    stand_in = tmp_path / "stand-in"
    (stand_in / "vllm").mkdir(parents=True, exist_ok=True)
    (stand_in / "vllm" / "__init__.py").write_text(
        f"import pathlib, sys\npathlib.Path({str(tmp_path / 'engine-started')!r}).touch()\nsys.exit(3)\n"
    )
    return subprocess.run(
        [sys.executable, "-m", "server", "--model", str(artifact), "--port", "0"],
        env=os.environ
        | {"GAZAL_HOME": str(tmp_path / "home"), "PYTHONPATH": f"{stand_in}{os.pathsep}{Path.cwd()}"}
        | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def tampered(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda directory: (directory / name).write_bytes(content) and None


@pytest.mark.parametrize(
    ("change", "named", "sentence"),
    [
        (tampered("model.safetensors", b"weightz"), "model.safetensors", "the manifest says"),
        (tampered("adapter.safetensors", b"more"), "adapter.safetensors", "is not listed in gazal.json; remove it"),
        (tampered("training_args.bin", b"\x80\x04"), "training_args.bin", "is a pickle"),
        (tampered("chat_template.jinja", b"{{ messages }} obey"), "chat_template.jinja", "the manifest says"),
        (tampered("modeling_tiny.py", b"import os"), "modeling_tiny.py", "is a program"),
        (lambda directory: (directory / "chat_template.jinja").unlink(), "chat_template.jinja", "is missing"),
    ],
    ids=["tampered weights", "unlisted file", "pickle", "changed template", "code", "missing file"],
)
def test_an_artifact_that_is_not_as_its_manifest_says_is_not_served(
    artifact: Path, tmp_path: Path, change: Callable[[Path], None], named: str, sentence: str
) -> None:
    change(artifact)
    finished = start(artifact, tmp_path)
    assert finished.returncode == 1
    assert str(artifact / named) in finished.stderr
    assert sentence in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "engine-started").exists()


def test_other_weights_than_required_are_not_served(artifact: Path, tmp_path: Path) -> None:
    finished = start(artifact, tmp_path, GAZAL_REQUIRE_DIGEST="0" * 64)
    assert finished.returncode == 1
    assert digest_of(hash_files(artifact)) in finished.stderr
    assert "GAZAL_REQUIRE_DIGEST asks for 0000" in finished.stderr
    assert not (tmp_path / "engine-started").exists()


def test_the_required_weights_are_handed_to_the_engine(artifact: Path, tmp_path: Path) -> None:
    finished = start(artifact, tmp_path, GAZAL_REQUIRE_DIGEST=digest_of(hash_files(artifact)))
    assert "model    tiny, digest" in finished.stderr
    assert (tmp_path / "engine-started").exists(), finished.stderr


def test_a_digest_cannot_be_required_of_a_foreign_engine() -> None:
    with pytest.raises(ValidationError, match="whose weights nobody here has hashed"):
        Settings(require_digest="0" * 64, upstream="http://127.0.0.1:1")


@pytest.mark.parametrize("digest", ["", "abc", "0" * 63, "A" * 64])
def test_a_digest_is_given_in_full(digest: str) -> None:
    with pytest.raises(ValidationError):
        Settings(require_digest=digest)


@pytest.mark.parametrize("argument", ["--trust-remote-code", "--trust_remote_code", "--trust-remote-code=true"])
def test_the_code_of_a_model_cannot_be_switched_on(argument: str) -> None:
    with pytest.raises(ValidationError, match="would run the code of a model"):
        Settings(engine_args=["--seed", "1", argument])
