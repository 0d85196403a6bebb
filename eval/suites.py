"""Which tasks a suite runs: `smoke` in minutes, `core` for a number, `full` for a claim, `clinic` and `robustness`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.variants import ORIGINAL, VARIANTS

TASKS = Path(__file__).parent / "tasks"
MEDICAL = (
    "gazal_medqa",
    "gazal_mmlu_pro_health",
    "gazal_mmlu_pro_biology",
    "gazal_pubmedqa",
    "gazal_medmcqa",
    "gazal_mmlu_medical",
)

CLINIC = ("gazal_fresh", "gazal_combinations", "gazal_conditions")

NO_TOP_K = -1
"""vLLM's value for "no limit"; here it leaves the field out, which OpenAI's own service does not know."""


@dataclass(frozen=True)
class Suite:
    """A named choice of tasks; every field can be overridden on the command line."""

    description: str
    tasks: tuple[str, ...]
    repeats: int = 1
    limit: int | None = None
    max_tokens: int | None = None
    """Tokens a reply may have; None leaves the task's own 4,096."""
    variants: tuple[str, ...] = (ORIGINAL,)


SUITES = {
    "smoke": Suite("16 embedded questions: does the whole path work?", ("gazal_clinic",), limit=16),
    "core": Suite("every benchmark once", MEDICAL),
    "full": Suite("every benchmark and our own set, 4 samples a question", (*MEDICAL, "gazal_clinic"), 4, None, 8192),
    "clinic": Suite(
        "the small model's own world: fresh wording, held-out combinations and conditions", CLINIC, max_tokens=512
    ),
    "robustness": Suite(
        "200 MedQA questions and our own set, each put in six ways",
        ("gazal_medqa", "gazal_clinic"),
        limit=200,
        variants=(ORIGINAL, *VARIANTS),
    ),
    "trust": Suite("our behaviour items: injection, push-back, anchoring, doses and the like", ("gazal_trust",)),
}


@dataclass(frozen=True)
class Task:
    """One benchmark in one variant."""

    base: str
    variant: str = ORIGINAL

    @property
    def name(self) -> str:
        """lm-eval's name of it."""
        return self.base if self.variant == ORIGINAL else f"{self.base}@{self.variant}"


@dataclass(frozen=True)
class TaskFile:
    """What a task's YAML says that we need before lm-eval reads it."""

    set_name: str
    title: str


def task_files() -> dict[str, TaskFile]:
    """Task name to its question set and title, as the YAML files say."""
    import yaml

    files = {}
    for path in sorted(TASKS.glob("gazal_*.yaml")):
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        if "task_alias" in config:
            files[config["task"]] = TaskFile(config["dataset_kwargs"]["name"], config["task_alias"])
    return files


def published_rows(set_name: str) -> int | None:
    """How many rows the whole set has; None for our own, which is always whole."""
    from eval.hub import SETS

    return SETS[set_name].rows if set_name in SETS else None


def sampling_of(tasks: list[str], overrides: dict[str, Any]) -> dict[str, Any]:
    """The sampling of a run: what the task files say, with what the command line changes.

    Raises ValueError when the tasks do not agree, since a run has one protocol.
    """
    import yaml

    shared = yaml.safe_load((TASKS / "_gazal.yaml").read_text(encoding="utf-8").replace("!function ", ""))
    for name in tasks:
        if "generation_kwargs" in yaml.safe_load((TASKS / f"{name}.yaml").read_text(encoding="utf-8")):
            raise ValueError(f"{name}.yaml has sampling of its own; all tasks of a run share that of _gazal.yaml")
    sampling = {name: value for name, value in (shared["generation_kwargs"] | overrides).items() if name != "until"}
    if sampling.get("top_k") == NO_TOP_K:
        del sampling["top_k"]
    return sampling


def task_config(task: Task, *, repeats: int, generation: dict[str, Any]) -> dict[str, Any]:
    """lm-eval's configuration of `task`: its YAML, with the variant, the repeats and the whole sampling of this run."""
    from lm_eval.tasks._yaml_loader import load_yaml

    config: dict[str, Any] = load_yaml(TASKS / f"{task.base}.yaml", resolve_func=True)
    config["task"] = task.name
    config["repeats"] = repeats
    config["dataset_kwargs"] = config["dataset_kwargs"] | {"variant": task.variant}
    config["generation_kwargs"] = {"until": config["generation_kwargs"]["until"]} | generation
    return config
