"""`python -m eval run` through lm-eval against a server whose answers are planted: the figures equal the plan."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from eval.questions import find, load
from eval.recorder import seed_of
from eval.runner import subset
from eval.stats import wilson
from eval.suites import TASKS, task_files
from tests.eval.conftest import run_eval, serving
from tests.fakes.examinee import Behaviour, Examinee, answers_of, by_share

if TYPE_CHECKING:
    from pathlib import Path

PLANTED: dict[Behaviour, int] = {
    "right": 20,
    "right_in_content": 5,
    "wrong": 10,
    "two_letters": 2,
    "letter_out_of_range": 3,
    "no_answer": 4,
    "truncated_in_reasoning": 5,
    "truncated_after_answer": 3,
    "reasoning_only": 1,
    "null_content": 2,
    "refusal": 3,
    "error_always": 1,
    "error_once": 2,
    "cut_once": 1,
    "overloaded_once": 1,
    "context": 1,
}


@pytest.mark.slow
async def test_every_figure_equals_the_planted_one(tmp_path: Path) -> None:
    behaviours = [behaviour for behaviour, count in PLANTED.items() for _ in range(count)]
    questions = load(find("clinic"))
    assert len(behaviours) == len(questions) == 64
    script = {question.prompt.text: behaviour for question, behaviour in zip(questions, behaviours, strict=True)}
    examinee = Examinee(lambda prompt, _: script[prompt], answers_of("clinic"))
    async with serving(examinee) as url:
        status, out = await run_eval(
            "run", "--suite", "smoke", "--limit", "0", "--base-url", url, "--out", str(tmp_path), "--max-errors", "0.1"
        )
    assert status == 0, out
    task = json.loads((tmp_path / "results.json").read_text())["tasks"]["gazal_clinic"]
    right = 20 + 5 + 2 + 1 + 1  # as planted, or after one retry
    readable = right + 10
    assert task["strict"]["value"] == right / 64
    assert task["strict"]["interval"] == vars(wilson(right, 64))
    assert task["answered_only"]["value"] == right / readable
    assert task["best_case"]["value"] == (64 - 10) / 64
    assert task["failures"] == {
        "truncated": 5 + 3 + 1,
        "no_answer": 4,
        "ambiguous": 2,
        "out_of_range": 3,
        "empty": 2,
        "refusal": 3,
        "error": 2,
    }
    assert task["error_kinds"] == {"server_error": 1, "context_overflow": 1}
    assert task["methods"] == {"boxed": readable}
    assert task["answered_then_cut"] == 3
    assert task["content_only"] == (right + 3) / 64
    assert task["retries"] == 4 + 2 + 1 + 1
    assert task["chance"] == pytest.approx(sum(1 / len(q.prompt.choices) for q in questions) / 64)
    assert task["majority_label"] == max(Counter(q.answer for q in questions).values()) / 64
    assert (task["questions"], task["replies"], task["published_rows"]) == (64, 64, None)
    assert f"{100 * right / 64:.1f}" in out


@pytest.mark.slow
async def test_repeats_have_seeds_of_their_own_and_are_counted_by_question(tmp_path: Path) -> None:
    questions = load(find("clinic"))
    rows = subset(64, 12, 7)
    chosen = [questions[row] for row in rows]
    # Question i answers min(i, 4) of its 4 repeats right, then 4 again: agreement and accuracy are known.
    right_repeats = [min(number, 4) for number in range(12)]
    by_seed: dict[int, Behaviour] = {}
    for question, right in zip(chosen, right_repeats, strict=True):
        for repeat in range(4):
            seed = seed_of(7, "gazal_clinic", question.row_sha256, repeat)
            by_seed[seed] = "right" if repeat < right else "no_answer"
    examinee = Examinee(lambda _, seed: by_seed[seed], answers_of("clinic"))
    async with serving(examinee) as url:
        status, out = await run_eval(
            "run", "--tasks", "gazal_clinic", "--limit", "12", "--seed", "7", "--repeats", "4", "--base-url", url,
            "--max-tokens", "77", "--temperature", "0.5", "--out", str(tmp_path),
        )  # fmt: skip
    assert status == 0, out
    assert sorted(body["seed"] for body in examinee.asked) == sorted(by_seed)
    for body in examinee.asked:
        assert (body["max_tokens"], body["temperature"], body["top_p"], body["top_k"]) == (77, 0.5, 0.95, 20)
        assert "stop" not in body
        assert len(body["messages"]) == 1
    task = json.loads((tmp_path / "results.json").read_text())["tasks"]["gazal_clinic"]
    assert task["strict"]["value"] == sum(right_repeats) / 48
    assert task["strict"]["clusters"] == 12
    assert task["majority_vote"]["value"] == 11 / 12
    coverage = [tuple(point) for point in task["calibration"]["coverage"]]
    assert coverage[0] == (8 / 12, 1.0)
    assert coverage[-1] == (1.0, pytest.approx(11 / 12))
    scores = {item["id"]: item["scores"] for item in task["items"].values()}
    assert scores == {
        question.id: [float(repeat < right) for repeat in range(4)]
        for question, right in zip(chosen, right_repeats, strict=True)
    }


@pytest.mark.slow
async def test_the_same_command_asks_nothing_twice(tmp_path: Path) -> None:
    examinee = Examinee(by_share(0.5), answers_of("clinic"))
    async with serving(examinee) as url:
        arguments = ("run", "--suite", "smoke", "--base-url", url, "--out", str(tmp_path / "run"))
        first = await run_eval(*arguments)
        again = await run_eval(*arguments)
    assert first[0] == again[0] == 0, first[1] + again[1]
    assert len(examinee.asked) == 16
    assert [line for line in first[1].splitlines() if "gazal" in line] == [
        line for line in again[1].splitlines() if "gazal" in line
    ]


@pytest.mark.slow
async def test_failed_requests_are_asked_again_by_the_next_command_and_good_ones_not(tmp_path: Path) -> None:
    answers = answers_of("clinic")
    sick = set(list(answers)[:3])
    down = True
    examinee = Examinee(lambda prompt, _: "error_always" if down and prompt in sick else "right", answers)
    arguments = ("run", "--suite", "smoke", "--limit", "0", "--out", str(tmp_path))
    async with serving(examinee) as url:
        status, out = await run_eval(*arguments, "--base-url", url)
        assert status == 1, out
        assert re.search(r"([23]) requests failed for good, 1 may \(\1 server_error\)", out), out
        assert "run the same command again" in out
        down = False
        before = len(examinee.asked)
        status, out = await run_eval(*arguments, "--base-url", url)
    assert status == 0, out
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["complete"]
    assert results["tasks"]["gazal_clinic"]["strict"]["value"] == 1
    prompts = Counter(body["messages"][0]["content"] for body in examinee.asked[before:])
    assert set(prompts.values()) == {1}
    assert len(prompts) < 64


@pytest.mark.slow
async def test_another_plan_is_not_mixed_into_a_run(tmp_path: Path) -> None:
    examinee = Examinee(by_share(0.5), answers_of("clinic"))
    async with serving(examinee) as url:
        arguments = ("run", "--suite", "smoke", "--base-url", url, "--out", str(tmp_path))
        assert (await run_eval(*arguments))[0] == 0
        status, out = await run_eval(*arguments, "--temperature", "0")
    assert status == 1
    assert "holds a run with another generation; choose another --out" in out


@pytest.mark.slow
async def test_a_server_without_streaming_is_asked_without(tmp_path: Path) -> None:
    examinee = Examinee(by_share(1.0), answers_of("clinic"), streams=False, digest=None)
    async with serving(examinee) as url:
        status, out = await run_eval("run", "--suite", "smoke", "--base-url", url, "--out", str(tmp_path))
    assert status == 0, out
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["tasks"]["gazal_clinic"]["strict"]["value"] == 1
    assert results["tasks"]["gazal_clinic"]["efficiency"]["first_token_s"] is None
    assert results["artifact"] == "unverified:examinee"
    assert not any(body.get("stream") for body in examinee.asked)


@pytest.mark.slow
async def test_a_server_that_knows_the_newer_name_of_the_token_limit(tmp_path: Path) -> None:
    examinee = Examinee(by_share(1.0), answers_of("clinic"), unknown_field="max_tokens")
    async with serving(examinee) as url:
        status, out = await run_eval("run", "--suite", "smoke", "--base-url", url, "--out", str(tmp_path))
    assert status == 0, out
    assert {body.get("max_completion_tokens") for body in examinee.asked} == {4096}


@pytest.mark.slow
async def test_a_limit_of_the_server_is_found_and_kept(tmp_path: Path) -> None:
    examinee = Examinee(by_share(1.0), answers_of("clinic"), token_delay_s=0.003, max_in_flight=3)
    async with serving(examinee) as url:
        status, out = await run_eval(
            "run", "--suite", "smoke", "--limit", "0", "--base-url", url, "--out", str(tmp_path), "--concurrency", "8"
        )
    assert status == 0, out
    assert examinee.most_in_flight <= 3
    assert json.loads((tmp_path / "results.json").read_text())["tasks"]["gazal_clinic"]["failures"]["error"] == 0


@pytest.mark.slow
async def test_the_api_key_is_sent_and_never_stored(tmp_path: Path) -> None:
    key = "sk-very-secret-0123456789"
    examinee = Examinee(by_share(1.0), answers_of("clinic"), api_key=key)
    async with serving(examinee) as url:
        with_user = url.replace("http://", "http://user:hunter2@")
        status, out = await run_eval(
            "run", "--suite", "smoke", "--base-url", url, "--out", str(tmp_path), OPENAI_API_KEY=key
        )
        assert status == 0, out
        await run_eval("run", "--suite", "smoke", "--base-url", with_user, "--out", str(tmp_path), OPENAI_API_KEY=key)
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert key.encode() not in content, path
        assert b"hunter2" not in content, path


def test_a_limit_draws_a_seeded_subset() -> None:
    assert subset(64, 10, 1) == subset(64, 10, 1)
    assert subset(64, 10, 1) != subset(64, 10, 2)
    assert subset(64, 1000, 1) == subset(64, None, 1) == list(range(64))


async def test_tasks_are_listed_with_what_is_missing(tmp_path: Path) -> None:
    status, out = await run_eval("tasks", GAZAL_DATA_DIR=str(tmp_path))
    assert status == 0
    assert "gazal_clinic             64 questions" in out
    assert "holds no medqa_usmle_test.jsonl" in out


@pytest.mark.slow
def test_every_task_file_is_accepted_by_lm_eval_with_no_stop_string_and_a_budget(
    data_dir: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("GAZAL_DATA_DIR", str(data_dir))
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    assert set(manager.all_subtasks) == set(task_files())
    ours = ["gazal_clinic", "gazal_fresh", "gazal_combinations", "gazal_conditions", "gazal_trust"]
    loaded = manager.load(["gazal_medical", *ours])
    assert set(loaded["tasks"]) == set(task_files()) - {"gazal_development"}  # its questions are the user's own
    for task in loaded["tasks"].values():
        config = task.config
        assert config.generation_kwargs["until"] == []
        assert config.generation_kwargs["max_gen_toks"] == 4096
        assert config.num_fewshot == 0
        row = task.dataset["test"][0]
        assert r"Final answer: \boxed{" in row["prompt"].rstrip().splitlines()[-1]
        assert json.loads(row["options"]) or row["choices"] == ["yes", "no", "maybe"]
