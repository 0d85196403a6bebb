"""The whole recipe on two CPU cores: a base from nothing, two stages, a merged artifact, and vLLM that serves it.

Stage 1 teaches the form, stage 2 raises accuracy on held-out questions, and the merged weights answer the same in the
engine.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gazal.artifact import verify
from gazal.prompting import choices
from gazal.trace import assemble
from tests.e2e.conftest import CHAIN_RECIPE
from training import held_out
from training.recipe import load
from training.runs import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]
ASKED = 60
READABLE = 0.95
"""Another CPU sums in another order, which makes another run: of 400 all were readable on one, 394 on another."""


@pytest.fixture(scope="module")
def run(trained: Path) -> RunDirectory:
    """`python -m training run` on the tiny recipe, from an empty directory; conftest.py starts it with the session."""
    return RunDirectory(trained)


def test_stage_one_teaches_the_form(run: RunDirectory) -> None:
    answers = held_out.load(run.stage("sft").held_out)
    assert held_out.parsed_share(answers) >= READABLE


def test_stage_two_keeps_the_form(run: RunDirectory) -> None:
    answers = held_out.load(run.stage("grpo").held_out)
    assert held_out.parsed_share(answers) >= READABLE
    assert (run.path / "report.html").is_file()


def test_stage_two_raises_accuracy_over_stage_one(run: RunDirectory) -> None:
    """The same questions after each stage, at temperature 0; exact McNemar test."""
    compared = held_out.compare(*(held_out.load(run.stage(kind).held_out) for kind in ("sft", "grpo")))
    assert json.loads((run.path / "comparison.json").read_text()) == compared.__dict__
    assert compared.questions == 400
    assert compared.accuracy_after > compared.accuracy_before, compared
    assert compared.p_value < 0.01, compared


def test_answers_sampled_as_stage_two_samples_are_no_worse(run: RunDirectory) -> None:
    """Of these a million parameters get every third wrong by chance, so a gain is not sure to be seen."""
    compared = held_out.compare(*(held_out.load(run.stage(kind).held_out_sampled) for kind in ("sft", "grpo")))
    assert json.loads((run.path / "comparison-sampled.json").read_text()) == compared.__dict__
    assert compared.accuracy_after > compared.accuracy_before or compared.p_value > 0.05, compared


def test_the_artifact_names_both_stages_and_verifies(run: RunDirectory) -> None:
    manifest = verify(run.stage("grpo").merged)
    assert [stage.kind for stage in manifest.stages] == ["sft", "grpo"]
    for stage in manifest.stages:
        assert stage.metrics["verification/agreement"] >= 0.98
        assert set(stage.data_sha256) == {f"{stage.kind}-train.parquet", f"{stage.kind}-development.parquet"}


def test_running_it_again_changes_nothing(run: RunDirectory) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*.safetensors")}
    command = [sys.executable, "-m", "training", "run", CHAIN_RECIPE, "--output", str(run.path)]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*.safetensors")} == before


@pytest.fixture(scope="module")
def engine(run: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """vLLM with the qwen3 reasoning parser on the merged artifact."""
    log = tmp_path_factory.mktemp("engine") / "log"
    port = 18_731
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(run.stage("grpo").merged),
        "--served-model-name",
        "tiny",
        "--reasoning-parser",
        "qwen3",
        "--dtype",
        "float32",
        "--max-model-len",
        "1024",
        "--kv-cache-memory-bytes",
        str(256 << 20),
        "--enforce-eager",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | {"HF_HUB_OFFLINE": "1"}, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 240
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def test_vllm_scores_what_transformers_scored(run: RunDirectory, engine: str) -> None:
    recipe = load(Path(CHAIN_RECIPE)).recipe
    here = held_out.load(run.stage("grpo").held_out)[:ASKED]
    asked = held_out.questions(recipe)[:ASKED]
    assert [each.example for each in here] == [each.id for each in asked]
    replies = asyncio.run(_ask(engine, [each.prompt for each in asked], recipe.data.max_completion_tokens))
    there = []
    for example, reply in zip(asked, replies, strict=True):
        message = reply["choices"][0]["message"]
        answer = assemble(
            message.get("reasoning") or "",
            message.get("content") or "",
            reasoning_complete=bool(message.get("content")),
            finish_reason=reply["choices"][0]["finish_reason"],
            choices=choices(example.mode, example.options),
            options=example.options,
        )
        label = answer.final.value if answer.final else None
        there.append(held_out.Answered(example.id, example.topic, example.answer or "", label, None, ""))
        assert answer.steps, "the engine's parser found the reasoning"
    same = sum(one.label == two.label for one, two in zip(here, there, strict=True))
    assert same >= 0.95 * ASKED, (same, held_out.accuracy(here), held_out.accuracy(there))
    assert held_out.compare(here, there).p_value > 0.05


async def _ask(base: str, prompts: list[str], max_tokens: int) -> list[dict[str, Any]]:
    import aiohttp

    gate = asyncio.Semaphore(32)

    async def one(session: aiohttp.ClientSession, prompt: str) -> dict[str, Any]:
        body = {
            "model": "tiny",
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": max_tokens,
        }
        async with gate, session.post(f"{base}/chat/completions", json=body) as response:
            assert response.status == 200, await response.text()
            return json.loads(await response.text())

    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        return await asyncio.gather(*(one(session, prompt) for prompt in prompts))
