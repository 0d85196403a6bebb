"""`python -m eval run` through lm-eval against a server whose answers are known: the table must show exactly them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from eval.questions import find, load
from eval.runner import subset, task_files
from tests.conftest import running

if TYPE_CHECKING:
    from pathlib import Path

    from server.gateway import Gateway
    from tests.fakes.engine import FakeEngine


async def run_eval(*arguments: str, **environment: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "eval",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | environment,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


def metric(table: str, name: str) -> float:
    rows = [[cell.strip() for cell in line.split("|")] for line in table.splitlines() if line.startswith("|")]
    (value,) = [row[7] for row in rows if row[5] == name]
    return float(value)


@pytest.mark.slow
async def test_the_table_shows_the_planted_accuracy(gateway: Gateway, engine: FakeEngine) -> None:
    engine.reply = "<think>\nStep 1: B it is.\n</think>\nFinal answer: \\boxed{B}"
    async with running(gateway) as base:
        status, out = await run_eval("run", "--base-url", f"{base}/v1", "--limit", "20", "--max-tokens", "77")
    questions = load(find("clinic.jsonl"))
    right = sum(questions[index].answer == "B" for index in subset("gazal_clinic", 20, 0))
    assert status == 0, out
    assert metric(out, "acc") == pytest.approx(right / 20)
    assert metric(out, "answered") == 1
    assert "n=20 (a seeded part of 64)" in out
    assert gateway.served.digest in out
    assert len(engine.bodies) == 20
    for body in engine.bodies:
        assert (body["max_tokens"], body["temperature"], body["stop"]) == (77, 0.0, [])
        assert len(body["messages"]) == 1


@pytest.mark.slow
async def test_replies_without_a_readable_answer_are_wrong_and_counted(gateway: Gateway, engine: FakeEngine) -> None:
    engine.reply = "The answer could be A or B."
    async with running(gateway) as base:
        status, out = await run_eval("run", "--base-url", f"{base}/v1", "--limit", "4")
    assert status == 0, out
    assert (metric(out, "acc"), metric(out, "answered")) == (0, 0)


async def test_an_unreachable_server_is_a_sentence(free_port: int) -> None:
    status, out = await run_eval("run", "--base-url", f"http://127.0.0.1:{free_port}/v1")
    assert status == 1
    assert "start one with `make serve`" in out
    assert "Traceback" not in out


async def test_an_unknown_task_is_a_sentence() -> None:
    status, out = await run_eval("run", "--tasks", "gazal_astrology")
    assert status == 2
    assert "gazal_clinic" in out


async def test_tasks_are_listed_with_what_is_missing(tmp_path: Path) -> None:
    status, out = await run_eval("tasks", GAZAL_DATA_DIR=str(tmp_path))
    assert status == 0
    assert "gazal_clinic             64 questions" in out
    assert "does not exist" in out


def test_a_limit_draws_a_seeded_subset() -> None:
    assert subset("gazal_clinic", 10, 1) == subset("gazal_clinic", 10, 1)
    assert subset("gazal_clinic", 10, 1) != subset("gazal_clinic", 10, 2)
    assert subset("gazal_clinic", 1000, 1) == list(range(64))


@pytest.mark.slow
def test_every_task_file_is_accepted_by_lm_eval_with_no_stop_string_and_a_budget(
    data_dir: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("GAZAL_DATA_DIR", str(data_dir))
    from lm_eval.tasks import TaskManager

    from eval.runner import TASKS

    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    assert set(manager.all_subtasks) == set(task_files())
    for task in manager.load(["gazal_clinic", "gazal_medqa"])["tasks"].values():
        config = task.config
        assert config.generation_kwargs["until"] == []
        assert config.generation_kwargs["max_gen_toks"] == 4096
        row = task.dataset["test"][0]
        assert row["prompt"].rstrip().endswith(r"Final answer: \boxed{letter}")
        assert json.loads(row["options"])
