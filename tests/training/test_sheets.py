"""Question sheets: true to the knowledge base, silent about what is held out, and a source of a recipe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from training.clinic import sheets as sheets_module
from training.clinic.cases import Patient, also_explains
from training.clinic.generate import held_out_conditions, split_of
from training.clinic.knowledge import Clinic, load
from training.clinic.sheets import ITEMS, Sheet, sheets
from training.data.rules import Candidate, Pool, check_completions
from training.data.sources import load_source
from training.recipe import Source
from training.recipe import load as load_recipe

COUNT = 400


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    return load()


@pytest.fixture(scope="module")
def made(clinic: Clinic) -> list[Sheet]:
    return list(sheets(clinic, COUNT, seed=3))


def lines(text: str) -> list[str]:
    return re.findall(r"^\d+\. (.+)$", text, re.MULTILINE)


def pointed_to(made: list[Sheet]) -> list[str]:
    answers = "\n".join(sheet.completion for sheet in made)
    return re.findall(r"They point to: (.+?)\.(?: |$)", answers, re.MULTILINE)


def test_each_question_has_its_answer_under_the_same_number(made: list[Sheet]) -> None:
    for sheet in made:
        numbers = [int(n) for n in re.findall(r"^(\d+)\. ", sheet.prompt, re.MULTILINE)]
        assert numbers in [list(range(1, count + 1)) for count in ITEMS.values()]
        assert [int(n) for n in re.findall(r"^(\d+)\. ", sheet.completion, re.MULTILINE)] == numbers


def of_kind(made: list[Sheet], kind: sheets_module.SheetKind) -> list[Sheet]:
    return [sheet for sheet in made if len(lines(sheet.completion)) == ITEMS[kind]]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_how_many_sheets_ask_for_facts_alone_can_be_said(clinic: Clinic, share: float) -> None:
    made = list(sheets(clinic, 20, 3, facts_share=share))
    assert len(of_kind(made, "facts")) == 20 * share


def test_some_sheets_ask_for_nothing_but_facts_of_conditions_by_name(clinic: Clinic, made: list[Sheet]) -> None:
    facts = of_kind(made, "facts")
    assert 0.2 * COUNT < len(facts) < 0.4 * COUNT
    names = {each.name for each in clinic.conditions.values()}
    for sheet in facts:
        for question in lines(sheet.prompt):
            assert any(question.startswith(name) for name in names), question
    assert not pointed_to(facts)


def test_a_third_of_the_sheets_ask_for_nothing_but_the_names_of_short_cases(made: list[Sheet]) -> None:
    naming = of_kind(made, "names")
    assert 0.2 * COUNT < len(naming) < 0.45 * COUNT
    forms: set[bool] = set()
    for sheet in naming:
        for question, answer in zip(lines(sheet.prompt), lines(sheet.completion), strict=True):
            assert re.fullmatch(r"They (point to: [^.]+|fit .+ and .+ alike)\.", answer)
            listed = question[0].islower() and not question.endswith(("?", '"'))
            forms.add(listed)
            assert not listed or len(question.split("; ")) <= 5
    assert forms == {True, False}, "some cases are lists of findings, others are told"


def test_some_cases_are_explained_by_two_conditions_alike_and_the_answer_says_so(
    clinic: Clinic, made: list[Sheet]
) -> None:
    names = {each.name.casefold() for each in clinic.conditions.values()}
    held_out = {clinic.conditions[each].name.casefold() for each in held_out_conditions(clinic)}
    answers = [answer for sheet in made for answer in lines(sheet.completion) if "They fit " in answer]
    assert len(answers) > COUNT / 5
    for answer in answers:
        both = re.search(r"They fit (.+) alike\.", answer)
        assert both
        pairs = [both[1].casefold().split(" and ", n) for n in range(1, 5)]
        splits = [(" and ".join(each[:-1]), each[-1]) for each in pairs]
        assert any({first, second} <= names - held_out for first, second in splits), answer
    assert any("So the right choice is: " in answer for answer in answers)


def test_the_number_of_findings_does_not_tell_whether_they_decide(made: list[Sheet]) -> None:
    asked = [
        pair
        for sheet in of_kind(made, "names")
        for pair in zip(lines(sheet.prompt), lines(sheet.completion), strict=True)
    ]
    for few in (2, 3):
        answers = [answer for question, answer in asked if len(question.split("; ")) == few]
        alike = sum(answer.startswith("They fit ") for answer in answers)
        assert 0.1 < alike / len(answers) < 0.8


def test_what_is_left_of_a_short_case_still_points_to_its_condition_alone(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Patient] = []
    listing = sheets_module._listing
    monkeypatch.setattr(
        sheets_module, "_listing", lambda patient, each: (shown.append(patient), listing(patient, each))[1]
    )
    list(sheets(clinic, 60, seed=5))
    assert {split_of(patient) for patient in shown} == {"train"}
    decided = [each for each in shown if not each.rival]
    assert not [each for each in decided if also_explains(each.condition, each.present, each.presentation)]


def test_the_seed_decides_everything(clinic: Clinic, made: list[Sheet]) -> None:
    assert list(sheets(clinic, 20, seed=3)) == made[:20]
    assert list(sheets(clinic, 20, seed=4)) != made[:20]
    assert len({sheet.id for sheet in made}) == COUNT


def test_no_held_out_condition_is_named(clinic: Clinic, made: list[Sheet]) -> None:
    held_out = {clinic.conditions[each].name for each in held_out_conditions(clinic)}
    named = set(
        re.findall(r"They point to: (.+?)\.(?: |$)", "\n".join(sheet.completion for sheet in made), re.MULTILINE)
    )
    assert not named & held_out
    said = "\n".join(sheet.prompt for sheet in made)
    assert not [
        name for name in held_out if re.search(rf"^(\d+|[A-E])\. {re.escape(name)}(\.|:|$)", said, re.MULTILINE)
    ]


def test_every_condition_that_training_may_name_comes_about_equally_often(clinic: Clinic, made: list[Sheet]) -> None:
    allowed = len(clinic.conditions) - len(held_out_conditions(clinic))
    asked = "\n".join(sheet.prompt for sheet in of_kind(made, "facts"))
    names = {each.name for each in clinic.conditions.values()}
    of_facts = re.findall(
        rf"^\d+\. ({'|'.join(map(re.escape, sorted(names, key=len, reverse=True)))})", asked, re.MULTILINE
    )
    named = pointed_to(made) + of_facts
    assert len(set(named)) == allowed
    assert max(map(named.count, set(named))) <= 3 * len(named) / allowed


def test_no_case_shows_a_held_out_combination(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Patient] = []
    tell = sheets_module.tell
    monkeypatch.setattr(sheets_module, "tell", lambda patient, *rest: (told.append(patient), tell(patient, *rest))[1])
    list(sheets(clinic, 60, seed=5))
    assert len(told) > 100
    assert {split_of(patient) for patient in told} == {"train"}


def test_findings_are_cited_in_the_words_of_the_case(made: list[Sheet]) -> None:
    cited = 0
    for sheet in made:
        for question, answer in zip(lines(sheet.prompt), lines(sheet.completion), strict=True):
            if answer.startswith("Findings: "):
                first = re.split(r"; | and ", answer.removeprefix("Findings: ").partition(". They point to:")[0])[0]
                assert first.casefold() in question.casefold()
                cited += 1
    assert cited > COUNT / 4


def test_the_chosen_letter_stands_before_the_text_that_was_decided_on(made: list[Sheet]) -> None:
    letters = []
    for sheet in made:
        questions = re.split(r"^\d+\. ", sheet.prompt, flags=re.MULTILINE)[1:]
        for question, answer in zip(questions, lines(sheet.completion), strict=True):
            options = dict(re.findall(r"^([A-E])\. (.+)$", question, re.MULTILINE))
            chosen = re.search(r"\. This is option ([A-E])\.$", answer)
            assert bool(options) == bool(chosen), answer
            if chosen:
                assert answer.endswith(f"{options[chosen[1]]}{chosen[0]}"), answer
                letters.append(chosen[1])
    assert len(letters) > 1.5 * COUNT
    assert min(map(letters.count, "ABC")) > len(letters) / 5


def test_they_are_a_source_for_sft_whose_answers_need_no_form() -> None:
    source = Source(kind="sheets", count=5, seed=1, stages=["sft"])
    loaded = load_source(source, "sheets")
    pool = Pool([Candidate(row, ["sft"]) for row in loaded.rows])
    check_completions(pool, [loaded], lambda _name, _total: lambda: None)
    assert (len(pool.candidates), pool.removed) == (5, [])


@pytest.mark.parametrize("settings", [{"count": None}, {"count": 5, "stages": ["sft", "grpo"]}])
def test_a_source_without_count_or_for_grpo_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="'sheets'"):
        Source.model_validate({"kind": "sheets", "stages": ["sft"], **settings})


def test_the_small_models_recipe_learns_from_them() -> None:
    recipe = load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "nano.yaml").recipe
    assert "sheets" in {source.kind for source in recipe.data.sources}
