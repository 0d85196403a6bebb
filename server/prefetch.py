"""Brings a model into one directory with its manifest, to be copied to, or mounted by, machines without network.

What `python -m server --model DIR` later finds there is verified against the manifest at every start. The directory is
filled beside its place and renamed into it when complete, so a killed run leaves nothing that could be taken for a
model; one that is there already is verified, and refused when it holds another model.

    prefetch("org/repo@revision", Path("/models/gazal-r1"))
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from gazal.artifact import MANIFEST_NAME, ArtifactError, verify
from gazal.models import resolve

if TYPE_CHECKING:
    from gazal.artifact import Manifest

SOURCE_NAME = ".prefetched.json"
"""Notes the reference, so that another one is not taken for it; hidden files are no part of the digest."""


def prefetch(reference: str, to: Path) -> Manifest:
    """Make `to` hold the model that `reference` names; returns its manifest. Raises ArtifactError with the fix."""
    to = to.expanduser().absolute()
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        return _already_there(reference, to)
    model = resolve(reference)
    partial = to.with_name(f".{to.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _need_room(model.path, list(model.manifest.files), partial)
        cards = [path.name for path in model.path.glob("*.md")]
        for relative in [*model.manifest.files, *cards]:
            target = partial / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            _bring(model.path / relative, target)
        model.manifest.save(partial)
        (partial / SOURCE_NAME).write_text(json.dumps({"reference": reference}) + "\n", encoding="utf-8")
        manifest = verify(partial)
        if to.exists():
            to.rmdir()
        partial.rename(to)
    except OSError as error:
        raise ArtifactError(
            f"{to} cannot be written ({error.strerror or error}); give --to a disk with room"
        ) from error
    return manifest


def _already_there(reference: str, to: Path) -> Manifest:
    source = to / SOURCE_NAME
    if not (to / MANIFEST_NAME).is_file() or not source.is_file():
        raise ArtifactError(f"{to} holds something else; give --to a directory that does not exist yet")
    held = json.loads(source.read_text(encoding="utf-8"))["reference"]
    if held != reference:
        raise ArtifactError(f"{to} holds {held}; give --to another directory, or remove that one")
    return verify(to)


def _bring(source: Path, target: Path) -> None:
    """Copy a file; one of the hub's cache, which nobody edits, is linked where both are on one disk."""
    if source.is_symlink():
        try:
            os.link(source.resolve(), target)
        except OSError:  # another file system, or one without links
            pass
        else:
            return
    shutil.copyfile(source, target)


def _need_room(source: Path, files: list[str], target: Path) -> None:
    copied = [source / relative for relative in files if not _can_be_linked(source / relative, target)]
    needed = sum(path.stat().st_size for path in copied)
    free = shutil.disk_usage(target).free
    if free < needed:
        raise ArtifactError(f"{target} has {free >> 20} MB free and {needed >> 20} MB are needed; free some")


def _can_be_linked(source: Path, directory: Path) -> bool:
    return source.is_symlink() and source.resolve().stat().st_dev == directory.stat().st_dev
