"""From an adapter to an artifact: merge, verify, write the manifest; the directory appears last and whole.

merge_stage(recipe, "sft", base, run, stage.adapter ...)      ->  runs/tiny/sft/merged with gazal.json
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from gazal.artifact import Base, Manifest, Stage, digest_of, hash_files, load_manifest
from gazal.merge import MergeReport, merge
from gazal.prompting import templates_sha256
from training.runs import START_KEY, RunDirectory, StageKind, git_commit, recipe_sha256
from training.tokens import encode_prompt
from training.verify import Verification, verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from training.data.rows import Row
    from training.recipe import Recipe

VERIFICATION_PROMPTS = 8
FAMILY = "gazal-r1"


def merge_stage(
    recipe: Recipe,
    kind: StageKind,
    base: Path,
    origin: Base,
    licence: str,
    run: RunDirectory,
    rows: list[Row],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[MergeReport, Verification] | None:
    """Merge the adapter of a stage into `base` and leave an artifact in the stage's `merged`, or None if it is there.

    `rows` give the prompts of the verification, which is part of the manifest. Raises MergeError, VerificationError.
    """
    from transformers import AutoTokenizer

    stage = run.stage(kind)
    if stage.merged.is_dir():
        return None
    scratch = stage.path / ".merging"
    shutil.rmtree(scratch, ignore_errors=True)
    report = merge(base, stage.adapter, scratch / "merged", progress)
    tokenizer = AutoTokenizer.from_pretrained(base)
    prompts = [encode_prompt(tokenizer, row.prompt) for row in rows[:VERIFICATION_PROMPTS]]
    checked = verify(base, stage.adapter, scratch / "merged", prompts)
    result = json.loads(stage.result.read_text(encoding="utf-8"))
    entry = Stage(
        kind=kind,
        recipe_sha256=recipe_sha256(recipe),
        data_sha256=_data_hashes(run, kind),
        git_commit=git_commit(),
        seed=(recipe.sft if kind == "sft" else recipe.grpo).optimisation.seed,
        steps=result["steps"],
        metrics={key: float(value) for key, value in result["metrics"].items() if value is not None}
        | {"seconds": result["seconds"], "merge/relative_change": report.relative_change}
        | checked.figures(),
    )
    earlier = load_manifest(base).stages if kind == "grpo" else []
    files = hash_files(scratch / "merged")
    Manifest(
        name=artifact_name(recipe.name),
        base=origin,
        stages=[*earlier, entry],
        prompt_templates_sha256=templates_sha256(),
        licence=licence,
        attributions=sorted({row.attribution for row in rows if row.attribution}),
        files=files,
        digest=digest_of(files),
    ).save(scratch / "merged")
    (scratch / "merged").rename(stage.merged)
    scratch.rmdir()
    return report, checked


def artifact_name(recipe: str) -> str:
    """The name under which a model of this recipe is served: `nano` makes gazal-r1-nano."""
    return f"{FAMILY}-{recipe.removeprefix(f'{FAMILY}-')}"


def _data_hashes(run: RunDirectory, kind: StageKind) -> dict[str, str]:
    from training.data.build import read_report

    report = read_report(run.data)
    hashes = {name: file.sha256 for name, file in report.files.items() if name.startswith(kind)} if report else {}
    start = run.stage(kind).started_from
    return hashes | ({START_KEY: json.loads(start.read_text(encoding="utf-8"))["sha256"]} if start.is_file() else {})
