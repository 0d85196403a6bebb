"""Identifiers: recall and precision by type on notes of our own, and the medicine that must survive."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gazal.identifiers import Identifier, find, redact

NOTES = Path(__file__).with_name("identifier_notes.txt").read_text(encoding="utf-8").splitlines()


@dataclass(frozen=True)
class Note:
    text: str
    spans: tuple[Identifier, ...]


def unmarked(marked: str) -> Note:
    """`{{type:words}}` marks an identifier."""
    text, spans = "", []
    for part in re.split(r"(\{\{\w+:.*?\}\})", marked):
        mark = re.fullmatch(r"\{\{(\w+):(.*?)\}\}", part)
        words = mark[2] if mark else part
        if mark:
            spans.append(Identifier(mark[1], len(text), len(text) + len(words)))  # type: ignore[arg-type]
        text += words
    return Note(text, tuple(spans))


GIVEN = [
    "Emily",
    "Mohammed",
    "Sarah",
    "David",
    "Fatima",
    "Robert",
    "Priya",
    "Carlos",
    "Ingrid",
    "Patrick",
    "Wolfgang",
    "Amina",
    "Thomas",
    "Yuki",
    "Olga",
]
FAMILY = [
    "Taylor",
    "O'Brien",
    "Khan",
    "Müller",
    "Rossi",
    "Nakamura",
    "Okafor",
    "Smith-Jones",
    "Petrov",
    "Haddad",
    "Novak",
    "Silva",
]
MEDICINE = (
    "presented with epigastric pain",
    "has Parkinson's disease and a Hoehn and Yahr stage of 2",
    "takes apixaban 5 mg twice daily",
    "BP 132/84, HR 72, SpO2 97%",
    "Na 138, K 4.2, creatinine 88 µmol/L",
    "has a Wells score of 3",
    "with Babinski sign negative",
)


def generated(count: int, seed: int) -> list[Note]:
    """Notes from templates, with names and numbers at random."""
    chance = random.Random(seed)

    def digits(count: int) -> str:
        return "".join(chance.choice("123456789") for _ in range(count))

    def name() -> str:
        return f"{chance.choice(GIVEN)} {chance.choice(FAMILY)}"

    def date() -> str:
        day, month, year = chance.randint(1, 28), chance.randint(1, 12), chance.randint(1935, 2024)
        words = [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ]
        return chance.choice(
            [
                f"{day:02}/{month:02}/{year}",
                f"{year}-{month:02}-{day:02}",
                f"{day} {words[month - 1]} {year}",
                f"{words[month - 1]} {day}, {year}",
            ]
        )

    templates = [
        lambda: (
            f"{{{{name:{chance.choice(['Mr', 'Mrs', 'Dr', 'Ms'])} {chance.choice(FAMILY)}}}}} "
            f"{chance.choice(MEDICINE)}."
        ),
        lambda: f"Patient name: {{{{name:{name()}}}}}, DOB {{{{date:{date()}}}}}.",
        lambda: f"{{{{name:{name()}}}}} {chance.choice(MEDICINE)}.",
        lambda: f"Admitted on {{{{date:{date()}}}}}; {chance.choice(MEDICINE)}.",
        lambda: f"MRN {{{{record_number:{digits(7)}}}}}; {chance.choice(MEDICINE)}.",
        lambda: (
            f"Tel: {{{{phone:07{digits(3)} {digits(6)}}}}}, "
            f"{{{{email:{chance.choice(GIVEN).lower()}{digits(2)}@example.net}}}}."
        ),
        lambda: (
            f"Lives at {{{{address:{digits(2)} {chance.choice(['Oak', 'Mill', 'Church'])} "
            f"{chance.choice(['Lane', 'Street', 'Avenue'])}}}}}."
        ),
        lambda: f"A {{{{age:{chance.randint(90, 104)}}}}}-year-old man {chance.choice(MEDICINE)}.",
        lambda: f"SSN {{{{national_id:{chance.randint(100, 600)}-{digits(2)}-{digits(4)}}}}}.",
        lambda: f"A {chance.randint(20, 80)}-year-old woman {chance.choice(MEDICINE)}.",
    ]
    return [unmarked(chance.choice(templates)()) for _ in range(count)]


def scored(notes: list[Note]) -> tuple[Counter[str], Counter[str], Counter[str], Counter[str]]:
    """Of each type: marked, found (half or more of the marked characters hidden), claimed, and claimed rightly."""
    marked: Counter[str] = Counter()
    hit: Counter[str] = Counter()
    claimed: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for note in notes:
        found = find(note.text)
        for span in note.spans:
            marked[span.type] += 1
            hidden = sum(max(0, min(span.end, each.end) - max(span.start, each.start)) for each in found)
            hit[span.type] += hidden >= 0.5 * (span.end - span.start)
        for each in found:
            claimed[each.type] += 1
            right[each.type] += any(each.start < span.end and span.start < each.end for span in note.spans)
    return marked, hit, claimed, right


@pytest.mark.parametrize(
    ("notes", "recall", "precision"),
    [([unmarked(note) for note in NOTES], 0.95, 0.97), (generated(400, seed=1), 0.97, 0.99)],
    ids=["written", "generated"],
)
def test_recall_and_precision_by_type(notes: list[Note], recall: float, precision: float) -> None:
    marked, hit, claimed, right = scored(notes)
    for kind in sorted(marked | claimed):
        print(f"{kind:14} recall {hit[kind]}/{marked[kind]}  precision {right[kind]}/{claimed[kind]}")
    assert hit.total() >= recall * marked.total()
    assert right.total() >= precision * claimed.total()
    for kind in ("national_id", "email", "phone", "record_number"):
        assert hit[kind] >= 0.9 * marked[kind], kind


PRESERVED = Path(__file__).with_name("preserved_terms.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("term", PRESERVED)
@pytest.mark.parametrize("around", ["{}", "She was found to have {} today.", "History: {}, stable."])
def test_medicine_survives(term: str, around: str) -> None:
    text = around.format(term)
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mrs Jane Doe, DOB 03/04/1956", "[NAME], DOB [DATE]"),
        ("NHS 943 476 5919", "NHS [NATIONAL ID]"),
        ("A 92-year-old", "A [AGE]-year-old"),
        ("See https://example.org/x.", "See [URL]."),
        ("MRN: 0012345", "MRN: [RECORD NUMBER]"),
        ("", ""),
    ],
)
def test_placeholders_name_the_type(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_a_nhs_number_without_a_cue_needs_its_check_digit() -> None:
    assert [each.type for each in find("ref 943 476 5919")] == ["national_id"]
    assert find("ref 943 476 5918 ") == []


def test_a_card_number_needs_its_check_digit() -> None:
    assert [each.type for each in find("4111 1111 1111 1111")] == ["account"]
    assert find("4111 1111 1111 1112") == []


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80), st.sampled_from(NOTES), st.text(max_size=80))
def test_what_is_found_lies_in_the_text_in_order_and_apart(before: str, note: str, after: str) -> None:
    text = before + unmarked(note).text + after
    found = find(text)
    ends = [0, *(each.end for each in found)]
    assert all(end <= each.start < each.end <= len(text) for end, each in zip(ends, found, strict=False))
    redacted = redact(text)
    for each in found:
        if each.type in ("national_id", "email") and text.count(text[each.start : each.end]) == 1:
            assert text[each.start : each.end] not in redacted


@pytest.mark.parametrize("note", NOTES)
def test_redacting_twice_changes_nothing(note: str) -> None:
    once = redact(unmarked(note).text)
    assert redact(once) == once


@pytest.mark.parametrize(
    "piece", ["1", "1 ", "A ", "Aa ", "Dr ", "12-", "a@", "a.", "address: ", "ID 1", "0", ":", "\n"]
)
def test_the_time_grows_with_the_length_and_no_faster(piece: str) -> None:
    def seconds(size: int) -> float:
        began = time.process_time()
        find((piece * size)[:size])
        return time.process_time() - began

    def quickest(size: int) -> float:
        return min(seconds(size) for _ in range(3))

    seconds(100)
    assert quickest(80_000) < 12 * max(quickest(20_000), 0.05), "the quickest of three: neighbours on a host cost time"
