"""Hostile text becomes harmless HTML; a model's answer becomes cards."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ui.render import MAX_SHOWN_CHARS, TAGS, escaped, is_right_to_left, markdown, sections, visible

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](http://evil.example/p.png)",
    "[click](javascript:alert(1))",
    "<http://evil.example>",
    "[a]: http://evil.example\n[a]",
    "<svg/onload=alert(1)><details open ontoggle=alert(1)>",
    "**<b onclick=x>bold</b>**",
    '"><iframe src="http://evil.example">',
    "```html\n<script>alert(1)</script>\n```",
    "<style>*{display:none}</style>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_hostile_survives(text: str) -> None:
    drawn = markdown(text)
    tags = re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)([^>]*)>", drawn)
    assert {name for name, _ in tags} <= TAGS
    assert all(not rest.strip(" /") for _, rest in tags)


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet=st.sampled_from("<>/\"'`*_#[]()!&;=: \nabscriptonerrorhref"), max_size=120))
def test_no_text_makes_a_tag_or_attribute_that_is_not_on_the_list(text: str) -> None:
    for name, rest in re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)([^>]*)>", markdown(text)):
        assert name in TAGS
        assert not rest.strip(" /")
    assert "<" not in escaped(text)


def test_links_and_images_stay_the_text_they_are() -> None:
    drawn = markdown("See [the guideline](http://evil.example) and ![x](http://evil.example/p.png)")
    assert "[the guideline](http://evil.example)" in drawn
    assert "<a" not in drawn
    assert "<img" not in drawn


def test_emphasis_lists_and_headings_are_kept() -> None:
    drawn = markdown("# Plan\n\n- **first**\n- *second*")
    assert "<h5>Plan</h5>" in drawn
    assert "<li><strong>first</strong></li>" in drawn


def test_direction_marks_and_invisible_characters_are_shown_not_obeyed() -> None:
    assert visible("dose \u202e05\u202c mg\u200b") == "dose [U+202E]05[U+202C] mg[U+200B]"
    assert "\u202e" not in markdown("a\u202eb")
    assert visible("ألم في الصدر\n\ttab") == "ألم في الصدر\n\ttab"


@pytest.mark.parametrize("text", ["x" * 1_000_000, "*" * 1_000_000, "> " * 500_000, "[" * 1_000_000, "|a" * 300_000])
def test_a_megabyte_is_cut_and_drawn_in_a_moment(text: str) -> None:
    started = time.process_time()
    drawn = markdown(text)
    assert len(drawn) < 40 * MAX_SHOWN_CHARS
    assert time.process_time() - started < 5


def test_an_answer_is_taken_apart_into_its_labelled_parts() -> None:
    found = sections(
        "## Clinical Assessment\n**Primary Diagnosis**: Sepsis\n"
        "**Must Not Miss:** Meningitis\n**Supporting Findings**:\n"
        "- fever\n- rash\n**Odd Label**: text\n\nFinal answer: \\boxed{C}"
    )
    assert [(each.kind, each.label) for each in found] == [
        ("lead", "Primary Diagnosis"),
        ("danger", "Must Not Miss"),
        ("for", "Supporting Findings"),
        ("other", "Odd Label"),
    ]
    assert found[2].text == "- fever\n- rash"
    assert "boxed" not in found[3].text


def test_an_answer_without_labels_is_one_part_and_loses_nothing() -> None:
    assert [(each.label, each.text) for each in sections("Just words.\n\nMore.")] == [("", "Just words.\n\nMore.")]
    assert sections("") == []


def test_the_direction_of_a_text_is_that_of_its_first_letter() -> None:
    assert is_right_to_left("12 ألم")
    assert not is_right_to_left("Pain ألم")
    assert not is_right_to_left("123")
