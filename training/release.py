"""The verbs that turn an artifact into what others use: `export`, `card`, `publish` and `ship`."""

from __future__ import annotations

from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

app = typer.Typer(no_args_is_help=True)


class Format(StrEnum):
    """Formats of `training.export`."""

    fp8 = "fp8"
    int8 = "int8"
    awq = "awq"
    gguf = "gguf"


Artifact = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Directory with gazal.json.")]
Results = Annotated[
    list[Path] | None,
    typer.Option(exists=True, help="results.json of an evaluation of it, or its directory; may repeat."),
]
Others = Annotated[
    list[Path] | None,
    typer.Option("--beside", exists=True, help="The same of another model, to show beside it; may repeat."),
]
RecipeRecord = Annotated[
    Path | None, typer.Option("--recipe", exists=True, dir_okay=False, help="recipe.json of the run, if elsewhere.")
]


@app.command("export")
def export(
    artifact: Annotated[str, typer.Argument(help="A directory, `nano`, or org/repo[@revision] on the hub.")],
    target: Annotated[Format, typer.Option("--format", help="fp8, int8, awq (vLLM) or gguf (llama.cpp).")],
    output: Annotated[Path | None, typer.Option(help="Directory to make; artifacts/NAME-FORMAT by default.")] = None,
    calibration_samples: Annotated[int, typer.Option(min=1, help="Clinic cases that awq is calibrated on.")] = 128,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and show what would be made.")] = False,
) -> None:
    """Make a compressed variant of an artifact, with a manifest that names its parent."""
    from rich.console import Console

    from training import export as exporting

    console = Console(highlight=False, soft_wrap=True)
    with _sentences(console):
        with console.status("verifying the parent"):
            job = exporting.plan(artifact, target.value, output, calibration_samples=calibration_samples)
        parent = job.parent.manifest
        console.print(f"parent  {parent.name}, digest {parent.digest[:16]}, {_size(job.parent_bytes)} of weights")
        tools = ", ".join(f"{name} {number}" for name, number in job.settings.tools.items())
        console.print(f"format  {target.value} with {tools}")
        if job.settings.calibration_samples:
            console.print(
                f"data    {job.settings.calibration_samples} cases of the clinic's training split, groups of "
                f"{job.settings.group_size}"
            )
        console.print(f"output  {job.output}, about {_size(job.expected_bytes)}")
        if job.environment_bytes:
            console.print(f"tools   not installed yet: about {_size(job.environment_bytes)} to fetch and unpack, once")
        if dry_run:
            return
        with console.status("starting") as status:
            manifest, measured = exporting.export(job, status.update)
        size = sum(path.stat().st_size for path in job.output.rglob("*") if path.is_file())
        console.print(f"made    {manifest.name}, digest {manifest.digest[:16]}, {_size(size)}")
        if measured:
            console.print(
                f"same most likely token as its parent on {measured['agreement']:.1%} of {measured['tokens']:.0f} "
                f"tokens, KL divergence {measured['kl']:.3g}; measure it with `python -m eval` before you use it"
            )


@app.command("card")
def card(
    artifact: Artifact,
    output: Annotated[Path | None, typer.Option(dir_okay=False, help="ARTIFACT/MODEL_CARD.md by default.")] = None,
    results: Results = None,
    others: Others = None,
    recipe: RecipeRecord = None,
) -> None:
    """Write the model card of an artifact from its manifest, recipe and benchmark results."""
    from rich.console import Console

    from training.card import CARD_NAME, write_card

    console = Console(highlight=False, soft_wrap=True)
    with _sentences(console):
        path = output or artifact / CARD_NAME
        path.write_text(
            write_card(artifact, results=results or [], others=others or [], recipe=recipe), encoding="utf-8"
        )
        console.print(f"wrote {path}", markup=False)


@app.command("ship")
def ship(
    run: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A finished run on the embedded base.")],
    target: Annotated[Path, typer.Option(file_okay=False, help="Where the repository keeps it.")] = Path(
        "artifacts/nano"
    ),
) -> None:
    """Put the adapters of a run where the repository ships them, after merging them once more."""
    from rich.console import Console

    from training.ship import ship as ship_run

    console = Console(highlight=False, soft_wrap=True)
    with _sentences(console):
        with console.status("merging once more"):
            manifest = ship_run(run, target)
        size = sum(path.stat().st_size for path in target.rglob("*.safetensors"))
        console.print(f"shipped {manifest.name}, digest {manifest.digest[:16]}, adapters {_size(size)}, in {target}")


@app.command("publish")
def publish(
    artifact: Artifact,
    repository: Annotated[str, typer.Argument(help="organisation/name on the Hugging Face hub.")],
    public: Annotated[bool, typer.Option("--public", help="Visible to everyone; private by default.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what the repository holds.")] = False,
    results: Results = None,
    others: Others = None,
    recipe: RecipeRecord = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be sent; needs no network.")] = False,
) -> None:
    """Verify an artifact and push it to the hub with its card, in one commit."""
    from rich.console import Console
    from rich.table import Table

    from training import publish as publishing

    console = Console(highlight=False, soft_wrap=True)
    with _sentences(console):
        with console.status("verifying"):
            package = publishing.prepare(
                artifact, repository, results=results or [], others=others or [], recipe=recipe
            )
        table = Table(title=f"{package.message}: {_size(sum(package.sizes.values()))}")
        table.add_column("file")
        table.add_column("size", justify="right")
        for name, size in package.sizes.items():
            table.add_row(name, _size(size))
        console.print(table)
        if dry_run:
            console.print(package.card, markup=False)
            visibility = "public" if public else "private"
            console.print(f"would go to {repository} ({visibility} if it is new); nothing was sent")
            return
        publishing.check_token()
        from huggingface_hub import HfApi

        done = publishing.publish(package, HfApi(), private=not public, force=force)
        console.print(f"{'created' if done.created else 'updated'} {repository}: {done.url}", markup=False)
        if done.removed:
            console.print(f"removed {', '.join(done.removed)}", markup=False)
        if public and not done.created and done.private:
            console.print("the repository is private and stays so; make it public in its settings on the hub")


@contextmanager
def _sentences(console: Console) -> Iterator[None]:
    """Turn the errors that a user can mend into one sentence and exit status 1."""
    from gazal.artifact import ArtifactError
    from training.card_figures import CardError
    from training.environments import EnvironmentSetupError
    from training.export import ExportError
    from training.publish import PublishError
    from training.runs import RunError

    try:
        yield
    except (ArtifactError, CardError, EnvironmentSetupError, ExportError, PublishError, RunError, OSError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("stopped; nothing was left half made")
        raise typer.Exit(130) from None


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
