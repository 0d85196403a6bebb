"""`python -m eval run`: benchmark a running server; `report`, `compare` and `gate` read what runs left in reports/."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

RunDirectory = Annotated[Path, typer.Argument(help="A run's directory, under reports/.")]
Baseline = Annotated[Path | None, typer.Option(help="A run's directory or its results.json to compare with.")]
Against = Annotated[
    list[Path] | None, typer.Option(help="Training file (JSONL) to look for test questions in; may be repeated.")
]
CostPerHour = Annotated[
    float | None, typer.Option(min=0, help="Price of the hardware an hour, for the cost of 1,000 questions.")
]


@app.callback()
def main() -> None:
    """Benchmarks of a medical model behind an OpenAI-compatible server."""


@app.command()
def run(
    suite: Annotated[
        str, typer.Option(help="smoke, core, full, clinic, robustness, trust; see `python -m eval suites`.")
    ] = "core",
    tasks: Annotated[
        str | None, typer.Option(help="Comma-separated, in place of the suite's; see `python -m eval tasks`.")
    ] = None,
    base_url: Annotated[str, typer.Option(help="The server's /v1.")] = "http://127.0.0.1:8000/v1",
    model: Annotated[str | None, typer.Option(help="Model name; by default the first that the server lists.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=0, help="Questions a task, drawn with --seed (default: the suite's; 0: all).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw and of every request.")] = 0,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Samples a question, each with its own seed (default: the suite's).")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens a reply may have (default: the task's).")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, max=2, help="Default: the task's 0.6; 0 is greedy.")
    ] = None,
    top_p: Annotated[float | None, typer.Option(min=0, max=1, help="Default: the task's 0.95.")] = None,
    top_k: Annotated[int | None, typer.Option(min=-1, help="Default: the task's 20; -1 sends none.")] = None,
    constrain_letter: Annotated[
        bool,
        typer.Option(
            "--constrain-letter", help="Let the server force each reply to be a final answer; for base models."
        ),
    ] = False,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Requests in flight; by default raised while throughput grows.")
    ] = None,
    max_concurrency: Annotated[int, typer.Option(min=1, help="Most requests in flight to try.")] = 256,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds one reply may take.")] = 1800.0,
    max_errors: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the requests that may fail for good (at least one may).")
    ] = 0.005,
    out: Annotated[
        Path | None, typer.Option(help="Directory of the run; by default a name under reports/ made from the plan.")
    ] = None,
    against: Against = None,
    cost_per_hour: CostPerHour = None,
) -> None:
    """Ask a server every question of a suite, or go on where the same command was stopped; then write the report."""
    from eval import runner
    from eval.constrained import FINAL_ANSWER, OPTION
    from eval.suites import SUITES, Task, task_files

    console = _console()
    if suite not in SUITES:
        _fail(console, f"no suite {suite!r}; use one of: {', '.join(SUITES)}", 2)
    chosen = SUITES[suite]
    names = [name.strip() for name in tasks.split(",") if name.strip()] if tasks else list(chosen.tasks)
    for name in names:
        if name not in task_files():
            _fail(console, f"no task {name!r}; use one of: {', '.join(task_files())}", 2)
    generation: dict[str, Any] = {
        "max_gen_toks": max_tokens or chosen.max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        OPTION: FINAL_ANSWER if constrain_letter else None,
    }
    try:
        directory = runner.run(
            [Task(name, variant) for name in names for variant in chosen.variants],
            base_url=base_url,
            model=model,
            limit=(chosen.limit if limit is None else limit) or None,
            seed=seed,
            repeats=repeats or chosen.repeats,
            generation={name: value for name, value in generation.items() if value is not None},
            options=runner.Options(concurrency, max_concurrency, timeout, max_errors, out),
            console=console,
        )
    except _expected_errors() as error:
        _fail(console, str(error))
    except KeyboardInterrupt:
        _fail(console, "stopped; everything collected so far is kept, and the same command goes on from there", 130)
    _report(console, directory, None, against, cost_per_hour)


@app.command()
def report(
    directory: RunDirectory,
    baseline: Baseline = None,
    against: Against = None,
    cost_per_hour: CostPerHour = None,
) -> None:
    """Write report.html, report.md and results.json of a run, finished or not."""
    _report(_console(), directory, baseline, against, cost_per_hour)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A run's directory or results.json, such as the base model's.")],
    b: Annotated[Path, typer.Argument(help="Another, such as the tuned or the quantised model's.")],
) -> None:
    """Compare two runs question by question: difference with interval, p with Holm's correction, flipped items."""
    from eval.compare import comparison_of, print_comparison
    from eval.results import load_results

    console = _console()
    try:
        print_comparison(console, comparison_of(load_results(a), load_results(b)))
    except _expected_errors() as error:
        _fail(console, str(error))


@app.command()
def gate(
    directory: RunDirectory,
    baseline: Annotated[Path, typer.Option(help="results.json of the run that must not be fallen behind.")],
    margin: Annotated[float, typer.Option(min=0, max=1, help="Loss of accuracy that is tolerated.")] = 0.02,
    max_truncated: Annotated[float, typer.Option(min=0, max=1, help="Share of replies the limit may cut.")] = 0.02,
    max_unreadable: Annotated[
        float, typer.Option(min=0, max=1, help="Share of complete replies that may hold no readable answer.")
    ] = 0.02,
    max_errors: Annotated[float, typer.Option(min=0, max=1, help="Share of requests that may fail.")] = 0.005,
) -> None:
    """Exit 1 when a run fell behind its baseline by more than the margin, or replies badly; prints flipped items."""
    from eval.gate import Limits, judge, print_verdict
    from eval.results import load_results

    console = _console()
    try:
        verdict = judge(
            load_results(directory), load_results(baseline), Limits(margin, max_truncated, max_unreadable, max_errors)
        )
    except _expected_errors() as error:
        _fail(console, str(error))
    print_verdict(console, verdict)
    if not verdict.passed:
        raise typer.Exit(1)


@app.command()
def grounding(
    directory: RunDirectory,
    limit: Annotated[int, typer.Option(min=0, help="Answers a task, drawn at random with seed 0; 0 for all.")] = 0,
) -> None:
    """Show how often the steps of a run cite findings that are not in the case; writes grounding.json."""
    from eval.graded import load_run
    from eval.groundedness import grounding_of, print_grounding, save

    console = _console()
    try:
        run = load_run(directory)
        tasks = grounding_of(run, limit or None)
        print_grounding(console, tasks)
        console.print(f"wrote {save(run, tasks)}", markup=False)
    except _expected_errors() as error:
        _fail(console, str(error))


@app.command()
def reliance(
    directory: RunDirectory,
    base_url: Annotated[str, typer.Option(help="The /v1 of a server with the run's model.")] = (
        "http://127.0.0.1:8000/v1"
    ),
    limit: Annotated[int, typer.Option(min=0, help="Questions, drawn at random with seed 0; 0 for all.")] = 200,
) -> None:
    """Show what the answers of a run become with the thinking cut off or exchanged; writes reliance.json."""
    import asyncio

    from rich.progress import Progress

    from eval.graded import load_run
    from eval.reliance import THINKING, measure, print_reliance, save, subjects_of

    console = _console()
    try:
        run = load_run(directory)
        subjects = subjects_of(run, limit or None)
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task("answers", total=len(subjects) * len(THINKING))
            found = asyncio.run(measure(base_url, run, subjects, lambda: progress.advance(bar)))
        print_reliance(console, found)
        console.print(f"wrote {save(run, found)}", markup=False)
    except _expected_errors() as error:
        _fail(console, str(error))


@app.command()
def calibrate(
    directory: RunDirectory,
    output: Annotated[Path, typer.Option(help="Where to write the file for the server's GAZAL_CALIBRATION_FILE.")],
    target_accuracy: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Accuracy that answers must reach, with 95 % confidence.")
    ] = 0.8,
) -> None:
    """Fit from a run with repeats on development questions what agreement is worth, and when to abstain."""
    from eval.calibrate import calibrate as fit
    from eval.calibrate import print_calibration

    console = _console()
    try:
        print_calibration(console, fit(directory, output, target_accuracy), output)
    except _expected_errors() as error:
        _fail(console, str(error))


@app.command("tasks")
def list_tasks() -> None:
    """List the tasks, and whether their questions are at hand."""
    from eval.questions import QuestionSetError, find, load
    from eval.suites import published_rows, task_files

    console = _console()
    for name, file in task_files().items():
        try:
            count, whole = len(load(find(file.set_name, download=False))), published_rows(file.set_name)
            state = f"{count} questions" + (f", a part of {whole}" if whole and count < whole else "")
        except QuestionSetError as error:
            state = str(error)
        console.print(f"{name:24} {state}", markup=False)


@app.command("suites")
def list_suites() -> None:
    """List the suites."""
    from eval.suites import SUITES

    console = _console()
    for name, suite in SUITES.items():
        console.print(f"{name:12} {suite.description}", markup=False)


def _report(
    console: Console, directory: Path, baseline: Path | None, against: list[Path] | None, cost_per_hour: float | None
) -> None:
    from eval.report import print_summary, write_report

    try:
        results, written = write_report(directory, baseline, against or [], cost_per_hour)
    except _expected_errors() as error:
        _fail(console, str(error))
    print_summary(console, results)
    for path in written:
        console.print(f"wrote {path}", markup=False)


def _expected_errors() -> tuple[type[Exception], ...]:
    """Failures that are a sentence for the user, not a bug."""
    from eval.endpoint import EndpointError
    from eval.questions import QuestionSetError
    from eval.recorder import ErrorBudgetError
    from eval.runner import RunError
    from eval.store import StoreError

    return EndpointError, QuestionSetError, ErrorBudgetError, RunError, StoreError


def _console() -> Console:
    import os
    import sys

    from rich.console import Console

    # A log file has no width; rich would take 80 columns and cut the tables.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120
    return Console(highlight=False, soft_wrap=True, width=width)


def _fail(console: Console, message: str, status: int = 1) -> NoReturn:
    console.print(f"error: {message}", style="red", markup=False)
    raise typer.Exit(status)


if __name__ == "__main__":
    app()
