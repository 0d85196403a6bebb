"""`python -m training clinic`: the verbs of the generated clinic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from training.clinic.generate import Split

_SETS = [Path(__file__).parents[2] / "eval/data" / name for name in ("fresh.jsonl", "combinations.jsonl")]

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
    from rich.console import Console

    from training.clinic.generate import generate as examples
    from training.clinic.knowledge import load

    chosen = _split(split)
    _write((example.to_row() for example in examples(load(), chosen, count, seed)), output)
    Console().print(f"{count} examples of split {chosen} in {output}", markup=False)


@app.command("questions")
def questions(
    output: Annotated[Path, typer.Option(dir_okay=False, help="JSONL file to write.")],
    split: Annotated[str, typer.Option(help="combination or condition, both held out; or train.")] = "combination",
    count: Annotated[int, typer.Option(min=1, help="Distinct questions.")] = 500,
    seed: Annotated[int, typer.Option(help="Everything follows from it.")] = 6,
) -> None:
    """Write held-out cases as a question set of the evaluation, without reasoned answers."""
    from rich.console import Console

    from training.clinic.exam import exam_rows
    from training.clinic.knowledge import load

    chosen = _split(split)
    _write(exam_rows(load(), chosen, count, seed), output)
    Console().print(f"{count} questions of split {chosen} in {output}", markup=False)


@app.command("names")
def names(
    model: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A merged model, or RUN/base.")],
    adapters: Annotated[
        list[Path] | None, typer.Option("--adapter", exists=True, help="Of this base; may repeat.")
    ] = None,
    questions: Annotated[
        list[Path] | None, typer.Option(exists=True, help="JSONL sets; by default two of eval/data.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Cases of each set.")] = 126,
) -> None:
    """Measure, without sampling, how often a model names the right condition of held-out cases."""
    from rich.console import Console
    from rich.table import Column, Table

    from training.clinic.knowledge import KnowledgeError, load
    from training.clinic.naming import read_cases, score

    try:
        clinic = load()
        sets = {file.stem: read_cases(file, clinic, limit) for file in questions or _SETS}
    except KnowledgeError as error:
        Console().print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    table = Table(Column("model", overflow="fold"), "cases", "of", "named right", "nats a name")
    chosen: list[Path | None] = [*adapters] if adapters else [None]
    for adapter in chosen:
        loaded, tokenizer = _model(model, adapter)
        for name, cases in sets.items():
            found = score(loaded, tokenizer, cases)
            share = f"{found.right / found.cases:.1%}"
            table.add_row(str(adapter or model), name, str(found.cases), share, f"{found.nats:.2f}")
    Console().print(table)


@app.command("misnamed")
def misnamed(
    model: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A merged model, or RUN/base.")],
    adapter: Annotated[Path | None, typer.Option(exists=True, file_okay=False, help="Of this base.")] = None,
    cases: Annotated[int, typer.Option(min=1, help="Of each condition, from those that training may show.")] = 3,
    count: Annotated[int, typer.Option(min=1, help="Conditions to list.")] = 45,
    seed: Annotated[int, typer.Option(help="Everything follows from it.")] = 1,
) -> None:
    """List the conditions whose names a model loses most on, as a line for `emphasis` of a source."""
    from rich.console import Console

    from training.clinic.knowledge import load
    from training.clinic.naming import training_cases, worst_named

    loaded, tokenizer = _model(model, adapter)
    found = worst_named(loaded, tokenizer, training_cases(load(), cases, seed))
    total = sum(loss for _, loss in found) or 1.0
    share = sum(loss for _, loss in found[:count]) / total
    console = Console()
    console.print(f"{min(count, len(found))} of {len(found)} conditions hold {share:.0%} of the loss", markup=False)
    console.print(f"emphasis: [{', '.join(name for name, _ in found[:count])}]", markup=False, soft_wrap=True)


def _model(path: Path, adapter: Path | None) -> tuple[Any, Any]:
    """Model, with the adapter merged in where one is given, and tokenizer."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(path, dtype="float32")
    if adapter:
        loaded = PeftModel.from_pretrained(loaded, adapter).merge_and_unload()
    return loaded.eval(), AutoTokenizer.from_pretrained(path)


def _split(name: str) -> Split:
    from rich.console import Console

    from training.clinic.generate import SPLITS

    chosen = next((each for each in SPLITS if each == name), None)
    if chosen is None:
        Console().print(f"error: no split {name!r}; use one of: {', '.join(SPLITS)}", style="red", markup=False)
        raise typer.Exit(2)
    return chosen


def _write(rows: Iterable[dict[str, Any]], output: Path) -> None:
    """Write rows as JSONL, whole or not at all."""
    import json

    from rich.console import Console

    partial = output.with_name(f".{output.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    except ValueError as error:
        partial.unlink(missing_ok=True)
        Console().print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    partial.replace(output)
