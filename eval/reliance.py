"""Whether the reasoning is used: the answer to the same question after other thinking than the model's own.

A model may reason well and then answer from elsewhere. So each answered question of a run is put again with the
thinking given, and only the answer is written by the model, greedily: after its own thinking, without the last step
(which names the choice), without any, and with the thinking of another case. The first is the reference; the others are
compared with it question by question. Where the thinking is used, accuracy falls, and answers follow the borrowed one.

The prompt is continued as raw text through /v1/completions, in ChatML, which every model of ours speaks.

    python -m eval reliance reports/RUN --limit 200
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from eval.endpoint import Endpoint, EndpointError, RequestError
from eval.grading import split
from eval.runner import RunError
from eval.stats import Comparison, Interval, compare, holm, wilson
from gazal.trace import parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import Console

    from eval.graded import GradedRun
    from eval.store import StoredQuestion

Thinking = Literal["own", "without_last_step", "none", "another_case"]
THINKING: tuple[Thinking, ...] = get_args(Thinking)
FILE_NAME = "reliance.json"
MAX_TOKENS = 384
CONCURRENCY = 32
ATTEMPTS = 3


@dataclass(frozen=True)
class Subject:
    """A question with the thinking that the model had about it, and the thinking of a case that is not its own."""

    question: StoredQuestion
    own: str
    other: str
    other_label: str | None
    """What the model answered after that other thinking, in its own case."""


@dataclass(frozen=True)
class Condition:
    """Accuracy after one kind of thinking."""

    thinking: Thinking
    right: int
    questions: int
    unreadable: int
    accuracy: float
    interval: Interval
    difference: Comparison | None
    """Against the own thinking; None for that itself."""
    holm_p: float | None


@dataclass(frozen=True)
class Reliance:
    """The four conditions, and how often an answer is that of the borrowed thinking."""

    artifact: str
    conditions: list[Condition]
    followed: float | None
    """Share of the answers that name the label of the borrowed thinking, where that is one of the options."""
    followed_of: int


def subjects_of(run: GradedRun, limit: int | None, seed: int = 0) -> list[Subject]:
    """Questions of the run that were answered after complete thinking, each with another one's thinking.

    Raises RunError when there are fewer than two.
    """
    thought = []
    for answered in run.tasks.values():
        for item in answered:
            parts = split(item.replies[0])
            if item.replies[0].status == "ok" and parts.steps and parts.reasoning_complete:
                thought.append((item.question, parts.reasoning.strip(), item.grades[0].value))
    if len(thought) < 2:
        raise RunError(f"{run.directory} holds no two answers with complete thinking; run a model that reasons first")
    random.Random(seed).shuffle(thought)  # noqa: S311
    thought = thought[:limit] if limit else thought
    turned = thought[1:] + thought[:1]
    return [
        Subject(question, own, other, label)
        for (question, own, _), (_, other, label) in zip(thought, turned, strict=True)
    ]


def prompt_of(subject: Subject, thinking: Thinking) -> str:
    """The conversation as raw ChatML, up to where the answer begins."""
    steps = subject.own.splitlines()
    given = {
        "own": subject.own,
        "without_last_step": "\n".join(steps[:-1]),
        "none": "",
        "another_case": subject.other,
    }[thinking]
    inside = f"{given}\n" if given else ""
    return (
        f"<|im_start|>user\n{subject.question.prompt}<|im_end|>\n<|im_start|>assistant\n<think>\n{inside}</think>\n\n"
    )


async def measure(
    base_url: str, run: GradedRun, subjects: list[Subject], answered: Callable[[], None] | None = None
) -> Reliance:
    """Ask every subject under every condition; `answered` is called at each reply. Raises EndpointError or RunError."""
    async with Endpoint(base_url.rstrip("/")) as endpoint:
        served = await endpoint.served(None)
        if served.artifact != run.plan.artifact:
            raise RunError(
                f"{base_url} serves artifact {served.artifact[:12]} and the run is of {run.plan.artifact[:12]}; serve "
                "the model whose thinking the run holds"
            )
        slots = asyncio.Semaphore(CONCURRENCY)
        asked = [(thinking, subject) for thinking in THINKING for subject in subjects]

        async def ask(thinking: Thinking, subject: Subject) -> str | None:
            label = await _label(endpoint, served.model, slots, thinking, subject)
            if answered:
                answered()
            return label

        labels = await asyncio.gather(*(ask(*each) for each in asked))
    said: dict[Thinking, list[str | None]] = {thinking: [] for thinking in THINKING}
    for (thinking, _), label in zip(asked, labels, strict=True):
        said[thinking].append(label)
    return judge(run.plan.artifact, subjects, said)


def judge(artifact: str, subjects: list[Subject], said: dict[Thinking, list[str | None]]) -> Reliance:
    """The figures of the labels that were read, per condition in the order of the subjects."""
    scores = {
        thinking: {
            f"{subject.question.task}/{subject.question.row_sha256}": [float(label == subject.question.answer)]
            for subject, label in zip(subjects, labels, strict=True)
        }
        for thinking, labels in said.items()
    }
    differences: dict[str, Comparison] = {
        each: compare(scores["own"], scores[each], {}) for each in THINKING if each != "own"
    }
    corrected = holm({name: difference.p for name, difference in differences.items()})
    conditions = []
    for thinking in THINKING:
        right = round(sum(score for (score,) in scores[thinking].values()))
        conditions.append(
            Condition(
                thinking,
                right,
                len(subjects),
                said[thinking].count(None),
                right / len(subjects),
                wilson(right, len(subjects)),
                differences.get(thinking),
                corrected.get(thinking),
            )
        )
    borrowed = [
        label == subject.other_label
        for subject, label in zip(subjects, said["another_case"], strict=True)
        if subject.other_label in subject.question.choices
    ]
    return Reliance(artifact, conditions, sum(borrowed) / len(borrowed) if borrowed else None, len(borrowed))


def save(run: GradedRun, reliance: Reliance) -> Path:
    """Write the figures beside the run's results, whole or not at all."""
    path = run.directory / FILE_NAME
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(reliance), indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def print_reliance(console: Console, reliance: Reliance) -> None:
    """The figures as a table."""
    from rich import box
    from rich.table import Table

    from eval.compare import points

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for header in ("thinking", "n", "% right [95 %]", "unread", "difference [95 %]", "p (Holm)"):
        table.add_column(header, justify="left" if header == "thinking" else "right")
    for each in reliance.conditions:
        change = each.difference
        low, high = 100 * each.interval.low, 100 * each.interval.high
        table.add_row(
            each.thinking.replace("_", " "),
            str(each.questions),
            f"{100 * each.accuracy:.1f} [{low:.1f}, {high:.1f}]",
            str(each.unreadable),
            f"{points(change.difference)} [{points(change.interval.low)}, {points(change.interval.high)}]"
            if change
            else "",
            f"{each.holm_p:.3f}" if each.holm_p is not None else "",
        )
    console.print(table)
    if reliance.followed is not None:
        console.print(
            f"after another case's thinking, {reliance.followed:.1%} of {reliance.followed_of} answers name its label"
        )


async def _label(
    endpoint: Endpoint, model: str, slots: asyncio.Semaphore, thinking: Thinking, subject: Subject
) -> str | None:
    question = subject.question
    body: dict[str, Any] = {
        "model": model,
        "prompt": prompt_of(subject, thinking),
        "max_tokens": MAX_TOKENS,
        "temperature": 0.0,
        "seed": 0,
    }
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with slots:
                text, finish_reason = await endpoint.complete(body)
            break
        except RequestError as error:
            if attempt == ATTEMPTS or not error.retryable:
                raise EndpointError(error.message) from error
            await asyncio.sleep(error.retry_after_s or attempt)
    final = parse(text, finish_reason=finish_reason, choices=question.choices, options=question.options or None).final
    return final.value if final else None
