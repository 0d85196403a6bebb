"""`training rewards score`: the component table of any completions, to look at rewards before paying for a run."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gazal.prompting import OPTION_LABELS, RESEARCH_LABELS
from training.rewards import Components, RewardPolicy, score

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.table import Table

_WORD = re.compile(r"\w+|[^\w\s]")


class CompletionFileError(ValueError):
    """A completion file is malformed; the message names line, field and fix."""


@dataclass(frozen=True)
class Scored:
    """One completion with its components."""

    group: str
    components: Components
    total: float


def score_file(path: Path, policy: RewardPolicy) -> list[Scored]:
    """Score a JSONL file with `completion` and `answer` in each row.

    Where they are known, `options` or `choices`, `prompt`, `group`, `token_ids` and `finish_reason` are used; without
    `token_ids`, words and punctuation marks stand in for tokens. Rows whose answer is null, as in the open modes, have
    nothing to be right about and are left out. Raises CompletionFileError.
    """
    scored = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if row["answer"] is not None:
                    scored.append(_score_row(row, str(number), policy))
            except json.JSONDecodeError as error:
                raise CompletionFileError(f"{path}, line {number}: not JSON ({error.msg})") from error
            except (KeyError, TypeError, AttributeError) as error:
                raise CompletionFileError(
                    f"{path}, line {number}: needs text fields 'completion' and 'answer' ({error})"
                ) from error
    if not scored:
        raise CompletionFileError(f"{path} holds no completions")
    return scored


def _score_row(row: dict[str, Any], number: str, policy: RewardPolicy) -> Scored:
    completion: str = row["completion"]
    tokens = row.get("token_ids") or [zlib.crc32(word.encode()) for word in _WORD.findall(completion)]
    components = score(
        completion,
        row["answer"],
        _choices(row),
        tokens,
        policy,
        prompt=row.get("prompt", ""),
        opened=row.get("opened", False),
        truncated=row.get("finish_reason") == "length",
    )
    return Scored(str(row.get("group", number)), components, components.total(policy))


def _choices(row: dict[str, Any]) -> Sequence[str]:
    stated = row.get("choices") or tuple(row.get("options") or ())
    return stated or (RESEARCH_LABELS if row["answer"] in RESEARCH_LABELS else OPTION_LABELS)


def component_table(scored: list[Scored]) -> Table:
    """Mean, spread and correlation with correctness of each component, and what the format lacks how often."""
    from rich.table import Table

    table = Table(title=f"{len(scored)} completions")
    for column in ("component", "mean", "sd", "min", "max", "correlation with accuracy"):
        table.add_column(column, justify="left" if column == "component" else "right")
    accuracy = np.array([each.components.accuracy for each in scored])
    columns = {
        name: np.array([float(getattr(each.components, name)) for each in scored])
        for name in ("accuracy", "format", "length", "repetition")
    } | {"total": np.array([each.total for each in scored])}
    for name, values in columns.items():
        constant = values.std() == 0 or accuracy.std() == 0
        correlation = "-" if constant else f"{np.corrcoef(values, accuracy)[0, 1]:.2f}"
        figures = (values.mean(), values.std(), values.min(), values.max())
        table.add_row(name, *(f"{figure:.3f}" for figure in figures), correlation)
    table.add_section()
    for lack in sorted({lack for each in scored for lack in each.components.lacks}):
        share = sum(lack in each.components.lacks for each in scored) / len(scored)
        table.add_row(f"lacks {lack}", f"{share:.3f}", "", "", "", "")
    return table
