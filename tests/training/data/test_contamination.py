"""Benchmark questions are found in training data, and questions that only sound like exams are not."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.training.data.conftest import question, words, write_lines
from training.data.contamination import Benchmarks, Question, benchmark_files, options_alike, read_questions
from training.data.records import find_columns, row_from_record
from training.data.rows import Row
from training.data.sources import DataError, load_source, read_json_lines
from training.recipe import Columns, Source

CASE = (
    "A 54-year-old gardener presents with a three-day history of fever and a swollen red left calf after a scratch "
    "from a rose bush, and the skin is warm and tender up to the knee. Which of the following is the most appropriate "
    "next step in management?"
)
REWORDED = (
    "A 54-year-old man who works as a gardener has had fever for three days and a swollen, red calf on the left after "
    "a rose bush scratched him; its skin is warm and tender to the knee. What is the most appropriate next step in "
    "management?"
)
OPTIONS = {"A": "Oral flucloxacillin", "B": "Compression stockings", "C": "Venography", "D": "Allopurinol"}
EMBEDDED = Path(__file__).parents[3] / "eval" / "data"
OTHERS = {"A": "Ultrasound", "B": "Bed rest", "C": "Morphine", "D": "Warfarin"}


def benchmark(*records: dict[str, Any], folder: Path) -> Benchmarks:
    questions: list[Question] = read_questions(write_lines(folder / "exam_test.jsonl", list(records)))
    return Benchmarks(questions)


def row(record: dict[str, Any]) -> Row:
    source = Source(kind="jsonl", reference="x.jsonl", stages=["grpo"])
    return row_from_record(record, "line 1", find_columns([record], Columns()), source, "x")


def stem_of(record: dict[str, Any]) -> str:
    return "\n".join([*(record.get("context") or ()), *filter(None, [record.get("case")]), record["question"]])


def exam(text: str, options: dict[str, str], identity: str = "1") -> dict[str, Any]:
    return {"id": identity, "question": text, "options": options, "answer": "A"}


@pytest.mark.parametrize(
    ("text", "options", "rule"),
    [
        (CASE, OPTIONS, "8-gram"),
        (CASE, OTHERS, "8-gram"),
        (CASE.upper().replace(",", ";"), OTHERS, "8-gram"),
        ("In a clinic this happened. " + CASE + " Choose one.", OTHERS, "8-gram"),
        (REWORDED, OPTIONS, "question and options"),
        (REWORDED, OTHERS, None),
    ],
)
def test_each_rule_finds_its_kind_of_copy(tmp_path: Path, text: str, options: dict[str, str], rule: str | None) -> None:
    overlap = benchmark(exam(CASE, OPTIONS, "q7"), folder=tmp_path).overlap(row(exam(text, options)))
    assert (overlap and overlap.rule) == rule
    if overlap:
        assert overlap.against == "exam_test/q7"


def test_a_long_question_retold_word_by_word_is_found_whatever_its_options(tmp_path: Path) -> None:
    retold = " ".join(word if index % 7 else word + "s" for index, word in enumerate(CASE.split()))
    overlap = benchmark(exam(CASE, OPTIONS), folder=tmp_path).overlap(row(exam(retold, OTHERS)))
    assert overlap is not None
    assert overlap.rule == "question"


def test_a_short_question_is_judged_with_its_options(tmp_path: Path) -> None:
    asked = "Which of the following statements about trypsin is not true?"
    known = benchmark(exam(asked, OPTIONS), folder=tmp_path)
    alike = asked.replace("trypsin", "gastrin")
    assert known.overlap(row(exam(alike, OTHERS))) is None
    half = {"A": OPTIONS["A"], "B": OPTIONS["B"], "C": "Rest", "D": "Ice"}
    assert getattr(known.overlap(row(exam(alike, half))), "rule", None) == "question and options"


def test_the_same_short_question_is_found_unless_many_ask_it(tmp_path: Path) -> None:
    asked = "Which enzyme is deficient in Tay disease?"
    stock = [
        exam("Which of these statements is correct?", {"A": words(n, 3), "B": words(-n, 3)}, str(n))
        for n in range(1, 5)
    ]
    known = benchmark(exam(asked, OPTIONS), *stock, folder=tmp_path)
    assert getattr(known.overlap(row(exam(asked, OTHERS))), "rule", None) == "question"
    assert known.overlap(row(exam("Which of these statements is correct?", OTHERS))) is None
    assert known.overlap(row(exam("Beriberi is:", OTHERS))) is None


def test_a_short_question_without_options_must_be_the_same(tmp_path: Path) -> None:
    known = benchmark(exam("What causes beriberi in adults?", OPTIONS), folder=tmp_path)
    source = Source(kind="jsonl", reference="x.jsonl", mode="diagnosis", stages=["sft"])

    def open_row(text: str) -> Row:
        record = {"id": "1", "question": text, "completion": "<think>"}
        return row_from_record(record, "line 1", find_columns([record], Columns()), source, "x")

    assert getattr(known.overlap(open_row("What causes beriberi in adults")), "rule", None) == "question"
    assert known.overlap(open_row("What causes pellagra in adults?")) is None


def test_stock_phrases_of_exams_are_no_overlap(tmp_path: Path) -> None:
    stock = "Physical examination shows no abnormalities and which of the following is the most appropriate next step?"
    known = [{**question(number), "question": question(number)["question"] + stock} for number in range(8)]
    another = {**question(50), "question": question(50)["question"] + stock}
    assert benchmark(*known, folder=tmp_path).overlap(row(another)) is None
    assert benchmark(*known, folder=tmp_path).overlap(row(known[3])) is not None


def test_an_abstract_counts_with_its_question(tmp_path: Path) -> None:
    options = {"yes": "yes", "no": "no", "maybe": "maybe"}
    study = {"id": "1", "question": "Does it help?", "options": options, "answer": "yes", "context": [CASE]}
    other = {**study, "question": "Is it of use in gardeners?"}
    assert getattr(benchmark(study, folder=tmp_path).overlap(row(other)), "rule", None) == "8-gram"


def test_the_share_of_options_with_a_partner() -> None:
    assert options_alike(("oral flucloxacillin", "rest"), ("rest", "oral flucloxacilin", "ice")) == 1
    assert options_alike(("oral flucloxacillin", "rest"), ("rest", "ice")) == 0.5
    assert options_alike((), ("rest",)) == 0


def test_a_behaviour_item_counts_with_its_case(tmp_path: Path) -> None:
    item = exam("What is the most likely diagnosis?", OPTIONS) | {"case": CASE}
    found = benchmark(item, folder=tmp_path).overlap(row(exam(CASE, OTHERS)))
    assert found is not None
    assert found.rule == "8-gram"


def test_every_test_and_validation_file_counts_as_a_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a_test.dev70.jsonl.gz", "b_validation.jsonl", "c_test.jsonl", "d_train.jsonl.gz", "e_dev_train.jsonl"]
    for name in [*names, "manifest.json", "README.md"]:
        write_lines(tmp_path / name, [question(1)])
    monkeypatch.setenv("GAZAL_DATA_DIR", str(tmp_path))
    own = write_lines(tmp_path / "own.jsonl", [question(2)])
    assert [path.name for path in benchmark_files([str(own)])] == [
        "clinic.jsonl",
        "fresh.jsonl",
        "trust.jsonl",
        *names[:3],
        "own.jsonl",
    ]
    monkeypatch.setenv("GAZAL_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="no directory; correct it"):
        benchmark_files()


def test_a_malformed_benchmark_is_refused_rather_than_skipped(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2: needs id, question and options"):
        read_questions(write_lines(tmp_path / "x_test.jsonl", [question(1), {"id": "q2"}]))


@pytest.fixture(scope="module")
def real(data_dir: Path) -> tuple[list[Path], Benchmarks]:
    """All benchmark files that there are, and their questions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAZAL_DATA_DIR", str(data_dir))
        files = benchmark_files()
    return files, Benchmarks([each for path in files for each in read_questions(path)])


def test_the_real_benchmarks_are_all_read_and_find_themselves(real: tuple[list[Path], Benchmarks]) -> None:
    files, known = real
    kept_apart = 2  # our own held-out cases, which share phrases with training and are kept apart by construction
    assert len(files) == 6 + len(list(EMBEDDED.glob("*.jsonl"))) - kept_apart
    for path in files:
        rows = load_source(Source(kind="jsonl", reference=str(path), stages=["grpo"]), "x").rows[::20]
        found = [row for row in rows if known.overlap(row) is not None]
        assert len(found) == len(rows), path.name


@pytest.mark.parametrize("change", ["a tenth of the words dropped", "numbers and words edited", "every fifth replaced"])
def test_edited_benchmark_questions_are_still_found(real: tuple[list[Path], Benchmarks], change: str) -> None:
    chance = random.Random(1)
    edits = {
        "a tenth of the words dropped": lambda text: " ".join(w for w in text.split() if chance.random() > 0.1),
        "numbers and words edited": lambda text: re.sub(
            r"\b\d{1,3}\b", lambda number: str(int(number[0]) + 1), text.replace("man", "male")
        ),
        "every fifth replaced": lambda text: " ".join("x" if i % 5 == 4 else w for i, w in enumerate(text.split())),
    }
    files, known = real
    for path in files:
        records = [record for _, record in read_json_lines(path)][::15]
        stems = [edits[change](stem_of(each)) for each in records]
        rows = [
            SimpleNamespace(id="x", stem=stem, options=each["options"])
            for stem, each in zip(stems, records, strict=True)
        ]
        missed = [each for each in rows if known.overlap(each) is None]
        assert len(missed) <= 0.02 * len(rows), path.name


def test_generated_cases_do_not_overlap_and_are_compared_fast(
    real: tuple[list[Path], Benchmarks], clinic_rows: list[Row]
) -> None:
    known = real[1]
    quickest_s = float("inf")
    for _ in range(3):
        start = time.process_time()
        assert [row.id for row in clinic_rows if known.overlap(row)] == []
        quickest_s = min(quickest_s, time.process_time() - start)
    assert quickest_s < 0.6  # 30,000 in a minute
