"""A branch of a run: the same stage 1, another stage 2, and nothing that would have made another stage 1."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from training.__main__ import app
from training.branch import branch
from training.recipe import LoadedRecipe, load
from training.runs import RunDirectory, RunError, open_run, read_recipe

if TYPE_CHECKING:
    from collections.abc import Callable

TINY = Path("training/recipes/tiny.yaml")


def changed(change: Callable[[dict[str, Any]], object]) -> LoadedRecipe:
    loaded = load(TINY)
    tree = loaded.recipe.model_dump(mode="json")
    change(tree)
    return LoadedRecipe(type(loaded.recipe).model_validate(tree), loaded.origins)


def slower(tree: dict[str, Any]) -> None:
    tree["grpo"]["optimisation"]["learning_rate"] = 1e-5
    tree["data"]["sources"].append({"kind": "vignettes", "stages": ["grpo"]})


@pytest.fixture
def first(tmp_path: Path) -> RunDirectory:
    """A run with a merged stage 1 and a stage 2."""
    run = open_run(load(TINY), tmp_path / "first")
    for name in (
        "base/model.safetensors",
        "data/grpo-train.parquet",
        "sft/adapter/adapter_model.safetensors",
        "sft/merged/gazal.json",
        "sft/merged/adapter",
        "sft/metrics.jsonl",
        "sft/held_out.jsonl",
        "sft/checkpoints/checkpoint-100/optimizer.pt",
        "grpo/adapter/adapter_model.safetensors",
    ):
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_text(name)
    (run.path / "base.json").write_text("{}")
    return run


def files(run: RunDirectory) -> set[str]:
    return {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}


def test_it_has_base_and_merged_stage_one_and_no_more(first: RunDirectory, tmp_path: Path) -> None:
    second = branch(changed(slower), first.path, tmp_path / "second")
    assert files(second) == {
        "recipe.json",
        "environment.json",
        "base.json",
        "base/model.safetensors",
        "sft/adapter/adapter_model.safetensors",
        "sft/merged/gazal.json",
        "sft/merged/adapter",
        "sft/metrics.jsonl",
    }
    assert read_recipe(second.path).grpo.optimisation.learning_rate == 1e-5
    assert (first.base / "model.safetensors").samefile(second.base / "model.safetensors")


def test_made_again_after_a_kill_it_is_completed(first: RunDirectory, tmp_path: Path) -> None:
    second = branch(changed(slower), first.path, tmp_path / "second")
    whole = files(second)
    (second.path / "base.json").rename(second.path / ".base.json.partial")
    second.stage("sft").path.rename(second.path / ".sft.partial")
    assert files(branch(changed(slower), first.path, tmp_path / "second")) == whole


def test_copies_where_links_are_not_possible(
    first: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError("cross-device link")

    monkeypatch.setattr(os, "link", refused)
    second = branch(changed(slower), first.path, tmp_path / "second")
    assert (second.base / "model.safetensors").read_text() == "base/model.safetensors"
    assert not (first.base / "model.safetensors").samefile(second.base / "model.safetensors")


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("sft.optimisation.steps", lambda tree: tree["sft"]["optimisation"].update(steps=7)),
        ("data.sources.0.count", lambda tree: tree["data"]["sources"][0].update(count=7)),
        ("base.pretraining.seed", lambda tree: tree["base"]["pretraining"].update(seed=7)),
    ],
)
def test_what_makes_another_stage_one_is_refused_by_field(
    first: RunDirectory, tmp_path: Path, place: str, change: Callable[[dict[str, Any]], object]
) -> None:
    with pytest.raises(RunError, match=rf"another recipe \(it differs at {place}\)"):
        branch(changed(change), first.path, tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_a_run_without_a_merged_stage_one_is_refused_with_the_command(tmp_path: Path) -> None:
    open_run(load(TINY), tmp_path / "first")
    with pytest.raises(RunError, match=r"training merge .* --stage sft"):
        branch(load(TINY), tmp_path / "first", tmp_path / "second")


def test_who_changes_stage_two_of_a_run_is_told_of_branches(first: RunDirectory) -> None:
    with pytest.raises(RunError, match=r"differs at data\.sources\); give another --output$"):
        open_run(changed(slower), first.path)
    only_stage_two = changed(lambda tree: tree["grpo"]["optimisation"].update(learning_rate=1e-5))
    with pytest.raises(RunError, match=r"give another --output, with its stage 1 by `python -m training branch`"):
        open_run(only_stage_two, first.path)


def test_the_verb_says_how_to_go_on(first: RunDirectory, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["branch", str(first.path), str(TINY), "--output", str(tmp_path / "second")])
    assert result.exit_code == 0, result.output
    assert f"training run {TINY} --output {tmp_path / 'second'}" in result.output
    assert (tmp_path / "second" / "sft" / "merged" / "gazal.json").is_file()
