"""`python -m training data`: the verbs that make training data. Heavy imports happen inside them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from training.data.journal import Journal
    from training.data.report import BuildReport
    from training.data.rules import Tokenizer
    from training.recipe import Recipe

app = typer.Typer(no_args_is_help=True, help="Make training data: build files from sources, have a teacher write.")

RecipeFile = Annotated[Path, typer.Argument(help="A file of training/recipes, or your own.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]


@app.command("build")
def build(
    recipe: RecipeFile,
    output: Annotated[
        Path | None, typer.Option(file_okay=False, help="Directory to write; runs/NAME/data by default.")
    ] = None,
    dry_run: DryRun = False,
    without_benchmarks: Annotated[
        bool, typer.Option("--without-benchmarks", help="Build though only the embedded benchmark is here.")
    ] = False,
) -> None:
    """Load, check, decontaminate and split the data of a recipe into parquet files, with a report."""
    from rich.console import Console

    from gazal.artifact import ArtifactError
    from training.clinic.knowledge import KnowledgeError
    from training.data.build import build as build_data
    from training.data.sources import DataError
    from training.recipe import RecipeError, load

    console = Console()
    try:
        loaded = load(recipe).recipe
        if without_benchmarks:
            loaded = loaded.model_copy(update={"data": loaded.data.model_copy(update={"require_benchmarks": False})})
        target = output or Path("runs") / loaded.name / "data"
        if dry_run:
            _show_plan(loaded, target, console)
            return
        report = build_data(loaded, target, _tokenizer(loaded), console=console)
    except (RecipeError, DataError, KnowledgeError, ArtifactError, OSError) as error:
        _fail(console, error)
    _show_report(report, target, console)


@app.command("synthesize")
def synthesize(
    recipe: RecipeFile,
    output: Annotated[
        Path | None, typer.Option(file_okay=False, help="Directory to write; runs/NAME/synthetic by default.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Have the recipe's teacher write reasoned answers; an interrupted run continues where it was."""
    import asyncio

    from rich.console import Console

    from training.clinic.knowledge import KnowledgeError
    from training.data.sources import DataError
    from training.data.synthesize import synthesize as synthesize_data
    from training.data.teacher import TeacherError
    from training.recipe import RecipeError, load

    console = Console()
    try:
        loaded = load(recipe).recipe
        target = output or Path("runs") / loaded.name / "synthetic"
        if dry_run:
            _show_tasks(loaded, target, console)
            return
        with _synthesis_progress(loaded, console) as advance:
            outcome = asyncio.run(synthesize_data(loaded, target, advance=advance))
    except KeyboardInterrupt:
        console.print(
            f"interrupted; what was accepted is in {target}, the same command continues", markup=False, soft_wrap=True
        )
        raise typer.Exit(130) from None
    except (RecipeError, DataError, KnowledgeError, TeacherError, OSError) as error:
        _fail(console, error)
    for line in (
        f"{outcome.accepted} of {outcome.tasks} questions answered well, {outcome.exhausted} given up, "
        f"{outcome.open} open",
        "rejected: " + (", ".join(f"{reason} {count}" for reason, count in outcome.rejected.items()) or "none"),
        f"{outcome.prompt_tokens} prompt and {outcome.completion_tokens} completion tokens, {outcome.cost_usd:.2f} USD",
        *([f"stopped: {outcome.stopped}"] if outcome.stopped else []),
        f"rows: {target / 'rows.jsonl'}",
    ):
        console.print(line, markup=False, soft_wrap=True)


@contextmanager
def _synthesis_progress(recipe: Recipe, console: Console) -> Iterator[Callable[[Journal, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from training.data.synthesize import cost_usd

    figures = TextColumn("{task.fields[figures]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), figures, TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("accepted", total=None, figures="")

        def advance(journal: Journal, tasks: int) -> None:
            replies = len(journal.accepted) + journal.reasons.total()
            rate = f"{len(journal.accepted) / replies:.0%} of replies" if replies else "no reply yet"
            tokens = journal.prompt_tokens + journal.completion_tokens
            cost = cost_usd(recipe.synthesize, journal) if recipe.synthesize else 0.0
            figures = f"{rate}, {tokens} tokens, {cost:.2f} USD"
            progress.update(bar, completed=len(journal.accepted), total=tasks, figures=figures)

        yield advance


def _show_tasks(recipe: Recipe, output: Path, console: Console) -> None:
    from collections import Counter

    from training.data.synthesize import plan

    planned = plan(recipe)
    settings = planned.settings
    by_mode = Counter(task.row.mode for task in planned.tasks)
    most = len(planned.tasks) * settings.attempts * settings.max_tokens
    price = most * settings.usd_per_million_completion_tokens / 1e6
    for line in (
        f"{settings.model} at {settings.endpoint}, {settings.concurrency} at a time, into {output}",
        f"{len(planned.tasks)} questions: " + ", ".join(f"{mode} {count}" for mode, count in by_mode.items()),
        f"{planned.overlapping} questions of the sources are left out because they overlap with benchmarks",
        f"at most {most} completion tokens ({price:.2f} USD) if every attempt used all of its tokens",
    ):
        console.print(line, markup=False, soft_wrap=True)


def _tokenizer(recipe: Recipe) -> Tokenizer:
    from gazal.models import resolve

    base = recipe.base
    directory = resolve(f"{base.reference}@{base.revision}" if base.revision else base.reference).path
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    return lambda text: len(tokenizer(text, add_special_tokens=False).input_ids)


def _show_plan(recipe: Recipe, output: Path, console: Console) -> None:
    from rich.table import Table

    from training.data.contamination import benchmark_files
    from training.data.sources import local_file, source_names

    data = recipe.data
    table = Table(title=f"data of {recipe.name} into {output}")
    for column in ("source", "kind", "from", "examples", "stages"):
        table.add_column(column, overflow="fold")
    for source, name in zip(data.sources, source_names(data.sources), strict=True):
        origin = source.reference or f"generated, seed {source.seed}"
        if source.kind == "jsonl":
            origin = str(local_file(origin))
        elif source.kind == "hub":
            origin += f" at {source.revision or 'its present commit, which the report will note'}"
        table.add_row(name, source.kind, origin, str(source.count or "all"), ", ".join(source.stages))
    console.print(table)
    for path in benchmark_files(data.benchmarks):
        console.print(f"decontaminate against {path}", markup=False, soft_wrap=True)
    console.print(
        f"near-duplicates from {data.near_duplicate_similarity:.0%} alike; prompts up to {data.max_prompt_tokens} and "
        f"completions up to {data.max_completion_tokens} tokens of {recipe.base.reference}; "
        f"{data.development_share:.1%} held back by group",
        markup=False,
        soft_wrap=True,
    )


def _show_report(report: BuildReport, output: Path, console: Console) -> None:
    from rich.table import Table

    rules = report.removed_by_rule()
    table = Table(title=f"data of {report.recipe} in {output}")
    for column in ("source", "loaded", "left out", "kept for sft", "kept for grpo"):
        table.add_column(column, justify="left" if column == "source" else "right")
    for source in report.sources:
        out = sum(counts.get(source.name, 0) for counts in rules.values())
        kept = (str(source.kept.get(stage, "")) for stage in ("sft", "grpo"))
        table.add_row(source.name, str(source.loaded), str(out), *kept)
    console.print(table)
    for rule, counts in rules.items():
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        console.print(f"left out, {rule}: {listed}", markup=False, soft_wrap=True)
    for name, file in report.files.items():
        console.print(f"{name}: {file.rows} rows in {file.groups} groups, sha256 {file.sha256[:12]}", markup=False)
    console.print(f"report: {output / 'report.html'}", markup=False, soft_wrap=True)


def _fail(console: Console, error: Exception) -> NoReturn:
    console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1) from None


if __name__ == "__main__":
    app()
