"""The clinic's held-out question sets: eval/data holds what the generator gives, and training never sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from eval.questions import load as load_questions
from eval.suites import SUITES, task_files
from training.__main__ import app
from training.clinic.exam import exam_rows
from training.clinic.generate import generate, held_out_conditions
from training.clinic.knowledge import Clinic, load
from training.data.contamination import benchmark_files

if TYPE_CHECKING:
    from training.clinic.generate import Split

DATA = Path(__file__).parents[2] / "eval" / "data"
SETS: tuple[tuple[str, Split, int], ...] = (("combinations", "combination", 500), ("conditions", "condition", 200))


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    return load()


def stored(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("name", "split", "count"), SETS)
def test_the_file_is_what_the_generator_gives(clinic: Clinic, name: str, split: Split, count: int) -> None:
    assert stored(name) == list(exam_rows(clinic, split, count, seed=6)), (
        f"make it anew: python -m training clinic questions --split {split} --count {count} --seed 6 "
        f"--output eval/data/{name}.jsonl"
    )


def test_no_combination_and_no_condition_that_is_tested_occurs_in_training(clinic: Clinic) -> None:
    train = list(generate(clinic, "train", 4000, seed=1))
    trained = {example.combination for example in train}
    assert not trained & {row["meta"]["combination"] for row in stored("combinations")}
    assert not {example.condition for example in train} & {row["meta"]["condition"] for row in stored("conditions")}
    assert {row["meta"]["condition"] for row in stored("conditions")} <= held_out_conditions(clinic)
    assert not held_out_conditions(clinic) & {row["meta"]["condition"] for row in stored("combinations")}


@pytest.mark.parametrize("name", ["combinations", "conditions", "fresh"])
def test_the_evaluation_reads_the_set_and_the_suite_asks_it(name: str) -> None:
    questions = load_questions(DATA / f"{name}.jsonl")
    assert len(questions) == len(stored(name))
    assert {question.prompt.mode for question in questions} == {"mcq"}
    assert {"condition", "topic"} <= set(questions[0].meta)
    assert f"gazal_{name}" in SUITES["clinic"].tasks
    assert task_files()[f"gazal_{name}"].set_name == name


@pytest.mark.parametrize("name", ["combinations", "conditions"])
def test_a_letter_is_right_no_more_often_than_its_share(name: str) -> None:
    rows = stored(name)
    for letter in "ABC":
        asked = [row for row in rows if letter in row["options"]]
        expected = sum(1 / len(row["options"]) for row in asked) / len(asked)
        assert abs(sum(row["answer"] == letter for row in asked) / len(asked) - expected) < 0.08, letter


def test_training_data_is_compared_with_the_fresh_set_but_not_with_the_clinics_own_cases() -> None:
    names = {path.name for path in benchmark_files()}
    assert {"clinic.jsonl", "fresh.jsonl"} <= names
    assert not {"combinations.jsonl", "conditions.jsonl"} & names


def test_the_command_writes_the_rows_and_refuses_an_unknown_split(tmp_path: Path) -> None:
    output = tmp_path / "questions.jsonl"
    arguments = ["clinic", "questions", "--split", "combination", "--count", "5", "--output", str(output)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()] == stored("combinations")[:5]
    assert CliRunner().invoke(app, [*arguments, "--split", "all"]).exit_code == 2
