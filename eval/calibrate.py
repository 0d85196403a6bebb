"""`python -m eval calibrate`: from a run on development questions to the calibration file that the server reads.

The file says how often answers were right on which k of n samples agreed, and below which agreement the server should
call an answer an abstention. Both are choices fitted to data, so they are never fitted to a benchmark: a run that asked
one, or a file that holds questions of one under another name, is refused.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from eval.graded import load_run
from eval.questions import EMBEDDED, QuestionSetError, find, load
from eval.runner import RunError
from eval.selective import Level, levels, threshold
from eval.stats import majority
from eval.suites import task_files

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from eval.graded import Answered, GradedRun

_HOW = (
    "put development questions in GAZAL_DATA_DIR/development.jsonl and run "
    "`python -m eval run --tasks gazal_development --repeats 5`"
)


def is_benchmark(set_name: str) -> bool:
    """Whether a question set is kept for measuring: a published test set, or one of our own."""
    from eval.hub import SETS

    own = (EMBEDDED / f"{set_name}.jsonl").is_file()
    return own or set_name in SETS or set_name.startswith("gazal_") or set_name.endswith("test")


def calibrate(directory: Path, output: Path, target_accuracy: float) -> dict[str, Any]:
    """Fit and write the calibration file of the run in `directory`; returns what was written.

    Raises RunError when the run is no complete development run of one known artifact with 2 to 8 samples a question.
    """
    run = load_run(directory)
    _check(run)
    answered = [item for items in run.tasks.values() for item in items]
    (mode,) = {item.question.mode for item in answered}
    samples = run.plan.repeats
    found = levels(answered)
    content = {
        "method": "self-consistency",
        "artifact_digest": run.plan.artifact,
        "mode": mode,
        "samples": samples,
        "run": directory.name,
        "bins": _bins(answered),
        "abstain_below": threshold(found, samples, target_accuracy),
        "target_accuracy": target_accuracy,
        "development_data": run.plan.data_sha256,
    }
    try:
        partial = output.with_name(f".{output.name}.partial")
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        partial.replace(output)
    except OSError as error:
        raise RunError(f"{output} cannot be written ({error.strerror or error}); choose another --output") from error
    return content | {"levels": found}


def print_calibration(console: Console, content: dict[str, Any], output: Path) -> None:
    """What was fitted, on the terminal."""
    samples, below = content["samples"], content["abstain_below"]
    level: Level
    for level in content["levels"]:
        low, high = level.selective.interval.low, level.selective.interval.high
        console.print(
            f"{level.agreeing} of {samples} agree: {level.questions} questions, {level.accuracy:.1%} right; from here "
            f"up {level.selective.value:.1%} [{low:.1%}, {high:.1%}] right at {level.coverage:.1%} coverage",
            markup=False,
        )
    if below > samples:
        console.print(
            f"no agreement reaches {content['target_accuracy']:.0%}: the server will call every answer an abstention; "
            "a lower --target-accuracy answers more",
            style="yellow",
        )
    else:
        console.print(f"fewer than {below} of {samples} agreeing samples are an abstention", markup=False)
    console.print(f"wrote {output}; start the server with GAZAL_CALIBRATION_FILE={output}", markup=False)


def _check(run: GradedRun) -> None:
    benchmarks = sorted(name for name in run.plan.data_sha256 if is_benchmark(name))
    if benchmarks:
        raise RunError(f"{', '.join(benchmarks)}: thresholds are never fitted to a benchmark; {_HOW}")
    if not 2 <= run.plan.repeats <= 8:
        raise RunError(f"the run has {run.plan.repeats} samples a question; 2 to 8 are needed: {_HOW}")
    if not re.fullmatch(r"[0-9a-f]{64}", run.plan.artifact):
        raise RunError(f"{run.plan.artifact}: the server stated no artifact digest; serve with `python -m server`")
    whole = all(len(item.replies) == run.plan.repeats for items in run.tasks.values() for item in items)
    if not whole or any(len(items) < run.expected[name] for name, items in run.tasks.items()):
        raise RunError(f"{run.directory} is not complete; run the same command again, it goes on where it stopped")
    modes = {item.question.mode for items in run.tasks.values() for item in items}
    if len(modes) != 1:
        raise RunError(f"the run holds questions of the modes {', '.join(sorted(modes))}; calibrate one mode at a time")
    stems = {_folded(item.question.stem) for items in run.tasks.values() for item in items}
    for name in sorted({file.set_name for file in task_files().values() if is_benchmark(file.set_name)}):
        try:
            shared = sum(_folded(question.stem) in stems for question in load(find(name, download=False)))
        except QuestionSetError:
            continue  # a benchmark that is not at hand cannot be looked into
        if shared:
            raise RunError(f"{shared} of these questions are in the benchmark {name}; leave them out: {_HOW}")


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _bins(answered: list[Answered]) -> list[dict[str, Any]]:
    """Accuracy by agreement as the server applies it: only where one answer was more frequent than any other."""
    right: dict[int, list[bool]] = defaultdict(list)
    for item in answered:
        winners, agreeing = majority(item.said)
        if len(winners) == 1:
            right[agreeing].append(winners[0] == item.question.answer)
    return [
        {"agreeing": agreeing, "questions": len(hits), "accuracy": sum(hits) / len(hits)}
        for agreeing, hits in sorted(right.items(), reverse=True)
    ]
