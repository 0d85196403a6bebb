"""The regular expression of a constrained answer: what it lets through is a complete reasoned answer."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gazal.grammar import CONSTRAINED_STEPS, answer_regex, sections
from gazal.prompting import MODES, choices, template
from gazal.trace import parse

OPTIONS = {"A": "Heparin", "B": "Warfarin", "C": "Aspirin"}
SENTENCE = "The patient has a fever and a new cough."
allowed_text = st.characters(codec="utf-8", exclude_characters="\n<>\\*")


def allowed(mode: Any) -> tuple[str, ...]:
    return choices(mode, OPTIONS)


def reply(
    mode: Any,
    label: str = "",
    *,
    steps: list[str] | None = None,
    entry: str = "A short entry.",
    left_out: str = "",
) -> str:
    heading, labels = sections(mode)
    texts = steps or [SENTENCE] * CONSTRAINED_STEPS
    return (
        "<think>\n"
        + "".join(f"Step {number}: {text}\n" for number, text in enumerate(texts, 1))
        + f"</think>\n\n## {heading}\n"
        + "".join(f"**{name}**: {entry}\n" for name in labels if name != left_out)
        + (f"\nFinal answer: \\boxed{{{label}}}" if label else "")
    )


def matches(mode: Any, text: str) -> bool:
    return re.fullmatch(answer_regex(mode, allowed(mode)), text) is not None


@pytest.mark.parametrize("mode", MODES)
def test_sections_are_those_of_the_template(mode: Any) -> None:
    heading, labels = sections(mode)
    text = template(mode).text
    assert f"\n## {heading}\n" in text
    assert len(labels) >= 3
    assert [line.split("**")[1] for line in text.splitlines() if line.startswith("**")] == list(labels)


@pytest.mark.parametrize("mode", MODES)
def test_a_matching_reply_parses_to_complete_reasoning_and_its_answer(mode: Any) -> None:
    for label in allowed(mode) or ("",):
        text = reply(mode, label)
        assert matches(mode, text)
        parsed = parse(text, choices=allowed(mode))
        assert parsed.reasoning_complete
        assert [step.number for step in parsed.steps] == [1, 2, 3, 4]
        assert (parsed.final and parsed.final.value) == (label or None)


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
def test_whatever_the_sentences_say_the_reply_parses(mode: Any, data: st.DataObject) -> None:
    sentences = st.text(allowed_text, min_size=20, max_size=60).map(lambda text: f"A{text}.")
    steps = data.draw(st.lists(sentences, min_size=4, max_size=4))
    entry = data.draw(st.text(allowed_text, min_size=8, max_size=40)) + "."
    label = data.draw(st.sampled_from(allowed(mode) or ("",)))
    text = reply(mode, label, steps=steps, entry=entry)
    assert matches(mode, text)
    parsed = parse(text, choices=allowed(mode))
    assert [step.number for step in parsed.steps] == [1, 2, 3, 4]
    assert (parsed.final and parsed.final.value) == (label or None)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_incomplete_does_not_match(mode: Any) -> None:
    label = (allowed(mode) or ("",))[0]
    assert matches(mode, reply(mode, label))
    assert not matches(mode, reply(mode, label, steps=[SENTENCE] * 3))
    assert not matches(mode, reply(mode, label, steps=[SENTENCE] * 5))
    assert not matches(mode, reply(mode, label, left_out=sections(mode)[1][0]))
    assert not matches(mode, reply(mode, label).removeprefix("<think>\n"))
    assert not matches(mode, reply(mode, label).replace("</think>\n", ""))
    assert not matches(mode, reply(mode, label) + "\nmore")


@pytest.mark.parametrize("mode", ["mcq", "research"])
def test_a_closed_set_needs_one_of_its_labels(mode: Any) -> None:
    assert not matches(mode, reply(mode))
    assert not matches(mode, reply(mode, "D"))
    assert not matches(mode, reply(mode, "A or B"))


@pytest.mark.parametrize("mode", MODES[:4])
def test_an_open_mode_takes_no_final_answer(mode: Any) -> None:
    assert not matches(mode, reply(mode, "A"))


@pytest.mark.parametrize(
    ("sentence", "fits"),
    [
        ("A" + "a" * 20 + ".", True),
        ("A" + "a" * 220 + ".", True),
        ("A" + "a" * 19 + ".", False),
        ("A" + "a" * 221 + ".", False),
        ("no capital letter to begin with here.", False),
        ("No full stop at the end of the sentence", False),
    ],
)
def test_a_step_is_a_whole_sentence_of_moderate_length(sentence: str, fits: bool) -> None:
    assert matches("diagnosis", reply("diagnosis", steps=[sentence] * 4)) is fits


@pytest.mark.parametrize("smuggled", ["</think>", "\\boxed{B}", "\nFinal answer: B"])
def test_neither_tag_nor_box_nor_new_line_fits_into_a_text(smuggled: str) -> None:
    assert not matches("mcq", reply("mcq", "A", steps=[f"The patient has {smuggled} and a cough."] * 4))
    assert not matches("mcq", reply("mcq", "A", entry=f"An entry {smuggled} more."))


def test_labels_are_taken_literally() -> None:
    assert re.fullmatch(answer_regex("mcq", ("A+", "B")), reply("mcq", "A+"))
    assert not re.fullmatch(answer_regex("mcq", ("A+", "B")), reply("mcq", "AA"))
