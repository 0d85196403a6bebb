"""One evaluation run, from the command line's plan to a store full of replies; lm-eval drives, the recorder asks.

A run is a directory under `reports/`. Its name follows from everything that decides its replies (artifact, tasks,
subset, sampling, prompts), so the same command finds its own directory again and goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import platform
import random
import re
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field

from eval.concurrency import ConcurrencyFinder
from eval.constrained import applied
from eval.questions import find, load, sha256_of
from eval.store import FILE_NAME, Store, StoredQuestion
from eval.suites import TASKS, Task, published_rows, sampling_of, task_config, task_files
from gazal import __version__
from gazal.prompting import templates_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from eval.endpoint import Dialect, Served
    from eval.questions import Question
    from eval.recorder import Request
    from eval.store import Key, Reply

REPORTS = Path("reports")
PLAN_NAME = "run.json"


class RunError(RuntimeError):
    """The run cannot be done; the message names the fix."""


class Plan(BaseModel):
    """What a run asks: saved as `run.json`. Nothing here is secret."""

    model_config = ConfigDict(extra="forbid")

    base_url: str
    model: str
    artifact: str
    tasks: list[str]
    """lm-eval task names; `task@variant` for a robustness variant."""
    limit: int | None
    """Questions a task, drawn with `seed`; None for all."""
    seed: int
    """Of the draw, and the root of the seed of every request."""
    repeats: int
    generation: dict[str, Any] = Field(default_factory=dict)
    """Sampling of every request, in lm-eval's names: the task files' with what the command line changed."""
    data_sha256: dict[str, str]
    """Question set to the hash of its rows."""
    prompt_templates_sha256: str


@dataclass(frozen=True)
class Options:
    """How a run is done; nothing here changes a reply."""

    concurrency: int | None = None
    """Requests in flight; None finds the number."""
    max_concurrency: int = 256
    timeout_s: float = 1800.0
    max_errors: float = 0.005
    directory: Path | None = None
    """Where the run is kept; by default a name under `reports/` that follows from the plan."""


@dataclass
class _Selected:
    """The questions of a run: lm-eval's row numbers, and what the store keeps of them."""

    rows: dict[str, list[int]] = field(default_factory=dict)
    questions: list[StoredQuestion] = field(default_factory=list)
    data_sha256: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def subset(size: int, limit: int | None, seed: int) -> list[int]:
    """`limit` of `size` row numbers, drawn with `seed`: lm-eval's own limit would take the first rows."""
    if limit is None or limit >= size:
        return list(range(size))
    return sorted(random.Random(seed).sample(range(size), limit))  # noqa: S311


def run(
    tasks: list[Task],
    *,
    base_url: str,
    model: str | None,
    limit: int | None,
    seed: int,
    repeats: int,
    generation: dict[str, Any],
    options: Options,
    console: Console,
) -> Path:
    """Ask everything that is not asked yet; returns the run's directory.

    Raises QuestionSetError, EndpointError, StoreError, ErrorBudgetError or RunError, each with one sentence; what was
    collected is kept.
    """
    os.environ["TQDM_DISABLE"] = "1"  # read when lm-eval is imported; the bars are ours
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    selected = _select(tasks, limit, seed)
    base_url = base_url.rstrip("/")
    sampling = sampling_of([task.base for task in tasks], generation)
    served, dialect = asyncio.run(_meet(base_url, model, sampling))
    plan = Plan(
        base_url=without_credentials(base_url),
        model=served.model,
        artifact=served.artifact,
        tasks=[task.name for task in tasks],
        limit=limit,
        seed=seed,
        repeats=repeats,
        generation=sampling,
        data_sha256=selected.data_sha256,
        prompt_templates_sha256=templates_sha256(),
    )
    directory = options.directory or REPORTS / name_of(plan)
    _claim(directory, plan)
    with _alone_in(directory):
        store = Store(directory / FILE_NAME)
        try:
            store.add_questions(selected.questions)
            _record(tasks, plan, base_url, selected, served, dialect, store, options, console)
        finally:
            store.close()
    return directory


def name_of(plan: Plan) -> str:
    """The directory name of a run: readable, and different whenever any of its replies could be."""
    identity = plan.model_dump_json(exclude={"base_url"})
    model = re.sub(r"[^A-Za-z0-9._-]+", "-", plan.model).strip("-.") or "model"
    return f"{model}-{hashlib.sha256(identity.encode()).hexdigest()[:10]}"


def load_plan(directory: Path) -> Plan:
    """The plan of a run. Raises RunError."""
    try:
        return Plan.model_validate_json((directory / PLAN_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{directory} is no run: it has no {PLAN_NAME}; give a directory under reports/") from None
    except ValueError as error:
        raise RunError(f"{directory / PLAN_NAME} is malformed ({error}); restore it or run again") from error


def without_credentials(url: str) -> str:
    """The address without a user name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _select(tasks: list[Task], limit: int | None, seed: int) -> _Selected:
    files, selected = task_files(), _Selected()
    for task in tasks:
        set_name = files[task.base].set_name
        path = find(set_name)
        questions = load(path, task.variant)
        rows = subset(len(questions), limit, seed)
        selected.rows[task.name] = rows
        selected.data_sha256[set_name] = sha256_of(path)
        selected.files[set_name] = path.name
        selected.questions += [stored_question(task.name, row, questions[row]) for row in rows]
    return selected


def stored_question(task: str, position: int, question: Question) -> StoredQuestion:
    """A question as the store keeps it."""
    turns = [f"[{turn['role']}]\n{turn['content']}" for turn in question.history]
    return StoredQuestion(
        task=task,
        row_sha256=question.row_sha256,
        position=position,
        id=question.id,
        stem=question.stem,
        prompt="\n\n".join([*turns, question.prompt.text]),
        prompt_sha256=question.prompt.sha256,
        mode=question.prompt.mode,
        options=dict(question.prompt.options),
        choices=list(question.prompt.choices),
        answer=question.answer,
        meta=question.meta,
    )


async def _meet(base_url: str, model: str | None, sampling: dict[str, Any]) -> tuple[Served, Dialect]:
    from eval.endpoint import Endpoint

    sent = {name: value for name, value in sampling.items() if name not in ("max_gen_toks", "do_sample")}
    sent = applied(sent, ("A", "B"))
    async with Endpoint(base_url) as endpoint:
        served = await endpoint.served(model)
        return served, await endpoint.find_dialect(served.model, sent)


def _claim(directory: Path, plan: Plan) -> None:
    """Make the directory, or check that it holds this very run."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / PLAN_NAME
        if path.is_file():
            there = load_plan(directory)
            different = [
                name for name in Plan.model_fields if name != "base_url" and getattr(there, name) != getattr(plan, name)
            ]
            if different:
                raise RunError(f"{directory} holds a run with another {', '.join(different)}; choose another --out")
            return
        partial = path.with_suffix(".partial")
        partial.write_text(plan.model_dump_json(indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise RunError(f"{directory} cannot be written ({error.strerror or error}); choose another --out") from error


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Hold the run's lock, which the kernel frees however this process ends. Raises RunError when it is taken."""
    with (directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"another process works on {directory}; wait for it, or stop it and go on here") from None
        yield


def _record(
    tasks: list[Task],
    plan: Plan,
    base_url: str,
    selected: _Selected,
    served: Served,
    dialect: Dialect,
    store: Store,
    options: Options,
    console: Console,
) -> None:
    from eval.endpoint import Endpoint
    from eval.progress import ProgressView
    from eval.recorder import Recorder, Recording

    totals = {task.name: len(selected.rows[task.name]) * plan.repeats for task in tasks}
    by_row = {(question.task, question.row_sha256): question for question in selected.questions}
    view = ProgressView(console, by_row, totals)

    def ask_all(requests: list[Request]) -> dict[Key, Reply]:
        async def ask() -> dict[Key, Reply]:
            expected = None if served.artifact.startswith("unverified:") else served.artifact
            finder = ConcurrencyFinder(options.max_concurrency, fixed=options.concurrency)
            async with Endpoint(base_url, options.timeout_s, dialect, expected_artifact=expected) as endpoint:
                recording = Recording(endpoint, store, finder, view, served.model, options.max_errors)
                return await recording.ask_all(requests)

        session = store.begin_session(time.time(), _facts(served, dialect, selected, options))
        try:
            with view:
                return asyncio.run(ask())
        finally:
            store.end_session(session, time.time())

    _drive(tasks, plan, selected, Recorder(served, plan.seed, ask_all))


def _drive(tasks: list[Task], plan: Plan, selected: _Selected, recorder: Any) -> None:  # noqa: ANN401
    """Let lm-eval render the requests and score the contents; our own scores come from the store."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    specs = [task_config(task, repeats=plan.repeats, generation=plan.generation) for task in tasks]
    simple_evaluate(
        model=recorder,
        tasks=specs,
        samples=selected.rows,
        bootstrap_iters=0,
        log_samples=False,
        task_manager=manager,
    )


def _facts(served: Served, dialect: Dialect, selected: _Selected, options: Options) -> dict[str, Any]:
    """What was true of this session, for the report's header."""
    import lm_eval

    sets = {
        set_name: {"file": selected.files[set_name], "published_rows": published_rows(set_name)}
        for set_name in selected.files
    }
    return {
        "server": served.version_facts,
        "model": served.model_facts,
        "streamed": dialect.stream,
        "concurrency": options.concurrency or f"found, at most {options.max_concurrency}",
        "data": sets,
        "gazal": __version__,
        "git_commit": _git_commit(),
        "lm_eval": getattr(lm_eval, "__version__", None) or _version("lm-eval"),
        "client": {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cpus": os.cpu_count(),
        },
    }


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _git_commit() -> str | None:
    """The commit of this code, with a plus sign when files differ from it; None outside a repository."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)  # noqa: S607
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")
