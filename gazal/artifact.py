"""The manifest of a model artifact and its digest: which weights gave this answer.

An artifact is a directory with weights, tokenizer, chat template and configuration, and `gazal.json`, the manifest.
The digest is the sha256 of what `sha256sum` prints for the sorted files, so anyone can check it without our code:

    find -L . -type f ! -name gazal.json ! -name '*.md' ! -path '*/.*' -printf '%P\\n' | LC_ALL=C sort \\
        | xargs -d '\\n' sha256sum | sha256sum

Cards (`*.md`) and hidden files are not part of it: they do not change what the model says.
"""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST_NAME = "gazal.json"
NOT_FOR_CLINICAL_USE = "Research use only: not a medical device, not for clinical decisions."

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ArtifactError(RuntimeError):
    """An artifact is missing, damaged or not what its manifest says; the message names the fix."""


class Base(BaseModel):
    """The model that training began from."""

    model_config = ConfigDict(extra="forbid")

    reference: str
    """Where it came from: `org/repo`, a package and file, or a directory's name."""
    revision: str | None = None
    """Commit of the hub repository."""
    sha256: Sha256 | None = None
    """Hash of the downloaded file, where the source is one file."""


class Stage(BaseModel):
    """One training stage, as its run recorded it."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    kind: Literal["sft", "grpo", "quantize"]
    recipe_sha256: Sha256
    data_sha256: dict[str, Sha256]
    git_commit: str
    seed: int
    steps: int
    metrics: dict[str, float] = Field(default_factory=dict)


class Parent(BaseModel):
    """The artifact that a compressed one was made from."""

    model_config = ConfigDict(extra="forbid")

    name: str
    digest: Sha256


class Manifest(BaseModel):
    """What an artifact is and what it was made from."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    schema_version: Literal[1] = 1
    name: str
    base: Base
    stages: list[Stage] = Field(default_factory=list)
    """Empty for a base model that nobody has trained on the grammar of a reasoned answer."""
    parent: Parent | None = Field(default=None, exclude_if=lambda parent: parent is None)
    """Of a compressed artifact, which repeats its parent's base and stages; left out of the file of any other."""
    prompt_templates_sha256: Sha256 | None = None
    """The templates it was trained with, where it was."""
    licence: str
    attributions: list[str] = Field(default_factory=list)
    notice: str = NOT_FOR_CLINICAL_USE
    files: dict[str, Sha256]
    digest: Sha256

    @property
    def knows_grammar(self) -> bool:
        """Whether some stage taught the model to answer in steps."""
        return any(stage.kind in ("sft", "grpo") for stage in self.stages)

    def save(self, directory: Path) -> None:
        """Write `gazal.json`, whole or not at all."""
        partial = directory / f".{MANIFEST_NAME}.partial"
        partial.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        partial.replace(directory / MANIFEST_NAME)


def load_manifest(directory: Path) -> Manifest:
    """Read `gazal.json`. Raises ArtifactError when it is missing or malformed."""
    path = directory / MANIFEST_NAME
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing: this directory is no Gazal artifact") from error
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path} is not UTF-8 text; restore it or build the artifact again") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ArtifactError(
            f"{path} is malformed at {where}: {first['msg']}; restore it or build the artifact again"
        ) from error


def digest_of(files: dict[str, str]) -> str:
    """The artifact digest over a mapping of relative path to sha256."""
    listing = "".join(f"{files[path]}  {path}\n" for path in sorted(files))
    return hashlib.sha256(listing.encode()).hexdigest()


def hash_files(directory: Path, progress: Callable[[int, int], None] | None = None) -> dict[str, str]:
    """sha256 of every file that belongs to the artifact, several files at once.

    `progress(done_bytes, all_bytes)` is called as it goes. Raises ArtifactError when there is nothing to hash.
    """
    paths = artifact_files(directory)
    if not paths:
        raise ArtifactError(f"{directory} holds no files; give a directory with model weights")
    total = sum(path.stat().st_size for path in paths)
    done = 0
    counting = threading.Lock()

    def hash_one(path: Path) -> str:
        nonlocal done
        sha = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(8 << 20):
                sha.update(block)
                with counting:
                    done += len(block)
                    if progress:
                        progress(done, total)
        return sha.hexdigest()

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        hashes = list(pool.map(hash_one, paths))
    return {path.relative_to(directory).as_posix(): sha for path, sha in zip(paths, hashes, strict=True)}


def file_sha256(path: Path) -> str:
    """sha256 of one file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def artifact_files(directory: Path) -> list[Path]:
    """The files that the digest covers, sorted by name."""
    return sorted(
        path
        for path in directory.rglob("*")
        if path.is_file()
        and path.suffix != ".md"
        and path.name != MANIFEST_NAME
        and not any(part.startswith(".") for part in path.relative_to(directory).parts)
    )


def verify(directory: Path, progress: Callable[[int, int], None] | None = None) -> Manifest:
    """Check every file against the manifest and return it.

    Raises ArtifactError naming the first file that is missing, changed or not listed.
    """
    manifest = load_manifest(directory)
    actual = hash_files(directory, progress)
    for path in sorted(manifest.files.keys() | actual.keys()):
        if path not in actual:
            raise ArtifactError(f"{directory / path} is missing; restore the artifact or build it again")
        if path not in manifest.files:
            raise ArtifactError(f"{directory / path} is not listed in {MANIFEST_NAME}; remove it")
        if actual[path] != manifest.files[path]:
            raise ArtifactError(
                f"{directory / path} has sha256 {actual[path][:12]}..., the manifest says "
                f"{manifest.files[path][:12]}...; restore the artifact or build it again"
            )
    if digest_of(manifest.files) != manifest.digest:
        raise ArtifactError(f"{directory / MANIFEST_NAME}: the digest does not match the file list; build it again")
    return manifest
