"""The links between the stages: artifacts with manifests, verification that can fail, missing links that are said."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from gazal.artifact import ArtifactError, load_manifest
from gazal.artifact import verify as verify_artifact
from gazal.models import resolve
from training import held_out
from training.adapter import store
from training.assemble import merge_stage
from training.chain import Chain
from training.runs import START_KEY, RunDirectory, RunError, recipe_sha256, write_json
from training.ship import ship
from training.tokens import encode_prompt
from training.verify import VerificationError, verify

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def trained(small: Any, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run whose stage 1 is trained and not yet merged."""
    from training.sft import train

    run = RunDirectory(tmp_path_factory.mktemp("chain"))
    recipe = small.recipe(data__max_completion_tokens=512)
    train(recipe, small.base, small.rows, [], run.stage("sft"))
    return run


@pytest.fixture(scope="module")
def merged(small: Any, trained: RunDirectory) -> RunDirectory:
    """The same run, merged."""
    recipe = small.recipe(data__max_completion_tokens=512)
    assert merge_stage(recipe, "sft", small.base.path, small.base.origin, "Apache-2.0", trained, small.rows)
    return trained


def prompts(small: Any) -> list[list[int]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(small.base.path)
    return [encode_prompt(tokenizer, row.prompt) for row in small.rows[:3]]


def test_the_merged_model_is_an_artifact_that_says_where_it_comes_from(small: Any, merged: RunDirectory) -> None:
    manifest = verify_artifact(merged.stage("sft").merged)
    (stage,) = manifest.stages
    assert (manifest.name, manifest.licence, stage.kind, stage.steps) == ("gazal-r1-tiny", "Apache-2.0", "sft", 6)
    assert stage.recipe_sha256 == recipe_sha256(small.recipe(data__max_completion_tokens=512))
    assert stage.metrics["verification/agreement"] >= 0.98
    assert stage.metrics["merge/relative_change"] > 0
    assert manifest.knows_grammar
    assert resolve(str(merged.stage("sft").merged)).manifest.digest == manifest.digest


def test_a_merged_stage_is_not_merged_again(small: Any, merged: RunDirectory) -> None:
    recipe = small.recipe(data__max_completion_tokens=512)
    assert merge_stage(recipe, "sft", small.base.path, small.base.origin, "Apache-2.0", merged, small.rows) is None


def test_the_adapter_that_a_stage_went_on_from_is_in_the_manifest(
    small: Any, trained: RunDirectory, tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path)
    shutil.copytree(trained.stage("sft").path, run.stage("sft").path, ignore=shutil.ignore_patterns("merged"))
    write_json(run.stage("sft").started_from, {"adapter": "earlier", "sha256": "d" * 64})
    recipe = small.recipe(data__max_completion_tokens=512)
    assert merge_stage(recipe, "sft", small.base.path, small.base.origin, "Apache-2.0", run, small.rows)
    assert verify_artifact(run.stage("sft").merged).stages[0].data_sha256 == {START_KEY: "d" * 64}


def test_stage_two_adds_its_stage_to_the_manifest(small: Any, merged: RunDirectory) -> None:
    from training.grpo import train

    recipe = small.recipe(grpo__optimisation__steps=1)
    train(recipe, merged.stage("sft").merged, small.rows, merged.stage("grpo"))
    assert merge_stage(recipe, "grpo", merged.stage("sft").merged, small.base.origin, "Apache-2.0", merged, small.rows)
    assert [stage.kind for stage in verify_artifact(merged.stage("grpo").merged).stages] == ["sft", "grpo"]


def test_what_is_shipped_becomes_the_runs_own_weights_again(
    small: Any, merged: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = SimpleNamespace(path=small.base.path.parent / "plain")
    monkeypatch.setattr("training.ship.resolve", lambda reference: {"nano-base": plain}[reference])
    target = tmp_path / "shipped"
    target.mkdir()
    (target / "MODEL_CARD.md").write_text("kept")
    merged.report.write_text("how it was trained")
    merged.recipe.write_text("with what")
    manifest = ship(merged.path, target)
    assert load_manifest(target) == manifest == load_manifest(newest_merged(merged))
    assert {path.name for path in target.rglob("*.safetensors")} == {"adapter_model.safetensors"}
    settings = (target / "stage-1" / "adapter_config.json").read_text()
    assert str(small.base.path) not in settings
    assert '"a test"' in settings
    assert (target / "MODEL_CARD.md").read_text() == "kept"
    assert (target / "training-report.html").read_text() == "how it was trained"
    assert (target / "training-recipe.json").read_text() == "with what"


def newest_merged(run: RunDirectory) -> Path:
    return next(path for kind in ("grpo", "sft") if (path := run.stage(kind).merged).is_dir())


def test_other_weights_are_not_shipped(
    small: Any, merged: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = shutil.copytree(small.base.path.parent / "plain", tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in weights.items()}, other / "model.safetensors", {"format": "pt"})
    monkeypatch.setattr("training.ship.resolve", lambda _: SimpleNamespace(path=other))
    with pytest.raises(ArtifactError, match=r"model.safetensors of the merged gazal-r1-tiny is not what"):
        ship(merged.path, tmp_path / "shipped")
    assert not (tmp_path / "shipped").exists()
    with pytest.raises(RunError, match="has no merged stage"):
        ship(tmp_path, tmp_path / "shipped")


def test_a_finished_adapter_is_kept_in_the_precision_of_its_base(merged: RunDirectory, tmp_path: Path) -> None:
    adapter = shutil.copytree(merged.stage("sft").adapter, tmp_path / "adapter")
    store(adapter, "bfloat16")
    types = {name: tensor.dtype for name, tensor in load_file(adapter / "adapter_model.safetensors").items()}
    assert {kind for name, kind in types.items() if "magnitude" in name} == {torch.float32}
    assert {kind for name, kind in types.items() if "magnitude" not in name} == {torch.bfloat16}


def test_another_models_adapter_fails_the_verification(small: Any, merged: RunDirectory, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(merged.stage("sft").adapter, adapter)
    torch.manual_seed(5)
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file(
        {name: tensor + 5.0 * torch.randn_like(tensor) for name, tensor in weights.items()},
        adapter / "adapter_model.safetensors",
    )
    with pytest.raises(VerificationError, match=r"agrees with the adapter on .* is the adapter that of this base"):
        verify(small.base.path, adapter, merged.stage("sft").merged, prompts(small))


def test_the_right_adapter_agrees_to_the_last_digit_that_matters(small: Any, merged: RunDirectory) -> None:
    found = verify(small.base.path, merged.stage("sft").adapter, merged.stage("sft").merged, prompts(small))
    assert found.agreement == 1.0
    assert found.largest_logit_difference < 1e-3
    assert found.tokens == 3 * 48


def test_held_out_questions_are_answered_greedily_and_as_the_policy_samples(small: Any, merged: RunDirectory) -> None:
    settings = {"questions": 3, "batch": 3, "sampled_at": 0.9}
    chain = Chain(small.recipe(data__max_completion_tokens=24, held_out=settings), merged)
    stage = merged.stage("sft")
    chain.held_out("sft")
    greedy, sampled = held_out.load(stage.held_out), held_out.load(stage.held_out_sampled)
    assert [each.example for each in greedy] == [each.example for each in sampled]
    assert [each.completion for each in greedy] != [each.completion for each in sampled]
    assert chain.comparison(sampled=True) is None
    before = stage.held_out_sampled.stat().st_mtime_ns
    chain.held_out("sft")
    assert stage.held_out_sampled.stat().st_mtime_ns == before


def test_links_that_lack_the_one_before_say_so(small: Any, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    (tmp_path / "base.json").write_text(
        json.dumps(
            {
                "path": str(small.base.path),
                "added_tokens": [],
                "origin": {"reference": "a test"},
                "licence": "Apache-2.0",
            }
        )
    )
    chain = Chain(small.recipe(), run)
    with pytest.raises(RunError, match="stage 2 starts from the merged stage-1 model"):
        chain.grpo()
    with pytest.raises(RunError, match="train sft before merging it"):
        chain.merge("sft")
    with pytest.raises(RunError, match="run `data build`"):
        chain.sft()


def test_a_base_that_is_gone_is_said(small: Any, tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text(
        json.dumps({"path": "/gone", "added_tokens": [], "origin": {"reference": "x"}, "licence": ""})
    )
    with pytest.raises(RunError, match="gone from"):
        Chain(small.recipe(), RunDirectory(tmp_path)).base()
