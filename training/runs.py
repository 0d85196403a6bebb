"""The directory of a run: what each stage leaves there, and how a rerun knows what is done.

    runs/tiny/
      recipe.json          every value, resolved, with its origin; a rerun with another recipe is refused
      environment.json     commit of this code, versions and hardware
      base/                the base as it is trained: reasoning tokens added, chat template
      data/                parquet files and report of `data build`
      sft/, grpo/          checkpoints/, adapter/, merged/ (with gazal.json), metrics.jsonl, held_out.jsonl, result.json
                           (and started_from.json: the adapter of `sft.start_from`, with its hash)
      report.html

A stage's directory or file appears under its name only when it is complete, so what exists is done, and `kill -9` at
any moment costs the work since the last checkpoint and nothing else.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import platform
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.recipe import LoadedRecipe, Recipe

StageKind = Literal["sft", "grpo"]
STAGES: tuple[StageKind, ...] = ("sft", "grpo")
START_KEY = "start_from/adapter_model.safetensors"
"""Under this name a stage's hashes in the manifest have the adapter that it went on from, if it did."""
_LIBRARIES = ("torch", "transformers", "peft", "trl", "accelerate", "datasets", "pytorch_optimizer")


class RunError(RuntimeError):
    """A run cannot start or go on; the message says what to do, and the last good state is kept."""


@dataclass(frozen=True)
class StageDirectory:
    """Where one stage keeps its things."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Trainer checkpoints, the last two."""
        return self.path / "checkpoints"

    @property
    def started_from(self) -> Path:
        """Path and sha256 of the adapter that this stage went on from, if it did."""
        return self.path / "started_from.json"

    @property
    def adapter(self) -> Path:
        """The finished adapter, as PEFT saves it."""
        return self.path / "adapter"

    @property
    def merged(self) -> Path:
        """The merged model with its manifest."""
        return self.path / "merged"

    @property
    def metrics(self) -> Path:
        """One JSON object a logged step."""
        return self.path / "metrics.jsonl"

    @property
    def held_out(self) -> Path:
        """Answers of the merged model to the held-out questions, at temperature 0."""
        return self.path / "held_out.jsonl"

    @property
    def held_out_sampled(self) -> Path:
        """The same at the temperature of the recipe's `held_out.sampled_at`."""
        return self.path / "held_out_sampled.jsonl"

    @property
    def result(self) -> Path:
        """Steps, seconds and last metrics of the finished training."""
        return self.path / "result.json"


@dataclass(frozen=True)
class RunDirectory:
    """Where a run keeps its things."""

    path: Path

    @property
    def base(self) -> Path:
        """The base as it is trained."""
        return self.path / "base"

    @property
    def data(self) -> Path:
        """What `data build` made."""
        return self.path / "data"

    @property
    def recipe(self) -> Path:
        """Every value of the recipe that the run was started with, resolved, with its origin."""
        return self.path / "recipe.json"

    @property
    def report(self) -> Path:
        """The page that shows the run."""
        return self.path / "report.html"

    def stage(self, kind: StageKind) -> StageDirectory:
        """The directory of one stage."""
        return StageDirectory(self.path / kind)


def recipe_sha256(recipe: Recipe) -> str:
    """Identity of a recipe: the hash of its values, not of its comments."""
    return hashlib.sha256(json.dumps(recipe.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def open_run(loaded: LoadedRecipe, path: Path) -> RunDirectory:
    """Make or find the run's directory, with the resolved recipe and the environment in it.

    Raises RunError when the directory holds a run of another recipe or something else.
    """
    path = path.expanduser().resolve()
    run = RunDirectory(path)
    recorded = run.recipe
    if recorded.is_file():
        before = read_recipe(path).model_dump(mode="json")
        difference = first_difference(before, loaded.recipe.model_dump(mode="json"))
        if difference:
            stage_one = ", with its stage 1 by `python -m training branch`" if difference.startswith("grpo") else ""
            raise RunError(
                f"{path} holds a run of another recipe (it differs at {difference}); give another --output{stage_one}"
            )
    elif path.exists() and any(each for each in path.iterdir() if each.name != ".lock"):
        raise RunError(f"{path} holds something else than a run; give an empty or new --output")
    path.mkdir(parents=True, exist_ok=True)
    if not recorded.is_file():
        write_json(path / "environment.json", environment())
        write_json(recorded, {"recipe": loaded.recipe.model_dump(mode="json"), "origins": loaded.origins})
    return run


def read_recipe(run: Path) -> Recipe:
    """The recipe that a run was started with. Raises RunError: the directory is no run, or one of other code."""
    from pydantic import ValidationError

    from training.recipe import Recipe

    try:
        return Recipe.model_validate(json.loads(RunDirectory(run).recipe.read_text(encoding="utf-8"))["recipe"])
    except FileNotFoundError as error:
        raise RunError(f"{run} is no run: it has no recipe.json") from error
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise RunError(f"{run} is a run of another version of this code, whose recipes differ at {place}") from error


def environment() -> dict[str, Any]:
    """Commit of this code, versions and hardware, for whoever wants to repeat the run."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "device": torch.cuda.get_device_name() if cuda else f"CPU, {platform.machine()}",
        "devices": torch.cuda.device_count() if cuda else 1,
        "threads": torch.get_num_threads(),
    }


def git_commit() -> str:
    """The commit of this code, or 'unknown' outside a checkout; '-dirty' when tracked files differ from it."""
    here = Path(__file__).parent
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return found.stdout.strip() or "unknown"


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401
    """Write JSON, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the run for this process; the lock dies with it. Raises RunError when another process has it."""
    path.mkdir(parents=True, exist_ok=True)
    with (path / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"another process is working on {path}; wait for it or give another --output") from error
        yield


def first_difference(one: Any, other: Any, place: str = "") -> str:  # noqa: ANN401
    """Where two trees of plain values differ first, as `sft.optimisation.steps`; empty when they are alike."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            found = first_difference(one.get(key), other.get(key), f"{place}.{key}" if place else key)
            if found:
                return found
        return ""
    return "" if one == other else place or "the whole"
