"""The report of a run: one offline HTML file, the same in Markdown, and all figures as JSON.

Nothing a model said is trusted: Jinja escapes every value, samples travel as JSON that the page puts in place as text,
and the page's own policy lets no other script run than the one written here (by its hash) and loads nothing.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.compare import RunComparison, comparison_of, points
from eval.figures import results_of
from eval.graded import GradedRun, load_run
from eval.grading import FAILURES
from eval.overlap import Overlap, contamination, training_texts
from eval.progress import duration
from eval.published import MARK, Published, load_published
from eval.refusals import REFUSAL_PATTERNS
from eval.results import Results, TaskResult, load_results
from eval.robustness import robustness
from eval.runner import RunError
from eval.samples import samples_of, script_safe
from eval.stats import Mean, mean_score
from gazal.artifact import NOT_FOR_CLINICAL_USE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class TaskContamination:
    """How many of one benchmark's questions occur in the training files, and accuracy with and without them."""

    title: str
    run_of_13: int
    half_of_8: int
    similar: int
    flagged: Mean | None
    clean: Mean | None


@dataclass(frozen=True)
class ContaminationReport:
    """The training files that were looked at, by hash, and what was found."""

    files: list[tuple[str, str, int]]
    """(name, sha256, questions)."""
    tasks: list[TaskContamination]


def write_report(
    directory: Path, baseline: Path | None, against: Sequence[Path], cost_per_hour: float | None
) -> tuple[Results, list[Path]]:
    """Write results.json, report.md and report.html into the run's directory; returns the figures and the files.

    Raises RunError or StoreError.
    """
    run = load_run(directory)
    results = results_of(run)
    before = load_results(baseline) if baseline else None
    comparison = comparison_of(before, results) if before else None
    context = _context(run, results, comparison, _contamination(run, results, against), cost_per_hour)
    context["baseline_rates"] = (
        {(rate.family, rate.arm): rate.rate for rate in before.behaviour.rates} if before and before.behaviour else {}
    )
    try:
        written = [results.save(directory)]
        for name in ("report.md", "report.html"):
            path = directory / name
            partial = path.with_name(f".{name}.partial")
            partial.write_text(_render(f"{name}.j2", context), encoding="utf-8")
            partial.replace(path)
            written.append(path)
    except OSError as error:
        raise RunError(f"{directory} cannot be written ({error.strerror or error}); free some disk space") from error
    return results, written


def print_summary(console: Console, results: Results) -> None:
    """The headline table on the terminal."""
    from rich import box
    from rich.table import Table

    console.print(f"{results.model}, artifact {results.artifact.removeprefix('unverified:')[:16]}", markup=False)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for header in ("task", "n", "% right [95 %]", "chance", "unread", "cut", "errors"):
        table.add_column(header, justify="left" if header == "task" else "right", no_wrap=header != "task")
    for task in (*results.tasks.values(), *results.pooled.values()):
        table.add_row(
            task.task,
            f"{task.questions:,}" + (f" x {task.repeats}" if task.repeats > 1 else ""),
            interval(task.strict),
            f"{task.chance:.1%}",
            f"{task.extraction_share:.1%}",
            f"{task.truncated_share:.1%}",
            f"{task.error_share:.1%}",
        )
    console.print(table)
    for task in results.tasks.values():
        if task.published_rows and task.questions < task.published_rows:
            console.print(f"{task.task}: a part, {task.questions:,} of {task.published_rows:,} questions", style="dim")
    if results.constrained:
        console.print("constrained: every reply was forced to be a final answer", style="yellow")
    for rate in results.behaviour.rates if results.behaviour else ():
        console.print(
            f"{rate.title} ({rate.arm}): {rate.event}: {interval(rate.rate)} % of {rate.rate.n}, "
            f"unreadable {rate.unreadable:.1%}",
            markup=False,
        )
    if any(task.hardly_readable for task in results.tasks.values()):
        console.print("many replies hold no readable answer; accuracy measures the form here", style="yellow")
    if not results.complete:
        console.print("not complete: the same `python -m eval run` command goes on", style="yellow")
    console.print(NOT_FOR_CLINICAL_USE, style="bold red")


def interval(mean: Mean | None) -> str:
    """A share with its interval, in per cent."""
    if mean is None:
        return "none"
    return f"{100 * mean.value:.1f} [{100 * mean.interval.low:.1f}, {100 * mean.interval.high:.1f}]"


def size(task: TaskResult) -> str:
    """How many questions, and of how many where it is a part."""
    repeats = f" x {task.repeats}" if task.repeats > 1 else ""
    part = f" of {task.published_rows:,}" if task.published_rows and task.questions < task.published_rows else ""
    return f"{task.questions:,}{repeats}{part}"


def _context(
    run: GradedRun,
    results: Results,
    comparison: RunComparison | None,
    overlaps: ContaminationReport | None,
    cost_per_hour: float | None,
) -> dict[str, Any]:
    from eval import plots

    tasks = [*results.tasks.values(), *results.pooled.values()]
    main = [task for task in tasks if "@" not in task.task]
    published = load_published()
    variants = robustness(run)
    calibrated = [task for task in main if task.calibration]
    curves = [task for task in main if len(task.budget_curve) > 1]
    script = (TEMPLATES / "viewer.js").read_text(encoding="utf-8")
    samples = samples_of(run, comparison)
    asked = sum(task.replies for task in results.tasks.values()) / max(1, run.plan.repeats)
    return {
        "results": results,
        "run": run,
        "tasks": tasks,
        "main": main,
        "published": _published_rows(main, published),
        "published_sources": published,
        "mark": MARK,
        "comparison": comparison,
        "robustness": variants,
        "calibrated": calibrated,
        "contamination": overlaps,
        "cost": cost_per_hour * results.wall_s / 3600 / asked * 1000 if cost_per_hour and asked else None,
        "cost_per_hour": cost_per_hour,
        "failures": FAILURES,
        "refusal_patterns": REFUSAL_PATTERNS,
        "notice": NOT_FOR_CLINICAL_USE,
        "made_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "began_at": _utc(run.sessions[0][0]) if run.sessions else "unknown",
        "facts": _flat(results.facts),
        "pictures": {
            "forest": plots.forest(main, published),
            "budget": plots.budget_curves(curves) if curves else None,
            "reliability": [plots.reliability_diagram(task) for task in calibrated],
            "positions": [plots.positions(entry.task, entry.positions) for entry in variants if entry.positions],
        },
        "samples": samples,
        "samples_left_out": sum(task.replies for task in results.tasks.values()) - len(samples),
        "samples_json": script_safe(samples),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "style": (TEMPLATES / "report.css").read_text(encoding="utf-8"),
        "interval": interval,
        "size": size,
        "points": points,
        "duration": duration,
    }


def _render(name: str, context: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pct"] = lambda share: "" if share is None else f"{100 * share:.1f}"
    environment.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")
    return environment.get_template(name).render(context)


def _published_rows(main: Sequence[TaskResult], published: Sequence[Published]) -> list[tuple[str, dict[str, str]]]:
    """(model, task to value) for the models that published a value for one of these tasks."""
    names = {task.task for task in main}
    rows = [
        (entry.model, {name: f"{value:.1f}" for name, value in entry.scores.items() if name in names})
        for entry in published
    ]
    return [row for row in rows if row[1]]


def _contamination(run: GradedRun, results: Results, against: Sequence[Path]) -> ContaminationReport | None:
    if not against:
        return None
    files, texts = [], []
    for path in against:
        try:
            found, sha256 = training_texts(path)
        except (OSError, ValueError) as error:
            raise RunError(f"--against {path}: {error}") from error
        files.append((path.name, sha256, len(found)))
        texts += found
    tasks = []
    for name, task in results.tasks.items():
        if "@" in name:
            continue
        found_in = contamination({item.question.row_sha256: item.question.stem for item in run.tasks[name]}, texts)
        tasks.append(_contaminated(task, found_in))
    return ContaminationReport(files, tasks)


def _contaminated(task: TaskResult, found: dict[str, Overlap]) -> TaskContamination:
    def mean_of(flagged: bool) -> Mean | None:
        pairs = [
            (score, item.cluster or row)
            for row, item in task.items.items()
            if found[row].copied == flagged
            for score in item.scores
        ]
        return mean_score([score for score, _ in pairs], [cluster for _, cluster in pairs]) if pairs else None

    return TaskContamination(
        task.title,
        sum(overlap.run_of_13 for overlap in found.values()),
        sum(overlap.half_of_8 for overlap in found.values()),
        sum(overlap.similar for overlap in found.values()),
        mean_of(True),
        mean_of(False),
    )


def _flat(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as (path, value) rows."""
    rows: list[tuple[str, str]] = []
    for name, value in facts.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            rows += _flat(value, f"{path} · ")
        elif value not in (None, ""):
            rows.append((path, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return rows


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
