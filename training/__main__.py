"""`python -m training`: make the weights. Heavy imports happen inside the verbs, so that `--help` answers at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from training.clinic.__main__ import app as clinic
from training.data.__main__ import app as data
from training.release import app as release

if TYPE_CHECKING:
    from rich.console import Console

    from training.chain import Chain
    from training.recipe import LoadedRecipe

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
rewards = typer.Typer(no_args_is_help=True, help="Look at rewards before paying for a run.")
app.add_typer(rewards, name="rewards")
app.add_typer(clinic, name="clinic")
app.add_typer(data, name="data")
app.add_typer(release)

RecipeFile = Annotated[Path, typer.Argument(help="A file of training/recipes, or your own.")]
Output = Annotated[Path | None, typer.Option(file_okay=False, help="Run directory; runs/NAME by default.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the resolved recipe and its memory, and do nothing.")]
Track = Annotated[str, typer.Option(help="Where metrics also go: none, tensorboard, trackio.")]


@app.callback()
def main() -> None:
    """From a base model to a Gazal-R1 artifact."""


@app.command("plan")
def plan(
    recipe: Annotated[Path, typer.Argument(help="A file of training/recipes.")],
    gpu: Annotated[str | None, typer.Option(help="h100, h200 ...; by default the recipe's own.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="How many of them.")] = None,
) -> None:
    """Show the memory that both stages of a recipe need, and refuse what cannot fit."""
    from rich.console import Console
    from rich.table import Table

    from training.plan import DEVICES_GB, PlanError, check
    from training.recipe import RecipeError, load

    console = Console()
    try:
        loaded = load(recipe)
        device, devices = gpu or loaded.recipe.expected.device, count or loaded.recipe.expected.count
        stages = check(loaded.recipe, device, devices)
    except (RecipeError, PlanError) as error:
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    table = Table(
        title=f"{loaded.recipe.name} on {devices} x {device} ({DEVICES_GB[device]:.0f} GB each), estimated GB"
    )
    table.add_column("for")
    for stage in stages:
        table.add_column(stage.name, justify="right")
    for part in dict.fromkeys(part for stage in stages for part in stage.parts_gb):
        table.add_row(part, *(f"{stage.parts_gb[part]:.1f}" if part in stage.parts_gb else "" for stage in stages))
    table.add_section()
    table.add_row("all", *(f"{stage.total_gb:.1f}" for stage in stages))
    console.print(table)


@rewards.command("score")
def score(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSONL: completion, answer, choices ...")],
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Completion budget of the length component.")] = None,
) -> None:
    """Print the reward components of a file of completions."""
    from rich.console import Console

    from training.rewards import RewardPolicy
    from training.score import CompletionFileError, component_table, score_file

    console = Console()
    policy = RewardPolicy() if max_tokens is None else RewardPolicy(max_tokens=max_tokens)
    try:
        scored = score_file(file, policy)
    except CompletionFileError as error:
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    console.print(component_table(scored))


@app.command("sft")
def sft(recipe: RecipeFile, output: Output = None, dry_run: DryRun = False, track: Track = "none") -> None:
    """Train stage 1, supervised fine-tuning; builds base and data first where they are missing."""
    with _chain(recipe, output, dry_run, track) as chain:
        if chain:
            chain.data()
            chain.sft()


@app.command("average")
def average(
    adapters: Annotated[list[Path], typer.Argument(exists=True, file_okay=False, help="Checkpoints of one run.")],
    output: Annotated[Path, typer.Option(help="New directory for the mean.")],
) -> None:
    """Average checkpoints of a run at a constant rate: about what its decay would give (see `training.average`)."""
    from rich.console import Console

    from training.average import average as write_mean

    console = Console()
    with _sentences(console):
        write_mean(adapters, output)
        console.print(f"mean of {len(adapters)} adapters in {output}", markup=False, soft_wrap=True)


@app.command("grpo")
def grpo(recipe: RecipeFile, output: Output = None, dry_run: DryRun = False, track: Track = "none") -> None:
    """Train stage 2, GRPO, on the merged stage-1 model of the run."""
    with _chain(recipe, output, dry_run, track) as chain:
        if chain:
            chain.grpo()


@app.command("run")
def run(recipe: RecipeFile, output: Output = None, dry_run: DryRun = False, track: Track = "none") -> None:
    """The whole chain: data, sft, merge, grpo, merge, artifact, report. Run it again to go on where it stopped."""
    with _chain(recipe, output, dry_run, track) as chain:
        if chain:
            chain.whole()


@app.command("branch")
def branch(
    source: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A run with a merged stage 1.")],
    recipe: RecipeFile,
    output: Output = None,
) -> None:
    """Start another run from a run's stage 1, to try other settings of stage 2; `training run` goes on from there."""
    from rich.console import Console

    from training.branch import branch as make_branch
    from training.recipe import load
    from training.runs import locked

    console = Console()
    with _sentences(console):
        loaded = load(recipe)
        directory = output or Path("runs") / loaded.recipe.name
        with locked(directory):
            run = make_branch(loaded, source, directory)
        console.print(f"{run.path} has stage 1 of {source}; go on with:", markup=False, soft_wrap=True)
        console.print(f"python -m training run {recipe} --output {directory}", markup=False, soft_wrap=True)


@app.command("merge")
def merge(
    run: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A run directory.")],
    stage: Annotated[str | None, typer.Option(help="sft or grpo; by default each that has an adapter.")] = None,
) -> None:
    """Merge the adapters of a run into their bases, verify, and write the manifests."""
    from rich.console import Console

    from training.chain import Chain
    from training.runs import STAGES, RunDirectory, RunError, locked, read_recipe

    console = Console()
    with _sentences(console), locked(run):
        directory = RunDirectory(run.resolve())
        kinds = [kind for kind in STAGES if stage == kind or (stage is None and directory.stage(kind).adapter.is_dir())]
        if not kinds:
            raise RunError(f"{run} has no trained {stage or 'adapter'}; train sft or grpo first")
        chain = Chain(read_recipe(directory.path), directory, console)
        for kind in kinds:
            chain.merge(kind)


@app.command("report")
def report(run: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A run directory.")]) -> None:
    """Write one page with the charts of a run, finished or not, to RUN/report.html."""
    from rich.console import Console

    from training.report import write_report

    console = Console()
    with _sentences(console), console.status("reading the run") as status:
        page = write_report(run, lambda done, total: status.update(f"completions of step {done} of {total}"))
    console.print(page, markup=False, soft_wrap=True)


@contextmanager
def _chain(recipe: Path, output: Path | None, dry_run: bool, track: str) -> Iterator[Chain | None]:
    """The chain of a recipe, locked for this process; None after a dry run. Errors end in a sentence."""
    from rich.console import Console

    from training.distribution import check_launch, is_main
    from training.recipe import load

    console = Console(quiet=not is_main())
    with _sentences(console):
        loaded = load(recipe)
        if dry_run:
            _show(loaded, console)
            yield None
            return
        check_launch(loaded.recipe)
        from training.chain import open_chain
        from training.runs import locked

        directory = output or Path("runs") / loaded.recipe.name
        with locked(directory) if is_main() else nullcontext():
            yield open_chain(loaded, directory, console, track)


@contextmanager
def _sentences(console: Console) -> Iterator[None]:
    """Turn the errors that a user can mend into one sentence and exit status 1."""
    from gazal.artifact import ArtifactError
    from training.plan import PlanError
    from training.recipe import RecipeError

    try:
        yield
    except (RecipeError, PlanError, ArtifactError) as error:
        _fail(console, error)
    except (RuntimeError, ValueError, OSError) as error:
        if type(error).__module__.startswith("training.") or isinstance(error, OSError):
            _fail(console, error)
        raise
    except KeyboardInterrupt:
        console.print("stopped; run the same command again to go on from the last checkpoint")
        raise typer.Exit(130) from None


def _fail(console: Console, error: Exception) -> NoReturn:
    console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1) from None


def _show(loaded: LoadedRecipe, console: Console) -> None:
    """The resolved recipe, each value with its origin, and what it needs."""
    import json

    from training.plan import check

    for place, value in _leaves(loaded.recipe.model_dump(mode="json")):
        origin = loaded.origins.get(place)
        console.print(f"{place} = {json.dumps(value)}{f'  ({origin})' if origin else ''}", markup=False, soft_wrap=True)
    expected = loaded.recipe.expected
    for stage in check(loaded.recipe, expected.device, expected.count):
        console.print(
            f"{stage.name}: about {stage.total_gb:.1f} GB on each of {expected.count} x {expected.device}, "
            f"{_steps(loaded, stage.name)} steps"
        )
    console.print(
        f"hours: {expected.hours}; metric: {expected.metric} ({'measured' if expected.measured else 'not measured'})"
    )


def _steps(loaded: LoadedRecipe, stage: str) -> int:
    return (loaded.recipe.sft if stage == "sft" else loaded.recipe.grpo).optimisation.steps


def _leaves(tree: object, place: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{place}.{key}" if place else str(key))
    elif isinstance(tree, list) and any(isinstance(each, dict) for each in tree):
        for index, value in enumerate(tree):
            yield from _leaves(value, f"{place}.{index}")
    else:
        yield place, tree


if __name__ == "__main__":
    app()
