"""POST /v1/clinical/reason: the prompt that is sent, the reasoned answer that comes back, whole and streamed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from gazal.prompting import MODES, render, templates_sha256
from server.agreement import Calibration, load_calibration
from server.gateway import Served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from server.gateway import Gateway
    from tests.fakes.engine import FakeEngine

REASON = "/v1/clinical/reason"
MCQ = {"mode": "mcq", "vignette": "Chest pain.", "options": {"A": "Aspirin", "B": "Heparin"}}


async def ask(client: aiohttp.ClientSession, **body: Any) -> dict[str, Any]:
    async with client.post(REASON, json=body) as response:
        assert response.status == 200, await response.text()
        reply: dict[str, Any] = await response.json()
    return reply


async def stream(client: aiohttp.ClientSession, **body: Any) -> list[tuple[str, dict[str, Any]]]:
    async with client.post(REASON, json=body | {"stream": True}) as response:
        assert response.content_type == "text/event-stream"
        blocks = (await response.text()).strip().split("\n\n")
    pairs = [re.fullmatch(r"event: (\w+)\ndata: (.*)", block) for block in blocks]
    return [(pair[1], json.loads(pair[2])) for pair in pairs if pair]


async def lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """What follows the red flags, which come before the engine has said anything."""
    assert await response.content.readuntil(b"\n\n") == b'event: red_flags\ndata: {"red_flags":[]}\n\n'
    while line := await response.content.readline():
        yield line.strip()


async def test_a_multiple_choice_answer_is_taken_apart(client: aiohttp.ClientSession) -> None:
    reply = await ask(client, **MCQ)
    assert reply["object"] == "clinical.reasoning"
    assert [step["text"] for step in reply["reasoning"]["steps"]] == ["Look.", "Think."]
    assert reply["reasoning"]["complete"] is True
    assert reply["answer"].startswith("## Clinical Assessment")
    assert reply["final_answer"] == {"value": "A", "text": "Aspirin", "failure": None, "method": "boxed"}
    assert reply["usage"]["completion_tokens"] == 7
    assert "not a medical device" in reply["disclaimer"]


async def test_provenance_names_artifact_prompt_and_sampling(client: aiohttp.ClientSession, served: Served) -> None:
    provenance = (await ask(client, **MCQ, seed=5, temperature=0.1))["provenance"]
    prompt = render("mcq", "Chest pain.", options=MCQ["options"])  # type: ignore[arg-type]
    assert provenance["artifact_digest"] == served.digest
    assert provenance["prompt_sha256"] == prompt.sha256
    assert provenance["template_sha256"] == prompt.template_sha256
    assert provenance["sampling"] == {
        "temperature": 0.1,
        "top_p": 0.8,
        "top_k": 20,
        "seed": 5,
        "max_tokens": 2048,
        "samples": 1,
        "thinking_budget": None,
    }
    assert provenance["constrained"] is False


async def test_the_engine_gets_the_rendered_prompt(client: aiohttp.ClientSession, engine: FakeEngine) -> None:
    await ask(client, mode="diagnosis", case={"age": 64, "sex": "male", "complaint": "chest pain"})
    text = engine.bodies[-1]["messages"][0]["content"]
    assert "Patient: 64-year-old male\nComplaint: chest pain" in text
    assert "structured_outputs" not in engine.bodies[-1]


async def test_open_modes_have_no_final_answer(client: aiohttp.ClientSession) -> None:
    assert (await ask(client, vignette="Fever."))["final_answer"] is None


@pytest.mark.parametrize(
    ("reply", "finish_reason", "failure"),
    [
        ("<think>\nStep 1: still thinking", "length", "truncated"),
        ("<think>\nStep 1: x\n</think>\nI cannot say.", "stop", "no_answer"),
        ("<think>\nStep 1: x\n</think>\n\\boxed{A} or \\boxed{B}", "stop", "ambiguous"),
        ("<think>\nStep 1: x\n</think>\n\\boxed{E}", "stop", "out_of_range"),
        ("<think>\nStep 1: x\n</think>\n", "stop", "empty"),
    ],
)
async def test_a_missing_final_answer_has_a_reason(
    client: aiohttp.ClientSession, engine: FakeEngine, reply: str, finish_reason: str, failure: str
) -> None:
    engine.reply, engine.finish_reason = reply, finish_reason
    final = (await ask(client, **MCQ))["final_answer"]
    assert (final["value"], final["failure"]) == (None, failure)


@pytest.mark.parametrize("engine_reasoning", [False, True])
@pytest.mark.parametrize("chunk_chars", [1, 5, 400])
async def test_a_stream_gives_steps_then_the_answer_then_the_whole_response(
    client: aiohttp.ClientSession, engine: FakeEngine, chunk_chars: int, engine_reasoning: bool
) -> None:
    engine.chunk_chars, engine.engine_reasoning = chunk_chars, engine_reasoning
    whole = await ask(client, **MCQ)
    parts = await stream(client, **MCQ)
    names = [name for name, _ in parts]
    assert names == sorted(names, key=["red_flags", "step", "answer", "done"].index)
    assert [data for name, data in parts if name == "step"] == whole["reasoning"]["steps"]
    assert "".join(data["delta"] for name, data in parts if name == "answer").strip() == whole["answer"]
    done = parts[-1][1]
    for name in ("reasoning", "answer", "final_answer", "provenance", "usage"):
        assert done[name] == whole[name]


async def test_a_step_is_sent_before_the_reply_is_finished(client: aiohttp.ClientSession, engine: FakeEngine) -> None:
    engine.reply = "<think>\nStep 1: first\nStep 2: " + "x" * 200 + "\n</think>\nok"
    engine.delay_s = 0.02
    async with client.post(REASON, json={"vignette": "x", "stream": True}) as response:
        assert await anext(lines(response)) == b"event: step"
        assert engine.running == 1


async def test_a_break_in_the_stream_is_an_error_event(client: aiohttp.ClientSession, engine: FakeEngine) -> None:
    engine.fault = "cut"
    name, data = (await stream(client, **MCQ))[-1]
    assert name == "error"
    assert data["error"]["code"] == "engine_error"


async def test_a_break_is_a_502_when_not_streaming(client: aiohttp.ClientSession, engine: FakeEngine) -> None:
    engine.fault = "error_event"
    async with client.post(REASON, json=MCQ) as response:
        assert response.status == 502


class TestUntrainedBase:
    """A base model is held to the grammar by the engine, and the response says so."""

    @pytest.fixture
    def served(self) -> Served:
        return Served(name="fake", digest="d" * 64, knows_grammar=False)

    async def test_it_is_constrained_unless_told_otherwise(
        self, client: aiohttp.ClientSession, engine: FakeEngine
    ) -> None:
        reply = await ask(client, **MCQ)
        assert reply["provenance"]["constrained"] is True
        assert "(A|B)" in engine.bodies[-1]["structured_outputs"]["regex"]
        reply = await ask(client, **MCQ, constrained=False)
        assert reply["provenance"]["constrained"] is False
        assert "structured_outputs" not in engine.bodies[-1]


class TestTemplateThatOpensTheTag:
    """Some chat templates end with <think>, so replies begin inside the reasoning."""

    @pytest.fixture
    def served(self) -> Served:
        return Served(name="fake", digest="d" * 64, opens_reasoning=True)

    async def test_the_reply_begins_inside_the_reasoning(
        self, client: aiohttp.ClientSession, engine: FakeEngine
    ) -> None:
        engine.reply = "Step 1: Look.\n</think>\n\\boxed{B}"
        parts = await stream(client, **MCQ)
        assert parts[1] == ("step", {"number": 1, "text": "Look."})
        assert parts[-1][1]["final_answer"]["value"] == "B"


class TestSamples:
    """Several answers to one question."""

    @pytest.fixture
    def votes(self, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Final answers of the samples, in order; the fake engine gives them."""
        answers: list[str] = []
        original = engine._event

        async def event(response: Any, body: Any, kind: str, choices: list[Any], **extra: Any) -> None:
            for choice in choices:
                content = choice.get("delta", {}).get("content")
                if content and "VOTE" in content:
                    choice["delta"] = {"content": content.replace("VOTE", answers[choice["index"]])}
            await original(response, body, kind, choices, **extra)

        monkeypatch.setattr(engine, "_event", event)
        engine.reply, engine.chunk_chars = "<think>\nStep 1: x\n</think>\nFinal answer: \\boxed{VOTE}", 1000
        return answers

    async def test_the_majority_is_shown_with_its_share_and_the_dissent(
        self, client: aiohttp.ClientSession, votes: list[str], engine: FakeEngine
    ) -> None:
        votes += ["B", "A", "A", "Z", "A"]
        reply = await ask(client, **MCQ, samples=5)
        assert engine.bodies[-1]["n"] == 5
        assert reply["final_answer"]["value"] == "A"
        agreement = reply["agreement"]
        assert (agreement["method"], agreement["samples"], agreement["agreeing"]) == ("self-consistency", 5, 3)
        assert agreement["dissent"] == [
            {"value": "B", "failure": None, "count": 1},
            {"value": None, "failure": "out_of_range", "count": 1},
        ]
        assert (agreement["calibrated"], agreement["probability"], agreement["tied"]) == (False, None, False)
        assert [sample["final_answer"]["value"] for sample in reply["samples"]] == ["B", "A", "A", None, "A"]

    async def test_a_tie_is_said(self, client: aiohttp.ClientSession, votes: list[str]) -> None:
        votes += ["B", "A"]
        reply = await ask(client, **MCQ, samples=2)
        assert (reply["final_answer"]["value"], reply["agreement"]["tied"]) == ("B", True)

    async def test_samples_are_told_apart_in_a_stream(self, client: aiohttp.ClientSession, votes: list[str]) -> None:
        votes += ["A", "B"]
        parts = await stream(client, **MCQ, samples=2)
        assert {data["sample"] for name, data in parts if name == "step"} == {0, 1}
        assert parts[-1][0] == "done"

    async def test_a_calibration_of_these_weights_and_this_mode_makes_a_probability(
        self, client: aiohttp.ClientSession, votes: list[str], gateway: Gateway
    ) -> None:
        votes += ["A", "A", "B"]
        base = {"method": "self-consistency", "mode": "mcq", "samples": 3, "run": "r1"}
        bins = [{"agreeing": 2, "questions": 40, "accuracy": 0.55}]
        for digest, expected in ((gateway.served.digest, 0.55), ("0" * 64, None)):
            gateway.calibration = Calibration(**base, artifact_digest=digest, bins=bins)
            agreement = (await ask(client, **MCQ, samples=3))["agreement"]
            assert (agreement["calibrated"], agreement["probability"]) == (expected is not None, expected)

    async def test_too_little_agreement_is_an_abstention_where_a_threshold_was_fitted(
        self, client: aiohttp.ClientSession, votes: list[str], gateway: Gateway
    ) -> None:
        votes += ["A", "A", "B"]
        base = {"method": "self-consistency", "mode": "mcq", "run": "r1", "bins": []}
        for samples, digest, below, expected in (
            (3, gateway.served.digest, 3, True),
            (3, gateway.served.digest, 2, False),
            (3, gateway.served.digest, None, False),
            (3, "0" * 64, 3, False),
            (4, gateway.served.digest, 3, False),
        ):
            gateway.calibration = Calibration(**base, samples=samples, artifact_digest=digest, abstain_below=below)
            reply = await ask(client, **MCQ, samples=3)
            assert (reply["abstained"], reply["abstention"]) == (expected, "disagreement" if expected else None)
            assert reply["final_answer"]["value"] == "A", "the vote is still shown"

    async def test_open_modes_have_samples_and_no_vote(self, client: aiohttp.ClientSession) -> None:
        reply = await ask(client, vignette="Fever.", samples=2)
        assert reply["agreement"] is None
        assert len(reply["samples"]) == 2

    @pytest.mark.parametrize("fields", [{"samples": 0}, {"samples": 9}, {"samples": 2, "temperature": 0}])
    async def test_what_makes_no_sense_is_refused(self, client: aiohttp.ClientSession, fields: Any) -> None:
        async with client.post(REASON, json={"vignette": "x"} | fields) as response:
            assert response.status == 400


@pytest.mark.parametrize(
    ("reply", "finish_reason", "abstained", "abstention"),
    [
        ("Final answer: \\boxed{A}", "stop", False, None),
        ("Final answer: \\boxed{B}", "stop", True, "option"),
        ("Final answer: insufficient information", "stop", True, "said"),
        ("insufficient information, thus", "length", None, None),
        ("", "stop", None, None),
    ],
)
async def test_an_abstention_is_named_with_its_reason(
    client: aiohttp.ClientSession, engine: FakeEngine, reply: str, finish_reason: str, abstained: Any, abstention: Any
) -> None:
    engine.reply, engine.finish_reason = f"<think>\nStep 1: x\n</think>\n{reply}", finish_reason
    options = {"A": "Aspirin", "B": "It cannot be told from this record"}
    found = await ask(client, mode="mcq", vignette="Chest pain.", options=options)
    assert (found["abstained"], found["abstention"]) == (abstained, abstention)


async def test_an_open_answer_abstains_in_the_words_of_the_prompt(
    client: aiohttp.ClientSession, engine: FakeEngine
) -> None:
    head = "<think>\nStep 1: x\n</think>\n## Clinical Assessment\n**Missing Information**: "
    for text, expected in (("insufficient information", True), ("insufficient information about allergies", False)):
        engine.reply = head + text
        assert (await ask(client, vignette="Tired."))["abstained"] is expected


def test_a_malformed_calibration_file_is_named(tmp_path: Any) -> None:
    path = tmp_path / "calibration.json"
    path.write_text('{"method": "self-consistency"}')
    with pytest.raises(ValueError, match="malformed at artifact_digest"):
        load_calibration(path)


async def test_the_prompts_in_use_are_shown(client: aiohttp.ClientSession) -> None:
    async with client.get("/v1/clinical/prompts") as response:
        body = await response.json()
    assert {prompt["mode"] for prompt in body["prompts"]} == set(MODES)
    assert body["templates_sha256"] == templates_sha256()
    assert "$case" in body["prompts"][0]["template"]


async def test_the_documentation_page_loads_nothing_from_elsewhere(client: aiohttp.ClientSession) -> None:
    async with client.get("/docs") as response:
        text = await response.text()
        assert "default-src 'none'" in response.headers["content-security-policy"]
    assert not re.search(r"(?:src|href)=['\"]?(?:https?:)?//", text)
    assert "<script" not in text
    for name in ("/v1/clinical/reason", "ReasonRequest", "thinking_budget", "ChatRequest"):
        assert name in text


async def test_a_step_arrives_while_the_engine_still_writes(client: aiohttp.ClientSession, engine: FakeEngine) -> None:
    engine.delay_s = 0.05
    async with client.post(REASON, json={"vignette": "x", "stream": True}) as response:
        assert await anext(lines(response)) == b"event: step"
        assert engine.running == 1
        await response.read()
