"""What watches a training stage: the metrics file, the progress line, and the stop at a number that is not finite.

`metrics.jsonl` holds one object a step, append-only; a resumed run drops the lines after its checkpoint first, so a
step occurs once, and its clock (`seconds`) goes on from there. A loss or gradient norm that is not finite stops the run
before another checkpoint can be written.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from training.dora import magnitude_change, magnitudes
from training.runs import RunError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import Progress
    from torch import Tensor, nn
    from transformers import TrainerControl, TrainerState, TrainingArguments

_SPARE_BYTES = 64 << 20
_SAVED_COPIES = 9
"""An adapter in float32 is saved with two optimiser moments; two checkpoints are kept while a third is written."""


class Watch(TrainerCallback):
    """Logs every step to `metrics`, moves `progress`, and stops a run that diverges."""

    def __init__(self, metrics: Path, progress: Progress | None, title: str) -> None:
        self._metrics = metrics
        self._progress = progress
        self._title = title
        self._task: Any = None
        self._start: dict[str, Tensor] = {}
        self._began_s = 0.0

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        model: nn.Module | None = None,
        **_: Any,  # noqa: ANN401
    ) -> None:
        """Drop what a killed run logged after its last checkpoint, and remember where the magnitudes start."""
        need_disk(args.output_dir, model)
        if state.is_world_process_zero:
            drop_after(self._metrics, state.global_step)
        self._began_s = time.monotonic() - trained_s(self._metrics)
        if model is not None:
            self._start = {name: parameter.detach().clone() for name, parameter in magnitudes(model)}
        if self._progress is not None:
            self._task = self._progress.add_task(self._title, total=state.max_steps, completed=state.global_step)

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        logs: dict[str, Any] | None = None,
        model: nn.Module | None = None,
        **_: Any,  # noqa: ANN401
    ) -> None:
        """Append the step's figures; raise RunError when one says that the run diverged."""
        figures = {key: value for key, value in (logs or {}).items() if isinstance(value, int | float)}
        for name in ("loss", "grad_norm"):
            if not math.isfinite(figures.get(name, 0.0)):
                raise RunError(
                    f"{name} is {figures[name]} at step {state.global_step}: the run diverged. Lower the learning "
                    "rate; checkpoints up to here are kept"
                )
        if self._start and model is not None:
            figures["dora/magnitude_change"] = magnitude_change(model, self._start)
        figures |= {"step": state.global_step, "seconds": round(time.monotonic() - self._began_s, 2)}
        if state.is_world_process_zero:
            with self._metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps({k: v if math.isfinite(v) else None for k, v in figures.items()}) + "\n")
        if self._progress is not None and self._task is not None:
            shown = [f"{name} {figures[name]:.3f}" for name in ("loss", "reward", "eval_loss") if name in figures]
            self._progress.update(
                self._task, completed=state.global_step, description=f"{self._title} {' '.join(shown)}"
            )


def drop_after(metrics: Path, step: int) -> None:
    """Keep the lines of steps up to `step`; a last line that a kill cut short goes too."""
    if not metrics.is_file():
        return
    kept = []
    for line in metrics.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError):
            continue
    partial = metrics.with_name(f".{metrics.name}.partial")
    partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    partial.replace(metrics)


def read_metrics(metrics: Path) -> list[dict[str, float | None]]:
    """All logged steps."""
    return [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines() if line.strip()]


def trained_s(metrics: Path) -> float:
    """Seconds of training that are logged, over all processes that had a part in it; 0 before the first step."""
    rows = read_metrics(metrics) if metrics.is_file() else []
    return (rows[-1].get("seconds") or 0.0) if rows else 0.0


def need_disk(directory: str | Path, model: nn.Module | None) -> None:
    """Refuse to start when the checkpoints of `model` would not fit on the disk. Raises RunError."""
    if model is None:
        return
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    needed = _SAVED_COPIES * 4 * trained + _SPARE_BYTES
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise RunError(
            f"{directory} has {free >> 20} MB free and checkpoints need {needed >> 20} MB; free some or give an "
            "--output on a larger disk"
        )
