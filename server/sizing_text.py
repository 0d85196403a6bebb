"""The table that `python -m server size` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from server.sizing import Gpu, Sizing


def table(sizing: Sizing, gpu: Gpu) -> Table:
    """One row a way to store the weights."""
    title = (
        f"{sizing.count} x {gpu.name} ({gpu.memory_gb:g} GB, {gpu.bandwidth_gb_s / 1000:g} TB/s each), "
        f"{sizing.users} users of {sizing.context:,} tokens"
    )
    rows = Table("weights", "GB", "fits", "users at once", "tokens/s, one", "tokens/s, all", "why", title=title)
    for way in sizing.ways:
        rows.add_row(
            way.weights,
            f"{way.weights_gb:g}",
            "yes" if way.fits else "no",
            str(way.users_at_once),
            f"{way.tokens_per_second_one:g}",
            f"{way.tokens_per_second_all:g}",
            way.reason,
        )
    return rows
