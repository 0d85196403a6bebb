"""Abstaining by agreement: levels and threshold by hand, the file the server reads, and what may not be fitted to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.calibrate import calibrate, is_benchmark
from eval.graded import Answered
from eval.grading import Grade
from eval.questions import find, load, sha256_of
from eval.report import write_report
from eval.results import load_results
from eval.runner import PLAN_NAME, Plan, RunError, stored_question
from eval.selective import levels, threshold
from eval.stats import wilson
from eval.store import FILE_NAME, Key, Reply, Store
from server.agreement import load_calibration
from tests.eval.conftest import run_eval

DIGEST = "d" * 64


def item(number: int, said: str) -> Answered:
    """A question whose right answer is A and whose samples said these letters; "-" is unreadable."""
    question = stored_question("t", number, load(find("clinic"))[number])
    question = type(question)(**(vars(question) | {"answer": "A"}))
    grades = tuple(
        Grade(None if letter == "-" else letter, "no_answer" if letter == "-" else None, None, letter == "A", None)
        for letter in said
    )
    return Answered(question, tuple(Reply("ok") for _ in said), grades)


def test_levels_by_hand() -> None:
    votes = ["AAA", "AAA", "BBB", "AAB", "BB-", "AB-", "---", "AA-"]
    found = {level.agreeing: level for level in levels([item(n, said) for n, said in enumerate(votes)])}
    assert list(found) == [3, 2, 1, 0]
    assert [level.questions for level in found.values()] == [3, 3, 1, 1]
    assert [level.accuracy for level in found.values()] == pytest.approx([2 / 3, 2 / 3, 0.5, 0])
    assert [level.coverage for level in found.values()] == [3 / 8, 6 / 8, 7 / 8, 1]
    assert found[2].selective.value == 4 / 6
    assert found[3].selective.interval == wilson(2, 3)


def test_the_threshold_is_the_lowest_level_whose_bound_reaches_the_target() -> None:
    votes = ["AAA"] * 40 + ["AAB"] * 10 + ["BBA"] * 10
    found = levels([item(n, said) for n, said in enumerate(votes)])
    assert threshold(found, 3, 0.7) == 2, "the bound of 50 of 60 is 71.7 %"
    assert threshold(found, 3, 0.9) == 3, "the bound of 40 of 40 is 91.2 %"
    assert threshold(found, 3, 0.95) == 4, "none: abstain always"


def run_of(directory: Path, data: Path, *, set_name: str = "development", **changes: Any) -> Path:
    """A run of four samples a question: the first 40 questions agree in all, the others in three."""
    directory.mkdir()
    path = find(set_name)
    plan = Plan.model_validate(
        {
            "base_url": "http://h/v1", "model": "nano", "artifact": DIGEST, "tasks": ["gazal_development"],
            "limit": None, "seed": 0, "repeats": 4, "data_sha256": {set_name: sha256_of(path)},
            "prompt_templates_sha256": "t" * 64,
        } | changes
    )  # fmt: skip
    (directory / PLAN_NAME).write_text(plan.model_dump_json())
    store = Store(directory / FILE_NAME)
    store.begin_session(0.0, {})
    for number, question in enumerate(load(data)):
        right, wrong = question.answer, next(x for x in question.prompt.choices if x != question.answer)
        said = [right] * 4 if number < 40 else [right] * 3 + [wrong]
        store.add_questions([stored_question("gazal_development", number, question)])
        for repeat, letter in enumerate(said[: plan.repeats]):
            key = Key(plan.artifact, "gazal_development", question.row_sha256, question.prompt.sha256, "{}", repeat)
            store.add(key, Reply("ok", f"Final answer: \\boxed{{{letter}}}", finish_reason="stop"))
    store.end_session(1, 1.0)
    store.close()
    return directory


@pytest.fixture
def development(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """60 questions that are in no benchmark."""
    monkeypatch.setenv("GAZAL_DATA_DIR", str(tmp_path))
    rows = [
        {"id": f"d{n}", "question": f"Which number follows {n} here?", "answer": "AB"[n % 2],
         "options": {"A": f"{n + 1}", "B": f"{n + 2}"}}
        for n in range(60)
    ]  # fmt: skip
    path = tmp_path / "development.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_file_that_is_written_is_the_one_the_server_reads(tmp_path: Path, development: Path) -> None:
    run, output = run_of(tmp_path / "run", development), tmp_path / "calibration.json"
    calibrate(run, output, 0.85)
    read = load_calibration(output)
    assert (read.artifact_digest, read.mode, read.samples, read.run) == (DIGEST, "mcq", 4, "run")
    assert [vars(each) for each in read.bins] == [
        {"agreeing": 4, "questions": 40, "accuracy": 1.0},
        {"agreeing": 3, "questions": 20, "accuracy": 1.0},
    ]
    assert read.abstain_below == 3
    assert read.development_data == {"development": sha256_of(development)}
    assert read.probability(DIGEST, "mcq", 4, 3) == 1.0
    assert read.probability(DIGEST, "mcq", 5, 3) is None


async def test_the_command_says_what_it_fitted(tmp_path: Path, development: Path) -> None:
    run, output = run_of(tmp_path / "run", development), tmp_path / "calibration.json"
    arguments = ("calibrate", str(run), "--output", str(output))
    status, out = await run_eval(*arguments, "--target-accuracy", "0.99", GAZAL_DATA_DIR=str(tmp_path))
    assert status == 0, out
    assert "no agreement reaches 99%" in out
    assert load_calibration(output).abstain_below == 5
    status, out = await run_eval("calibrate", str(tmp_path), "--output", str(output))
    assert status == 1
    assert "is no run" in out


@pytest.mark.parametrize(
    "name", ["medqa_usmle_test", "medmcqa_validation", "clinic", "trust", "gazal_medqa", "my_test"]
)
def test_a_benchmark_is_recognised(name: str) -> None:
    assert is_benchmark(name)
    assert not is_benchmark("development")


def test_a_benchmark_is_refused_by_its_name_and_by_its_questions(tmp_path: Path, development: Path) -> None:
    by_name = run_of(tmp_path / "a", find("clinic"), set_name="clinic")
    with pytest.raises(RunError, match="clinic: thresholds are never fitted to a benchmark; put development questions"):
        calibrate(by_name, tmp_path / "c.json", 0.8)
    development.write_text(find("clinic").read_text())
    renamed = run_of(tmp_path / "b", development)
    with pytest.raises(RunError, match="64 of these questions are in the benchmark clinic; leave them out"):
        calibrate(renamed, tmp_path / "c.json", 0.8)
    assert not (tmp_path / "c.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repeats": 1}, "has 1 samples a question; 2 to 8 are needed"),
        ({"repeats": 5}, "is not complete"),
        ({"artifact": "unverified:gpt"}, "the server stated no artifact digest"),
    ],
)
def test_a_run_that_cannot_be_used_is_a_sentence(
    tmp_path: Path, development: Path, changes: dict[str, Any], message: str
) -> None:
    run = run_of(tmp_path / "run", development, **changes)
    with pytest.raises(RunError, match=message):
        calibrate(run, tmp_path / "c.json", 0.8)


def test_the_report_shows_selective_accuracy_and_abstentions(tmp_path: Path, development: Path) -> None:
    run = run_of(tmp_path / "run", development)
    store = Store(run / FILE_NAME)
    key, reply = next(iter(store.replies().items()))
    words = "**Missing Information**: insufficient information"
    store.add(key, Reply(**(vars(reply) | {"content": words})))
    store.close()
    write_report(run, None, [], None)
    task = load_results(run).tasks["gazal_development"]
    assert task.abstentions == {"said": 1}
    assert task.calibration is not None
    assert [level.agreeing for level in task.calibration.levels] == [4, 3]
    for name in ("report.html", "report.md"):
        text = (run / name).read_text()
        assert "nswering only from an agreement up" in text
        assert f"Development split {100 / 240:.1f}" in text
