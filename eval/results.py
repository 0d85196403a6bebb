"""The figures of a run: accuracy under three accountings, integrity, efficiency, breakdowns and calibration, by task.

`strict` counts every reply without a readable answer as wrong and is the headline. `answered only` leaves them out, and
`best case` counts them as right: the truth about the model's knowledge lies between strict and best case. The figures
are saved as `results.json`, which also serves as the baseline of a later gate; it holds ids, hashes and scores, and no
text of any question.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from eval.behaviour import Behaviour
from eval.breakdowns import Breakdown
from eval.constrained import OPTION
from eval.runner import RunError
from eval.selective import Level
from eval.stats import Bin, ClassScore, Mean

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "results.json"
HARDLY_READABLE = 0.2


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Item(_Model):
    """One question's scores, by repeat."""

    id: str
    cluster: str | None
    """Name of its cluster of near-copies."""
    scores: list[float]


class Percentiles(_Model):
    """Of a quantity over replies."""

    p50: float
    p90: float
    p99: float


class Efficiency(_Model):
    """What the replies cost."""

    completion_tokens: int
    reasoning_tokens: Percentiles | None
    reasoning_estimated: bool
    """Split by characters, because the server does not count reasoning apart."""
    answer_tokens: Percentiles | None
    latency_s: Percentiles | None
    first_token_s: Percentiles | None


class Labels(_Model):
    """Yes/no/maybe in detail."""

    confusion: dict[str, dict[str, int]]
    """Right label to said label (or "none") to count."""
    scores: dict[str, ClassScore]
    macro_f1: float


class Calibration(_Model):
    """Agreement of repeats as confidence."""

    bins: list[Bin]
    expected_error: float
    coverage: list[tuple[float, float]]
    levels: list[Level] = []
    """The highest agreement first."""


class TaskResult(_Model):
    """One benchmark."""

    task: str
    title: str
    questions: int
    expected_questions: int
    published_rows: int | None
    replies: int
    expected_replies: int
    repeats: int
    strict: Mean
    answered_only: Mean | None
    best_case: Mean
    majority_vote: Mean | None
    content_only: float
    """Accuracy of the contents alone, without knowing how a reply ended: what the plain lm-eval command shows."""
    answered_then_cut: int
    """Replies that stated a readable answer and then ran on into the token limit; strict counts them as truncated."""
    majority_label: float
    """Accuracy of always saying the most frequent right label."""
    chance: float
    failures: dict[str, int]
    methods: dict[str, int]
    error_kinds: dict[str, int]
    retries: int
    abstentions: dict[str, int] = {}
    """Replies that say that nothing can be told, by how: `said` or `option` (`gazal.abstention`)."""
    near_copies: int
    """Questions that repeat another one."""
    detectable_difference: float
    efficiency: Efficiency
    budget_curve: list[tuple[int, float]]
    """(tokens, accuracy if every reply had been cut there)."""
    breakdowns: list[Breakdown]
    labels: Labels | None
    calibration: Calibration | None
    items: dict[str, Item]
    """By row hash."""

    @property
    def failure_share(self) -> float:
        """Share of the replies without a readable answer, for any reason."""
        return sum(self.failures.values()) / self.replies

    @property
    def hardly_readable(self) -> bool:
        """Whether so many replies hold no answer that accuracy measures the form as much as the knowledge."""
        return self.failure_share > HARDLY_READABLE

    @property
    def abstained_share(self) -> float:
        """Share of the replies that say that nothing can be told."""
        return sum(self.abstentions.values()) / self.replies

    @property
    def truncated_share(self) -> float:
        """Share of the replies that the token limit cut."""
        return self.failures["truncated"] / self.replies

    @property
    def extraction_share(self) -> float:
        """Share of the replies that were complete and yet held no readable answer."""
        unreadable = ("no_answer", "ambiguous", "out_of_range", "empty")
        return sum(self.failures[reason] for reason in unreadable) / self.replies

    @property
    def error_share(self) -> float:
        """Share of the requests that got no reply."""
        return self.failures["error"] / self.replies


class Results(_Model):
    """All figures of a run."""

    schema_version: int = 1
    run: str
    model: str
    artifact: str
    complete: bool
    plan: dict[str, Any]
    facts: dict[str, Any]
    wall_s: float
    tokens_per_s: float | None
    tasks: dict[str, TaskResult]
    pooled: dict[str, TaskResult]
    behaviour: Behaviour | None = None
    """Of the suite `trust`."""

    @property
    def constrained(self) -> bool:
        """Whether the server forced every reply to be one of the final answers."""
        return bool(self.plan.get("generation", {}).get(OPTION))

    def save(self, directory: Path) -> Path:
        """Write `results.json`, whole or not at all."""
        path = directory / FILE_NAME
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(self.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
        return path


def load_results(path: Path) -> Results:
    """Read a results file, or that of a run's directory. Raises RunError."""
    file = path / FILE_NAME if path.is_dir() else path
    try:
        return Results.model_validate_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(
            f"{file} cannot be read ({error.strerror or error}); make it with `python -m eval report`"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise RunError(f"{file} is no results file: {where}: {first['msg']}") from error
