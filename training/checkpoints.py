"""Checkpoints that survive `kill -9`: one counts only with a record of its files, written last.

The trainer writes a checkpoint file by file, so a killed run can leave half of one. After each save the record, with
the sha256 of every file, is put beside it. Resuming takes the newest checkpoint with a record; halves are removed, and
a checkpoint that no longer matches its record stops the run with a sentence, for a disk that forgets is worth knowing.
"""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import structlog
from transformers import TrainerCallback

from gazal.artifact import file_sha256
from training.runs import RunError, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import TrainerControl, TrainerState, TrainingArguments

RECORD_NAME = "complete.json"
_NAME = re.compile(r"checkpoint-(\d+)")

log = structlog.get_logger(__name__)


class CheckpointRecorder(TrainerCallback):
    """Writes the record when a checkpoint is complete."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ANN401, ARG002
        """This process has written its files; the record needs those of all processes."""
        from pathlib import Path

        from accelerate import PartialState

        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            record(Path(args.output_dir) / f"checkpoint-{state.global_step}")


class EndsWithItsSteps:
    """For a trainer: resumed from its last checkpoint it takes no step more, as that of transformers 5.19 would.

    Such a run was killed between that checkpoint and its finished adapter.
    """

    def _run_epoch(self, **arguments: Any) -> None:  # noqa: ANN401
        trainer: Any = self
        if trainer.state.global_step < trainer.state.max_steps:
            super()._run_epoch(**arguments)  # type: ignore[misc]
        else:
            trainer.control.should_training_stop = True


def record(checkpoint: Path) -> None:
    """Note the sha256 of every file of a complete checkpoint."""
    write_json(checkpoint / RECORD_NAME, _hashes(checkpoint))


def newest(directory: Path) -> Path | None:
    """The newest complete checkpoint, or None; incomplete ones are removed.

    Raises RunError when the newest does not match its record.
    """
    found = sorted(
        (int(match[1]), path) for path in directory.glob("checkpoint-*") if (match := _NAME.fullmatch(path.name))
    )
    complete = []
    for step, path in found:
        if (path / RECORD_NAME).is_file():
            complete.append(path)
        else:
            log.warning("incomplete checkpoint removed", step=step)
            shutil.rmtree(path)
    if not complete:
        return None
    check(complete[-1], complete[-2] if len(complete) > 1 else None)
    return complete[-1]


def check(checkpoint: Path, previous: Path | None) -> None:
    """Compare a checkpoint with its record. Raises RunError naming the file that differs."""
    recorded = json.loads((checkpoint / RECORD_NAME).read_text(encoding="utf-8"))
    actual = _hashes(checkpoint)
    for name in sorted(recorded.keys() | actual.keys()):
        if recorded.get(name) != actual.get(name):
            resume = f"continue from {previous.name}" if previous else "begin the stage again"
            raise RunError(f"{checkpoint / name} is damaged; delete {checkpoint} to {resume}")


def _hashes(checkpoint: Path) -> dict[str, str]:
    hashes = {}
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file() and path.name != RECORD_NAME and not path.name.startswith("."):
            hashes[path.relative_to(checkpoint).as_posix()] = file_sha256(path)
    return hashes
