"""gazal-r1-nano: the adapters that this repository ships, merged into the embedded base on first use.

`artifacts/nano/` holds what training made and nobody can compute: the adapter of each stage, tokenizer, configuration,
and the manifest of the merged weights, beside the card, the report and the recipe of the training. The weights
themselves are made here, bit for bit those that were trained and measured, or not at all: their digest is checked
against the manifest.

Run as a program, because torch should live in a process that ends:

    python -m gazal.nano BASE_DIRECTORY artifacts/nano TARGET_DIRECTORY
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gazal.artifact import MANIFEST_NAME, ArtifactError, Manifest, hash_files, load_manifest

SHIPPED = Path(__file__).parents[1] / "artifacts" / "nano"
"""Where the repository keeps the shipped adapters; absent from an installation without the repository."""
RECIPE_NAME = "training-recipe.json"
"""What the run recorded of its recipe, beside the report; `training run` takes it as it is."""
STAGES = ("stage-1", "stage-2")
"""Directories of the adapters, in the order in which they are merged; a stage that was not run has none."""


def shipped_manifest(shipped: Path) -> Manifest | None:
    """The manifest of the trained model, or None where no adapter is shipped. Raises ArtifactError when damaged."""
    return load_manifest(shipped) if (shipped / MANIFEST_NAME).is_file() else None


def build(base: Path, shipped: Path, target: Path) -> None:
    """Merge the shipped stages into `base` and check every file against the manifest. Raises ArtifactError."""
    manifest = load_manifest(shipped)
    command = [sys.executable, "-m", "gazal.nano", str(base), str(shipped), str(target)]
    finished = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if finished.returncode:
        reason = (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ArtifactError(
            f"could not merge the adapters of {manifest.name}: {reason}; is the `engine` extra installed (make setup)?"
        )
    made = hash_files(target)
    different = sorted(
        name for name in manifest.files.keys() | made.keys() if manifest.files.get(name) != made.get(name)
    )
    if different:
        raise ArtifactError(
            f"{different[0]} of the merged {manifest.name} is not what {shipped / MANIFEST_NAME} lists; install the "
            "versions of the lock (make setup), or restore artifacts/nano"
        )
    manifest.save(target)


def merge_stages(base: Path, shipped: Path, target: Path) -> None:
    """The merged weights in `target`, with tokenizer and configuration as shipped."""
    from gazal.merge import merge
    from gazal.reasoning_tokens import add_reasoning_tokens

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        current = Path(scratch) / "base"
        add_reasoning_tokens(base, current)
        for stage in STAGES:
            if (shipped / stage).is_dir():
                merge(current, shipped / stage, Path(scratch) / stage)
                current = Path(scratch) / stage
        for path in shipped.iterdir():
            if path.is_file() and path.suffix not in (".md", ".html") and path.name not in (MANIFEST_NAME, RECIPE_NAME):
                shutil.copy2(path, current / path.name)
        current.rename(target)


if __name__ == "__main__":
    merge_stages(*map(Path, sys.argv[1:4]))
