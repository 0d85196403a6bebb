"""Two answers to one case side by side, if wanted without names, and the votes on them.

Both sides get the same prompt and settings. With two servers the seed is the same too; with one, the second side gets
the next seed, so that what differs is chance alone. Blind, the sides are shuffled and nameless until the vote.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from ui.feedback import identity, now

if TYPE_CHECKING:
    from ui.client import Source
    from ui.run import Run

Choice = Literal["1", "2", "tie", "neither"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
FIRST_SEED = 7


@dataclass(frozen=True)
class Side:
    """One side of a comparison: who answers, and what it is asked."""

    name: str
    source: Source
    request: dict[str, Any]


@dataclass
class Pair:
    """A comparison on the screen, in the order in which it is shown."""

    runs: tuple[Run, Run]
    names: tuple[str, str]
    blind: bool
    vote: Choice | None = None

    @property
    def finished(self) -> bool:
        """Whether both sides have a whole answer."""
        return all(run.state == "done" for run in self.runs)

    @property
    def names_hidden(self) -> bool:
        """Whether the reader may not yet know who is who."""
        return self.blind and self.vote is None


def sides(
    request: dict[str, Any], first: tuple[str, Source], second: tuple[str, Source] | None, seed_name: str
) -> tuple[Side, Side]:
    """The two sides for a case. `seed_name` words a name with its seed."""
    one = request | {"samples": 1, "seed": request.get("seed", FIRST_SEED)}
    if second is not None:
        return Side(first[0], first[1], one), Side(second[0], second[1], one)
    two = one | {"seed": one["seed"] + 1}
    return (
        Side(seed_name.format(name=first[0], seed=one["seed"]), first[1], one),
        Side(seed_name.format(name=first[0], seed=two["seed"]), first[1], two),
    )


def shuffled(pair: tuple[Side, Side]) -> tuple[Side, Side]:
    """The sides in an order that nobody can foresee."""
    return pair if secrets.randbelow(2) else (pair[1], pair[0])


def cast(pair: Pair, choice: str) -> dict[str, Any]:
    """Vote; returns the entry to keep. Raises ValueError for no choice, an unfinished pair or a second vote."""
    if choice not in CHOICES:
        raise ValueError("choose one of the answers")
    if not pair.finished:
        raise ValueError("both sides must have finished")
    if pair.vote is not None:
        raise ValueError("this pair has its vote")
    pair.vote = choice
    return {
        "kind": "vote",
        "at": now(),
        "blind": pair.blind,
        "choice": choice,
        "side_1": {"name": pair.names[0], **identity(pair.runs[0])},
        "side_2": {"name": pair.names[1], **identity(pair.runs[1])},
    }
