"""`training report RUN`: one HTML page of a run, finished or not, which works without a network and without scripts.

It is the reward-hacking dashboard: what the reward paid for, beside what was measured, with the completions that show
it. Everything comes from the files of the run (see `training.runs`); nothing is computed with the model.

    write_report(Path("runs/tiny"))     ->  runs/tiny/report.html
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazal.artifact import MANIFEST_NAME, NOT_FOR_CLINICAL_USE, Manifest, load_manifest
from training import held_out
from training.report_charts import (
    answer_chart,
    completion_charts,
    held_out_chart,
    optimisation_charts,
    policy_charts,
    step_times,
)
from training.report_plots import DASHES, Chart
from training.rollout_figures import Completion, StepFigures, figures, read_completions, step_files
from training.runs import STAGES, RunDirectory, RunError, StageDirectory, StageKind, read_recipe, recipe_sha256
from training.warning_signs import Sign, signs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from training.recipe import Recipe

SMALL_MODEL_PARAMETERS = 2_000_000_000
"""Bases below this show that the method works, and no more."""
_SHOWN = 4
"""Completions shown of each kind."""
_KEPT = 100
"""Of the latest completions that were paid and not right, those shown are chosen from so many."""
_SHOWN_STEPS = 25
"""Best and worst are sought in the last quarter of the steps, and in no more than so many."""
_SHOWN_CHARACTERS = 6_000
"""Longer texts are shown without their middle: the end has the answer."""


@dataclass(frozen=True)
class StageRecord:
    """What one stage has left so far."""

    kind: StageKind
    planned_steps: int
    rows: list[dict[str, float | None]]
    """Logged steps, evaluations among them."""
    trained: bool
    manifest: Manifest | None
    answers: list[held_out.Answered]
    logged_at: str
    charts: list[Chart]

    @property
    def last_step(self) -> int:
        """The last step that was logged; 0 before the first."""
        return max((int(row["step"] or 0) for row in self.rows), default=0)

    @property
    def state(self) -> str:
        """How far the stage is, in words."""
        if self.manifest:
            return f"{self.last_step} steps, merged and verified"
        if self.trained:
            return f"{self.last_step} steps, trained and not merged yet"
        if not self.rows:
            return "no step logged yet"
        return f"step {self.last_step} of {self.planned_steps}, last logged at {self.logged_at}"

    @property
    def seconds(self) -> float:
        """Time spent in training steps."""
        return sum(step_times(self.rows).values())

    @property
    def verification(self) -> dict[str, float]:
        """Figures of the merge and of its verification."""
        stage = next((each for each in self.manifest.stages if each.kind == self.kind), None) if self.manifest else None
        metrics = stage.metrics if stage else {}
        return {name: value for name, value in metrics.items() if name.startswith(("merge/", "verification/"))}


@dataclass
class Completions:
    """The log of stage 2: figures of every step, and the completions worth reading."""

    steps: list[StepFigures] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    gamed: list[Completion] = field(default_factory=list)
    """Paid and not right, the latest."""
    best: list[Completion] = field(default_factory=list)
    worst: list[Completion] = field(default_factory=list)


@dataclass(frozen=True)
class TopicRow:
    """Held-out questions of one topic, or all."""

    topic: str
    questions: int
    stages: dict[StageKind, tuple[int, float, float, float]]
    """Right answers, their share, and its 95 % interval."""
    gained: int | None
    lost: int | None


def write_report(path: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write the page of the run at `path` and return where it is; it replaces the one before, whole or not at all.

    `progress` hears steps read and all steps. The run may go on meanwhile. Raises RunError when `path` is no run, and
    ArtifactError when a manifest in it is damaged.
    """
    run = RunDirectory(path.expanduser().resolve())
    recipe = read_recipe(run.path)
    html = _page(run, recipe, progress)
    partial = run.report.with_name(f".{run.report.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(html.encode("utf-8", "replace"))
        partial.replace(run.report)
    finally:
        partial.unlink(missing_ok=True)
    return run.report


def _page(run: RunDirectory, recipe: Recipe, progress: Callable[[int, int], None] | None) -> str:
    import jinja2

    stages = [_stage(run.stage(kind), kind, recipe) for kind in STAGES]
    completions = _completions(run.stage("grpo").path / "completions", stages[1].last_step + 1, recipe, progress)
    answered = {stage.kind: stage.answers for stage in stages if stage.answers}
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"shortened": shortened, "duration": duration}
    template = environment.from_string((Path(__file__).parent / "report.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        dashes=DASHES,
        recipe=recipe,
        recipe_sha256=recipe_sha256(recipe),
        notice=NOT_FOR_CLINICAL_USE,
        small=recipe.base.shape.parameters < SMALL_MODEL_PARAMETERS,
        environment=_read_json(run.path / "environment.json"),
        stages=stages,
        completions=completions,
        held_out_chart=held_out_chart(answered) if answered else None,
        topics=topic_rows(answered),
        comparison=held_out.compare(answered["sft"], answered["grpo"]) if len(answered) == len(STAGES) else None,
        sampled=held_out.compare_files(*(run.stage(kind).held_out_sampled for kind in STAGES)),
        readable={kind: held_out.parsed_share(answers) for kind, answers in answered.items()},
        signs=_signs(recipe, stages, completions.steps, answered),
    )


def _stage(directory: StageDirectory, kind: StageKind, recipe: Recipe) -> StageRecord:
    settings = (recipe.sft if kind == "sft" else recipe.grpo).optimisation
    rows = read_metrics(directory.metrics)
    charts = optimisation_charts(settings, rows, kind)
    if kind == "grpo":
        charts = [*policy_charts(recipe, rows), *charts]
    logged_at = datetime.fromtimestamp(directory.metrics.stat().st_mtime, UTC) if rows else None
    return StageRecord(
        kind=kind,
        planned_steps=settings.steps,
        rows=rows,
        trained=directory.adapter.is_dir(),
        manifest=load_manifest(directory.merged) if (directory.merged / MANIFEST_NAME).is_file() else None,
        answers=held_out.load(directory.held_out) if directory.held_out.is_file() else [],
        logged_at=f"{logged_at:%Y-%m-%d %H:%M} UTC" if logged_at else "",
        charts=charts,
    )


def _completions(
    directory: Path, last_step: int, recipe: Recipe, progress: Callable[[int, int], None] | None
) -> Completions:
    found = Completions()
    files = step_files(directory, last_step)
    shown = list(files)[-min(_SHOWN_STEPS, max(1, len(files) // 4)) :]
    late: list[Completion] = []
    gamed: list[Completion] = []
    for done, (step, paths) in enumerate(files.items(), start=1):
        completions = read_completions(paths)
        if completions:
            found.steps.append(figures(completions))
            gamed = [*gamed, *(each for each in completions if each.paid and not each.right)][-_KEPT:]
        if step in shown:
            late += completions
        if progress:
            progress(done, len(files))
    if found.steps:
        found.charts = [*completion_charts(recipe, found.steps), answer_chart(found.steps)]
    found.gamed = _of_different_examples(gamed[::-1])
    found.best = _of_different_examples(sorted(late, key=lambda each: (-each.total, -each.step)))
    found.worst = _of_different_examples(sorted(late, key=lambda each: (each.total, -each.step)))
    return found


def _of_different_examples(completions: Sequence[Completion]) -> list[Completion]:
    """The first few, one for each example."""
    chosen: dict[str, Completion] = {}
    for each in completions:
        chosen.setdefault(each.example, each)
        if len(chosen) == _SHOWN:
            break
    return list(chosen.values())


def _signs(
    recipe: Recipe,
    stages: Sequence[StageRecord],
    steps: Sequence[StepFigures],
    answered: dict[StageKind, list[held_out.Answered]],
) -> list[Sign]:
    trained = {each.kind: [row for row in each.rows if row.get("loss") is not None] for each in stages if each.rows}
    return signs(recipe, trained, steps, answered)


def topic_rows(answered: dict[StageKind, list[held_out.Answered]]) -> list[TopicRow]:
    """The table of held-out answers: a row for all questions, then one a topic."""
    if not answered:
        return []
    topics = sorted({each.topic for answers in answered.values() for each in answers})
    rows = []
    for topic in ["all", *topics]:
        parts = {kind: [each for each in answers if topic in ("all", each.topic)] for kind, answers in answered.items()}
        shares: dict[StageKind, tuple[int, float, float, float]] = {}
        for kind, part in parts.items():
            right = sum(each.correct for each in part)
            shares[kind] = (right, held_out.accuracy(part), *held_out.wilson(right, len(part)))
        compared = held_out.compare(parts["sft"], parts["grpo"]) if len(parts) == len(STAGES) else None
        questions = len(next(iter(parts.values())))
        rows.append(
            TopicRow(
                topic, questions, shares, compared.gained if compared else None, compared.lost if compared else None
            )
        )
    return rows


def read_metrics(path: Path) -> list[dict[str, float | None]]:
    """The logged steps; a last line that is being written, or that a kill cut short, is left out. Raises RunError."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise RunError(f"{path} is damaged at line {number}; remove that line") from error
    return rows


def shortened(text: str, limit: int = _SHOWN_CHARACTERS) -> str:
    """`text`, with a note in place of its middle when it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n\n[... {len(text) - 2 * half:,} characters left out ...]\n\n{text[-half:]}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
