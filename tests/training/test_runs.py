"""The run directory: one recipe, one process, whole files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.recipe import LoadedRecipe, load
from training.runs import RunError, locked, open_run, read_recipe, recipe_sha256
from training.watch import drop_after, need_disk, read_metrics

TINY = Path("training/recipes/tiny.yaml")


def changed(loaded: LoadedRecipe, steps: int) -> LoadedRecipe:
    tree = loaded.recipe.model_dump(mode="json")
    tree["sft"]["optimisation"]["steps"] = steps
    return LoadedRecipe(type(loaded.recipe).model_validate(tree), loaded.origins)


def test_the_resolved_recipe_and_its_origins_are_kept(tmp_path: Path) -> None:
    loaded = load(TINY)
    run = open_run(loaded, tmp_path / "run")
    kept = json.loads((run.path / "recipe.json").read_text())
    assert kept["origins"]["sft.adapter.dora"] == "paper"
    assert read_recipe(run.path) == loaded.recipe
    assert "torch" in json.loads((run.path / "environment.json").read_text())["libraries"]


def test_what_a_run_recorded_is_a_recipe(tmp_path: Path) -> None:
    loaded = load(TINY)
    assert load(open_run(loaded, tmp_path / "run").recipe) == loaded


def test_the_same_recipe_is_found_again_and_another_is_refused_by_field(tmp_path: Path) -> None:
    loaded = load(TINY)
    open_run(loaded, tmp_path / "run")
    assert open_run(loaded, tmp_path / "run").path == tmp_path / "run"
    with pytest.raises(RunError, match=r"differs at sft\.optimisation\.steps"):
        open_run(changed(loaded, 7), tmp_path / "run")


def test_a_run_from_before_a_field_was_added_is_found_again(tmp_path: Path) -> None:
    run = open_run(load(TINY), tmp_path / "run")
    recorded = json.loads(run.recipe.read_text())
    del recorded["recipe"]["sft"]["start_share"]
    run.recipe.write_text(json.dumps(recorded))
    assert open_run(load(TINY), tmp_path / "run").path == run.path


def test_a_run_with_a_field_that_is_no_more_is_said_to_be_of_another_version(tmp_path: Path) -> None:
    run = open_run(load(TINY), tmp_path / "run")
    recorded = json.loads(run.recipe.read_text())
    recorded["recipe"]["sft"]["warm_restarts"] = 3
    run.recipe.write_text(json.dumps(recorded))
    with pytest.raises(RunError, match=r"another version of this code, whose recipes differ at sft\.warm_restarts"):
        open_run(load(TINY), tmp_path / "run")


def test_a_directory_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="something else than a run"):
        open_run(load(TINY), tmp_path)
    with pytest.raises(RunError, match=r"no recipe\.json"):
        read_recipe(tmp_path)


def test_the_hash_follows_values_not_comments(tmp_path: Path) -> None:
    loaded = load(TINY)
    (tmp_path / "copy.yaml").write_text("# another comment\n" + TINY.read_text())
    assert recipe_sha256(load(tmp_path / "copy.yaml").recipe) == recipe_sha256(loaded.recipe)
    assert recipe_sha256(changed(loaded, 7).recipe) != recipe_sha256(loaded.recipe)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(RunError, match="another process"), locked(tmp_path):
        pass


def test_metrics_after_the_checkpoint_and_torn_lines_go(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "loss": 2.0}\n{"step": 3, "loss": 1.0}\n{"step": 4, "lo')
    drop_after(path, 2)
    assert [row["step"] for row in read_metrics(path)] == [1, 2]


def test_a_full_disk_is_said_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    from types import SimpleNamespace

    import torch

    model = torch.nn.Linear(1000, 1000)
    need_disk(tmp_path, model)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50 << 20))
    with pytest.raises(RunError, match=r"has 50 MB free and checkpoints need \d+ MB"):
        need_disk(tmp_path, model)
