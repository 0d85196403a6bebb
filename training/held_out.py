"""What a stage gained: the same held-out questions before and after, and a paired test.

The merged model answers, with transformers, questions about findings that no training case combined. The test
is McNemar's, exact: of the questions on which two models differ, how likely is a split this uneven by chance.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from gazal.prompting import choices
from gazal.trace import parse
from training.tokens import completion_text, opens_reasoning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from training.clinic.generate import Example
    from training.recipe import Recipe
    from training.rollouts import MergedCopy


@dataclass(frozen=True)
class Answered:
    """One held-out question with the model's answer."""

    example: str
    topic: str
    right: str
    label: str | None
    """What the answer says; None when nothing could be read."""
    failure: str | None
    completion: str

    @property
    def correct(self) -> bool:
        """Whether the label is the right one."""
        return self.label == self.right


@dataclass(frozen=True)
class Comparison:
    """Two models on the same questions."""

    questions: int
    accuracy_before: float
    accuracy_after: float
    gained: int
    """Wrong before, right after."""
    lost: int
    p_value: float
    """Exact McNemar, two-sided."""


def questions(recipe: Recipe) -> list[Example]:
    """The held-out questions of a recipe: the combinations that its clinic keeps back."""
    from training.data.sources import clinic_examples

    source = recipe.data.held_out_clinic
    if recipe.held_out is None or source is None:
        return []
    return list(clinic_examples(source, "combination", recipe.held_out.questions, source.seed + 1))


def answer(
    model: MergedCopy,
    asked: Sequence[Example],
    *,
    max_new_tokens: int,
    batch: int,
    temperature: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Answered]:
    """Let the model answer each question once."""
    prompts = [model.prompt_ids(example.prompt) for example in asked]
    sampled = model.sample(
        prompts, max_new_tokens=max_new_tokens, temperature=temperature, batch=batch, progress=progress
    )
    opened = opens_reasoning(model.tokenizer)
    answers = []
    for example, ids in zip(asked, sampled, strict=True):
        completion = completion_text(model.tokenizer, ids)
        finish_reason = "stop" if model.ended(ids) else "length"
        reply = parse(
            completion,
            opened=opened,
            finish_reason=finish_reason,
            choices=choices(example.mode, example.options),
            options=example.options,
        )
        label, failure = (reply.final.value, reply.final.failure) if reply.final else (None, None)
        answers.append(Answered(example.id, example.topic, example.answer or "", label, failure, completion))
    return answers


def compare(before: Sequence[Answered], after: Sequence[Answered]) -> Comparison:
    """Compare two models' answers to the same questions, in the same order."""
    if [each.example for each in before] != [each.example for each in after]:
        raise ValueError("the two models did not answer the same questions")
    gained = sum(not one.correct and two.correct for one, two in zip(before, after, strict=True))
    lost = sum(one.correct and not two.correct for one, two in zip(before, after, strict=True))
    return Comparison(
        len(before),
        accuracy(before),
        accuracy(after),
        gained,
        lost,
        mcnemar(gained, lost),
    )


def compare_files(before: Path, after: Path) -> Comparison | None:
    """Compare the answers that two models left, once both have."""
    if not (before.is_file() and after.is_file()):
        return None
    return compare(load(before), load(after))


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided p-value: a fair coin thrown gained + lost times comes out at least this uneven."""
    thrown = gained + lost
    tail = sum(math.comb(thrown, count) for count in range(min(gained, lost) + 1))
    return min(1.0, float(2 * tail / 2**thrown))


def wilson(right: int, questions: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % confidence interval of a share, by Wilson's score: never outside 0 to 1, and sound near both."""
    if questions == 0:
        return 0.0, 1.0
    share, shrink = right / questions, 1 + z * z / questions
    centre = (share + z * z / (2 * questions)) / shrink
    half = z * math.sqrt(share * (1 - share) / questions + z * z / (4 * questions**2)) / shrink
    return max(0.0, centre - half), min(1.0, centre + half)


def accuracy(answers: Sequence[Answered]) -> float:
    """The share of right answers; an answer that cannot be read is wrong."""
    return sum(each.correct for each in answers) / len(answers) if answers else 0.0


def parsed_share(answers: Sequence[Answered]) -> float:
    """The share of answers from which a label could be read."""
    return sum(each.label is not None for each in answers) / len(answers) if answers else 0.0


def save(answers: Sequence[Answered], path: Path) -> None:
    """Write answers as JSON lines, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in answers), "utf-8")
    partial.replace(path)


def load(path: Path) -> list[Answered]:
    """Read answers that `save` wrote."""
    return [Answered(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
