"""Another stage 2 from the stage 1 of a run, to compare settings of stage 2 without training stage 1 again.

A run has one recipe, and stage 1 is what costs most of it. A branch is a new run whose recipe agrees with the first
in all that stage 1 is made of; it gets that run's base and merged stage 1 (as hard links, which take no room on the
same file system), builds its own data for stage 2 and answers the held-out questions itself.

    branch(load(Path("my-other-grpo.yaml")), Path("runs/first"), Path("runs/second"))
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from training.runs import RunDirectory, RunError, first_difference, open_run, read_recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from training.recipe import LoadedRecipe, Recipe

_STAGE_ONE = ("adapter", "merged", "metrics.jsonl", "result.json", "started_from.json")


def branch(loaded: LoadedRecipe, source: Path, output: Path) -> RunDirectory:
    """Make the run `output` of a recipe with the base and stage 1 of the run `source`; made before, it is found.

    Raises RunError when the source has no merged stage 1, or when the recipe would have made another one.
    """
    origin = RunDirectory(source.resolve())
    difference = first_difference(_of_stage_one(read_recipe(origin.path)), _of_stage_one(loaded.recipe))
    if difference:
        raise RunError(f"stage 1 of {source} is of another recipe (it differs at {difference}); train it anew")
    if not origin.stage("sft").merged.is_dir():
        raise RunError(f"{source} has no merged stage 1; run `python -m training merge {source} --stage sft` first")
    run = open_run(loaded, output)
    _adopt(origin.base, run.base)
    _adopt(origin.path / "base.json", run.path / "base.json")
    _adopt(origin.stage("sft").path, run.stage("sft").path, _STAGE_ONE)
    return run


def _of_stage_one(recipe: Recipe) -> dict[str, Any]:
    """What a recipe says about stage 1, its base and its data."""
    tree = recipe.model_dump(mode="json", include={"base", "precision", "data", "sft"})
    sources = [source | {"stages": ["sft"]} for source in tree["data"]["sources"] if "sft" in source["stages"]]
    tree["data"]["sources"] = {str(index): source for index, source in enumerate(sources)}
    return tree


def _adopt(path: Path, target: Path, names: tuple[str, ...] | None = None) -> None:
    """Make `target` of `path`, of a directory only `names` where they are given: all of it, or nothing."""
    if target.exists() or not path.exists():
        return
    partial = target.with_name(f".{target.name}.partial")
    if path.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(path, partial, ignore=_all_but(path, names) if names else None, copy_function=_link)
    else:
        partial.unlink(missing_ok=True)
        _link(path, partial)
    partial.replace(target)


def _all_but(top: Path, names: tuple[str, ...]) -> Callable[[Any, list[str]], list[str]]:
    return lambda directory, found: [each for each in found if str(directory) == str(top) and each not in names]


def _link(path: str | Path, target: str | Path) -> None:
    """A hard link where the file system allows one, else a copy."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copy2(path, target)
