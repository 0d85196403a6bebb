"""From a finished run to what a repository can hold: the adapters of its stages, without the weights they belong to.

`gazal.nano` merges them into the embedded base again and refuses anything but the very same weights, so they are tried
here before anything is written.

    ship(Path("runs/nano"), Path("artifacts/nano"))
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from gazal.artifact import Manifest, load_manifest
from gazal.models import resolve
from gazal.nano import RECIPE_NAME, STAGES, build
from training.runs import RunDirectory, RunError, StageKind, write_json

MAX_BYTES = 32 << 20
"""A repository is no place for more."""
_KINDS: tuple[StageKind, ...] = ("sft", "grpo")
REPORT_NAME = "training-report.html"
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def ship(run_path: Path, target: Path) -> Manifest:
    """Write adapters, tokenizer, settings, manifest, report and recipe of a run to `target`, replacing what is there.

    The last merged stage is what is shipped. Raises RunError when the run has none, when the adapters are too large or
    when merging them again does not give the run's own weights.
    """
    run = RunDirectory(run_path)
    merged = [run.stage(kind).merged for kind in _KINDS if run.stage(kind).merged.is_dir()]
    if not merged:
        raise RunError(f"{run_path} has no merged stage; run `python -m training merge {run_path}` first")
    manifest = load_manifest(merged[-1])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        partial = Path(scratch) / "shipped"
        for kind, name in zip(_KINDS[: len(merged)], STAGES, strict=False):
            _copy_adapter(run.stage(kind).adapter, partial / name, manifest.base.reference)
        for path in merged[-1].iterdir():
            if path.suffix not in (".safetensors", ".md"):
                shutil.copy2(path, partial / path.name)
        size = sum(path.stat().st_size for path in partial.rglob("*.safetensors"))
        if size > MAX_BYTES:
            raise RunError(f"the adapters have {size >> 20} MiB and {MAX_BYTES >> 20} may be shipped; lower the rank")
        for recorded, name in ((run.report, REPORT_NAME), (run.recipe, RECIPE_NAME)):
            if recorded.is_file():
                shutil.copy2(recorded, partial / name)
        build(resolve("nano-base").path, partial, Path(scratch) / "merged")
        for path in target.glob("*.md"):
            shutil.copy2(path, partial / path.name)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    return manifest


def _copy_adapter(adapter: Path, target: Path, base: str) -> None:
    """Weights and settings of an adapter; the place where its base lay on the training machine is left out."""
    target.mkdir(parents=True)
    for name in _ADAPTER_FILES:
        shutil.copy2(adapter / name, target / name)
    settings = json.loads((target / _ADAPTER_FILES[0]).read_text(encoding="utf-8"))
    write_json(target / _ADAPTER_FILES[0], settings | {"base_model_name_or_path": base})
