"""`python -m training`: make the weights. Heavy imports happen inside the verbs, so that `--help` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
rewards = typer.Typer(no_args_is_help=True, help="Look at rewards before paying for a run.")
app.add_typer(rewards, name="rewards")


@app.callback()
def main() -> None:
    """From a base model to a Gazal-R1 artifact."""


@rewards.callback()
def rewards_group() -> None:
    """Look at rewards before paying for a run."""


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


if __name__ == "__main__":
    app()
