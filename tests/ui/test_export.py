"""Exports, feedback and votes: what they hold, and above all what they do not."""

from __future__ import annotations

import json
import re
import sys
import types
import zlib

import pytest

from tests.ui.answers import finished
from ui import identifiers, pdf
from ui.compare import Pair, Side, cast, shuffled, sides
from ui.export import Choices, as_json, as_markdown
from ui.feedback import as_jsonl, entry
from ui.pdf import as_pdf, usual_font
from ui.run import Run

CASE = "Mrs Jane Doe"


def named(text):
    return [types.SimpleNamespace(type="name", start=m.start(), end=m.end()) for m in re.finditer("Jane Doe", text)]


@pytest.fixture
def library(monkeypatch):
    """A stand-in for gazal.identifiers, which other work brings."""
    module = types.ModuleType("gazal.identifiers")
    module.find = named  # type: ignore[attr-defined]
    module.redact = lambda text: text.replace("Jane Doe", "[NAME]")  # type: ignore[attr-defined]
    module.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "gazal.identifiers", module)
    return module


@pytest.fixture
def no_library(monkeypatch):
    monkeypatch.setattr(identifiers, "MODULE", "gazal.no_such_module")


def test_the_case_is_in_an_export_only_by_choice() -> None:
    run = finished()
    assert CASE not in as_markdown(run, Choices())
    assert CASE not in as_json(run, Choices())
    assert CASE in as_markdown(run, Choices(include_case=True))
    assert json.loads(as_json(run, Choices(include_case=True)))["prompt"].startswith("Case of Mrs")


def test_an_export_ends_with_where_it_came_from_and_begins_with_what_it_is_not() -> None:
    text = as_markdown(finished(red_flags=[{"title": "Shock", "action": "Call"}]), Choices())
    assert text.index("not a medical device") < text.index("Shock") < text.index("Step 1") < text.index("## Answer")
    footer = text.rpartition("---")[2]
    for told in ("gazal-r1-nano", "a" * 64, "c" * 64, "seed 7", "200 tokens", "not a medical device"):
        assert told in footer
    assert "AI model" in text


def test_an_unfinished_run_is_no_answer_to_export() -> None:
    with pytest.raises(ValueError, match="finished"):
        as_json(Run({}, "", ""), Choices())


def test_redaction_covers_every_text_of_an_export(library) -> None:
    flags = [{"title": "x", "evidence": ["Jane Doe fell"]}]
    run = finished(answer="Jane Doe has sepsis", red_flags=flags, samples=[{"answer": "Jane Doe"}])
    text = as_json(run, Choices(include_case=True, redact=True), own="Jane Doe again")
    assert "Jane Doe" not in text
    assert text.count("[NAME]") >= 5


def test_identifiers_are_counted_by_kind(library) -> None:
    assert identifiers.available()
    assert identifiers.kinds_in("Jane Doe and Jane Doe") == {"name": 2}


def test_without_the_library_nothing_passes_as_cleaned(no_library) -> None:
    assert not identifiers.available()
    assert identifiers.kinds_in("Jane Doe") == {}
    with pytest.raises(RuntimeError, match="cannot be removed"):
        as_markdown(finished(), Choices(redact=True))


def text_of(data: bytes) -> bytes:
    """The content streams of a PDF, unpacked."""
    return b"".join(
        zlib.decompress(raw) for raw in re.findall(rb"stream\r?\n(x\x9c.*?)\r?\nendstream", data, re.DOTALL)
    )


def test_a_pdf_without_other_fonts_holds_the_answer_and_counts_what_it_lacks(monkeypatch) -> None:
    monkeypatch.setattr(pdf, "usual_font", lambda: None)
    made = as_pdf(finished(answer="**Primary Diagnosis**: pH ≥ 7.3 — ألم"), Choices())
    assert made.data.startswith(b"%PDF")
    text = text_of(made.data)
    assert b"pH >= 7.3 - ???" in text
    assert b"not a medical device" in text
    assert made.lost == 3
    assert b"Jane Doe" not in text


def test_a_pdf_with_a_unicode_font_lacks_nothing_of_arabic() -> None:
    font = usual_font()
    if font is None:
        pytest.skip("matplotlib's DejaVu is not installed")
    made = as_pdf(finished(answer="ألم في الصدر ≥ 3"), Choices(), font=font)
    assert made.lost == 0
    assert made.data.startswith(b"%PDF")


def test_a_pdf_of_a_megabyte_without_a_space_does_not_fail() -> None:
    made = as_pdf(finished(answer="x" * 100_000), Choices())
    assert made.data.startswith(b"%PDF")


def test_feedback_holds_ids_and_no_text_unless_it_is_opted_in() -> None:
    told = entry(finished(), ["unsafe", "wrong"], " Missed the shock. ", Choices())
    assert told["reasons"] == ["wrong", "unsafe"]
    assert told["comment"] == "Missed the shock."
    assert (told["artifact_digest"], told["final_answer"]) == ("a" * 64, "A")
    kept = json.dumps(told)
    assert CASE not in kept
    assert "Anaphylaxis" not in kept
    opted = entry(finished(), ["good"], "", Choices(include_case=True), own="asthma?")
    assert opted["prompt"].startswith("Case of Mrs")
    assert opted["own_assessment"] == "asthma?"


def test_feedback_needs_a_reason_that_exists() -> None:
    for reasons in ([], ["nice"]):
        with pytest.raises(ValueError, match="good, wrong, unsafe, incomplete"):
            entry(finished(), reasons, "", Choices())


def test_entries_are_one_a_line() -> None:
    lines = as_jsonl([{"a": "line\nbreak"}, {"b": "ألم"}]).splitlines()
    assert [json.loads(line) for line in lines] == [{"a": "line\nbreak"}, {"b": "ألم"}]


SOURCE = object()


def test_two_servers_get_the_same_question_with_the_same_seed() -> None:
    one, two = sides({"mode": "mcq", "samples": 5}, ("a", SOURCE), ("b", SOURCE), "{name} {seed}")  # type: ignore[arg-type]
    assert one.request == two.request == {"mode": "mcq", "samples": 1, "seed": 7}
    assert (one.name, two.name) == ("a", "b")


def test_one_server_gets_two_seeds_which_the_names_tell() -> None:
    one, two = sides({"mode": "mcq", "seed": 3}, ("a", SOURCE), None, "{name}, seed {seed}")  # type: ignore[arg-type]
    assert (one.request["seed"], two.request["seed"]) == (3, 4)
    assert (one.name, two.name) == ("a, seed 3", "a, seed 4")


def test_the_order_of_blind_sides_cannot_be_foreseen() -> None:
    pair = (Side("a", SOURCE, {}), Side("b", SOURCE, {}))  # type: ignore[arg-type]
    assert {shuffled(pair)[0].name for _ in range(64)} == {"a", "b"}


def test_a_vote_reveals_names_counts_once_and_holds_no_text() -> None:
    pair = Pair((finished(), finished()), ("base", "tuned"), blind=True)
    assert pair.names_hidden
    told = cast(pair, "2")
    assert not pair.names_hidden
    assert (told["choice"], told["side_2"]["name"], told["blind"]) == ("2", "tuned", True)
    assert CASE not in json.dumps(told)
    with pytest.raises(ValueError, match="has its vote"):
        cast(pair, "1")


def test_a_vote_needs_two_finished_answers_and_a_choice() -> None:
    with pytest.raises(ValueError, match="finished"):
        cast(Pair((finished(), Run({}, "", "")), ("a", "b"), False), "1")
    with pytest.raises(ValueError, match="choose"):
        cast(Pair((finished(), finished()), ("a", "b"), False), "3")
