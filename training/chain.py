"""`training run`: the whole chain, and each of its links alone.

    base -> data -> sft -> merge -> held-out questions -> difficulty -> grpo -> merge -> held-out questions -> report

Every link finds what it made before and goes on from there, so running a killed chain again continues it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from training import held_out
from training.assemble import merge_stage
from training.bases import PreparedBase, prepare
from training.data.build import build
from training.data.rows import Row, read_parquet
from training.distribution import on_main
from training.held_out import Comparison
from training.report import write_report
from training.runs import RunDirectory, RunError, StageKind, open_run, write_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from training.recipe import HeldOut, LoadedRecipe, Recipe

log = structlog.get_logger(__name__)


@dataclass
class Chain:
    """One run of one recipe; its methods are the links, each idempotent."""

    recipe: Recipe
    run: RunDirectory
    console: Console | None = None
    track: str = "none"

    def base(self) -> PreparedBase:
        """Find or make the base."""
        with self._progress() as progress:
            task = progress.add_task("base", total=None)

            def moved(step: int, steps: int, loss: float) -> None:
                progress.update(task, completed=step, total=steps, description=f"base loss {loss:.3f}")

            return on_main(lambda: prepare(self.recipe, self.run, moved))

    def data(self) -> None:
        """Build the data."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.base().path)

        def work() -> None:
            build(
                self.recipe,
                self.run.data,
                lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"]),
                console=self.console,
            )

        on_main(work)

    def sft(self) -> None:
        """Train stage 1."""
        from training.sft import train

        with self._progress() as progress:
            train(
                self.recipe,
                self.base(),
                self._rows("sft-train"),
                self._rows("sft-development"),
                self.run.stage("sft"),
                progress=progress,
                track=self.track,
            )

    def grpo(self) -> None:
        """Train stage 2 on the merged stage-1 model."""
        from training.difficulty import select
        from training.grpo import train

        base = self.run.stage("sft").merged
        if not base.is_dir():
            raise RunError(f"{base} is missing: stage 2 starts from the merged stage-1 model; run sft and merge first")
        stage = self.run.stage("grpo")
        with self._progress() as progress:
            rows = on_main(lambda: select(self.recipe, base, self._rows("grpo-train"), stage.path, progress))
            train(self.recipe, base, rows, stage, progress=progress, track=self.track)

    def merge(self, kind: StageKind) -> None:
        """Merge a stage's adapter, verify and write the manifest."""
        prepared = self.base()
        stage = self.run.stage(kind)
        if not stage.adapter.is_dir():
            raise RunError(f"{stage.adapter} is missing: train {kind} before merging it")
        base = prepared.path if kind == "sft" else self.run.stage("sft").merged
        with self._progress() as progress:
            task = progress.add_task(f"merge {kind}", total=None)
            made = on_main(
                lambda: merge_stage(
                    self.recipe,
                    kind,
                    base,
                    prepared.origin,
                    prepared.licence,
                    self.run,
                    self._rows(f"{kind}-train"),
                    lambda done, total: progress.update(task, completed=done, total=total),
                )
            )
        if made and self.console:
            report, checked = made
            self.console.print(
                f"merged {kind}: {report.merged_modules} modules, relative change {report.relative_change:.2%}; "
                f"adapter and merged weights agree on {checked.agreement:.2%} of {checked.tokens} tokens"
            )

    def held_out(self, kind: StageKind) -> None:
        """Let the merged model of a stage answer the held-out questions."""
        on_main(lambda: self._answer_held_out(kind))

    def _answer_held_out(self, kind: StageKind) -> None:
        settings, stage = self.recipe.held_out, self.run.stage(kind)
        if settings is None:
            return
        self._answer_once(kind, stage.held_out, settings, 0.0)
        if settings.sampled_at:
            self._answer_once(kind, stage.held_out_sampled, settings, settings.sampled_at)

    def _answer_once(self, kind: StageKind, path: Path, settings: HeldOut, temperature: float) -> None:
        import torch

        from training.rollouts import MergedCopy

        if path.is_file():
            return
        torch.manual_seed(self.recipe.sft.optimisation.seed)
        words = f"held-out questions, {kind}" + (f", temperature {temperature:g}" if temperature else "")
        with self._progress() as progress:
            task = progress.add_task(words, total=settings.questions)
            answers = held_out.answer(
                MergedCopy.load(self.run.stage(kind).merged, getattr(torch, self.recipe.precision)),
                held_out.questions(self.recipe),
                max_new_tokens=self.recipe.data.max_completion_tokens,
                batch=settings.batch,
                temperature=temperature,
                progress=lambda done, _: progress.update(task, completed=done),
            )
        held_out.save(answers, path)

    def comparison(self, *, sampled: bool = False) -> Comparison | None:
        """Stage 2 against stage 1 on the held-out questions, once both have answered."""
        stages = [self.run.stage(kind) for kind in ("sft", "grpo")]
        before, after = (each.held_out_sampled if sampled else each.held_out for each in stages)
        return held_out.compare_files(before, after)

    def whole(self) -> None:
        """All links in their order."""
        self.data()
        self.sft()
        self.merge("sft")
        self.held_out("sft")
        self.grpo()
        self.merge("grpo")
        self.held_out("grpo")
        on_main(self._compare)

    def _compare(self) -> None:
        for name, sampled in (("comparison.json", False), ("comparison-sampled.json", True)):
            compared = self.comparison(sampled=sampled)
            if compared is not None:
                write_json(self.run.path / name, compared.__dict__)
        write_report(self.run.path)

    def _rows(self, name: str) -> list[Row]:
        path = self.run.data / f"{name}.parquet"
        if not path.is_file():
            raise RunError(f"{path} is missing; run `data build` for this recipe first")
        return read_parquet(path)

    def _progress(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.console or Console(quiet=True),
            transient=True,
        )


def open_chain(loaded: LoadedRecipe, output: Path | None, console: Console | None, track: str = "none") -> Chain:
    """The chain of a recipe in its run directory, `runs/NAME` unless `output` says otherwise."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    run = on_main(lambda: open_run(loaded, output or Path("runs") / loaded.recipe.name))
    return Chain(loaded.recipe, run, console, track)
