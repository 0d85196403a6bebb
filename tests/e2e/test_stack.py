"""The whole stack with the real engine and the real 135M model, driven as users drive it."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import openai
import pytest

from gazal.artifact import NOT_FOR_CLINICAL_USE
from gazal.models import resolve
from gazal.prompting import render
from tests.conftest import unused_port
from tests.e2e.conftest import assert_gone, descendants, start, wait_until

if TYPE_CHECKING:
    from tests.e2e.conftest import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
ROOT = Path(__file__).parents[2]
CASES = json.loads((ROOT / "scripts" / "demo_cases.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def medqa(data_dir: Path) -> dict[str, Any]:
    """The first question of the real MedQA test set."""
    with gzip.open(data_dir / "medqa_usmle_test.dev70.jsonl.gz", "rt", encoding="utf-8") as file:
        row: dict[str, Any] = json.loads(file.readline())
    return row


@pytest.fixture
def sdk(stack: Stack) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{stack.base}/v1", api_key="none", max_retries=0, timeout=120)


def test_the_sdk_lists_the_verified_artifact(sdk: openai.OpenAI) -> None:
    (model,) = sdk.models.list().data
    manifest = resolve("nano").manifest
    assert (model.id, model.to_dict()["artifact_digest"]) == (manifest.name, manifest.digest)


def test_a_medqa_question_through_the_official_sdk(sdk: openai.OpenAI, medqa: dict[str, Any]) -> None:
    prompt = render("mcq", medqa["question"], options=medqa["options"])
    request: dict[str, Any] = {
        "model": "nano",
        "messages": prompt.messages,
        "max_tokens": 320,
        "temperature": 0,
        "seed": 1,
    }
    reply = sdk.chat.completions.with_raw_response.create(**request)
    assert reply.headers["x-gazal-artifact"] == resolve("nano").manifest.digest
    whole = reply.parse()
    content = whole.choices[0].message.content or ""
    assert content.strip()
    assert whole.usage is not None
    assert 0 < whole.usage.completion_tokens <= 320

    chunks = list(sdk.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    streamed = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert streamed == content
    assert len(chunks) > 5
    assert chunks[-1].usage == whole.usage


def test_a_medqa_question_through_the_clinical_endpoint(stack: Stack, medqa: dict[str, Any]) -> None:
    body = {"mode": "mcq", "vignette": medqa["question"], "options": medqa["options"], "temperature": 0}
    reply = post(f"{stack.base}/v1/clinical/reason", body)
    numbers = [step["number"] for step in reply["reasoning"]["steps"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 2
    assert reply["reasoning"]["complete"] is True
    final = reply["final_answer"]
    assert final["failure"] is None
    assert final["text"] == medqa["options"][final["value"]]
    assert reply["provenance"]["constrained"] is False
    assert reply["disclaimer"] == NOT_FOR_CLINICAL_USE


async def test_steps_arrive_before_the_answer_is_complete(stack: Stack) -> None:
    body = CASES[0]["request"] | {"stream": True, "temperature": 0}
    names: list[str] = []
    async with aiohttp.ClientSession() as session, session.post(f"{stack.base}/v1/clinical/reason", json=body) as reply:
        async for line in reply.content:
            if line.startswith(b"event: "):
                names.append(line.split()[1].decode())
                if names == ["red_flags", "step"]:
                    assert await engine_metric(stack, "vllm:num_requests_running") == 1
    assert names[0] == "red_flags"
    answer = names.index("answer")
    assert set(names[1:answer]) == {"step"}
    assert len(names[1:answer]) >= 3
    assert names[-1] == "done"
    assert set(names[answer:-1]) == {"answer"}


async def test_seeded_sampling_of_more_prompts_than_one_step_holds(stack: Stack) -> None:
    """vLLM 0.32 on a CPU died of it: it cannot take back the random numbers of a prompt that it prefills in chunks."""
    body = {"model": "nano", "max_tokens": 24, "temperature": 0.6, "top_p": 0.95, "top_k": 20}

    async def ask(number: int) -> int:
        message = {"role": "user", "content": f"Case {number}: " + "a word and another one " * 150}
        async with session.post(
            f"{stack.base}/v1/chat/completions", json=body | {"messages": [message], "seed": number}
        ) as reply:
            return int((await reply.json())["usage"]["completion_tokens"])

    async with aiohttp.ClientSession() as session:
        assert all(tokens > 0 for tokens in await asyncio.gather(*(ask(number) for number in range(24))))


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_client_who_leaves_stops_the_engine(stack: Stack, streaming: bool) -> None:
    body = {
        "model": "nano",
        "prompt": "Once upon a time",
        "max_tokens": 4000,
        "temperature": 2,
        "n": 8,
        "stream": streaming,
    }
    timeout = aiohttp.ClientTimeout(total=1.5)
    with pytest.raises(TimeoutError):
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(f"{stack.base}/v1/completions", json=body) as response,
        ):
            await response.read()
    for _ in range(20):
        if await engine_metric(stack, "vllm:num_requests_running") == 0:
            return
        await asyncio.sleep(0.05)
    pytest.fail("the engine goes on for nobody")


def test_context_overflow_is_a_400_that_names_the_field(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.chat.completions.create(model="nano", messages=[{"role": "user", "content": "word " * 9000}])
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.param == "messages"


def test_our_runner_prints_a_table_and_writes_a_report(stack: Stack, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "eval",
        "run",
        "--suite",
        "smoke",
        "--base-url",
        f"{stack.base}/v1",
        "--limit",
        "4",
        "--max-tokens",
        "48",
        "--out",
        str(tmp_path),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=ROOT)
    assert finished.returncode == 0, finished.stderr
    assert "gazal_clinic" in finished.stdout
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["complete"]
    assert results["artifact"] == resolve("nano").manifest.digest
    assert results["tasks"]["gazal_clinic"]["efficiency"]["completion_tokens"] <= 4 * 48
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_plain_lm_eval_command_takes_our_tasks(stack: Stack, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lm_eval", "run", "--include_path", "eval/tasks", "--tasks", "gazal_clinic"]
    command += ["--model", "local-chat-completions", "--apply_chat_template", "--limit", "2", "--log_samples"]
    command += ["--model_args", f"base_url={stack.base}/v1/chat/completions,model=nano,tokenized_requests=False"]
    command += ["--gen_kwargs", "max_gen_toks=32", "--output_path", str(tmp_path)]
    environment = os.environ | {"OPENAI_API_KEY": "none"}
    finished = subprocess.run(
        command, capture_output=True, text=True, timeout=200, check=False, cwd=ROOT, env=environment
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    results = json.loads(next(tmp_path.rglob("results_*.json")).read_text())
    assert results["results"]["gazal_clinic"]["acc,none"] >= 0
    assert results["n-samples"]["gazal_clinic"]["effective"] == 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_each_case_of_the_demo_is_answered_right_after_whole_reasoning(stack: Stack, case: dict[str, Any]) -> None:
    """As the README says of the shipped model at temperature 0. Its last step does not always name the option."""
    reply = post(f"{stack.base}/v1/clinical/reason", case["request"] | {"temperature": 0})
    assert reply["final_answer"]["failure"] is None
    assert reply["reasoning"]["complete"] is True
    assert reply["final_answer"]["value"] == case["answer"]


@pytest.mark.slow
def test_the_demo_runs_to_its_end() -> None:
    command = [sys.executable, "scripts/demo.py", "--oneshot", "--port", str(unused_port())]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=380, check=False, cwd=ROOT)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    for text in ("Step 1", "Step 3", "Final answer:", "tokens/s", NOT_FOR_CLINICAL_USE, "gazal_clinic", "Next"):
        assert text in finished.stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_while_loading_leaves_no_process(number: signal.Signals) -> None:
    command = [sys.executable, "scripts/demo.py", "--port", str(unused_port())]
    demo = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(descendants(demo.pid)) >= 2, 20, "server and engine run")
    pids = descendants(demo.pid)
    demo.send_signal(number)
    demo.wait(timeout=30)
    assert_gone(pids)


@pytest.mark.slow
def test_a_dead_engine_ends_the_gateway_with_its_last_lines(tmp_path: Path) -> None:
    stack = start(unused_port(), tmp_path / "server.log", GAZAL_ENGINE_RESTARTS="0")
    pids = stack.engine_pids()
    os.kill(pids[0], signal.SIGKILL)
    assert stack.process.wait(timeout=30) == 1
    text = stack.log.read_text()
    assert "the engine ended while serving (exit status -9)" in text
    assert "Application startup complete" in text
    assert_gone(pids)


@pytest.mark.slow
def test_a_killed_gateway_leaves_no_engine(tmp_path: Path) -> None:
    stack = start(unused_port(), tmp_path / "server.log")
    pids = stack.engine_pids()
    assert len(pids) >= 2
    stack.process.kill()
    stack.process.wait()
    assert_gone(pids)


async def engine_metric(stack: Stack, name: str) -> float:
    """One gauge of the engine itself, read over its private socket."""
    connector = aiohttp.UnixConnector(stack.engine_socket())
    async with aiohttp.ClientSession(connector=connector) as session, session.get("http://engine/metrics") as reply:
        lines = (await reply.text()).splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{"))


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """POST JSON and return the JSON reply."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=200) as response:
        reply: dict[str, Any] = json.load(response)
    return reply
