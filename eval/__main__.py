"""`python -m eval run`: benchmark a running server and print the table."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def main() -> None:
    """Benchmarks of a medical model behind an OpenAI-compatible server."""


@app.command()
def run(
    tasks: Annotated[str, typer.Option(help="Comma-separated; see `python -m eval tasks`.")] = "gazal_clinic",
    base_url: Annotated[str, typer.Option(help="The server's /v1.")] = "http://127.0.0.1:8000/v1",
    model: Annotated[str | None, typer.Option(help="Model name; by default the first that the server lists.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Questions a task, drawn with --seed.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 16,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens a reply may have (default: the task's).")
    ] = None,
) -> None:
    """Run lm-eval tasks against a server and print accuracy and the share of replies with a readable answer."""
    from rich.console import Console

    from eval import runner
    from eval.questions import QuestionSetError

    console = Console(highlight=False, soft_wrap=True)
    base_url = base_url.rstrip("/")
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    known = runner.task_files()
    for name in names:
        if name not in known:
            console.print(f"error: no task {name!r}; use one of: {', '.join(known)}", style="red", markup=False)
            raise typer.Exit(2)
    try:
        served = runner.served_model(base_url)
        results = runner.run(
            names,
            base_url=base_url,
            model=model or served["id"],
            limit=limit,
            seed=seed,
            concurrency=concurrency,
            max_tokens=max_tokens,
        )
    except (runner.ServerError, QuestionSetError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    from lm_eval.utils import make_table

    console.print(make_table(results), markup=False)
    for name in names:
        counts = results["n-samples"][name]
        part = "" if counts["effective"] == counts["original"] else f" (a seeded part of {counts['original']})"
        console.print(f"{name}: n={counts['effective']}{part}")
    console.print(f"model {model or served['id']}, artifact {served.get('artifact_digest', 'not stated')}")


@app.command("tasks")
def list_tasks() -> None:
    """List the tasks, and whether their questions are at hand."""
    from rich.console import Console

    from eval.questions import QuestionSetError, find, load
    from eval.runner import task_files

    console = Console(highlight=False, soft_wrap=True)
    for name, file in task_files().items():
        try:
            state = f"{len(load(find(file)))} questions"
        except QuestionSetError as error:
            state = str(error)
        console.print(f"{name:24} {state}", markup=False)


if __name__ == "__main__":
    app()
