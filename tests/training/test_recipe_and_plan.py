"""Recipes say where each value comes from; plans refuse what cannot fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from training import recipe as recipes
from training.__main__ import app
from training.plan import PlanError, adapter_parameters, cache_bytes_per_token, check, stages
from training.recipe import AdapterSettings, LoadedRecipe, RecipeError, load

DIRECTORY = Path(recipes.__file__).parent / "recipes"
PATHS = sorted(DIRECTORY.glob("*.yaml"))
PUBLISHED_BY_THE_PAPER = {"base.reference", "sft.adapter.dora", "sft.adapter.rank_stabilised"}
"""All that was read in the paper itself: Qwen3-32B, and DoRA with rsLoRA in stage 1."""


@pytest.fixture
def large() -> LoadedRecipe:
    return load(DIRECTORY / "gazal-r1-32b.yaml")


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = (DIRECTORY / "gazal-r1-32b.yaml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "recipe.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_recipe_loads_and_fits_its_own_hardware(path: Path) -> None:
    recipe = load(path).recipe
    assert recipe.name == path.stem
    planned = check(recipe, recipe.expected.device, recipe.expected.count)
    assert recipe.expected.measured == (recipe.name == "tiny")
    assert recipe.expected.memory_gb == pytest.approx(max(stage.total_gb for stage in planned), abs=1)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_no_value_is_called_the_papers_that_is_not(path: Path) -> None:
    origins = load(path).origins
    assert {place for place, origin in origins.items() if origin == "paper"} <= PUBLISHED_BY_THE_PAPER


def test_origins_are_recorded_by_place(large: LoadedRecipe) -> None:
    assert large.origins["sft.adapter.dora"] == "paper"
    assert large.origins["data.sources.0.reference"] == "card"
    assert large.origins["sft.adapter.rank"] == "ours"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rank: !ours 256", "rank: 256", "sft.adapter.rank: say where this value comes from"),
        ("rank: !ours 256", "rank: !guess 256", "unknown tag !guess"),
        ("rank: !ours 256", "rank: !ours 0", "sft.adapter.rank"),
        ("rank: !ours 256", "rank: !ours 256, dropout: !ours 0.1", "sft.adapter.dropout: unknown key"),
        ("  revision: !ours 9216db5781bf21249d130ec9da846c4624c16137\n", "", "needs a revision"),
        ("decay_ratio: !ours 0.2", "decay_ratio: !ours 0.99", "together exceed 1"),
        ("\nsft:\n", "\nsft:\n  compiled: !ours true\n", "compiled needs int8_base and adapter.dora"),
        ("\nsft:\n", "\nsft:\n  start_share: !ours 0.5\n", "start_share is the share of start_from"),
        ("kind: !card hub", "kind: !card clinic", "takes a count and no reference"),
        ("learning_rate: !ours 5.0e-6", "learning_rate: !ours 5", "sft.optimisation.learning_rate"),
        ("name: gazal-r1-32b", "name: [", "recipe.yaml"),
    ],
)
def test_a_malformed_recipe_is_refused_by_field(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(changed(tmp_path, old, new))
    assert message in str(caught.value)


def test_a_recipe_that_does_not_exist_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="does not exist"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize(("rank", "billions"), [(16, 0.134), (256, 2.147)])
def test_adapter_sizes_of_qwen3_32b(large: LoadedRecipe, rank: int, billions: float) -> None:
    plain = AdapterSettings(rank=rank, alpha=rank, dora=False, rank_stabilised=True)
    assert adapter_parameters(large.recipe.base.shape, plain) / 1e9 == pytest.approx(billions, abs=1e-3)
    magnitudes = adapter_parameters(large.recipe.base.shape, plain.model_copy(update={"dora": True}))
    assert magnitudes - adapter_parameters(large.recipe.base.shape, plain) == 64 * 71_680


def test_the_cache_of_qwen3_32b_is_256_kib_a_token(large: LoadedRecipe) -> None:
    assert cache_bytes_per_token(large.recipe.base.shape) == 256 * 1024


def test_sharding_divides_weights_and_optimiser(large: LoadedRecipe) -> None:
    one, four = (stages(large.recipe, count)[0].parts_gb for count in (1, 4))
    for part in ("base weights", "adapter and optimiser"):
        assert four[part] == pytest.approx(one[part] / 4)
    assert four["activations"] == one["activations"]


def test_activations_that_are_kept_and_a_base_in_integers_are_counted() -> None:
    recipe = load(DIRECTORY / "nano.yaml").recipe
    optimisation = recipe.sft.optimisation.model_copy(update={"gradient_checkpointing": True})
    sft = recipe.sft.model_copy(update={"int8_base": False, "optimisation": optimisation})
    frugal = recipe.model_copy(update={"sft": sft})
    kept, recomputed = (stages(each, 1)[0].parts_gb for each in (recipe, frugal))
    assert kept["base weights"] == pytest.approx(2.5 * recomputed["base weights"])
    assert kept["activations"] > 20 * recomputed["activations"]
    assert stages(recipe, 1)[0].total_gb > 12, "what a run of it was seen to take"


def test_what_cannot_fit_is_refused_with_what_would(large: LoadedRecipe) -> None:
    with pytest.raises(PlanError, match=r"needs 175 GB a device for grpo .* what fits: 2 x h200, 4 x h100"):
        check(large.recipe, "h200", 1)
    with pytest.raises(PlanError, match="unknown device 'abacus'; use one of: cpu"):
        check(large.recipe, "abacus", 1)


def test_the_command_shows_the_plan_or_the_reason() -> None:
    recipe = str(DIRECTORY / "gazal-r1-32b.yaml")
    shown = CliRunner().invoke(app, ["plan", recipe])
    assert shown.exit_code == 0
    assert re.search(r"all\s+│\s+40\.5\s+│\s+54\.0", shown.stdout)
    refused = CliRunner().invoke(app, ["plan", recipe, "--gpu", "h100", "--count", "1"])
    assert refused.exit_code == 1
    assert "what fits" in refused.output
