"""The rules that rows must pass, one function a rule: a row that breaks one loses some stages, with its reason kept.

SFT needs a sound completion, GRPO a key; a row that no stage wants any more is gone. Nothing is ever cut or corrected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from training.data.completions import fault
from training.data.duplicates import find_duplicates
from training.data.report import STAGES, Removal, Stage
from training.data.sources import DataError, Loaded

if TYPE_CHECKING:
    from training.data.contamination import Benchmarks
    from training.data.rows import Row
    from training.recipe import Data

Tokenizer = Callable[[str], int]
"""How many tokens a text has."""

Steps = Callable[[str, int], Callable[[], None]]
"""`steps(name, total)` starts a step of the progress display and returns what advances it."""


@dataclass
class Candidate:
    """A row on its way through the rules, and the stages it is still meant for."""

    row: Row
    stages: list[Stage]
    tokens: dict[str, int] = field(default_factory=dict)


@dataclass
class Pool:
    """All candidates, and what was removed so far."""

    candidates: list[Candidate] = field(default_factory=list)
    removed: list[Removal] = field(default_factory=list)

    def drop(
        self,
        candidate: Candidate,
        rule: str,
        *,
        stages: tuple[Stage, ...] = STAGES,
        detail: str = "",
        against: str | None = None,
    ) -> None:
        """Take a row out of some stages; without any left, it is gone."""
        lost = [stage for stage in candidate.stages if stage in stages]
        if lost:
            candidate.stages = [stage for stage in candidate.stages if stage not in lost]
            row = candidate.row
            self.removed.append(
                Removal(id=row.id, source=row.source, stages=lost, rule=rule, detail=detail, against=against)
            )

    def sweep(self) -> None:
        """Forget candidates that no stage wants."""
        self.candidates = [candidate for candidate in self.candidates if candidate.stages]


def check_completions(pool: Pool, loaded: list[Loaded], steps: Steps) -> None:
    """SFT needs a sound completion, GRPO a key. Raises DataError for a source without one row for a stage.

    The answers of question sheets are no reasoned answers and have no form to check.
    """
    formless = {each.name for each in loaded if each.source.kind == "sheets"}
    advance = steps("check completions", len(pool.candidates))
    for candidate in pool.candidates:
        advance()
        row = candidate.row
        if row.completion is None:
            pool.drop(candidate, "no completion", stages=("sft",))
        elif row.source not in formless and (wrong := fault(row.completion, row.choices, row.options, row.answer)):
            pool.drop(candidate, f"completion: {wrong}", stages=("sft",))
            candidate.row = row.model_copy(update={"completion": None})
        if row.answer is None:
            pool.drop(candidate, "no key", stages=("grpo",))
    pool.sweep()
    left = Counter((each.row.source, stage) for each in pool.candidates for stage in each.stages)
    for each in loaded:
        for stage in each.source.stages:
            if not left[each.name, stage]:
                rules = Counter(item.rule for item in pool.removed if item.source == each.name and stage in item.stages)
                fix = (
                    "give them completions with `training data synthesize`, or"
                    if stage == "sft"
                    else "name the column of its key, or"
                )
                raise DataError(
                    f"source {each.name} has no row for {stage} ({rules.most_common(1)[0][0]}); {fix} take {stage} out "
                    "of its stages"
                )


def decontaminate(data: Data, pool: Pool, loaded: list[Loaded], benchmarks: Benchmarks, steps: Steps) -> None:
    """Remove what overlaps with a benchmark. Raises DataError for a source of which too much does."""
    advance = steps("decontaminate", len(pool.candidates))
    overlapping = Counter[str]()
    for candidate in pool.candidates:
        advance()
        overlap = benchmarks.overlap(candidate.row)
        if overlap is not None:
            overlapping[candidate.row.source] += 1
            alike = f"{overlap.similarity:.2f} alike"
            pool.drop(candidate, f"benchmark: {overlap.rule}", detail=alike, against=overlap.against)
    for each in loaded:
        share = overlapping[each.name] / len(each.rows)
        if share > data.max_overlap:
            raise DataError(
                f"source {each.name}: {overlapping[each.name]} of its {len(each.rows)} rows ({share:.0%}) overlap with "
                f"benchmarks, more than data.max_overlap ({data.max_overlap:.0%}); remove this source"
            )
    pool.sweep()


def remove_repeats(data: Data, pool: Pool, loaded: list[Loaded], steps: Steps) -> None:
    """Remove what repeats another row, which takes over the stages of what it replaces."""
    generated = {each.name for each in loaded if each.source.kind in ("clinic", "sheets")}
    rows = [candidate.row for candidate in pool.candidates]
    duplicates = find_duplicates(
        rows,
        data.near_duplicate_similarity,
        generated=generated,
        advance=steps("remove repeats", len(rows)),
    )
    for each in duplicates:
        candidate = pool.candidates[each.removed]
        kept = None if each.kept is None else pool.candidates[each.kept]
        wanted = list(candidate.stages)
        against = f"{kept.row.source}/{kept.row.id}" if kept else None
        pool.drop(candidate, each.rule, detail=f"{each.similarity:.2f} alike", against=against)
        if kept is not None:  # what remains stands in for what it replaces
            kept.stages = [stage for stage in STAGES if stage in kept.stages or stage in wanted]
    pool.sweep()


def leave_out_long(data: Data, pool: Pool, tokenizer: Tokenizer, steps: Steps) -> None:
    """Count tokens and remove what is longer than the recipe allows. Raises DataError when a stage loses all rows."""
    advance = steps("count tokens", len(pool.candidates))
    for candidate in pool.candidates:
        advance()
        row = candidate.row
        candidate.tokens["prompt"] = tokenizer(row.prompt)
        if candidate.tokens["prompt"] > data.max_prompt_tokens:
            pool.drop(candidate, "prompt too long", detail=f"{candidate.tokens['prompt']} tokens")
        if row.completion is not None:
            candidate.tokens["completion"] = tokenizer(row.completion)
            if candidate.tokens["completion"] > data.max_completion_tokens:
                detail = f"{candidate.tokens['completion']} tokens"
                pool.drop(candidate, "completion too long", stages=("sft",), detail=detail)
    pool.sweep()
    for stage in STAGES:
        wanted = any(stage in source.stages for source in data.sources)
        if wanted and not any(stage in candidate.stages for candidate in pool.candidates):
            raise DataError(
                f"no row for {stage} is short enough; raise data.max_prompt_tokens and data.max_completion_tokens"
            )
