"""Cases told by hand: true to the knowledge base, in words of their own, silent about what is held out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import permutations
from pathlib import Path

import pytest
import yaml

from gazal.trace import parse
from training.clinic import vignettes
from training.clinic.cases import Patient, also_explains
from training.clinic.generate import held_out_conditions, split_of
from training.clinic.knowledge import Clinic, Condition, KnowledgeError, load
from training.clinic.sheets import sheets
from training.clinic.vignettes import Vignette
from training.data.sources import load_source
from training.recipe import Source
from training.recipe import load as load_recipe

PRESENTATION = "acute-abdominal-pain"
STONE = {
    "condition": "ureteric-stone",
    "age_years": 41,
    "sex": "male",
    "text": (
        "Night porter of 41, pacing the cubicle. [It comes in surges from the left kidney and shoots down into his "
        "testicle](loin-to-groin-pain); between surges he jokes. [He cannot find any position that helps]"
        "(restlessness), and [the dipstick turns three plus for red cells](haematuria). [He is afebrile](!fever)."
    ),
}


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    return load()


@pytest.fixture(scope="module")
def told(clinic: Clinic) -> tuple[Vignette, ...]:
    return vignettes.load(clinic)


def read(tmp_path: Path, clinic: Clinic, **changes: object) -> tuple[Vignette, ...]:
    entry = {name: value for name, value in (STONE | changes).items() if value is not None}
    (tmp_path / f"{PRESENTATION}.yaml").write_text(yaml.safe_dump([entry]))
    return vignettes.load(clinic, tmp_path)


def test_a_marked_phrase_is_the_finding_in_the_words_of_the_case(tmp_path: Path, clinic: Clinic) -> None:
    (vignette,) = read(tmp_path, clinic)
    assert vignette.text.startswith("Night porter of 41, pacing the cubicle. It comes in surges")
    assert "[" not in vignette.text
    assert set(vignette.patient.present) == {"loin-to-groin-pain", "restlessness", "haematuria"}
    assert vignette.patient.absent == ("fever",)
    assert vignette.patient.told["haematuria"] == "the dipstick turns three plus for red cells"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"condition": "acute-cholecystitis"}, "not one of this presentation that training may know"),
        ({"age_years": 3}, "age_years: 3 is outside"),
        ({"sex": "both"}, "sex: Input should be 'female' or 'male'"),
        ({"text": STONE["text"].replace("(haematuria)", "(blood)")}, "finding 'blood' is not defined"),
        ({"text": STONE["text"].replace("(haematuria)", "(migrating-pain-to-right-iliac-fossa)")}, "is no finding of"),
        ({"text": STONE["text"].replace("(!fever)", "(!haematuria)")}, "'haematuria' is marked twice"),
        ({"text": STONE["text"].replace("[He is afebrile](!fever)", "[He is afebrile]")}, "a mark is not closed"),
        ({"text": STONE["text"].replace("[the dipstick", "the [dipstick").replace("(haematuria)", "")}, "not closed"),
        ({"text": STONE["text"] + " A ureteric stone, says the porter."}, "names 'ureteric stone'"),
        (
            {
                "text": STONE["text"].replace(
                    "It comes in surges from the left kidney and", "Severe colicky loin pain radiating to the groin"
                )
            },
            "is a wording of the clinic",
        ),
        (
            {"text": STONE["text"].replace("[He is afebrile](!fever)", "Temperature [36.8](!fever)")},
            "'36.8' says nothing when cited alone",
        ),
    ],
)
def test_what_contradicts_the_knowledge_base_is_refused_with_the_fix(
    tmp_path: Path, clinic: Clinic, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(KnowledgeError, match=re.escape(message)) as raised:
        read(tmp_path, clinic, **changes)
    assert "acute-abdominal-pain.yaml, entry 1" in str(raised.value)


def marked(condition: Condition, findings: Iterable[str]) -> dict[str, object]:
    """A case of a condition whose text marks these findings in words that mean nothing."""
    phrases = " ".join(f"[a finding called {number}]({each})" for number, each in enumerate(findings))
    filler = "This patient keeps bees and paints, and has told us at great length about nothing else today."
    sex = "male" if condition.sex == "any" else condition.sex
    return {"condition": condition.id, "age_years": condition.age_years[0], "sex": sex, "text": f"{filler} {phrases}"}


def test_too_few_findings_are_refused(tmp_path: Path, clinic: Clinic) -> None:
    text = re.sub(r"\[([^]]+)\]\((?:loin-to-groin-pain|restlessness)\)", r"\1", str(STONE["text"]))
    with pytest.raises(KnowledgeError, match="mark 3 present findings or more"):
        read(tmp_path, clinic, text=text)


def test_a_case_that_another_condition_explains_as_well_is_refused(tmp_path: Path, clinic: Clinic) -> None:
    known = [
        each for each in clinic.only([PRESENTATION]).conditions.values() if each.id not in held_out_conditions(clinic)
    ]
    one, shared = next(
        (one, [*typical[:2], *sorted(both - {*typical[:2]})])
        for one, other in permutations(known, 2)
        for both in [one.findings.all_present() & other.findings.all_present()]
        for typical in [[each for each in one.findings.typical if each in both]]
        if len(both) > 2 and len(typical) > 1
    )
    with pytest.raises(KnowledgeError, match="another condition of the file has all these findings"):
        read(tmp_path, clinic, **marked(one, shared))


def test_a_held_out_combination_is_refused(tmp_path: Path, clinic: Clinic) -> None:
    presentation = clinic.only([PRESENTATION]).presentations[0]
    condition, findings = next(
        (condition, findings)
        for condition in presentation.conditions
        if condition.id not in held_out_conditions(clinic)
        for findings in permutations(condition.findings.typical, 3)
        if split_of(Patient(condition, presentation, 40, "male", findings, ())) == "combination"
        and not also_explains(condition, findings, presentation)
    )
    with pytest.raises(KnowledgeError, match="kept for the held-out combinations"):
        read(tmp_path, clinic, **marked(condition, findings))


def test_every_condition_that_training_may_know_is_told_in_several_ways(
    clinic: Clinic, told: tuple[Vignette, ...]
) -> None:
    count = Counter(each.patient.condition.id for each in told)
    assert set(count) == set(clinic.conditions) - held_out_conditions(clinic)
    assert min(count.values()) >= 5
    assert len({each.text for each in told}) == len(told)


def test_no_case_marks_a_held_out_combination(told: tuple[Vignette, ...]) -> None:
    assert {split_of(each.patient) for each in told} == {"train"}


def test_each_case_gives_one_question_whose_answer_cites_the_case(clinic: Clinic, told: tuple[Vignette, ...]) -> None:
    asked = list(vignettes.examples(told, clinic, seed=1, length="compact"))
    assert len({each.id for each in asked}) == len(told)
    by_text = {each.text: each for each in told}
    for example in asked:
        assert parse(example.completion, choices=tuple(example.options)).final.value == example.answer
        case = example.prompt.partition("<case>\n")[2].partition("\n</case>")[0]
        text = next(text for text in by_text if case.startswith(text))
        condition = by_text[text].patient.condition
        findings, pointed = re.findall(r"Step [12]: (?:Findings|They point to): (.+)\.\n", example.completion)
        assert pointed == condition.name
        for finding in findings.split("; "):
            assert finding.casefold() in text.casefold()


def test_the_seed_decides_the_questions(clinic: Clinic, told: tuple[Vignette, ...]) -> None:
    first = list(vignettes.examples(told, clinic, seed=1))
    assert list(vignettes.examples(told, clinic, seed=1)) == first
    assert list(vignettes.examples(told, clinic, seed=2)) != first


def test_questions_in_words_of_their_own_keep_their_right_answer(clinic: Clinic, told: tuple[Vignette, ...]) -> None:
    own = {each.text: each.question for each in told if each.question}
    assert len(own) > len(told) / 3
    letters: Counter[str | None] = Counter()
    for example in vignettes.examples(told, clinic, seed=1):
        question = next((own[text] for text in own if text in example.prompt), None)
        if question:
            assert example.options[str(example.answer)] == question.right.rstrip(".")
            letters[example.answer] += 1
    assert min(letters[each] for each in "ABC") > len(own) / 6


def test_the_length_of_an_option_does_not_tell_the_right_one(told: tuple[Vignette, ...]) -> None:
    own = [each.question for each in told if each.question]
    chance = sum(1 / (1 + len(each.wrong)) for each in own)
    longest = sum(len(each.right) > max(map(len, each.wrong)) for each in own)
    shortest = sum(len(each.right) < min(map(len, each.wrong)) for each in own)
    assert 0.75 < longest / chance < 1.25
    assert 0.75 < shortest / chance < 1.25


def test_sheets_tell_some_cases_by_hand(clinic: Clinic, told: tuple[Vignette, ...]) -> None:
    made = "\n".join(sheet.prompt for sheet in sheets(clinic, 100, 1, told))
    assert sum(each.text in made for each in told) > 20


def test_they_are_a_source_of_the_small_models_recipe(told: tuple[Vignette, ...]) -> None:
    recipe = load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "nano.yaml").recipe
    source = next(each for each in recipe.data.sources if each.kind == "vignettes")
    rows = load_source(source, "vignettes").rows
    assert len(rows) == source.count
    assert all(any(each.text in row.prompt for each in told) for row in rows[:20])
    every_one = source.model_copy(update={"count": None})
    assert len(load_source(every_one, "vignettes").rows) == len(told)


def test_a_source_of_vignettes_takes_no_reference() -> None:
    with pytest.raises(ValueError, match="takes no reference"):
        Source.model_validate({"kind": "vignettes", "reference": "x", "stages": ["sft"]})
