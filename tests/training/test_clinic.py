"""The clinic: its knowledge is sound, its cases are well formed, and what is held out stays out."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from gazal.prompting import RESEARCH_LABELS
from gazal.trace import parse
from training.__main__ import app
from training.clinic.cases import draw, tell
from training.clinic.english import lower_first
from training.clinic.generate import SPLITS, Example, Scope, generate, held_out_conditions, known_conditions
from training.clinic.knowledge import PRESENTATIONS, Clinic, KnowledgeError, load, undiscriminated
from training.clinic.questions import DOUBT, TOPICS, Topic
from training.clinic.studies import conclude, risk_ratio
from training.rewards import RewardPolicy, score

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    return load()


@pytest.fixture(scope="module")
def train(clinic: Clinic) -> list[Example]:
    return list(generate(clinic, "train", 3000, seed=1))


def choices(example: Example) -> tuple[str, ...]:
    return tuple(example.options) or (RESEARCH_LABELS if example.mode == "research" else ())


def test_the_knowledge_base_covers_what_was_promised(clinic: Clinic) -> None:
    assert len(clinic.conditions) >= 40
    assert len({condition.specialty for condition in clinic.conditions.values()}) >= 12
    for condition in clinic.conditions.values():
        assert condition.sources, condition.id


def test_every_finding_is_worded_in_several_ways(clinic: Clinic) -> None:
    for presentation in clinic.presentations:
        for name, finding in presentation.findings.items():
            assert len(set(finding.clinical)) >= 3, f"{presentation.id}: {name}"


def test_no_wording_stands_for_two_findings_of_a_presentation(clinic: Clinic) -> None:
    for presentation in clinic.presentations:
        wordings = Counter(w for finding in presentation.findings.values() for w in {*finding.clinical, *finding.lay})
        assert [wording for wording, times in wordings.items() if times > 1] == [], presentation.id


def test_a_discriminator_separates_its_pair(clinic: Clinic) -> None:
    for condition in clinic.conditions.values():
        for each in condition.discriminators:
            other = clinic.conditions[each.against].findings
            own = condition.findings
            both = each.finding in own.all_present() and each.finding in other.typical
            assert not both, f"{condition.id} against {each.against}: {each.finding}"


def test_every_pair_of_look_alikes_has_a_discriminator(clinic: Clinic, tmp_path: Path) -> None:
    assert [pair for each in clinic.presentations for pair in undiscriminated(each)] == []

    def forget(document: Any) -> None:
        for condition in document["conditions"]:
            kept = [each for each in condition["discriminators"] if "appendicitis" not in each["against"]]
            condition["discriminators"] = kept or condition["discriminators"][:1]
            if "appendicitis" in condition["id"]:
                condition["discriminators"] = condition["discriminators"][:1]

    assert any(
        "acute-appendicitis-adult" in pair for pair in undiscriminated(load(broken(tmp_path, forget)).presentations[0])
    )


def test_every_generated_answer_is_what_a_strict_reward_wants(train: list[Example]) -> None:
    for example in train:
        tokens = [hash(word) for word in example.completion.split()]
        closed = choices(example)
        components = score(
            example.completion, example.answer or "", closed, tokens, RewardPolicy(), prompt=example.prompt
        )
        assert components.lacks == (), example.completion
        parsed = parse(example.completion, choices=closed, options=example.options or None)
        assert parsed.final is None or parsed.final.value == example.answer


def test_the_key_is_the_option_with_the_right_text(train: list[Example]) -> None:
    for example in train:
        if example.mode == "mcq":
            assert example.answer is not None
            assert f"**Best Option**: {example.answer}. {example.options[example.answer]}." in example.completion
            assert f"{example.options[example.answer]}. That is option {example.answer}." in example.completion or (
                f"{example.options[example.answer]}. This is option {example.answer}." in example.completion
            )


def test_steps_cite_only_what_the_case_says(train: list[Example]) -> None:
    for example in train:
        if example.mode == "research":
            continue
        cited = re.search(r"(?:The key findings are|Findings:) (.*)\.$", example.completion, re.MULTILINE)
        assert cited
        for finding in cited[1].split("; "):
            assert finding.casefold() in example.prompt.casefold(), finding


def test_every_answer_of_compact_length_earns_the_whole_reward_and_cites_only_the_case(clinic: Clinic) -> None:
    for example in generate(clinic, "train", 600, 4, Scope(length="compact")):
        closed = choices(example)
        tokens = [hash(word) for word in example.completion.split()]
        found = score(example.completion, example.answer or "", closed, tokens, RewardPolicy(), prompt=example.prompt)
        assert found.lacks == (), example.completion
        if example.mode == "mcq":
            assert example.answer is not None
            step = example.completion.partition("</think>")[0].strip().splitlines()[-1]
            assert step.endswith(f": {example.options[example.answer]}. This is option {example.answer}."), step


@pytest.mark.parametrize("topic", TOPICS)
def test_the_right_option_is_not_given_away_by_its_length(clinic: Clinic, topic: Topic) -> None:
    asked = list(generate(clinic, "train", 500, 12, Scope((topic,), only_closed=True, length="compact")))
    chance = sum(1 / len(each.options) for each in asked) / len(asked)
    for pick in (max, min):
        hits = sum(pick(each.options, key=lambda label: len(each.options[label])) == each.answer for each in asked)
        assert hits / len(asked) < chance + 0.13, pick


def test_insufficient_information_is_right_where_two_conditions_fit_and_now_and_then_wrong_elsewhere(
    clinic: Clinic,
) -> None:
    examples = list(generate(clinic, "train", 2500, 6, Scope(length="compact")))
    undecided = [each for each in examples if " or " in each.combination.partition(":")[0]]
    assert 0.04 <= len(undecided) / len(examples) <= 0.08
    for example in undecided:
        ids = example.combination.partition(": ")[0].split(" or ")
        shown = set(example.combination.partition(": ")[2].split(", "))
        for each in ids:
            assert shown <= clinic.conditions[each].findings.all_present()
        if example.mode == "mcq":
            assert example.options[example.answer or ""] in DOUBT
            if example.topic == "diagnosis":
                assert {clinic.conditions[each].name for each in ids} <= set(example.options.values())
        else:
            assert "insufficient information" in example.completion.casefold()
    offered = [each for each in examples if DOUBT & set(each.options.values())]
    right = sum(each.options[each.answer or ""] in DOUBT for each in offered)
    assert 0.3 <= right / len(offered) <= 0.6


def test_a_source_can_ask_for_more_cases_that_are_open(clinic: Clinic) -> None:
    scope = Scope(("diagnosis", "treatment"), only_closed=True, length="compact", undecided_share=1.0)
    examples = list(generate(clinic, "train", 400, 6, scope))
    right = sum(each.options[each.answer or ""] in DOUBT for each in examples)
    assert 0.4 <= right / len(examples) <= 0.8, "conditions that none resembles still give cases that decide"
    assert all(" or " in each.combination for each in examples if each.options[each.answer or ""] in DOUBT)


def test_a_condition_of_the_emphasis_comes_three_times_as_often_in_training_alone(clinic: Clinic) -> None:
    few = ("croup", "measles", "panic-disorder")
    share = len(few) / len(known_conditions(clinic))
    scope = Scope(only_closed=True, length="compact", emphasis=few)
    drawn = sum(each.condition in few for each in generate(clinic, "train", 1500, 6, scope))
    assert 2 * share < drawn / 1500 < 4 * share
    plain = Scope(only_closed=True, length="compact")
    assert list(generate(clinic, "combination", 30, 6, scope)) == list(generate(clinic, "combination", 30, 6, plain))
    held_out = min(held_out_conditions(clinic))
    with pytest.raises(ValueError, match=f"emphasis: '{held_out}' is no condition that training may know"):
        next(generate(clinic, "train", 1, 6, Scope(emphasis=[held_out])))


def test_a_decided_case_fits_no_other_condition_of_its_presentation(clinic: Clinic) -> None:
    rng = random.Random(3)
    for presentation in clinic.presentations:
        for condition in presentation.conditions:
            for _ in range(5):
                patient = draw(condition, presentation, rng)
                others = [each for each in presentation.conditions if each.id != condition.id]
                assert patient is None or not any(
                    set(patient.present) <= other.findings.all_present() for other in others
                )


def test_a_question_about_the_test_does_not_show_its_result(clinic: Clinic) -> None:
    for example in generate(clinic, "train", 150, 5, Scope(("test",), only_closed=True, length="compact")):
        if clinic.conditions[example.condition].tests[0].name == "12-lead ECG":
            case = example.prompt.partition("\n<case>\n")[2].partition("\n</case>\n")[0].casefold()
            assert "ecg" not in case
            assert "electrocardiogram" not in case


def test_negatives_stand_under_the_heading_of_their_kind(clinic: Clinic) -> None:
    rng = random.Random(7)
    labels = {"symptom": "Complaint", "history": "History", "sign": "Examination", "vital": "Vitals"}
    for presentation in clinic.presentations:
        for condition in presentation.conditions:
            patient = draw(condition, presentation, rng)
            if patient is None:
                continue
            lines = dict(line.split(": ", 1) for line in tell(patient, "structured", rng).splitlines())
            for finding in patient.absent:
                kind = presentation.findings[finding].kind
                if kind in labels:
                    assert patient.told[finding] in lines[labels[kind]]


def test_facts_of_no_importance_can_be_true_of_the_patient(train: list[Example]) -> None:
    for example in train:
        if re.search(r"\b\d+-month-old|\b[0-9]-year-old", example.prompt):
            assert not re.search(r"works? in|job in|grown-up children|retired", example.prompt), example.prompt


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Addison disease", "Addison disease"),
        ("Kawasaki disease", "Kawasaki disease"),
        ("IgA vasculitis (Henoch-Schönlein purpura)", "IgA vasculitis (Henoch-Schönlein purpura)"),
        ("D-dimer, then CT", "D-dimer, then CT"),
        ("A needle aspiration", "a needle aspiration"),
        ("Ludwig angina", "Ludwig angina"),
        ("Acute appendicitis", "acute appendicitis"),
        ("CT of the head", "CT of the head"),
        ("AV nodal re-entrant tachycardia", "AV nodal re-entrant tachycardia"),
    ],
)
def test_names_keep_their_capital_in_mid_sentence(text: str, expected: str) -> None:
    assert lower_first(text) == expected


def test_no_sentence_ends_twice_and_no_article_stands_wrong(train: list[Example]) -> None:
    for example in train:
        case = example.prompt.partition("\n<case>\n")[2].partition("\n</case>\n")[0]
        for text in (case, example.completion):
            assert ".." not in text
            assert not re.search(r"\ba (?:8|11|18)-(?:year|month)", text)
            assert ". ." not in text


def test_all_modes_and_letters_occur(train: list[Example]) -> None:
    assert {example.mode for example in train} == {
        "diagnosis",
        "treatment",
        "uncertainty",
        "prognosis",
        "mcq",
        "research",
    }
    letters = Counter(example.answer for example in train if example.mode == "mcq")
    assert min(letters[letter] for letter in "ABC") > 0.85 * max(letters[letter] for letter in "ABC")


def test_a_held_out_condition_never_occurs_in_training(clinic: Clinic, train: list[Example]) -> None:
    held_out = held_out_conditions(clinic)
    names = [clinic.conditions[each].name for each in held_out]
    assert len(held_out) == len(clinic.presentations)
    for example in train:
        assert example.condition not in held_out
        assert not any(name in example.prompt + example.completion for name in names)


def test_held_out_combinations_share_none_with_training(clinic: Clinic, train: list[Example]) -> None:
    tested = list(generate(clinic, "combination", 300, seed=1))
    assert not {each.combination for each in tested} & {each.combination for each in train}
    assert {each.condition for each in tested} <= {each.condition for each in train}


def test_held_out_conditions_are_all_tested(clinic: Clinic) -> None:
    tested = list(generate(clinic, "condition", 200, seed=1))
    assert {each.condition for each in tested} == held_out_conditions(clinic)


@pytest.mark.parametrize("split", SPLITS)
def test_everything_follows_from_the_seed(clinic: Clinic, split: Any) -> None:
    first, again, other = (list(generate(clinic, split, 50, seed)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.slow
def test_the_clinic_gives_thirty_thousand_distinct_cases(clinic: Clinic) -> None:
    assert len({example.prompt for example in generate(clinic, "train", 30_000, seed=9)}) == 30_000


def test_a_clinic_that_is_exhausted_says_so(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no more than 0 distinct examples"):
        list(generate(Clinic(()), "train", 1, seed=1))
    one = next(generate(clinic, "train", 1, seed=1))
    monkeypatch.setattr("training.clinic.generate._example", lambda *_: one)
    with pytest.raises(ValueError, match="no more than 1 distinct examples of split 'train'"):
        list(generate(clinic, "train", 2, seed=1))


def test_a_decision_in_doubt_hides_results_that_are_not_known(clinic: Clinic) -> None:
    rng = random.Random(1)
    for presentation in clinic.presentations:
        for condition in presentation.conditions:
            patient = draw(condition, presentation, rng, hidden=lambda each: each.kind in ("lab", "investigation"))
            if patient:
                kinds = {presentation.findings[each].kind for each in patient.present}
                assert not kinds & {"lab", "investigation"}


def test_no_distractor_is_impossible_for_the_patients_sex(clinic: Clinic, train: list[Example]) -> None:
    for example in train:
        if example.topic == "diagnosis" and re.search(r"-old (man|male|boy)\b", example.prompt):
            female_only = {c.name for c in clinic.conditions.values() if c.sex == "female"}
            assert not female_only & set(example.options.values())


@pytest.mark.parametrize("style", ["clinical", "lay", "structured", "notes", "triage", "referral", "letter"])
def test_every_finding_shown_is_told(clinic: Clinic, style: Any) -> None:
    rng = random.Random(2)
    for presentation in clinic.presentations:
        for condition in presentation.conditions:
            patient = next(filter(None, (draw(condition, presentation, rng) for _ in range(50))))
            text = tell(patient, style, rng)
            for finding in (*patient.present, *patient.absent):
                assert patient.told[finding].casefold() in text.casefold()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((30, 200, 60, 200), "yes"),
        ((60, 200, 30, 200), "no"),
        ((9, 60, 10, 60), "maybe"),
        ((900, 6000, 900, 6000), "no"),
    ],
)
def test_a_study_concludes_from_its_interval(counts: tuple[int, int, int, int], expected: str) -> None:
    _, low, high = risk_ratio(*counts)
    assert conclude(low, high) == expected


def test_the_risk_ratio_has_its_textbook_interval() -> None:
    assert risk_ratio(10, 100, 20, 100) == pytest.approx((0.5, 0.2465, 1.0143), abs=1e-3)


@pytest.fixture(scope="module")
def trials(clinic: Clinic) -> list[Example]:
    scope = Scope(("research",), only_closed=True, length="brief")
    return list(generate(clinic, "train", 300, 8, scope))


def test_trials_alone_can_be_asked_about(trials: list[Example]) -> None:
    assert {example.mode for example in trials} == {"research"}
    assert {example.answer for example in trials} == {"yes", "no", "maybe"}
    assert min(Counter(example.answer for example in trials).values()) > 70


def test_held_out_trials_ask_of_combinations_that_training_never_shows(clinic: Clinic, trials: list[Example]) -> None:
    def asked(example: Example) -> str:
        return re.search(r"^Does .*\?$", example.prompt, re.MULTILINE).group()  # type: ignore[union-attr]

    scope = Scope(("research",), only_closed=True, length="brief")
    held_out = list(generate(clinic, "combination", 300, 8, scope))
    assert not {asked(example) for example in held_out} & {asked(example) for example in trials}


def test_brief_reasoning_about_a_trial_says_where_its_interval_lies(trials: list[Example]) -> None:
    for example in trials:
        found = re.search(r"CI (\d+\.\d+) to (\d+\.\d+)", example.prompt)
        assert found
        low, high = map(float, found.groups())
        said = example.completion
        assert ("ends below 1" in said) == (example.answer == "yes")
        assert "ends below 1" not in said or high <= 1
        assert "ends below 1" in said or low <= 1 <= high
        assert ("holds 1 and is narrow" in said) == (example.answer == "no")
        assert ("holds 1 and is wide" in said) == (example.answer == "maybe")
        reward = score(said, example.answer or "", RESEARCH_LABELS, list(said.encode()), RewardPolicy())
        assert (reward.accuracy, reward.format) == (1.0, 1.0)


def widths(examples: list[Example], answer: str) -> list[float]:
    """Upper end over lower end, as printed, of the intervals of the trials with this answer."""
    found = (re.search(r"CI (\d+\.\d+) to (\d+\.\d+)", each.prompt) for each in examples if each.answer == answer)
    return [float(each.group(2)) / float(each.group(1)) for each in found if each]


def test_a_brief_trial_is_plainly_narrow_or_plainly_wide(trials: list[Example]) -> None:
    assert max(widths(trials, "no")) < 1.19
    assert min(widths(trials, "maybe")) > 1.42


def near_the_line(clinic: Clinic, nearly_wide: Any) -> tuple[list[Example], dict[str, list[float]]]:
    """Brief trials, and by answer the widths of those that are narrow but nearly wide."""
    scope = Scope(("research",), only_closed=True, length="brief", nearly_wide=nearly_wide)
    examples = list(generate(clinic, "train", 600, 8, scope))
    return examples, {
        answer: [each for each in widths(examples, answer) if 1.22 < each < 1.35] for answer in ("no", "maybe")
    }


def test_by_the_key_two_thirds_of_the_narrow_trials_are_nearly_wide(clinic: Clinic) -> None:
    examples, near = near_the_line(clinic, "keyed")
    narrow = widths(examples, "no")
    assert not near["maybe"]
    assert 0.55 < len(near["no"]) / len(narrow) < 0.78
    assert all(width < 1.19 for width in narrow if width not in near["no"])
    assert min(widths(examples, "maybe")) > 1.42


def test_readers_who_differ_differ_on_the_nearly_wide_alone(clinic: Clinic) -> None:
    examples, near = near_the_line(clinic, "disputed")
    assert 0.55 < len(near["maybe"]) / len(near["maybe"] + near["no"]) < 0.78
    assert all(width > 1.42 for width in widths(examples, "maybe") if width not in near["maybe"])
    assert all(width < 1.19 for width in widths(examples, "no") if width not in near["no"])
    assert all(("is wide" in each.completion) == (each.answer == "maybe") for each in examples)


ORPHAN = {"kind": "sign", "clinical": ["a sign", "another"]}


def broken(tmp_path: Path, change: Any) -> Path:
    source = sorted(PRESENTATIONS.glob("*.yaml"))[0]
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
    change(document)
    (tmp_path / source.name).write_text(yaml.safe_dump(document), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["conditions"][0]["findings"]["typical"].append("aura"), "finding 'aura' is not defined"),
        (lambda d: d["conditions"][0].update(mood="good"), "mood"),
        (lambda d: d["conditions"][0]["must_not_miss"].append("hiccups"), "'hiccups' is not another condition"),
        (lambda d: d["conditions"][0]["red_flags"].append(d["conditions"][0]["findings"]["absent"][0]), "red flag"),
        (
            lambda d: d["findings"].update(orphan=ORPHAN),
            "used by no condition",
        ),
        (lambda d: d["conditions"][1].update(findings=d["conditions"][0]["findings"]), "cannot be told apart"),
    ],
)
def test_a_contradiction_is_refused_by_place(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(KnowledgeError) as caught:
        load(broken(tmp_path, change))
    assert message in str(caught.value)


def test_the_commands_check_and_generate(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["clinic", "check"])
    assert result.exit_code == 0
    assert "held out from training" in result.stdout
    output = tmp_path / "cases.jsonl"
    assert CliRunner().invoke(app, ["clinic", "generate", str(output), "--count", "20"]).exit_code == 0
    assert len([json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]) == 20
    assert CliRunner().invoke(app, ["clinic", "generate", str(output), "--split", "x"]).exit_code == 2


def test_generated_answers_score_as_right_in_every_closed_mode(tmp_path: Path) -> None:
    output = tmp_path / "cases.jsonl"
    assert CliRunner().invoke(app, ["clinic", "generate", str(output), "--count", "200"]).exit_code == 0
    closed = sum(json.loads(line)["answer"] is not None for line in output.read_text(encoding="utf-8").splitlines())
    result = CliRunner().invoke(app, ["rewards", "score", str(output)])
    assert f"{closed} completions" in result.stdout
    assert re.search(r"accuracy\s+│\s+1\.000", result.stdout)
    assert "lacks" not in result.stdout
