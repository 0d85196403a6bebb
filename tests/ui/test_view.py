"""What is drawn for each state of a run."""

from __future__ import annotations

import re

import pytest

from tests.ui.answers import finished, response, sample, vote
from ui.client import Event, Failure, FailureKind
from ui.run import Run
from ui.texts import LANGUAGES
from ui.view import idle, run_view

EN = LANGUAGES["en"]


def words(markup: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", markup).split())


def test_both_languages_say_the_same_things_with_the_same_blanks() -> None:
    english, arabic = LANGUAGES["en"], LANGUAGES["ar"]
    assert set(english) == set(arabic)
    for key in english:
        assert sorted(re.findall(r"\{\w+\}", english[key])) == sorted(re.findall(r"\{\w+\}", arabic[key])), key
        assert arabic[key].strip()


def test_red_flags_stand_above_everything_and_say_when_nothing_checked() -> None:
    flags = [{"id": "x", "title": "Shock", "action": "Call for help", "source": "Resus 2021", "evidence": ["BP 78/42"]}]
    drawn = run_view(finished(red_flags=flags), EN)
    assert drawn.index("gz-flags") < drawn.index("gz-bar") < drawn.index("gz-reasoning") < drawn.index("gz-answer")
    assert all(text in words(drawn) for text in ("Shock", "Call for help", "Resus 2021", "BP 78/42"))
    assert EN["flags_unchecked"] in run_view(finished(), EN)
    assert "excludes nothing" in run_view(finished(red_flags=[]), EN)


def test_an_english_flag_keeps_its_direction_on_an_arabic_page() -> None:
    flags = [{"title": "Shock", "action": "Call for help.", "source": "Resus 2021", "evidence": ["BP 78/42"]}]
    drawn = run_view(finished(red_flags=flags), LANGUAGES["ar"])
    assert '<p dir="auto">Call for help.</p>' in drawn
    for words in ("<strong>Shock</strong>", "Resus 2021", "BP 78/42"):
        assert f'dir="auto">{words}' in drawn


def test_flags_that_come_first_are_shown_before_any_step() -> None:
    run = Run({}, "", "")
    run.take(Event("red_flags", {"red_flags": [{"name": "old shape", "reason": "as the schema has it"}]}))
    assert "as the schema has it" in run_view(run, EN)


def test_a_running_case_shows_its_steps_open_and_ticks() -> None:
    run = Run({}, "", "")
    run.take(Event("step", {"number": 1, "text": "Look at *this*."}))
    drawn = run_view(run, EN)
    assert 'data-auto="open"' in drawn
    assert 'data-ticking="1"' in drawn
    assert "<em>this</em>" in drawn


def test_a_finished_case_shows_the_card_the_readout_and_closes_the_reasoning() -> None:
    drawn = run_view(finished(), EN)
    assert 'data-auto="closed"' in drawn
    assert drawn.count(EN["close_reasoning"]) == 1
    assert "not proof of how it decided" in drawn
    assert re.findall(r"gz-card-(\w+)", drawn) == [
        "lead",
        "danger",
        "for",
        "against",
        "missing",
        "next",
    ]
    assert "A Adrenaline" in words(drawn)
    assert "20.0 tokens/s" in drawn
    assert "a" * 64 in drawn
    assert EN["r_same"] in drawn
    assert EN["notice"] in drawn


@pytest.mark.parametrize("why", ["truncated", "no_answer", "ambiguous", "out_of_range", "empty", "error"])
def test_an_unread_answer_is_said_with_its_reason_and_never_guessed(why: str) -> None:
    final = {"value": None, "text": None, "failure": why, "method": None}
    drawn = words(run_view(finished(final_answer=final), EN))
    assert f"{EN['no_final']} {EN[f'why_{why}']}" in drawn
    assert EN["final_answer"] + " " not in drawn.replace(EN["no_final"], "")


def test_agreement_is_a_count_with_its_dissent_and_no_percentage() -> None:
    samples = [sample("A")] * 4 + [sample("B")]
    drawn = run_view(finished(agreement=vote(), samples=samples), EN)
    assert "4 of 5 answers agree on A" in drawn
    assert "1 x B" in drawn
    assert EN["agreement_uncalibrated"] in drawn
    assert "%" not in words(drawn[drawn.index("gz-agreement") : drawn.index("gz-sample")])


def test_measured_accuracy_is_shown_only_when_it_was_measured() -> None:
    calibrated = vote(calibrated=True, probability=0.62)
    assert "right in 62 of 100 questions" in run_view(finished(agreement=calibrated, samples=[sample("A")] * 5), EN)


@pytest.mark.parametrize(
    ("changes", "words_shown"),
    [
        ({"tied": True, "agreeing": 2}, "No consensus: two answers were equally frequent (2 of 5)"),
        ({"agreeing": 2}, "No consensus: only 2 of 5 answers agree on A"),
        ({"agreeing": 0}, "No consensus: no final answer could be read"),
    ],
)
def test_no_consensus_is_a_state_of_its_own(changes, words_shown) -> None:
    drawn = run_view(finished(agreement=vote(**changes), samples=[sample(None, "no_answer")] * 5), EN)
    assert "gz-no-consensus" in drawn
    assert words_shown in drawn


def test_open_answers_are_not_counted() -> None:
    drawn = run_view(finished(final_answer=None, samples=[sample("A")] * 3), EN)
    assert "cannot be counted" in drawn
    assert drawn.count("gz-sample") == 3


@pytest.mark.parametrize("kind", FailureKind.__args__)  # type: ignore[attr-defined]
@pytest.mark.parametrize("language", ["en", "ar"])
def test_every_failure_has_plain_words_and_a_way_on(kind, language) -> None:
    run = Run({}, "", "")
    run.end("failed", Failure(kind, "field: fix", 12.0, "req-1"))
    drawn = words(run_view(run, LANGUAGES[language]))
    assert LANGUAGES[language][f"f_{kind}"] in drawn
    assert "req-1" in drawn
    assert "{" not in drawn


def test_what_came_before_a_failure_stays_on_the_screen() -> None:
    run = Run({}, "", "")
    run.take(Event("step", {"number": 1, "text": "Seen."}))
    run.end("failed", Failure("silent"))
    assert "Seen." in run_view(run, EN)


def test_hostile_text_is_harmless_wherever_it_stands() -> None:
    bad = '<script>x</script><img src="http://evil.example" onerror=x>\u202e'
    flags = [{"title": bad, "message": bad, "source": bad, "evidence": [bad]}]
    told = response(answer=f"**{bad[:20]}**: {bad}", red_flags=flags)
    told["final_answer"] = {"value": "A", "text": bad, "failure": None, "method": "boxed"}
    told["provenance"]["model"] = bad
    run = Run({}, bad, "c")
    run.take(Event("step", {"number": 1, "text": bad}))
    run.take(Event("done", told))
    drawn = run_view(run, EN, own=bad)
    assert "<script" not in drawn
    assert "<img" not in drawn
    assert "\u202e" not in drawn


def test_only_one_region_announces_and_it_is_not_the_text() -> None:
    drawn = run_view(finished(), EN)
    assert "aria-live" not in drawn
    assert 'data-announce="Finished: 2 steps and an answer."' in drawn
    assert "aria-live" not in idle(EN)


def test_a_name_can_be_hidden_and_takes_the_readout_with_it() -> None:
    drawn = run_view(finished(), EN, name="Side 1")
    assert "gazal-r1-nano" not in drawn
    assert "a" * 64 not in drawn


def test_own_assessment_is_shown_beside_the_finished_answer() -> None:
    assert "I think asthma" in run_view(finished(), EN, own="I think asthma")
