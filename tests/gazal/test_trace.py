"""Taking replies apart: the golden replies, and what holds for every text and every way of cutting it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gazal.prompting import MODES, choices
from gazal.trace import Piece, Splitter, Step, StepParser, assemble, parse, parse_steps, template_opens_reasoning

if TYPE_CHECKING:
    from collections.abc import Iterable

GOLDEN = [
    json.loads(line)
    for line in (Path(__file__).parent / "golden_replies.jsonl").read_text(encoding="utf-8").split("\n")
    if line
]

LETTERS = dict.fromkeys("ABCD", "text")

FRAGMENTS = [
    *["<think>", "</think>", "<thin", "</", "<", "k>", "think>", "< think >", "<THINK>"],
    *["\n", "\r\n", "\n\n", " ", "\t", "\u2028", "\u00a0"],
    *["Step 1:", "Step 2: ", "**Step 3: x**", "### Step 4 - ", "step", " 12", "9999", ":", "-", "**", "> "],
    *["\\boxed{", "\\boxed{A}", "\\boxed{yes}", "\\text{", "}", "{", "Final answer: ", "**Final answer:** B"],
    *["A", "or", "١", "Ｃ", "𝐂", "İ", "ı", "\x00", "\ud800", "😀", "a few words of prose "],  # noqa: RUF001
]

replies = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=6), max_size=30).map("".join)
cuts = st.lists(st.integers(0, 200), max_size=20) | st.just(list(range(400)))


def chunks(text: str, positions: Iterable[int]) -> list[str]:
    edges = [0, *sorted(min(position, len(text)) for position in positions), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def split(parts: list[str], opened: bool) -> tuple[Splitter, list[Piece]]:
    splitter = Splitter(opened)
    events = [piece for part in parts for piece in splitter.feed(part)] + splitter.finish()
    return splitter, events


def steps_of(parts: list[str]) -> tuple[Step, ...]:
    parser = StepParser()
    return (*(step for part in parts for step in parser.feed(part)), *parser.finish())


def merged(pieces: Iterable[Piece]) -> list[Piece]:
    out: list[Piece] = []
    for piece in pieces:
        if out and out[-1].kind == piece.kind != "tag":
            out[-1] = Piece(piece.kind, out[-1].text + piece.text)
        else:
            out.append(piece)
    return out


def written_out(row: dict[str, Any]) -> str:
    repeat = row["repeat"] or {"text": "", "times": 0}
    return row["raw"].replace("{REPEAT}", repeat["text"] * repeat["times"])


def test_the_golden_corpus_is_large_and_its_names_are_unique() -> None:
    assert len({row["name"] for row in GOLDEN}) == len(GOLDEN) >= 60


@pytest.mark.parametrize("row", GOLDEN, ids=[row["name"] for row in GOLDEN])
def test_golden_reply(row: dict[str, Any]) -> None:
    parsed = parse(
        written_out(row),
        opened=row["opened"],
        finish_reason=row["finish_reason"],
        choices=row["choices"],
        options=row["options"],
    )
    expected, final = row["expect"], parsed.final
    assert [step.number for step in parsed.steps] == expected["steps"], row["why"]
    assert (final and final.value, final and final.failure) == (expected["value"], expected["failure"]), row["why"]
    assert (final and final.method) == expected["method"], row["why"]
    assert parsed.reasoning_complete is expected["reasoning_complete"], row["why"]
    assert all(part in parsed.reasoning for part in expected["reasoning_contains"]), row["why"]
    if expected["answer"] is not None:
        assert parsed.answer == expected["answer"], row["why"]


@given(replies, cuts, st.booleans())
def test_every_chunking_gives_the_same_result(raw: str, positions: list[int], opened: bool) -> None:
    cut, _ = split(chunks(raw, positions), opened)
    whole, _ = split([raw], opened)
    assert cut.pieces == whole.pieces
    assert (cut.answer, cut.reasoning) == (whole.answer, whole.reasoning)
    assert (cut.in_reasoning, cut.reclassified) == (whole.in_reasoning, whole.reclassified)
    assert parse_steps(cut.reasoning) == parse_steps(whole.reasoning)


@given(replies, cuts, st.booleans())
def test_no_character_is_lost(raw: str, positions: list[int], opened: bool) -> None:
    splitter, events = split(chunks(raw, positions), opened)
    assert "".join(piece.text for piece in events) == raw
    assert "".join(piece.text for piece in splitter.pieces) == raw


@given(replies, cuts, st.booleans())
def test_streamed_events_are_the_final_pieces_unless_text_was_reclassified(
    raw: str, positions: list[int], opened: bool
) -> None:
    splitter, events = split(chunks(raw, positions), opened)
    assert (merged(events) == list(splitter.pieces)) is (splitter.reclassified == 0)


@given(replies, cuts, st.booleans())
def test_sides_hold_no_tag(raw: str, positions: list[int], opened: bool) -> None:
    splitter, _ = split(chunks(raw, positions), opened)
    for kind in ("reasoning", "answer"):
        assert not any("<think>" in p.text or "</think>" in p.text for p in splitter.pieces if p.kind == kind)


@given(replies, cuts)
def test_steps_do_not_depend_on_the_chunking(reasoning: str, positions: list[int]) -> None:
    assert steps_of(chunks(reasoning, positions)) == parse_steps(reasoning)


@pytest.mark.parametrize("mode", MODES)
@given(
    raw=replies,
    opened=st.booleans(),
    finish_reason=st.sampled_from([None, "stop", "length", "abort", "error", "content_filter", "???"]),
)
def test_no_text_makes_parse_raise(mode: Any, raw: str, opened: bool, finish_reason: str | None) -> None:
    allowed = choices(mode, LETTERS)
    parsed = parse(raw, opened=opened, finish_reason=finish_reason, choices=allowed)
    assert (parsed.final is None) is (not allowed)


@given(replies, st.booleans())
def test_parse_is_assemble_over_the_two_sides(raw: str, opened: bool) -> None:
    splitter, _ = split([raw], opened)
    assert parse(raw, opened=opened, choices="ABCD") == assemble(
        splitter.reasoning,
        splitter.answer,
        reasoning_complete=not splitter.in_reasoning,
        finish_reason="stop",
        choices="ABCD",
    )


def test_a_tag_is_held_back_until_it_is_certain() -> None:
    splitter = Splitter()
    assert splitter.feed("<thi") == []
    assert splitter.feed("nk>a") == [Piece("tag", "<think>"), Piece("reasoning", "a")]
    assert splitter.feed("b</thin") == [Piece("reasoning", "b")]
    assert splitter.finish() == [Piece("reasoning", "</thin")]


def test_reclassified_counts_the_characters_shown_on_the_wrong_side() -> None:
    splitter, events = split(["four", "</think>", "done"], opened=False)
    assert events[0] == Piece("answer", "four")
    assert splitter.reclassified == 4
    assert (splitter.reasoning, splitter.answer) == ("four", "done")


def test_a_step_is_returned_when_the_next_begins() -> None:
    parser = StepParser()
    assert parser.feed("Step 1: fever\nand cough\nSte") == []
    assert parser.feed("p 2: x-ray") == [Step(1, "fever\nand cough")]
    assert parser.finish() == [Step(2, "x-ray")]


def test_text_before_the_first_step_belongs_to_no_step() -> None:
    assert parse_steps("Let me think.\nStep 3: only") == (Step(3, "only"),)


def test_a_long_line_holds_no_header_past_its_start() -> None:
    assert parse_steps(" " * 80 + "Step 1: too far right") == ()


QWQ = "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n<think>\\n' }}\n{%- endif %}"
QWEN3 = (
    "{%- if '</think>' in content %}{%- set content = content.split('</think>')[-1] %}{%- endif %}"
    "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n"
    "    {%- if enable_thinking is defined and enable_thinking is false %}\n"
    "        {{- '<think>\\n\\n</think>\\n\\n' }}\n    {%- endif %}\n{%- endif %}"
)
PLAIN = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
HYBRID = (
    "{%- if add_generation_prompt %}{%- if enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}"
    "{%- else %}{{- '<think>\\n' }}{%- endif %}{%- endif %}"
)
HISTORY_ONLY = "{{ '<think>' + message.reasoning }}" + PLAIN


@pytest.mark.parametrize(
    ("chat_template", "opens"),
    [(QWQ, True), (QWEN3, False), (HYBRID, True), (PLAIN, False), (HISTORY_ONLY, False), ("", False)],
    ids=["QwQ", "Qwen3", "thinking unless switched off", "plain", "tag in the history only", "empty"],
)
def test_whether_a_chat_template_opens_the_reasoning(chat_template: str, opens: bool) -> None:
    assert template_opens_reasoning(chat_template) is opens
