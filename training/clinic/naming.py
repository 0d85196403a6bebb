"""Does a model name the right condition? Measured without sampling, to look at a run while it goes on.

What a small model gets wrong in a reasoned answer is first of all the name, and to sample answers takes many times as
long as to read names. So questions are put on sheets as training puts them (`sheets`), and the right names are read by
the model's own probabilities: a name is right when each of its tokens is the likeliest, which is what the model would
write at temperature 0 after the right names of the cases before it. No answer is graded here: for that there is `eval`.

    score(model, tokenizer, read_cases(Path("eval/data/fresh.jsonl"), load(), limit=126))
    worst_named(model, tokenizer, training_cases(load(), each=3, seed=1))     # for `emphasis` of a source
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from training.clinic.cases import draw, tell
from training.clinic.generate import known_conditions, split_of
from training.clinic.knowledge import KnowledgeError
from training.clinic.sheets import ITEMS, STYLES, to_be_named
from training.tokens import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from training.clinic.knowledge import Clinic, Condition

Case = tuple[str, "Condition"]
_DRAWS = 20
"""Tries for each case: some conditions have few sets of findings that training may show."""


@dataclass(frozen=True)
class Score:
    """How well the conditions of some cases are named."""

    cases: int
    right: int
    """Cases whose name the model would write."""
    nats: float
    """Mean negative log-likelihood of a right name, its tokens together."""


def read_cases(file: Path, clinic: Clinic, limit: int | None = None) -> list[Case]:
    """Texts and conditions of a question set of the clinic (JSONL), evenly spread where `limit` leaves some out."""
    cases = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        condition = row.get("condition") or (row.get("meta") or {}).get("condition")
        if condition not in clinic.conditions:
            raise KnowledgeError(f"{file.name}, line {number}: condition {condition!r} is none of the clinic's")
        cases.append((row["question"], clinic.conditions[condition]))
    step = max(1, len(cases) // (limit or len(cases)))
    return cases[::step][:limit]


def training_cases(clinic: Clinic, each: int, seed: int) -> list[Case]:
    """About `each` cases of every condition that training may name, told in the clinic's forms, in a drawn order.

    None shows a held-out combination: what is learned next must not be chosen by what is held out.
    """
    rng = random.Random(f"{seed}/training cases")  # noqa: S311
    cases: list[Case] = []
    for presentation, condition in known_conditions(clinic):
        drawn = (draw(condition, presentation, rng) for _ in range(each * _DRAWS))
        usable = (patient for patient in drawn if patient and split_of(patient) == "train")
        cases += [(tell(patient, rng.choice(STYLES), rng), condition) for patient in islice(usable, each)]
    rng.shuffle(cases)
    return cases


def worst_named(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, cases: Sequence[Case]
) -> list[tuple[str, float]]:
    """Ids of the conditions of `cases` with the mean loss of their names in nats, the largest first."""
    losses: dict[str, list[float]] = defaultdict(list)
    for sheet in _batches(cases):
        for (_, condition), (_, loss) in zip(sheet, _names(model, tokenizer, sheet), strict=True):
            losses[condition.id].append(loss)
    return sorted(((name, sum(all_) / len(all_)) for name, all_ in losses.items()), key=lambda pair: -pair[1])


def score(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, cases: Sequence[Case]) -> Score:
    """Read the names of cases with the model's own probabilities, a sheet at a time."""
    right, nats = 0, 0.0
    for sheet in _batches(cases):
        for likeliest, loss in _names(model, tokenizer, sheet):
            right += likeliest
            nats += loss
    return Score(len(cases), right, nats / len(cases))


def _batches(cases: Sequence[Case]) -> Iterator[list[Case]]:
    left = iter(cases)
    while sheet := list(islice(left, ITEMS["names"])):
        yield sheet


def _names(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, cases: Sequence[Case]
) -> Iterator[tuple[bool, float]]:
    """Of each case on one sheet: whether its name is the likeliest, token by token, and the name's loss in nats."""
    import torch

    sheet = to_be_named(cases)
    example = encode(tokenizer, sheet.prompt, sheet.completion)
    ids = torch.tensor([example.prompt_ids + example.completion_ids], device=model.device)
    with torch.inference_mode():
        logits = model(input_ids=ids).logits[0, len(example.prompt_ids) - 1 : -1].float()
    right = ids[0, len(example.prompt_ids) :]
    losses = -torch.log_softmax(logits, -1).gather(1, right[:, None])[:, 0]
    likeliest = logits.argmax(-1) == right
    offsets = tokenizer(sheet.completion, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    place = 0
    for _, condition in cases:
        start = sheet.completion.index(f"{condition.name}.", place)
        place = start + len(condition.name)
        tokens = [number for number, (begin, end) in enumerate(offsets) if end > start and begin < place]
        yield bool(likeliest[tokens].all()), float(losses[tokens].sum())
