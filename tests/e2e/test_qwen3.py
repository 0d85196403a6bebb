"""The happy path against the real engine with a Qwen3 and vLLM's own reasoning parser, and a real stall."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.conftest import unused_port
from tests.e2e import tiny_qwen3
from tests.e2e.conftest import assert_gone, ready, start, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(500)]
PROMPTS = ["What is it?", "hello", "A 64-year-old man with chest pain."]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("tiny-qwen3")
    tiny_qwen3.make(directory, PROMPTS)
    port = unused_port()
    running = start(port, tmp_path_factory.mktemp("qwen") / "server.log", "--model", str(directory))
    pids = running.engine_pids()
    yield running
    for pid in pids:  # a test may have stopped it
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(timeout=40) == 0
    assert_gone(running.engine_pids())


@pytest.fixture
def sdk(qwen: Stack) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{qwen.base}/v1", api_key="none", max_retries=0, timeout=120)


def ask(sdk: openai.OpenAI, **fields: Any) -> Any:
    request = {"model": "tiny-qwen3", "messages": [{"role": "user", "content": "hello"}], "temperature": 0}
    return sdk.chat.completions.create(**(request | {"max_tokens": 200} | fields))


def test_the_engine_splits_and_both_names_are_there(sdk: openai.OpenAI) -> None:
    reply = ask(sdk)
    message = reply.choices[0].message
    assert "Step 2: Weigh the options." in message.reasoning
    assert message.reasoning_content == message.reasoning
    assert message.content.strip().endswith("\\boxed{A}")
    assert reply.choices[0].reasoning_complete is True
    assert 0 < reply.usage.completion_tokens_details.reasoning_tokens < reply.usage.completion_tokens


def test_a_stream_says_the_same(sdk: openai.OpenAI) -> None:
    whole = ask(sdk).choices[0].message
    chunks = [chunk.choices[0].delta for chunk in ask(sdk, stream=True) if chunk.choices]
    assert "".join(chunk.content or "" for chunk in chunks) == whole.content
    assert "".join(getattr(chunk, "reasoning", None) or "" for chunk in chunks) == whole.reasoning


def test_thinking_cut_off_says_so(sdk: openai.OpenAI) -> None:
    reply = ask(sdk, max_tokens=8)
    assert (reply.choices[0].finish_reason, reply.choices[0].message.content) == ("length", "")
    assert reply.choices[0].reasoning_complete is False


def test_a_thinking_budget_ends_the_thinking(sdk: openai.OpenAI) -> None:
    reply = ask(sdk, extra_body={"thinking_budget": 5}, max_tokens=60)
    assert reply.choices[0].reasoning_complete is True
    assert reply.choices[0].message.content
    assert reply.usage.completion_tokens_details.reasoning_tokens <= 8


def test_structured_output_samples_logprobs_and_responses(sdk: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "boolean"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert ask(sdk, response_format=form).choices[0].message.content.startswith("{")  # it knows one answer, not this
    several = ask(sdk, n=2, temperature=0.5, logprobs=True, top_logprobs=2)
    assert len(several.choices) == 2
    assert several.choices[0].logprobs.content
    response = sdk.responses.create(model="tiny-qwen3", input="hello", temperature=0, max_output_tokens=200)
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output_text.strip().endswith("\\boxed{A}")


def test_the_engine_exports_the_metrics_that_alerts_and_dashboard_rely_on(qwen: Stack) -> None:
    with urllib.request.urlopen(f"{qwen.base}/metrics/engine", timeout=10) as reply:
        page = reply.read().decode()
    exported = set(re.findall(r"^(vllm:\w+)", page, re.MULTILINE))
    listed = set((Path(__file__).parents[2] / "docker" / "prometheus" / "vllm-metrics.txt").read_text().split())
    assert listed - exported == set(), "this vLLM lacks metrics; correct docker/prometheus/vllm-metrics.txt"


@pytest.mark.slow
def test_a_stopped_engine_is_not_ready_within_15_s_and_is_restarted(qwen: Stack, sdk: openai.OpenAI) -> None:
    pids = qwen.engine_pids()
    core = max(pids)
    began = time.monotonic()
    os.kill(core, signal.SIGSTOP)
    wait_until(lambda: not ready(qwen.base), 15, "readiness is off")
    assert time.monotonic() - began < 15
    probe = subprocess.run(
        [sys.executable, "-m", "server", "probe", qwen.base], capture_output=True, text=True, check=False
    )
    assert probe.returncode == 1
    assert_gone(pids)
    wait_until(lambda: ready(qwen.base), 240, "the restarted engine is ready")
    assert ask(sdk).choices[0].message.content
    assert '"restart": 1' in qwen.log.read_text()
