"""Rewards: golden values, the tricks a policy could learn, and ranges for any text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gazal.trace import parse
from training.__main__ import app
from training.rewards import RewardPolicy, repetition, score, soft_overlong

if TYPE_CHECKING:
    from pathlib import Path

    from training.rewards import Components

CHOICES = ("A", "B", "C", "D")
STEPS = "Step 1: The pain is crushing and central.\nStep 2: The ECG shows ST elevation in II, III and aVF.\n"
ANSWER = "\n## Clinical Assessment\n**Best Option**: inferior infarction\n\nFinal answer: \\boxed{C}"
GOOD = f"<think>\n{STEPS}</think>\n{ANSWER}"
ARABIC = "الألم شديد في وسط الصدر ويمتد إلى الذراع " * 9
POLICY = RewardPolicy()


def scored(text: str, key: str = "C", prompt: str = "What is it?") -> Components:
    return score(text, key, CHOICES, [hash(word) for word in text.split()], POLICY, prompt=prompt)


def test_a_right_and_well_formed_answer_earns_everything() -> None:
    components = scored(GOOD)
    assert (components.accuracy, components.format, components.length, components.lacks) == (1, 1, 0, ())
    assert components.total(POLICY) == pytest.approx(1.2, abs=0.02)


def test_a_wrong_answer_earns_nothing_for_its_looks() -> None:
    components = scored(GOOD, key="A")
    assert (components.accuracy, components.format) == (0, 1)
    assert components.total(POLICY) <= 0


TRICKS = {
    "empty thinking": f"<think>\n</think>\n{ANSWER}",
    "one word a step": f"<think>\nStep 1: a\nStep 2: b\n</think>\n{ANSWER}",
    "steps that repeat their number": GOOD.replace("Step 2", "Step 1"),
    "steps with a gap": GOOD.replace("Step 2", "Step 3"),
    "text outside the steps": GOOD.replace("<think>\n", "<think>\nHmm, let me see what this is.\n"),
    "no sections": f"<think>\n{STEPS}</think>\n\nFinal answer: \\boxed{{C}}",
    "another script": GOOD.replace(
        "The pain is crushing and central.", "الألم شديد في وسط الصدر ويمتد إلى الذراع " * 9
    ),
}
CHEATS = {
    "answer inside the thinking only": GOOD.replace("</think>\n", "Final answer: \\boxed{C}\n</think>\n").removesuffix(
        "\\boxed{C}"
    ),
    "every letter boxed": GOOD.replace("inferior infarction", "\\boxed{A} \\boxed{B} \\boxed{C} \\boxed{D}"),
    "two letters": GOOD.replace("\\boxed{C}", "\\boxed{C} or \\boxed{D}"),
    "A or B in one box": GOOD.replace("\\boxed{C}", "\\boxed{C or D}"),
    "prompt echo": GOOD.replace("\\boxed{C}", "\\boxed{letter}"),
    "option text": GOOD.replace("\\boxed{C}", "\\boxed{C. Inferior infarction}"),
    "lower case": GOOD.replace("\\boxed{C}", "\\boxed{c}"),
    "full-width letter": GOOD.replace("\\boxed{C}", "\\boxed{\uff23}"),
    "Cyrillic letter": GOOD.replace("\\boxed{C}", "\\boxed{\u0421}"),
    "talk after the answer": GOOD + "\nI am sure of it.",
    "thinking twice": GOOD.replace("</think>\n", "</think>\n<think>\nmore\n</think>\n", 1),
    "closing tag twice": GOOD.replace("</think>\n", "</think>\n</think>\n", 1),
    "no opening tag": GOOD.removeprefix("<think>\n"),
    "not boxed": GOOD.replace("\\boxed{C}", "C"),
    "ten thousand repeats": f"<think>\n{STEPS}</think>\n" + "Final answer: \\boxed{C}\n" * 10_000,
    "nothing": "",
}


@pytest.mark.parametrize("text", TRICKS.values(), ids=TRICKS)
def test_a_trick_with_the_form_costs_the_form(text: str) -> None:
    components = scored(text)
    assert components.accuracy == 1
    assert components.format < 1
    assert components.lacks


@pytest.mark.parametrize("text", CHEATS.values(), ids=CHEATS)
def test_a_cheat_is_not_right(text: str) -> None:
    components = scored(text)
    assert components.accuracy == 0
    assert components.format < 1
    assert components.total(POLICY) <= 0


@pytest.mark.parametrize("text", [GOOD, *TRICKS.values(), *CHEATS.values()])
def test_the_reward_is_stricter_than_the_evaluation(text: str) -> None:
    final = parse(text, choices=CHOICES).final
    if scored(text).accuracy:
        assert final is not None
        assert final.value == "C"


def test_a_truncated_reply_earns_nothing() -> None:
    components = score(GOOD, "C", CHOICES, list(range(40)), POLICY, truncated=True)
    assert (components.accuracy, components.format, components.lacks) == (0, 0, ("truncated",))


def test_a_reply_in_the_script_of_its_prompt_keeps_the_form() -> None:
    arabic = GOOD.replace("The pain is crushing and central.", ARABIC)
    assert "script" in scored(arabic).lacks
    assert "script" not in scored(arabic, prompt="ما هو التشخيص الأكثر احتمالا").lacks


def test_greek_letters_of_medicine_are_no_other_script() -> None:
    assert scored(GOOD.replace("crushing", "crushing, β-blocked, 5 µg and \u03b1-synuclein aside,")).format == 1


def test_a_template_that_opens_the_tag_is_scored_alike() -> None:
    whole = scored(GOOD)
    opened = score(GOOD.removeprefix("<think>"), "C", CHOICES, [hash(w) for w in GOOD.split()], POLICY, opened=True)
    assert opened == whole


@pytest.mark.parametrize(
    ("length", "expected"), [(0, 0), (3072, 0), (3073, -1 / 1024), (3584, -0.5), (4096, -1), (9999, -1)]
)
def test_soft_overlong_at_its_corners(length: int, expected: float) -> None:
    assert soft_overlong(length, 4096, 1024) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("tokens", "ngram", "expected"),
    [([], 3, 0), ([1, 2], 3, 0), ([1, 2, 3, 4], 2, 0), ([1, 1, 1, 1], 1, -0.75), ([1, 2, 1, 2, 1], 2, -0.5)],
)
def test_repetition_is_the_share_of_repeated_ngrams(tokens: list[int], ngram: int, expected: float) -> None:
    assert repetition(tokens, ngram) == pytest.approx(expected)


def test_one_phrase_over_and_over_costs_nearly_everything() -> None:
    assert repetition([5, 6, 7] * 10_000, 4) < -0.999


PIECES = st.sampled_from(
    ["<think>\n", "</think>\n", "Step 1: the first of the steps\n", "Step 2: and the second one\n", "## Head\n",
     "**Label**: text\n", "Final answer: \\boxed{C}", "Final answer: \\boxed{A}", "\\boxed{", "}", "é", "Ж", "\n", " x"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=300), st.lists(PIECES, max_size=14).map("".join)), st.booleans(), st.booleans())
def test_components_stay_in_their_ranges_and_repeat_exactly(text: str, opened: bool, truncated: bool) -> None:
    tokens = list(text.encode())
    first = score(text, "C", CHOICES, tokens, POLICY, opened=opened, truncated=truncated)
    assert first == score(text, "C", CHOICES, tokens, POLICY, opened=opened, truncated=truncated)
    assert first.accuracy in (0, 1)
    assert 0 <= first.format <= 1
    assert -1 <= first.length <= 0
    assert -1 <= first.repetition <= 0
    if first.accuracy:
        final = parse(text, opened=opened, choices=CHOICES).final
        assert final is not None
        assert final.value == "C"


def test_the_command_prints_the_table(tmp_path: Path) -> None:
    rows = [
        {"completion": GOOD, "answer": "C"},
        {"completion": "C", "answer": "C"},
        {"completion": GOOD, "answer": "A"},
    ]
    file = tmp_path / "completions.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    result = CliRunner().invoke(app, ["rewards", "score", str(file)])
    assert result.exit_code == 0
    assert "3 completions" in result.stdout
    assert "accuracy" in result.stdout
    assert "lacks shape" in result.stdout


@pytest.mark.parametrize(
    ("text", "message"), [("{", "line 1: not JSON"), ('{"answer": "A"}', "'completion' and 'answer'"), ("", "holds no")]
)
def test_a_malformed_file_is_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "completions.jsonl"
    file.write_text(text)
    result = CliRunner().invoke(app, ["rewards", "score", str(file)])
    assert result.exit_code == 1
    assert message in result.output


INSUFFICIENT = {"A": "Myocardial infarction", "B": "Panic attack", "C": "Insufficient information", "D": "Gastritis"}


@pytest.mark.parametrize(("key", "accuracy"), [("C", 1), ("A", 0)])
def test_an_abstaining_answer_is_rewarded_where_it_is_the_key_and_nowhere_else(key: str, accuracy: int) -> None:
    """An option that says the information is insufficient is an option like any other; doubt as such earns nothing."""
    answer = f"\n## Clinical Assessment\n**Best Option**: {INSUFFICIENT['C']}\n\nFinal answer: \\boxed{{C}}"
    components = scored(f"<think>\n{STEPS}</think>\n{answer}", key)
    assert (components.accuracy, components.format) == (accuracy, 1)
    assert (components.total(POLICY) > 0) == bool(accuracy)


def test_the_words_without_the_label_earn_nothing() -> None:
    answer = (
        "\n## Clinical Assessment\n**Best Option**: insufficient information\n\nFinal answer: insufficient information"
    )
    components = scored(f"<think>\n{STEPS}</think>\n{answer}", "C")
    assert components.accuracy == 0
    assert components.total(POLICY) <= 0
