"""`python -m training clinic`: the verbs of the generated clinic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="The generated clinic: check its knowledge, make cases.")


@app.command("check")
def check() -> None:
    """Check the knowledge base and show what it holds and what is held out from training."""
    from rich.console import Console
    from rich.table import Table

    from training.clinic.generate import held_out_conditions
    from training.clinic.knowledge import KnowledgeError, load, undiscriminated

    console = Console()
    try:
        knowledge = load()
    except KnowledgeError as error:
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    held_out = held_out_conditions(knowledge)
    table = Table(title=f"{len(knowledge.conditions)} conditions")
    for column in ("presentation", "findings", "conditions", "held out from training"):
        table.add_column(column)
    for each in knowledge.presentations:
        names = [condition.name for condition in each.conditions if condition.id in held_out]
        table.add_row(each.title, str(len(each.findings)), str(len(each.conditions)), ", ".join(names))
    console.print(table)
    weak = [(each.id, *pair) for each in knowledge.presentations for pair in undiscriminated(each)]
    for presentation, first, second in weak:
        console.print(
            f"weak pair in {presentation}: {first} and {second}; give one a discriminator that the other lacks",
            style="red",
            markup=False,
            soft_wrap=True,
        )
    if weak:
        raise typer.Exit(1)
    console.print("every pair of look-alikes has a discriminator", markup=False)


@app.command("generate")
def generate(
    output: Annotated[Path, typer.Argument(dir_okay=False, help="JSONL file to write.")],
    count: Annotated[int, typer.Option(min=1, help="Distinct examples.")] = 1000,
    split: Annotated[str, typer.Option(help="train, combination or condition (both held out).")] = "train",
    seed: Annotated[int, typer.Option(help="Everything follows from it.")] = 0,
) -> None:
    """Write generated cases with their reasoned answers."""
    import json

    from rich.console import Console

    from training.clinic.generate import SPLITS
    from training.clinic.generate import generate as examples
    from training.clinic.knowledge import load

    console = Console()
    chosen = next((each for each in SPLITS if each == split), None)
    if chosen is None:
        console.print(f"error: no split {split!r}; use one of: {', '.join(SPLITS)}", style="red", markup=False)
        raise typer.Exit(2)
    partial = output.with_name(f".{output.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            for example in examples(load(), chosen, count, seed):
                file.write(json.dumps(example.to_row(), ensure_ascii=False) + "\n")
    except ValueError as error:
        partial.unlink(missing_ok=True)
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    partial.replace(output)
    console.print(f"{count} examples of split {chosen} in {output}", markup=False)
