"""Sources load, or stop with a sentence that names the fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.training.data.conftest import question, write_lines
from tests.training.data.test_casimedicos import comment
from training.data.rows import Row
from training.data.sources import DataError, fingerprint, load_source, source_names
from training.recipe import Columns, Data, Source

COMMIT = "a" * 40


def jsonl(path: Path | str, **changes: Any) -> Source:
    return Source(kind="jsonl", reference=str(path), stages=["grpo"], **changes)


def test_names_are_made_from_references_and_told_apart() -> None:
    sources = [
        Source(kind="clinic", count=5, stages=["sft"]),
        Source(kind="clinic", count=5, stages=["grpo"]),
        Source(kind="clinic", count=5, stages=["grpo"], name="narrow"),
        jsonl("$GAZAL_DATA_DIR/headqa_en_train.jsonl.gz"),
        Source(kind="hub", reference="org/cases", stages=["sft"]),
    ]
    assert source_names(sources) == ["clinic", "clinic-2", "narrow", "headqa_en_train", "cases"]


def test_the_clinic_is_a_source_with_sound_completions(clinic_rows: list[Row]) -> None:
    loaded = load_source(Source(kind="clinic", count=40, seed=3, stages=["sft"]), "clinic")
    assert len(loaded.rows) == 40
    assert all(row.completion and row.licence and row.source == "clinic" for row in loaded.rows)
    assert loaded.rows != clinic_rows[:40]


def test_rows_that_cannot_be_used_are_counted_with_their_reason(tmp_path: Path) -> None:
    records = [question(1), question(2, answer="Z"), question(1), question(3)]
    loaded = load_source(jsonl(write_lines(tmp_path / "x.jsonl.gz", records)), "x")
    assert [row.id for row in loaded.rows] == ["q1", "q3"]
    assert [row_id for row_id, _ in loaded.unusable] == ["q2", "q1"]
    assert "labels A, B, C" in loaded.unusable[0][1]


def test_a_count_takes_the_first_usable_rows(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [question(1, answer="Z"), question(2), question(3), question(4)])
    assert [row.id for row in load_source(jsonl(path, count=2), "x").rows] == ["q2", "q3"]


def test_retellings_of_a_case_share_a_group(tmp_path: Path) -> None:
    records = [question(1), question(2, meta={"dup_group": "g"}), question(3, meta={"dup_group": "g"})]
    loaded = load_source(jsonl(write_lines(tmp_path / "x.jsonl", records)), "x")
    assert [row.group for row in loaded.rows] == ["x/q1", "x/g", "x/g"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": 1\n', "line 1: not JSON .*correct or remove the line"),
        ("[1]\n", "line 1: must be a JSON object"),
        ('{"text": "x"}\n', "source x: has neither a column 'question' nor 'case'"),
        ('{"question": "x", "options": {"A": "a", "B": "b"}, "answer": "Z"}\n', "none of its 1 rows can be used"),
        ("", "has neither a column"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        load_source(jsonl(path), "x")


def test_a_truncated_download_is_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl.gz", [question(number) for number in range(50)])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"x\.jsonl\.gz cannot be read .*copy it anew"):
        load_source(jsonl(path), "x")


def test_a_missing_file_or_directory_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"nowhere\.jsonl does not exist; correct the reference"):
        load_source(jsonl(tmp_path / "nowhere.jsonl"), "x")
    with pytest.raises(DataError, match="set GAZAL_DATA_DIR"):
        load_source(jsonl("$GAZAL_DATA_DIR/x.jsonl"), "x")
    write_lines(tmp_path / "x.jsonl", [question(1)])
    monkeypatch.setenv("GAZAL_DATA_DIR", str(tmp_path))
    assert len(load_source(jsonl("$GAZAL_DATA_DIR/x.jsonl"), "x").rows) == 1


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache as `hf download` leaves it, with one data set, and no network."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    snapshot = cache / "datasets--org--cases" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(COMMIT)
    record = {"case": "A man has chest pain.", "reasoning": "Step 1: pain.", "answer": "**Primary Diagnosis**: x"}
    (snapshot / "train.json").write_text(json.dumps(record) + "\n")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    return cache


def hub(**changes: Any) -> Source:
    columns = changes.pop("columns", Columns(response="answer"))
    fields = {"kind": "hub", "reference": "org/cases", "mode": "diagnosis", "stages": ["sft"], **changes}
    return Source(columns=columns, **fields)


@pytest.mark.usefixtures("hub_cache")
def test_a_hub_data_set_is_read_at_its_commit_from_the_cache() -> None:
    loaded = load_source(hub(), "cases")
    assert loaded.commit == COMMIT
    assert [row.mode for row in loaded.rows] == ["diagnosis"]
    with pytest.raises(DataError, match=r"source cases: has no column 'vignette' .*it has: answer, case, reasoning"):
        load_source(hub(columns=Columns(case="vignette")), "cases")
    with pytest.raises(DataError, match=r'Unknown split "test".*correct split or config'):
        load_source(hub(split="test"), "cases")


@pytest.mark.usefixtures("hub_cache")
def test_a_build_insists_on_the_commit_it_noted() -> None:
    with pytest.raises(DataError, match="hub cannot be reached"):
        load_source(hub(), "cases", noted_commit="b" * 40)


@pytest.mark.usefixtures("hub_cache")
def test_an_unreachable_hub_is_one_sentence_with_the_ways_out() -> None:
    with pytest.raises(DataError, match=r"org/other is not in the local cache .*HF_HUB_OFFLINE and HF_ENDPOINT.*jsonl"):
        load_source(hub(reference="org/other"), "other")
    with pytest.raises(DataError, match="cannot be a data set on the hub"):
        load_source(hub(reference="org//cases"), "cases")


def test_explanations_become_completions_and_the_rest_is_counted(tmp_path: Path) -> None:
    records = [comment(), comment(id="made-up-2", rationale="Too short to say anything.")]
    path = write_lines(tmp_path / "casimedicos.jsonl.gz", records)
    loaded = load_source(jsonl(path, rewrite="casimedicos"), "casimedicos")
    assert [(row.id, row.mode, row.answer) for row in loaded.rows] == [("made-up-1", "mcq", "C")]
    assert str(loaded.rows[0].completion).endswith("Final answer: \\boxed{C}")
    assert loaded.unusable == [("made-up-2", "not rewritten: explanation of fewer than 40 words")]


def test_a_file_without_one_explanation_is_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [comment(rationale="")])
    with pytest.raises(DataError, match="none of its 1 rows has a completion, the first not rewritten: explanation of"):
        load_source(jsonl(path, rewrite="casimedicos"), "x")


def test_a_rewritten_source_changes_with_its_rewriter(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [comment()])
    assert fingerprint(jsonl(path)) != fingerprint(jsonl(path, rewrite="casimedicos"))


@pytest.mark.parametrize("settings", [{"kind": "clinic", "count": 5}, {"kind": "examples", "stages": ["sft"]}])
def test_what_has_completions_takes_no_rewriting(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="has its own completions"):
        Source.model_validate({**settings, "rewrite": "casimedicos"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": "compact"}, "`nearly_wide` is for a clinic source of length brief"),
        ({"kind": "sheets"}, "`nearly_wide` is for a clinic source of length brief"),
        ({"stages": ["sft", "grpo"]}, "disputed answers are to imitate"),
    ],
)
def test_disputed_answers_are_for_brief_trials_in_stage_one(changes: dict[str, object], message: str) -> None:
    settings = {"kind": "clinic", "count": 5, "length": "brief", "stages": ["sft"], "nearly_wide": "disputed"}
    assert Source.model_validate(settings).nearly_wide == "disputed"
    with pytest.raises(ValidationError, match=message):
        Source.model_validate({**settings, **changes})


@pytest.mark.parametrize("changes", [{"kind": "sheets"}, {"length": "brief"}])
def test_open_cases_are_for_the_clinic_where_it_has_some(changes: dict[str, object]) -> None:
    settings = {"kind": "clinic", "count": 5, "length": "compact", "stages": ["sft"], "undecided_share": 0.7}
    assert Source.model_validate(settings).undecided_share == 0.7
    with pytest.raises(ValidationError, match="brief cases are never open"):
        Source.model_validate({**settings, **changes})


def test_an_emphasis_is_for_what_is_generated_and_names_conditions_that_training_may_know() -> None:
    settings = {"kind": "sheets", "count": 2, "stages": ["sft"], "emphasis": ["croup"]}
    assert len(load_source(Source.model_validate(settings), "sheets").rows) == 2
    with pytest.raises(DataError, match="source sheets: emphasis: 'group' is no condition that training may know"):
        load_source(Source.model_validate({**settings, "emphasis": ["group"]}), "sheets")
    with pytest.raises(ValidationError, match="`facts_share` is for sheets"):
        Source.model_validate({"kind": "examples", "stages": ["sft"], "facts_share": 0.1})
    with pytest.raises(ValidationError, match="`emphasis` is for clinic and sheets"):
        Source.model_validate({**settings, "kind": "vignettes", "count": None})


def test_held_out_questions_are_from_the_clinic_that_stage_two_learns_from() -> None:
    first, second = Source(kind="clinic", count=5, stages=["sft"]), Source(kind="clinic", count=5, stages=["grpo"])
    limits = {"development_share": 0.1, "max_prompt_tokens": 9, "max_completion_tokens": 9}
    data = Data.model_validate({"sources": [first, second], **limits})
    assert (data.clinic, data.held_out_clinic) == (first, second)
    assert Data.model_validate({"sources": [first], **limits}).held_out_clinic == first
