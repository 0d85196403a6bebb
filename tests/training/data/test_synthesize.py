"""A teacher that misbehaves in every way: what is accepted is sound, nothing is lost, nothing is paid for twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fakes.teacher import FakeTeacher
from tests.training.data.conftest import question, recipe_with, words, words_as_tokens, write_lines
from training.data.build import build
from training.data.completions import fault
from training.data.journal import Attempt, Journal
from training.data.rows import Row
from training.data.sources import DataError, load_source
from training.data.synthesize import Outcome, plan, synthesize
from training.data.teacher import TeacherError
from training.recipe import Recipe, Source, Synthesis

ROOT = Path(__file__).parents[3]
Run = Callable[..., Any]


@pytest.fixture
async def teacher() -> AsyncIterator[FakeTeacher]:
    """A fake teacher on loopback."""
    fake = FakeTeacher()
    runner = web.AppRunner(fake.app(), handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield fake
    await runner.cleanup()


def recipe(teacher: FakeTeacher | str, path: Path, count: int = 6, **settings: Any) -> Recipe:
    """A recipe that asks questions 0 to `count`; the teacher learns their keys."""
    records = [question(number) for number in range(count)]
    for record in records:  # cases long enough for the open modes
        record["question"] = f"A {words(int(record['id'][1:]), 40)}. Which comes first?"
    source = {"kind": "jsonl", "reference": str(write_lines(path / "questions.jsonl", records))}
    endpoint = teacher if isinstance(teacher, str) else teacher.endpoint
    synthesis = {"endpoint": endpoint, "model": "large", "sources": [source], "modes": ["mcq"], "timeout_s": 20}
    base = recipe_with([{"kind": "clinic", "count": 5, "stages": ["sft"]}])
    made = base.model_copy(update={"synthesize": Synthesis.model_validate({**synthesis, **settings})})
    if isinstance(teacher, FakeTeacher):
        for task in plan(made).tasks:
            if task.row.answer:
                teacher.answers[task.row.prompt] = task.row.answer
    return made


def marker(number: int) -> str:
    """Text that only the prompt of question `number` holds."""
    return words(number, 3)


async def ask(made: Recipe, path: Path) -> Outcome:
    return await synthesize(made, path / "out", pause_s=0.005)


def rows(path: Path) -> list[Row]:
    return [Row.model_validate_json(line) for line in (path / "out" / "rows.jsonl").read_text().splitlines()]


async def test_every_question_is_answered_in_every_mode_and_the_rows_can_be_built(
    teacher: FakeTeacher, tmp_path: Path
) -> None:
    made = recipe(teacher, tmp_path, modes=["diagnosis", "treatment", "uncertainty", "prognosis", "mcq"])
    outcome = await ask(made, tmp_path)
    assert (outcome.tasks, outcome.accepted, outcome.open, outcome.stopped) == (30, 30, 0, None)
    written = rows(tmp_path)
    assert {row.mode for row in written} == {"diagnosis", "treatment", "uncertainty", "prognosis", "mcq"}
    assert all(fault(row.completion or "", row.choices, row.options, row.answer) is None for row in written)
    assert {row.attribution for row in written} == {"reasoning written by large"}
    assert len({row.group for row in written}) == 6
    source = {"kind": "jsonl", "reference": str(tmp_path / "out" / "rows.jsonl"), "stages": ["sft"]}
    report = build(recipe_with([source]), tmp_path / "data", words_as_tokens)
    assert report.sources[0].kept == {"sft": 30}


async def test_the_teacher_sees_the_prompt_and_never_the_key(teacher: FakeTeacher, tmp_path: Path) -> None:
    made = recipe(teacher, tmp_path, temperature=0.3, max_tokens=77)
    await ask(made, tmp_path)
    body = teacher.bodies[0]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("large", 0.3, 77)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert all("boxed{letter}" in prompt and "boxed{A}" not in prompt for prompt in teacher.asked)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("wrong key", "wrong answer"),
        ("leaked", "key leaked"),
        ("told", "key leaked"),
        ("empty", "empty"),
        ("no reasoning", "no reasoning"),
        ("truncated", "truncated"),
        ("spanish", "language"),
        ("two steps", "too few steps"),
        ("short", "too short"),
        ("no sections", "sections missing"),
        ("400", "refused"),
    ],
)
async def test_a_rejected_answer_is_asked_again_and_counted_by_its_reason(
    teacher: FakeTeacher, tmp_path: Path, behaviour: str, reason: str
) -> None:
    teacher.script = {marker(3): [behaviour]}
    made = recipe(teacher, tmp_path, concurrency=1)
    outcome = await ask(made, tmp_path)
    assert outcome.rejected == {reason: 1}
    assert (outcome.accepted, outcome.exhausted) == (6, 0)
    assert sorted(teacher.asked.values()) == [1, 1, 1, 1, 1, 2]


async def test_a_question_that_is_never_answered_well_is_given_up(teacher: FakeTeacher, tmp_path: Path) -> None:
    teacher.script = {marker(3): ["wrong key"] * 9}
    outcome = await ask(recipe(teacher, tmp_path, attempts=3), tmp_path)
    assert (outcome.accepted, outcome.exhausted, outcome.open) == (5, 1, 0)
    assert outcome.rejected == {"wrong answer": 3}
    assert [row.id for row in rows(tmp_path)] == ["q0", "q1", "q2", "q4", "q5"]
    again = await ask(recipe(teacher, tmp_path, attempts=3), tmp_path)
    assert again.rejected == {"wrong answer": 3}
    assert (await ask(recipe(teacher, tmp_path, attempts=4), tmp_path)).rejected == {"wrong answer": 4}


async def test_the_same_reasoning_for_other_questions_is_a_near_duplicate(teacher: FakeTeacher, tmp_path: Path) -> None:
    teacher.script = {marker(number): ["same"] for number in (1, 2, 4)}
    outcome = await ask(recipe(teacher, tmp_path, concurrency=1), tmp_path)
    assert outcome.rejected == {"near-duplicate": 2}
    assert outcome.accepted == 6


@pytest.mark.parametrize(
    ("behaviour", "noted"),
    [
        ("429", "HTTP 429"),
        ("500", "HTTP 500"),
        ("503", "HTTP 503"),
        ("timeout", "timeout"),
        ("disconnect", "connection: ServerDisconnectedError"),
        ("broken json", "unreadable reply"),
        ("html", "unreadable reply"),
        ("no choices", "unreadable reply"),
    ],
)
async def test_faults_of_the_connection_are_retried_and_not_held_against_the_question(
    teacher: FakeTeacher, tmp_path: Path, behaviour: str, noted: str
) -> None:
    times = 1 if behaviour == "timeout" else 2
    teacher.script = {marker(2): [behaviour] * times}
    made = recipe(teacher, tmp_path, attempts=1, **({"timeout_s": 1} if behaviour == "timeout" else {}))
    outcome = await ask(made, tmp_path)
    assert (outcome.accepted, outcome.rejected) == (6, {})
    assert outcome.retried[noted] >= times


async def test_the_pause_a_server_asks_for_is_kept(teacher: FakeTeacher, tmp_path: Path) -> None:
    teacher.script = {marker(2): ["429"] * 5}
    async with asyncio.timeout(3):  # our own pauses would come to 31 s
        outcome = await synthesize(recipe(teacher, tmp_path), tmp_path / "out", pause_s=1)
    assert outcome.accepted == 6


async def test_a_question_without_a_reply_stays_open_for_the_next_run(teacher: FakeTeacher, tmp_path: Path) -> None:
    teacher.script = {marker(2): ["500"] * 6}
    outcome = await ask(recipe(teacher, tmp_path), tmp_path)
    assert (outcome.accepted, outcome.open) == (5, 1)
    assert outcome.stopped == "1 questions got no reply; run again"
    assert (await ask(recipe(teacher, tmp_path), tmp_path)).accepted == 6
    assert sorted(teacher.asked.values()) == [1, 1, 1, 1, 1, 7]


async def test_a_teacher_that_fails_for_good_stops_the_run_and_keeps_what_there_is(
    teacher: FakeTeacher, tmp_path: Path
) -> None:
    teacher.script = {marker(number): ["500"] * 99 for number in range(1, 20)}
    with pytest.raises(TeacherError, match=r"does not answer \(HTTP 500\); see that it runs .*run again"):
        await ask(recipe(teacher, tmp_path, count=12, concurrency=2), tmp_path)
    assert [row.id for row in rows(tmp_path)] == ["q0"]


async def test_an_unreachable_teacher_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"127\.0\.0\.1:9/v1 does not answer"):
        await ask(recipe("http://127.0.0.1:9/v1", tmp_path), tmp_path)


@pytest.mark.parametrize(("status", "why"), [("401", "key is not accepted"), ("404", "no such model or path")])
async def test_what_no_retry_can_mend_stops_at_once(
    teacher: FakeTeacher, tmp_path: Path, status: str, why: str
) -> None:
    teacher.script = {"": [status] * 99}
    with pytest.raises(TeacherError, match=why):
        await ask(recipe(teacher, tmp_path, concurrency=2), tmp_path)
    assert sum(teacher.asked.values()) <= 2


async def test_requests_that_are_all_refused_stop_the_run(teacher: FakeTeacher, tmp_path: Path) -> None:
    teacher.script = {"": ["400"] * 99}
    with pytest.raises(TeacherError, match=r"does not answer \(HTTP 400"):
        await ask(recipe(teacher, tmp_path, count=20, concurrency=1), tmp_path)
    assert sum(teacher.asked.values()) <= 6


async def test_the_key_comes_from_the_environment_and_is_written_nowhere(
    teacher: FakeTeacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(teacher, tmp_path, key_variable="TEACHER_KEY")
    with pytest.raises(DataError, match="set TEACHER_KEY to the teacher's API key"):
        await ask(made, tmp_path)
    monkeypatch.setenv("TEACHER_KEY", "sk-very-secret")
    await ask(made, tmp_path)
    assert teacher.keys == {"Bearer sk-very-secret"}
    assert all(b"sk-very-secret" not in path.read_bytes() for path in (tmp_path / "out").iterdir())


async def test_no_more_questions_are_under_way_than_the_recipe_allows(teacher: FakeTeacher, tmp_path: Path) -> None:
    teacher.delay_s = 0.02
    await ask(recipe(teacher, tmp_path, count=20, concurrency=4), tmp_path)
    assert teacher.most_running == 4


async def test_cost_is_counted_over_all_replies_and_the_budget_stops_the_run(
    teacher: FakeTeacher, tmp_path: Path
) -> None:
    teacher.script = {marker(0): ["wrong key"]}
    prices = {"usd_per_million_prompt_tokens": 1000, "usd_per_million_completion_tokens": 2000}
    made = recipe(teacher, tmp_path, concurrency=1, budget_usd=0.7, **prices)
    outcome = await ask(made, tmp_path)
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (400, 200)
    assert outcome.cost_usd == pytest.approx(0.8)
    assert outcome.accepted == 3
    assert outcome.stopped == "the budget of 0.70 USD is spent (0.80); raise synthesize.budget_usd"
    assert (await ask(made, tmp_path)).accepted == 3
    tokens = await ask(recipe(teacher, tmp_path, concurrency=1, budget_tokens=700), tmp_path)
    assert tokens.accepted == 4
    assert tokens.stopped is not None
    assert "budget of 700 tokens" in tokens.stopped


async def test_reasoning_in_a_field_of_its_own_is_put_back(teacher: FakeTeacher, tmp_path: Path) -> None:
    teacher.script = {marker(number): ["separate reasoning"] for number in range(6)}
    assert (await ask(recipe(teacher, tmp_path), tmp_path)).accepted == 6


async def test_questions_that_overlap_with_a_benchmark_are_not_paid_for(
    teacher: FakeTeacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(teacher, tmp_path)
    directory = tmp_path / "sets"
    directory.mkdir()
    leaked = json.loads((tmp_path / "questions.jsonl").read_text().splitlines()[4])
    write_lines(directory / "exam_test.jsonl", [leaked])
    monkeypatch.setenv("GAZAL_DATA_DIR", str(directory))
    outcome = await ask(made, tmp_path)
    assert (outcome.tasks, outcome.overlapping) == (5, 1)
    assert not any(marker(4) in prompt for prompt in teacher.asked)


def attempt(key: str, reason: str | None) -> Attempt:
    return Attempt(key=key, reason=reason, prompt_tokens=10, completion_tokens=5, text="x")


def test_a_journal_survives_a_torn_last_line(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    with Journal(path) as journal:
        journal.add(attempt("a", None))
        journal.add(attempt("b", "empty"))
    whole = path.read_bytes()
    for torn in range(1, 40):
        path.write_bytes(whole + whole[:torn])
        with Journal(path) as journal:
            assert (dict(journal.accepted), dict(journal.attempts)) == ({"a": "x"}, {"a": 1, "b": 1})
            journal.add(attempt("c", None))
        assert path.read_bytes().startswith(whole)
        assert path.read_bytes().count(b"\n") == 3
        path.write_bytes(whole)


def test_a_damaged_journal_is_named_by_its_line_and_a_used_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    path.write_text('{"key": 1}\n')
    with pytest.raises(DataError, match="line 1 is damaged; remove the line"), Journal(path):
        pass
    path.unlink()
    with Journal(path), pytest.raises(DataError, match="another run is writing"), Journal(path):
        pass


@pytest.mark.slow
async def test_a_killed_command_continues_and_asks_nothing_accepted_again(teacher: FakeTeacher, tmp_path: Path) -> None:
    made = recipe(teacher, tmp_path, count=40)
    teacher.delay_s = 0.05
    text = (ROOT / "training/recipes/qwen3-0.6b.yaml").read_text()
    section = (
        "synthesize:\n"
        f"  endpoint: !ours {teacher.endpoint}\n"
        "  model: !ours large\n  modes: [!ours mcq]\n  concurrency: !ours 4\n  sources:\n"
        f"    - {{kind: !ours jsonl, reference: !ours {tmp_path / 'questions.jsonl'}}}\n"
    )
    (tmp_path / "r.yaml").write_text(text + section)
    output = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "training",
        "data",
        "synthesize",
        str(tmp_path / "r.yaml"),
        "--output",
        str(output),
    ]

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=dict(os.environ), stdout=asyncio.subprocess.PIPE
        )

    killed = await start()
    while not (output / "attempts.jsonl").exists() or (output / "attempts.jsonl").read_bytes().count(b"\n") < 10:
        await asyncio.sleep(0.01)
    killed.kill()
    await killed.wait()
    before = {
        json.loads(line)["key"]
        for line in (output / "attempts.jsonl").read_text().splitlines(keepends=True)
        if line.endswith("\n")
    }
    accepted = {task.row.prompt for task in plan(made).tasks if task.key in before}
    asked_before = dict(teacher.asked)

    teacher.delay_s = 0.5  # so that questions are left when the signal comes, on a busy machine too
    interrupted = await start()
    while (output / "attempts.jsonl").read_bytes().count(b"\n") < 20:
        await asyncio.sleep(0.01)
    interrupted.send_signal(signal.SIGINT)
    printed = (await interrupted.communicate())[0].decode()
    teacher.delay_s = 0.05
    assert interrupted.returncode == 130
    assert "the same command continues" in printed
    assert len(rows(tmp_path)) >= 10

    finished = await start()
    printed = (await finished.communicate())[0].decode()
    assert finished.returncode == 0, printed
    assert "40 of 40 questions answered well" in printed
    assert [row.id for row in rows(tmp_path)] == [f"q{number}" for number in range(40)]
    assert {prompt: teacher.asked[prompt] for prompt in accepted} == {
        prompt: asked_before[prompt] for prompt in accepted
    }
    assert sum(teacher.asked.values()) <= 40 + 2 * 4  # what was under way at the kill and at the interrupt


def test_a_recipe_without_the_section_and_questions_that_fit_nothing_say_so(tmp_path: Path) -> None:
    base = recipe_with([{"kind": "clinic", "count": 5, "stages": ["sft"]}])
    with pytest.raises(DataError, match="has no section 'synthesize'"):
        plan(base)
    with pytest.raises(DataError, match=r"no question of the sources fits synthesize\.modes"):
        plan(recipe("http://127.0.0.1:9/v1", tmp_path, modes=["research"]))
    assert load_source(Source(kind="jsonl", reference=str(tmp_path / "questions.jsonl")), "x").rows
