"""The letter forced by structured output: what is sent, what is read back, and that every report says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from eval.constrained import FINAL_ANSWER, OPTION, applied, response_format, unwrapped
from eval.results import load_results
from gazal.answers import extract
from server.schemas import ResponseFormat
from tests.eval.conftest import run_eval, serving
from tests.fakes.examinee import Examinee, answers_of, by_share

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.examinee import Behaviour


@pytest.mark.parametrize("choices", [("A", "B", "C"), ("yes", "no", "maybe")])
def test_every_allowed_reply_is_read_as_its_label(choices: tuple[str, ...]) -> None:
    allowed = response_format(choices)["json_schema"]["schema"]["enum"]
    assert [extract(unwrapped(json.dumps(text)), choices).value for text in allowed] == list(choices)


def test_our_gateway_accepts_the_field() -> None:
    assert ResponseFormat.model_validate(response_format(("A", "B"))).type == "json_schema"


def test_a_run_without_the_option_sends_none() -> None:
    assert applied({"temperature": 0.6}, ("A", "B")) == {"temperature": 0.6}
    assert set(applied({"temperature": 0.6, OPTION: FINAL_ANSWER}, ("A", "B"))) == {"temperature", "response_format"}


@pytest.mark.parametrize("content", ['"Final answer: \\\\boxed{A', "", "plain text", '{"answer": "A"}'])
def test_what_is_no_json_string_stays_as_it_is(content: str) -> None:
    assert unwrapped(content) == content


@pytest.mark.timeout(300)
async def test_a_model_that_never_parses_is_scored_on_its_letters_and_labelled(tmp_path: Path) -> None:
    script = by_share(0.5)

    def mute(prompt: str, seed: int) -> Behaviour:
        return "wrong" if script(prompt, seed) == "wrong" else "no_answer"

    examinee = Examinee(mute, answers_of("clinic"))
    async with serving(examinee) as url:
        status, out = await run_eval(
            "run", "--suite", "smoke", "--base-url", url, "--out", str(tmp_path), "--constrain-letter"
        )
    assert status == 0, out
    asked = examinee.asked
    assert len([body for body in asked if "response_format" in body]) == len(asked) == 16
    expected = sum(script(body["messages"][0]["content"], 0) == "right" for body in asked)
    results = load_results(tmp_path)
    task = results.tasks["gazal_clinic"]
    assert task.strict.value == expected / 16
    assert sum(task.failures.values()) == 0
    assert "constrained: every reply was forced" in out
    for name in ("report.md", "report.html"):
        assert "forced every reply to be one of the final answers" in (tmp_path / name).read_text()
    free = results.model_copy(update={"plan": {"generation": {"temperature": 0.6}}})
    assert (results.constrained, free.constrained) == (True, False)
