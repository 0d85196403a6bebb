"""The hand-written examples: sound in form, true to their vignettes, and silent about what training must not know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from gazal.grammar import sections
from gazal.models import resolve
from gazal.reasoning_tokens import CHATML, REASONING_TOKENS
from gazal.trace import parse
from training.clinic.citations import uncited_numbers
from training.clinic.examples import Example, leaks, load
from training.clinic.generate import held_out_conditions
from training.clinic.knowledge import Clinic, KnowledgeError
from training.clinic.knowledge import load as load_clinic
from training.data.completions import fault
from training.data.duplicates import find_duplicates
from training.data.sources import load_source
from training.recipe import Source
from training.recipe import load as load_recipe
from training.rewards import RewardPolicy, score
from training.tokens import encode

EXAMPLES = load()
RECIPES = Path(__file__).parents[2] / "training" / "recipes"
FINDINGS = {"Supporting Findings", "Findings Against", "Problem", "Unfavourable Factors", "Favourable Factors"}
"""Labels behind which the case is cited, and nothing else."""
each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.id)


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    return load_clinic()


@each_example
def test_it_earns_the_whole_format_reward(example: Example) -> None:
    scored = score(example.completion, "", (), list(example.completion.encode()), RewardPolicy(), prompt=example.prompt)
    assert (scored.format, scored.lacks) == (1.0, ())
    assert fault(example.completion, (), {}, None) is None


@each_example
def test_reading_it_gives_back_what_was_written(example: Example) -> None:
    reply = parse(example.completion)
    assert [step.text for step in reply.steps] == example.steps
    assert reply.reasoning_complete
    heading, labels = sections(example.mode)
    assert reply.answer.startswith(f"## {heading}\n")
    assert tuple(re.findall(r"^\*\*(.+?)\*\*: ", reply.answer, re.MULTILINE)) == labels


@each_example
def test_it_cites_no_number_that_the_vignette_lacks(example: Example) -> None:
    cited = [*example.steps, *(text for label, text in example.answer.items() if label in FINDINGS)]
    assert uncited_numbers(f"{example.vignette} {example.question}", "\n".join(cited)) == []


def test_none_tells_about_a_held_out_condition(clinic: Clinic) -> None:
    assert leaks(EXAMPLES, clinic, held_out_conditions(clinic)) == []


def test_no_two_vignettes_are_alike() -> None:
    rows = [example.to_row("examples") for example in EXAMPLES]
    assert find_duplicates(rows, 0.2) == []


def test_they_are_a_source_of_stage_1() -> None:
    loaded = load_source(Source(kind="examples", stages=["sft"]), "examples")
    assert [row.id for row in loaded.rows] == [example.id for example in EXAMPLES]
    assert all(row.completion and not row.choices for row in loaded.rows)


@pytest.mark.parametrize("settings", [{"stages": ["sft", "grpo"]}, {"stages": ["sft"], "reference": "x.jsonl"}])
def test_a_source_of_examples_has_no_keys_and_no_reference(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"takes no reference|is for stages \[sft\]"):
        Source.model_validate({"kind": "examples", **settings})


@pytest.mark.e2e
def test_they_fit_into_the_budget_of_nano() -> None:
    from transformers import AutoTokenizer

    data = load_recipe(RECIPES / "nano.yaml").recipe.data
    tokenizer = AutoTokenizer.from_pretrained(resolve("nano").path)
    tokenizer.add_tokens(list(REASONING_TOKENS))
    tokenizer.chat_template = CHATML
    encoded = {each.id: encode(tokenizer, each.prompt, each.completion) for each in EXAMPLES}
    assert {name for name, each in encoded.items() if len(each.prompt_ids) > data.max_prompt_tokens} == set()
    assert {name for name, each in encoded.items() if len(each.completion_ids) > data.max_completion_tokens} == set()


def written(tmp_path: Path, **changes: object) -> Path:
    """A directory with the first example of the file `diagnosis`, changed."""
    example = next(each for each in EXAMPLES if each.mode == "diagnosis")
    entry = {**example.model_dump(exclude={"mode"}), **changes}
    (tmp_path / "diagnosis.yaml").write_text(yaml.safe_dump([entry], sort_keys=False), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"answer": {"Primary Diagnosis": "Something that is known."}}, "labels must be, in this order"),
        ({"vignette": "A short story of a pain."}, "use 60 to 130"),
        ({"steps": ["The first is written here."] * 3}, "at least 4"),
        ({"steps": ["One thing. Two things. Three things."] * 4}, "step 1: more than 2 sentences"),
        ({"steps": ["A step that\nhas a line too many."] * 4}, "steps"),
        ({"source": "A textbook without a year"}, "source"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_what_is_out_of_form_is_refused_by_name(tmp_path: Path, changes: dict[str, object], fix: str) -> None:
    with pytest.raises(KnowledgeError, match=r"diagnosis.yaml, entry 1 \([a-z0-9-]+\), ") as refused:
        load(written(tmp_path, **changes))
    assert fix in str(refused.value)


def test_a_file_is_named_after_its_mode(tmp_path: Path) -> None:
    (tmp_path / "diagnoses.yaml").write_text("[]", encoding="utf-8")
    with pytest.raises(KnowledgeError, match="named after its task mode"):
        load(tmp_path)


def test_an_id_stands_once_over_all_files(tmp_path: Path) -> None:
    directory = written(tmp_path)
    entries = yaml.safe_load((directory / "diagnosis.yaml").read_text(encoding="utf-8"))
    (directory / "diagnosis.yaml").write_text(yaml.safe_dump(entries * 2, sort_keys=False), encoding="utf-8")
    with pytest.raises(KnowledgeError, match="occurs twice"):
        load(directory)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"condition": "aortic-dissection"}, "is held out"),
        ({"condition": "no-such-thing"}, "no condition"),
        ({"question": "Could this be an acute aortic dissection?"}, "names the held-out aortic-dissection"),
        ({"question": "Could this be whooping cough?"}, "names the held-out pertussis-adult"),
    ],
)
def test_a_leak_is_found(clinic: Clinic, changes: dict[str, object], said: str) -> None:
    leaking = EXAMPLES[0].model_copy(update=changes)
    found = leaks([leaking], clinic, held_out_conditions(clinic))
    assert len(found) == 1
    assert said in found[0]


def test_a_known_condition_may_bear_part_of_a_held_out_name(clinic: Clinic) -> None:
    named = EXAMPLES[0].model_copy(update={"question": "Could this be septic arthritis of the hip?"})
    assert leaks([named], clinic, held_out_conditions(clinic)) == []


@pytest.mark.parametrize(
    ("reasoning", "made_up"),
    [
        ("Fever of 38.4 °C for 3 days.", []),
        ("Fever of 39.4 °C for 3 days.", ["39.4 °C"]),
        ("Fever for two days.", ["2 day"]),
        ("A systolic pressure of 88 mmHg and 14,200 white cells.", []),
        ("A diastolic pressure of 55 mmHg.", ["55 mmHg"]),
        ("Type 1 diabetes, T4 and 5-HT3 are names.", []),
        ("About 30% recover within 7 days; aim above 65 mmHg.", []),
        ("A 41-year-old.", []),
        ("A 42-year-old.", ["42 year"]),
    ],
)
def test_a_number_that_the_case_lacks_is_found(reasoning: str, made_up: list[str]) -> None:
    case = "Woman of 41 years, three days of fever, 38.4 °C, BP 88/52, white cells 14200/µL."
    assert uncited_numbers(case, reasoning) == made_up
