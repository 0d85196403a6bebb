"""What a run's reasoning is worth: fabricated findings are counted, and answers after other thinking are compared."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from typer.testing import CliRunner

from eval.__main__ import app
from eval.graded import load_run
from eval.groundedness import grounding_of
from eval.reliance import measure, prompt_of, subjects_of
from eval.runner import Plan, RunError
from eval.stats import mcnemar, wilson
from eval.store import FILE_NAME, Key, Reply, Store, StoredQuestion
from gazal.prompting import render
from server.schemas import CompletionRequest
from tests.eval.conftest import serving

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ("A", "B", "C", "D")
DIGEST = "e" * 64
OPTIONS = dict(zip(LABELS, ("rest", "surgery", "aspirin", "oxygen"), strict=True))


def question(number: int) -> StoredQuestion:
    case = f"Patient {number} has a pulse of {60 + number}/min and no fever."
    prompt = render("mcq", case, question="What now?", options=OPTIONS)
    return StoredQuestion(
        "gazal_combinations",
        f"row{number}",
        number,
        f"q{number}",
        case,
        prompt.text,
        prompt.sha256,
        "mcq",
        OPTIONS,
        list(LABELS),
        LABELS[number % 4],
        {},
    )


def kept_run(directory: Path, thoughts: list[str]) -> Path:
    """A finished run whose replies hold these thoughts about questions 0, 1, 2 ..., each with the right answer."""
    plan = Plan(
        base_url="http://x/v1",
        model="m",
        artifact=DIGEST,
        tasks=["gazal_combinations"],
        limit=None,
        seed=0,
        repeats=1,
        data_sha256={},
        prompt_templates_sha256="x",
    )
    directory.mkdir()
    (directory / "run.json").write_text(plan.model_dump_json())
    store = Store(directory / FILE_NAME)
    asked = [question(number) for number in range(len(thoughts))]
    store.add_questions(asked)
    for each, thought in zip(asked, thoughts, strict=True):
        key = Key(DIGEST, each.task, each.row_sha256, each.prompt_sha256, "{}", 0)
        final = f"Final answer: \\boxed{{{each.answer}}}"
        store.add(key, Reply("ok", final, thought, True, "stop"))
    store.close()
    return directory


def thought(number: int) -> str:
    label = LABELS[number % 4]
    return (
        f"Step 1: Findings: a pulse of {60 + number}/min; no fever.\n"
        f"Step 2: Best fit: {OPTIONS[label]}. This is option {label}."
    )


def test_answers_with_fabricated_findings_are_counted_with_their_interval(tmp_path: Path) -> None:
    thoughts = [thought(number) for number in range(20)]
    thoughts[3] = "Step 1: Findings: a pulse of 180/min.\nStep 2: So rest."
    thoughts[4] = "Step 1: Findings: fever; a stiff neck.\nStep 2: So rest."
    thoughts[5] = "Step 1: Pulses vary.\nStep 2: So rest."
    directory = kept_run(tmp_path / "run", thoughts)
    (task,) = grounding_of(load_run(directory), None)
    assert (task.answers, task.without_citations, task.answers_with_fabrication, task.fabricated) == (19, 1, 2, 3)
    assert task.citations == 17 * 2 + 1 + 2
    assert task.interval == wilson(2, 19)
    assert task.kinds == {"number": 1, "inverted": 1, "invented": 1}
    assert {(each.question, each.cited) for each in task.examples} == {
        ("q3", "a pulse of 180/min"),
        ("q4", "fever"),
        ("q4", "a stiff neck"),
    }
    assert grounding_of(load_run(directory), 5)[0].answers <= 5
    shown = CliRunner().invoke(app, ["grounding", str(directory)])
    assert shown.exit_code == 0
    assert "10.5 [2.9, 31.4]" in shown.stdout
    assert "q3, step 1, number: a pulse of 180/min" in shown.stdout
    saved = json.loads((directory / "grounding.json").read_text())
    assert saved["tasks"][0]["answers_with_fabrication"] == 2


class Thinker:
    """A server that answers with the option its thinking names, and with A where it names none."""

    def __init__(self, digest: str = DIGEST, busy: int = 0) -> None:
        self.digest = digest
        self.busy = busy
        self.bodies: list[dict[str, object]] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/completions", self._complete)
        return app

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "m", "artifact_digest": self.digest}]})

    async def _complete(self, request: web.Request) -> web.Response:
        if self.busy:
            self.busy -= 1
            return web.json_response({"error": {"message": "queue full"}}, status=503, headers={"retry-after": "0"})
        body = await request.json()
        self.bodies.append(body)
        CompletionRequest.model_validate(body)
        named = re.search(r"This is option (\w)", body["prompt"].rpartition("<think>")[2])
        label = named[1] if named else "A"
        return web.json_response(
            {"choices": [{"text": f"## X\n\nFinal answer: \\boxed{{{label}}}", "finish_reason": "stop"}]}
        )


async def test_a_model_that_follows_its_thinking_loses_without_it(tmp_path: Path) -> None:
    run = load_run(kept_run(tmp_path / "run", [thought(number) for number in range(40)]))
    subjects = subjects_of(run, None)
    thinker = Thinker(busy=2)
    async with serving(thinker) as url:  # type: ignore[arg-type]
        answers: list[None] = []
        found = await measure(url, run, subjects, lambda: answers.append(None))
    own, without_last, none, another = found.conditions
    assert len(answers) == 4 * 40
    assert len(thinker.bodies) == 4 * 40
    assert (own.right, own.difference) == (40, None)
    assert without_last.right == none.right == 10
    assert none.difference is not None
    assert (none.difference.difference, none.difference.only_a, none.difference.only_b) == (-0.75, 30, 0)
    assert none.difference.p == mcnemar(30, 0).exact
    assert another.right == sum(each.other_label == each.question.answer for each in subjects)
    assert (found.followed, found.followed_of) == (1.0, 40)


def test_the_thinking_given_is_the_whole_turn_so_far(tmp_path: Path) -> None:
    subject = subjects_of(load_run(kept_run(tmp_path / "run", [thought(0), thought(1)])), None)[0]
    opening = f"<|im_start|>user\n{subject.question.prompt}<|im_end|>\n<|im_start|>assistant\n<think>\n"
    first, last = subject.own.splitlines()
    assert prompt_of(subject, "own") == f"{opening}{first}\n{last}\n</think>\n\n"
    assert prompt_of(subject, "without_last_step") == f"{opening}{first}\n</think>\n\n"
    assert prompt_of(subject, "none") == f"{opening}</think>\n\n"
    assert prompt_of(subject, "another_case") == f"{opening}{subject.other}\n</think>\n\n"
    assert subject.other != subject.own


async def test_another_model_or_a_run_without_thinking_is_refused(tmp_path: Path) -> None:
    run = load_run(kept_run(tmp_path / "run", [thought(0), thought(1)]))
    async with serving(Thinker(digest="f" * 64)) as url:  # type: ignore[arg-type]
        with pytest.raises(RunError, match=r"serves artifact ffffffffffff and the run is of eeeeeeeeeeee; serve"):
            await measure(url, run, subjects_of(run, None))
    with pytest.raises(RunError, match="no two answers with complete thinking"):
        subjects_of(load_run(kept_run(tmp_path / "silent", ["", ""])), None)


async def test_the_command_prints_and_keeps_the_comparison(tmp_path: Path) -> None:
    from tests.eval.conftest import run_eval

    directory = kept_run(tmp_path / "run", [thought(number) for number in range(12)])
    async with serving(Thinker()) as url:  # type: ignore[arg-type]
        status, out = await run_eval("reliance", str(directory), "--base-url", url)
    assert status == 0, out
    assert re.search(r"own\s+12\s+100\.0", out)
    assert "after another case's thinking, 100.0% of 12 answers name its label" in out
    saved = json.loads((directory / "reliance.json").read_text())
    assert [each["right"] for each in saved["conditions"]][:3] == [12, 3, 3]
