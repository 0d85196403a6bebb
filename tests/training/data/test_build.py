"""The whole build: what comes out, that it is always the same, and that a bad end leaves what was there."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.training.data.conftest import COMPLETION, question, recipe_with, words, words_as_tokens, write_lines
from training.clinic.knowledge import KnowledgeError
from training.data import __main__ as command
from training.data import build as build_module
from training.data import directory
from training.data.build import build, read_report
from training.data.rows import read_parquet
from training.data.sources import DataError

ROOT = Path(__file__).parents[3]


def jsonl(path: Path, **changes: Any) -> dict[str, Any]:
    return {"kind": "jsonl", "reference": str(path), "stages": ["grpo"], **changes}


def completed(number: int, **changes: Any) -> dict[str, Any]:
    asked = question(number)
    return {**asked, "completion": COMPLETION.format(label=asked["answer"]), **changes}


@pytest.fixture
def source(tmp_path: Path) -> dict[str, Any]:
    """Thirty questions with completions, for both stages."""
    path = write_lines(tmp_path / "questions.jsonl", [completed(number) for number in range(30)])
    return jsonl(path, stages=["sft", "grpo"])


def rows_in(output: Path) -> dict[str, list[str]]:
    return {path.stem: [row.id for row in read_parquet(path)] for path in sorted(output.glob("*.parquet"))}


def contents(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(output.iterdir())}


def test_the_clinic_becomes_four_files_and_two_reports(tmp_path: Path) -> None:
    report = build(
        recipe_with([{"kind": "clinic", "count": 60, "stages": ["sft", "grpo"]}]), tmp_path / "data", words_as_tokens
    )
    assert sorted(report.files) == [
        "grpo-development.parquet",
        "grpo-train.parquet",
        "sft-development.parquet",
        "sft-train.parquet",
    ]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == sorted(
        [*report.files, "report.html", "report.json"]
    )
    groups = {name: {row.group for row in read_parquet(tmp_path / "data" / name)} for name in report.files}
    train = groups["sft-train.parquet"] | groups["grpo-train.parquet"]
    assert not train & (groups["sft-development.parquet"] | groups["grpo-development.parquet"])
    assert report.files["sft-train.parquet"].rows + report.files["sft-development.parquet"].rows == 60
    assert read_report(tmp_path / "data") == report


def test_the_same_recipe_gives_the_same_bytes_in_every_process(tmp_path: Path, source: dict[str, Any]) -> None:
    script = (
        "import sys, json; from pathlib import Path;"
        "from tests.training.data.conftest import *; from training.data.build import build;"
        "build(recipe_with([json.loads(sys.argv[1])]), Path(sys.argv[2]), words_as_tokens)"
    )
    build(recipe_with([source]), tmp_path / "here", words_as_tokens)
    command = [sys.executable, "-c", script, json.dumps(source), str(tmp_path / "there")]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "7"})
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


def test_a_finished_build_is_not_repeated_and_a_damaged_one_is(tmp_path: Path, source: dict[str, Any]) -> None:
    recipe, output = recipe_with([source]), tmp_path / "data"
    first = build(recipe, output, words_as_tokens)
    before = {path.name: path.stat().st_mtime_ns for path in output.iterdir()}
    assert build(recipe, output, words_as_tokens) == first
    assert {path.name: path.stat().st_mtime_ns for path in output.iterdir()} == before
    (output / "sft-train.parquet").write_bytes(b"damaged")
    assert build(recipe, output, words_as_tokens) == first
    assert len(read_parquet(output / "sft-train.parquet")) == first.files["sft-train.parquet"].rows


def test_another_recipe_file_or_tokenizer_is_another_build(tmp_path: Path) -> None:
    source, output = write_lines(tmp_path / "x.jsonl", [question(number) for number in range(20)]), tmp_path / "data"
    hashes = [build(recipe_with([jsonl(source)]), output, words_as_tokens).plan_sha256]
    write_lines(source, [question(number) for number in range(21)])
    hashes.append(build(recipe_with([jsonl(source)]), output, words_as_tokens).plan_sha256)
    hashes.append(build(recipe_with([jsonl(source)]), output, len).plan_sha256)
    hashes.append(build(recipe_with([jsonl(source)], development_share=0.2), output, len).plan_sha256)
    assert len(set(hashes)) == 4
    assert sum(map(len, rows_in(output).values())) == 21


def test_every_rule_is_reported_with_what_it_left_out(tmp_path: Path, benchmark_directory: Path) -> None:
    assert benchmark_directory.is_dir()
    records = [completed(number) for number in range(30)]
    records += [
        completed(40, answer="Z"),
        completed(41, completion=None),
        completed(42, completion=COMPLETION.format(label="A").replace("</think>", "")),
        completed(43, completion=COMPLETION.format(label="B"), answer="A"),
        completed(905),
        {**completed(3), "id": "again"},
        {**completed(44), "id": "said"},
        {**completed(44, answer="A", completion=COMPLETION.format(label="A")), "id": "otherwise"},
        {**completed(45), "question": completed(45)["question"] + " many words" * 200},
        {**completed(46), "completion": COMPLETION.format(label="B").replace("It fits.", "It fits. " * 300)},
    ]
    source = jsonl(write_lines(tmp_path / "x.jsonl", records), stages=["sft", "grpo"])
    recipe = recipe_with([source], max_prompt_tokens=400, max_completion_tokens=400, require_benchmarks=True)
    report = build(recipe, tmp_path / "data", words_as_tokens)
    left_out = {
        rule: sorted((each.id, tuple(each.stages)) for each in report.removed if each.rule == rule)
        for rule in report.removed_by_rule()
    }
    both, sft = ("sft", "grpo"), ("sft",)
    assert left_out == {
        "unusable": [("q40", both)],
        "no completion": [("q41", sft)],
        "completion: reasoning not closed": [("q42", sft)],
        "completion: wrong answer": [("q43", sft)],
        "benchmark: 8-gram": [("q905", both)],
        "exact repeat": [("again", both)],
        "conflicting answers": [("otherwise", both), ("said", both)],
        "prompt too long": [("q45", both)],
        "completion too long": [("q46", sft)],
    }
    overlap = next(each for each in report.removed if each.id == "q905")
    assert overlap.against == "exam_test/q905"
    assert report.sources[0].loaded == 40
    assert report.sources[0].kept == {"sft": 30, "grpo": 34}
    page = (tmp_path / "data" / "report.html").read_text()
    assert all(rule in page for rule in left_out)
    assert "<svg" in page
    assert not re.search(r"""(?:src|href)\s*=\s*["']https?:""", page)


def test_a_row_takes_over_the_stage_of_the_repeat_it_replaces(tmp_path: Path) -> None:
    written = write_lines(tmp_path / "written.jsonl", [completed(number) for number in range(10)])
    asked = write_lines(tmp_path / "asked.jsonl", [question(number) for number in range(12)])
    sources = [jsonl(asked), jsonl(written, stages=["sft"])]
    report = build(recipe_with(sources, development_share=0), tmp_path / "data", words_as_tokens)
    assert len(rows_in(tmp_path / "data")["sft-train"]) == 10
    assert len(rows_in(tmp_path / "data")["grpo-train"]) == 12
    assert report.removed_by_rule() == {"exact repeat": {"asked": 10}}


def test_a_source_that_is_the_test_set_is_refused_by_name(
    tmp_path: Path, benchmark_directory: Path, source: dict[str, Any]
) -> None:
    sources = [source, jsonl(benchmark_directory / "exam_test.jsonl.gz")]
    with pytest.raises(DataError, match=r"source exam_test: 20 of its 20 rows \(100%\) overlap .*remove this source"):
        build(recipe_with(sources, require_benchmarks=True), tmp_path / "data", words_as_tokens)
    assert not (tmp_path / "data").exists()


def test_without_a_benchmark_to_compare_with_a_build_is_refused(tmp_path: Path, source: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"set GAZAL_DATA_DIR .* or set data.require_benchmarks to false"):
        build(recipe_with([source], require_benchmarks=True), tmp_path / "data", words_as_tokens)


def test_benchmarks_of_the_recipe_are_enough(tmp_path: Path, source: dict[str, Any]) -> None:
    own = write_lines(tmp_path / "own.jsonl", [question(1)])
    recipe = recipe_with([source], require_benchmarks=True, benchmarks=[str(own)])
    report = build(recipe, tmp_path / "data", words_as_tokens)
    assert [(each.file, each.questions) for each in report.benchmarks] == [
        ("clinic.jsonl", 64),
        ("fresh.jsonl", 249),
        ("trust.jsonl", 240),
        ("own.jsonl", 1),
    ]


def test_a_source_without_anything_for_its_stage_is_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [question(1), question(2)])
    with pytest.raises(DataError, match=r"source x has no row for sft \(no completion\); give them completions with"):
        build(recipe_with([jsonl(path, stages=["sft"])]), tmp_path / "data", words_as_tokens)
    cases = [{"case": words(1, 20), "completion": COMPLETION.format(label="A")}]
    source = jsonl(write_lines(tmp_path / "open.jsonl", cases), mode="diagnosis")
    with pytest.raises(DataError, match=r"source open has no row for grpo \(no key\)"):
        build(recipe_with([source]), tmp_path / "data", words_as_tokens)
    with pytest.raises(DataError, match=r"no row for grpo is short enough; raise data\.max_prompt"):
        build(recipe_with([jsonl(path)], max_prompt_tokens=5), tmp_path / "data", words_as_tokens)
    written = write_lines(tmp_path / "written.jsonl", [completed(1), completed(2)])
    with pytest.raises(DataError, match="no row for sft is short enough"):
        recipe = recipe_with([jsonl(written, stages=["sft", "grpo"])], max_completion_tokens=5)
        build(recipe, tmp_path / "data", words_as_tokens)


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path, source: dict[str, Any]) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(DataError, match="holds something else than training data; give an empty or new directory"):
        build(recipe_with([source]), tmp_path, words_as_tokens)
    assert (tmp_path / "thesis.txt").read_text() == "x"


def test_too_little_disk_stops_before_writing_and_keeps_the_last_build(
    tmp_path: Path, source: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out" / "data"
    build(recipe_with([source]), output, words_as_tokens)
    before = contents(output)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100 << 20, 97 << 20, 3 << 20))  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="has 3 MB free and up to 16 MB are needed; free some or give --output"):
        build(recipe_with([source], development_share=0.3), output, words_as_tokens)
    assert contents(output) == before
    assert sorted(path.name for path in output.parent.iterdir()) == [".data.lock", "data"]


def test_a_failed_rebuild_keeps_the_last_build(tmp_path: Path) -> None:
    path, output = write_lines(tmp_path / "x.jsonl", [question(number) for number in range(9)]), tmp_path / "data"
    build(recipe_with([jsonl(path)]), output, words_as_tokens)
    before = contents(output)
    path.write_text("{broken")
    with pytest.raises(DataError, match="line 1: not JSON"):
        build(recipe_with([jsonl(path)]), output, words_as_tokens)
    assert contents(output) == before


def test_two_builds_of_one_directory_do_not_mix(tmp_path: Path, source: dict[str, Any]) -> None:
    output = tmp_path / "data"
    with build_module.locked(output), pytest.raises(DataError, match="another run is building"):
        build(recipe_with([source]), output, words_as_tokens)


def test_progress_is_shown_on_a_console(tmp_path: Path, source: dict[str, Any]) -> None:
    console = Console(record=True, width=120, file=(tmp_path / "terminal").open("w"))
    build(recipe_with([source]), tmp_path / "data", words_as_tokens, console=console)
    shown = console.export_text()
    assert all(step in shown for step in ("load sources", "decontaminate", "remove repeats", "count tokens"))


def killed_at(moment: str, action: Callable[[], object]) -> None:
    """Run `action` in a child that SIGKILLs itself at `moment`."""

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        rename = Path.rename
        if moment == "between the renames":
            Path.rename = lambda self, target: (rename(self, target), die())  # type: ignore[assignment, return-value]
        else:
            places = {
                "writing rows": (build_module, "write_parquet"),
                "writing the report": (build_module, "write_html"),
                "flushing": (directory, "_flush"),
            }
            setattr(*places[moment], die)
        action()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize(
    "moment",
    [
        "writing rows",
        pytest.param("writing the report", marks=pytest.mark.slow),
        pytest.param("flushing", marks=pytest.mark.slow),
        "between the renames",
    ],
)
def test_a_killed_rebuild_loses_nothing_and_the_next_one_finishes(
    tmp_path: Path, source: dict[str, Any], moment: str
) -> None:
    output = tmp_path / "out" / "data"
    build(recipe_with([source]), output, words_as_tokens)
    before = contents(output)
    killed_at(moment, lambda: build(recipe_with([source], development_share=0.3), output, words_as_tokens))
    if moment != "between the renames":
        assert contents(output) == before
    build(recipe_with([source]), output, words_as_tokens)  # the last good state came back and is known
    assert contents(output) == before
    build(recipe_with([source], development_share=0.3), output, words_as_tokens)
    assert contents(output) != before
    assert sorted(path.name for path in output.parent.iterdir()) == [".data.lock", "data"]


@pytest.mark.slow
def test_killed_at_random_moments_there_is_nothing_or_a_whole_build(tmp_path: Path, source: dict[str, Any]) -> None:
    recipe = recipe_with([source])
    build(recipe, tmp_path / "whole", words_as_tokens)
    whole = contents(tmp_path / "whole")
    for round_number in range(10):
        output = tmp_path / f"data-{round_number}"
        child = os.fork()
        if child == 0:
            build(recipe, output, words_as_tokens)
            os._exit(0)
        time.sleep(0.06 * round_number)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert not output.exists() or contents(output) == whole
        build(recipe, output, words_as_tokens)
        assert contents(output) == whole


def test_the_command_builds_shows_and_fails_with_one_sentence(tmp_path: Path) -> None:
    recipe = (ROOT / "training/recipes/qwen3-0.6b.yaml").read_text().replace("Qwen/Qwen3-0.6B", "missing-model")
    recipe = re.sub(r"  revision: .*\n", "", recipe, count=1)
    sources = "  sources:\n    - {kind: !ours clinic, count: !ours 30, stages: [!ours sft]}\n"
    (tmp_path / "r.yaml").write_text(re.sub(r"  sources:\n(?:    .*\n)+", sources, recipe))
    command = [sys.executable, "-m", "training", "data", "build", str(tmp_path / "r.yaml"), "--output"]
    environment = {key: value for key, value in os.environ.items() if key != "GAZAL_DATA_DIR"}

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, str(tmp_path / "out"), *options],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment,
            check=False,
        )

    planned = run("--dry-run")
    assert planned.returncode == 0
    assert "clinic" in planned.stdout
    assert not (tmp_path / "out").exists()
    failed = run("--without-benchmarks")
    assert failed.returncode == 1
    assert failed.stdout.startswith("error: ")
    assert "missing-model" in failed.stdout
    assert failed.stderr == ""
    assert json.dumps("Traceback") not in failed.stdout


def test_a_fault_in_the_clinic_s_files_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def malformed(clinic: object) -> None:
        raise KnowledgeError("headache.yaml, entry 3: a mark is not closed")

    monkeypatch.setattr("training.clinic.vignettes.load", malformed)
    monkeypatch.setattr(command, "_tokenizer", lambda recipe: words_as_tokens)
    written = (ROOT / "training/recipes/nano.yaml").read_text()
    sources = "  sources:\n    - {kind: !ours vignettes, stages: [!ours sft]}\n"
    (tmp_path / "r.yaml").write_text(re.sub(r"  sources:\n(?:    .*\n)+", sources, written))
    words = ["build", str(tmp_path / "r.yaml"), "--output", str(tmp_path / "out"), "--without-benchmarks"]
    failed = CliRunner().invoke(command.app, words)
    assert failed.exit_code == 1
    assert failed.output.endswith("\nerror: headache.yaml, entry 3: a mark is not closed\n")
