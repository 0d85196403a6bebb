"""Somebody's records become our rows, by the columns a recipe names."""

from __future__ import annotations

from typing import Any

import pytest

from training.data.records import RecordError, find_columns, row_from_record
from training.data.rows import Row
from training.recipe import Columns, Source

QUESTION = {"id": "7", "question": "What first?", "options": {"A": "ECG", "B": "CT"}, "answer": "A"}


def convert(record: dict[str, Any], columns: Columns | None = None, **source: Any) -> Row:
    stated = columns or Columns()
    settings = Source(kind="jsonl", reference="x.jsonl", stages=["sft"], columns=stated, **source)
    return row_from_record(record, "line 1", find_columns([record], stated), settings, "x")


@pytest.mark.parametrize(
    "options",
    [
        {"A": "ECG", "B": "CT"},
        ["ECG", "CT"],
        [{"label": "A", "text": "ECG"}, {"label": "B", "text": "CT"}],
        [{"key": "A", "value": "ECG"}, {"key": "B", "value": "CT"}],
        '{"A": "ECG", "B": "CT"}',
        '["ECG", "CT"]',
    ],
)
def test_options_come_in_many_shapes(options: object) -> None:
    row = convert({**QUESTION, "options": options})
    assert row.options == {"A": "ECG", "B": "CT"}
    assert "What first?\n</case>\nA. ECG\nB. CT" in row.prompt


def test_options_may_stand_at_the_end_of_the_question() -> None:
    row = convert({"id": "7", "question": "What first?\nA. ECG\nB) CT", "answer": "B"}, mode="mcq")
    assert (row.options, row.answer) == ({"A": "ECG", "B": "CT"}, "B")
    assert row.stem == "What first?"


@pytest.mark.parametrize("answer", ["A", "a", "ECG", " ecg "])
def test_an_answer_is_a_label_or_the_text_of_an_option(answer: str) -> None:
    assert convert({**QUESTION, "answer": answer}).answer == "A"


def test_yes_no_maybe_with_an_abstract_is_a_research_question() -> None:
    options = {"yes": "yes", "no": "no", "maybe": "maybe"}
    row = convert({**QUESTION, "options": options, "answer": "maybe", "context": ["AIM: x.", "RESULT: y."]})
    assert (row.mode, row.options, row.answer) == ("research", {}, "maybe")
    assert "AIM: x.\nRESULT: y." in row.prompt


def test_the_columns_of_the_papers_first_data_set() -> None:
    record = {"case": "A man has chest pain.", "reasoning": "Step 1: pain.", "answer": "**Primary Diagnosis**: x"}
    row = convert(record, Columns(response="answer"), mode="diagnosis")
    assert row.completion == "<think>\nStep 1: pain.\n</think>\n\n**Primary Diagnosis**: x"
    assert (row.mode, row.answer, row.group) == ("diagnosis", None, "x/line 1")


def test_a_dot_reaches_into_a_struct() -> None:
    record = {"data": {"stem": "What first?", "choices": ["ECG", "CT"]}, "key": "B", "meta": {"dup_group": "g1"}}
    row = convert(record, Columns(question="data.stem", options="data.choices", answer="key"))
    assert (row.answer, row.group) == ("B", "x/g1")


def test_a_record_with_a_prompt_is_one_of_our_rows() -> None:
    row = convert(QUESTION)
    again = convert(row.model_dump(), licence="CC BY 4.0")
    assert again == row.model_copy(update={"licence": "CC BY 4.0"})


def test_a_column_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(KeyError, match=r"no column 'vignette' \(columns.case\); it has: answer, id, options, question"):
        find_columns([QUESTION], Columns(case="vignette"))
    with pytest.raises(KeyError, match=r"neither a column 'question' nor 'case'.*It has: text"):
        find_columns([{"text": "x"}], Columns())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": "E"}, "neither one of the labels A, B nor the text of one option"),
        ({"answer": 1}, "answer is a int, not a text"),
        ({"question": " "}, "the case is empty"),
        ({"options": {"B": "x", "C": "y"}}, "must be labelled A, B"),
        ({"options": {"A": "x"}}, "needs 2 to 10 options"),
        ({"options": ["x"] * 11}, "at most 10"),
        ({"options": 3}, "options are a int"),
        ({"options": [3, 4]}, "neither a text nor a struct"),
        ({"options": None}, "no options and no mode"),
        ({"options": "{broken"}, "Expecting"),
    ],
)
def test_a_record_that_cannot_be_used_says_why(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecordError, match=message) as caught:
        convert({**QUESTION, **changes})
    assert caught.value.row_id == "7"
