"""Names of conditions, read with a model's own probabilities."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from gazal.reasoning_tokens import CHATML
from training.clinic.generate import known_conditions
from training.clinic.knowledge import KnowledgeError, load
from training.clinic.naming import read_cases, score, training_cases, worst_named
from training.tiny import train_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from training.clinic.knowledge import Clinic

CONDITIONS = (
    "gout",
    "croup",
    "measles",
    "acute-pancreatitis",
    "scarlet-fever",
    "panic-disorder",
    "asthma-exacerbation",
)


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    return load()


class Reader:
    """Expects every next token with near certainty, and another one wherever a token of `mistaken` comes next."""

    device = "cpu"

    def __init__(self, tokenizer: Any, mistaken: str = "") -> None:
        self.vocabulary = len(tokenizer)
        self.mistaken = set(tokenizer(mistaken, add_special_tokens=False)["input_ids"]) if mistaken else set()

    def __call__(self, input_ids: torch.Tensor) -> Any:
        follows = input_ids.roll(-1, 1)
        wrong = torch.isin(follows, torch.tensor(sorted(self.mistaken), dtype=torch.long))
        expected = torch.where(wrong, (follows + 1) % self.vocabulary, follows)
        return SimpleNamespace(logits=30.0 * torch.nn.functional.one_hot(expected, self.vocabulary))


def cases_and_tokenizer(clinic: Clinic) -> tuple[list[Any], Any]:
    cases = [(f"Case {each}.", clinic.conditions[each]) for each in CONDITIONS * 2][:10]
    texts = [f"Answer each question in one line. {told} They point to: {named.name}." for told, named in cases]
    tokenizer = train_tokenizer(texts * 3, 600)
    tokenizer.chat_template = CHATML
    return cases, tokenizer


def test_a_model_that_expects_every_name_is_right_and_loses_nothing(clinic: Clinic) -> None:
    cases, tokenizer = cases_and_tokenizer(clinic)
    found = score(Reader(tokenizer), tokenizer, cases)  # type: ignore[arg-type]
    assert (found.cases, found.right) == (10, 10)
    assert found.nats == pytest.approx(0, abs=1e-6)


def test_one_unexpected_token_makes_a_name_wrong_and_other_words_do_not_count(clinic: Clinic) -> None:
    cases, tokenizer = cases_and_tokenizer(clinic)
    piece = tokenizer.tokenize(" Croup")[-1]
    found = score(Reader(tokenizer, tokenizer.convert_tokens_to_string([piece])), tokenizer, cases)  # type: ignore[arg-type]
    named_so = sum("croup" in named.name.casefold() for _, named in cases)
    assert found.right == 10 - named_so < 10
    assert found.nats == pytest.approx(30 * named_so / 10, rel=0.01)
    elsewhere = score(Reader(tokenizer, "point"), tokenizer, cases)  # type: ignore[arg-type]
    assert elsewhere.right == 10


def test_the_conditions_whose_names_are_lost_come_first(clinic: Clinic) -> None:
    cases, tokenizer = cases_and_tokenizer(clinic)
    piece = tokenizer.tokenize(" Croup")[-1]
    reader: Any = Reader(tokenizer, tokenizer.convert_tokens_to_string([piece]))
    found = worst_named(reader, tokenizer, cases)
    assert {name for name, _ in found} == set(CONDITIONS)
    assert found[0] == ("croup", pytest.approx(30, rel=0.01))
    assert all(loss == pytest.approx(0, abs=1e-6) for _, loss in found[1:])


def test_cases_that_choose_an_emphasis_are_of_every_known_condition_and_of_no_held_out_combination(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {condition.id for _, condition in known_conditions(clinic)}
    cases = training_cases(clinic, each=2, seed=1)
    assert {condition.id for _, condition in cases} == known
    assert len(cases) <= 2 * len(known)
    monkeypatch.setattr("training.clinic.naming.split_of", lambda _: "combination")
    assert training_cases(clinic, each=2, seed=1) == []


def test_cases_are_spread_over_the_set_and_an_unknown_condition_names_its_line(tmp_path: Path, clinic: Clinic) -> None:
    file = tmp_path / "set.jsonl"
    rows = [{"question": f"Case {number}.", "condition": "gout"} for number in range(5)]
    rows.append({"question": "Case 5.", "meta": {"condition": "croup"}})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [told for told, _ in read_cases(file, clinic, 3)] == ["Case 0.", "Case 2.", "Case 4."]
    assert read_cases(file, clinic)[-1] == ("Case 5.", clinic.conditions["croup"])
    file.write_text(json.dumps({"question": "Case.", "condition": "dragon pox"}))
    with pytest.raises(KnowledgeError, match=r"set\.jsonl, line 1: condition 'dragon pox'"):
        read_cases(file, clinic)
