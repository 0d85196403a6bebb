"""From a graded run to its figures: everything in `results.json` is computed here.

Scores are averaged over replies, with repeats and near-copies of a question as one cluster; see `eval.stats`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from eval.behaviour import behaviour
from eval.breakdowns import breakdowns
from eval.grading import FAILURES, split
from eval.overlap import near_copies
from eval.results import Calibration, Efficiency, Item, Labels, Percentiles, Results, TaskResult
from eval.runner import RunError
from eval.selective import levels
from eval.stats import (
    Mean,
    class_scores,
    expected_calibration_error,
    macro_f1,
    majority,
    majority_score,
    mean_score,
    minimum_detectable_difference,
    reliability,
    risk_coverage,
)
from eval.suites import published_rows, task_files
from gazal.abstention import abstained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval.graded import Answered, GradedRun

POOLED = {
    "gazal_mmlu_pro_medical": (
        "MMLU-Pro medical (health + biology)",
        ("gazal_mmlu_pro_health", "gazal_mmlu_pro_biology"),
    )
}
ASSUMED_DISCORDANT = 0.12
"""Share of questions on which two runs of similar models differ, for the detectable difference before one is known."""


def results_of(run: GradedRun) -> Results:
    """All figures of a run, as far as it got. Raises RunError when there is no reply at all."""
    if not any(run.tasks.values()):
        raise RunError(f"{run.directory} holds no reply yet; run it first")
    titles = {name: file.title for name, file in task_files().items()}
    sets = {name: file.set_name for name, file in task_files().items()}
    tasks = {}
    for name, answered in run.tasks.items():
        if not answered:
            continue
        base, _, variant = name.partition("@")
        title = titles.get(base, base) + (f", {variant.replace('_', ' ')}" if variant else "")
        whole = published_rows(sets[base]) if base in sets else None
        tasks[name] = task_result(name, title, answered, run.expected[name], run.plan.repeats, whole)
    pooled = {}
    for name, (title, parts) in POOLED.items():
        if all(part in tasks for part in parts):
            together = [item for part in parts for item in run.tasks[part]]
            expected = sum(run.expected[part] for part in parts)
            whole = sum(tasks[part].published_rows or 0 for part in parts)
            pooled[name] = task_result(name, title, together, expected, run.plan.repeats, whole)
    wall_s = sum(end - start for start, end, _ in run.sessions)
    tokens = sum(result.efficiency.completion_tokens for result in tasks.values())
    return Results(
        run=run.directory.name,
        model=run.plan.model,
        artifact=run.plan.artifact,
        complete=all(
            name in tasks and tasks[name].replies == run.expected[name] * run.plan.repeats for name in run.plan.tasks
        ),
        plan=run.plan.model_dump(mode="json"),
        facts=run.facts,
        wall_s=wall_s,
        tokens_per_s=tokens / wall_s if wall_s > 0 and tokens else None,
        tasks=tasks,
        pooled=pooled,
        behaviour=behaviour([item for answered in run.tasks.values() for item in answered]),
    )


def task_result(
    name: str, title: str, answered: Sequence[Answered], expected: int, repeats: int, whole: int | None
) -> TaskResult:
    """The figures of one task's answered questions."""
    copies = near_copies({item.question.row_sha256: item.question.stem for item in answered})
    clusters = [copies.get(item.question.row_sha256, item.question.row_sha256) for item in answered]
    pairs = [(grade, cluster) for item, cluster in zip(answered, clusters, strict=True) for grade in item.grades]
    strict = mean_score([float(grade.correct) for grade, _ in pairs], [cluster for _, cluster in pairs])
    readable = [(grade, cluster) for grade, cluster in pairs if grade.value is not None]
    failures = Counter(grade.failure for grade, _ in pairs if grade.failure)
    gold = Counter(item.question.answer for item in answered)
    replies = [reply for item in answered for reply in item.replies]
    modes = {item.question.mode for item in answered}
    return TaskResult(
        task=name,
        title=title,
        questions=len(answered),
        expected_questions=expected,
        published_rows=whole,
        replies=len(pairs),
        expected_replies=expected * repeats,
        repeats=repeats,
        strict=strict,
        answered_only=_mean([(float(grade.correct), cluster) for grade, cluster in readable]),
        best_case=mean_score(
            [float(grade.correct or grade.value is None) for grade, _ in pairs], [cluster for _, cluster in pairs]
        ),
        majority_vote=None
        if repeats == 1
        else mean_score([majority_score(item.said, item.question.answer) for item in answered], clusters),
        content_only=sum(grade.text_value == item.question.answer for item in answered for grade in item.grades)
        / len(pairs),
        answered_then_cut=sum(grade.failure == "truncated" and grade.text_value is not None for grade, _ in pairs),
        majority_label=max(gold.values()) / len(answered),
        chance=sum(1 / len(item.question.choices) for item in answered) / len(answered),
        failures={reason: failures[reason] for reason in FAILURES},
        methods=dict(Counter(grade.method for grade, _ in pairs if grade.value is not None and grade.method)),
        error_kinds=dict(Counter(reply.error_kind or "error" for reply in replies if reply.status == "error")),
        abstentions=_abstentions(answered),
        retries=sum(reply.attempts - 1 for reply in replies),
        near_copies=len(answered) - len(set(clusters)),
        detectable_difference=minimum_detectable_difference(len(set(clusters)), ASSUMED_DISCORDANT),
        efficiency=_efficiency(answered),
        budget_curve=_budget_curve(answered),
        breakdowns=breakdowns(answered, clusters),
        labels=_labels(answered) if modes == {"research"} else None,
        calibration=_calibration(answered, clusters) if repeats > 1 else None,
        items={
            item.question.row_sha256: Item(
                id=item.question.id, cluster=copies.get(item.question.row_sha256), scores=item.scores
            )
            for item in answered
        },
    )


def _mean(pairs: Sequence[tuple[float, str]]) -> Mean | None:
    return mean_score([score for score, _ in pairs], [cluster for _, cluster in pairs]) if pairs else None


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """p50, p90 and p99 by linear interpolation; None without values."""
    if not values:
        return None
    import numpy as np

    p50, p90, p99 = (float(value) for value in np.percentile(values, [50, 90, 99]))
    return Percentiles(p50=p50, p90=p90, p99=p99)


def _efficiency(answered: Sequence[Answered]) -> Efficiency:
    reasoning, answers, latency, first = [], [], [], []
    total, estimated = 0, False
    for reply in (reply for item in answered for reply in item.replies if reply.status == "ok"):
        latency.append(reply.latency_s)
        if reply.first_token_s is not None:
            first.append(reply.first_token_s)
        if reply.completion_tokens is None:
            continue
        total += reply.completion_tokens
        thought: float | None = reply.reasoning_tokens
        if thought is None:
            parts = split(reply)
            characters = len(parts.reasoning) + len(parts.answer)
            thought = reply.completion_tokens * len(parts.reasoning) / characters if characters else 0.0
            estimated = True
        reasoning.append(float(thought))
        answers.append(reply.completion_tokens - thought)
    return Efficiency(
        completion_tokens=total,
        reasoning_tokens=percentiles(reasoning),
        reasoning_estimated=estimated,
        answer_tokens=percentiles(answers),
        latency_s=percentiles(latency),
        first_token_s=percentiles(first),
    )


def _abstentions(answered: Sequence[Answered]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for item in answered:
        for reply in item.replies:
            if reply.status == "ok":
                parts = split(reply, item.question.choices, item.question.options)
                reason = abstained(parts.answer, parts.final, item.question.options)
                found.update([reason] if reason else [])
    return dict(found)


def _budget_curve(answered: Sequence[Answered]) -> list[tuple[int, float]]:
    """Accuracy if every reply had been cut at a number of tokens: right replies that are no longer than that."""
    graded = [
        (reply.completion_tokens, grade.correct)
        for item in answered
        for reply, grade in zip(item.replies, item.grades, strict=True)
    ]
    lengths = sorted(length for length, _ in graded if length is not None)
    if not lengths:
        return []
    points = sorted({lengths[round(step * (len(lengths) - 1) / 20)] for step in range(21)})
    return [
        (point, sum(correct for length, correct in graded if length is not None and length <= point) / len(graded))
        for point in points
    ]


def _labels(answered: Sequence[Answered]) -> Labels:
    labels = tuple(answered[0].question.choices)
    gold = [item.question.answer for item in answered for _ in item.grades]
    said = [value for item in answered for value in item.said]
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    for right, value in zip(gold, said, strict=True):
        confusion[right][value or "none"] += 1
    scores = class_scores(gold, said, labels)
    columns = (*labels, "none")
    return Labels(
        confusion={label: {column: confusion[label][column] for column in columns} for label in labels},
        scores=scores,
        macro_f1=macro_f1(scores),
    )


def _calibration(answered: Sequence[Answered], clusters: Sequence[str]) -> Calibration:
    confidence = [majority(item.said)[1] / len(item.grades) for item in answered]
    correct = [majority_score(item.said, item.question.answer) for item in answered]
    bins = reliability(confidence, correct)
    return Calibration(
        bins=bins,
        expected_error=expected_calibration_error(bins),
        coverage=risk_coverage(confidence, correct),
        levels=levels(answered, clusters),
    )
