"""Runs lm-eval tasks against a live OpenAI-compatible server and returns lm-eval's results."""

from __future__ import annotations

import json
import logging
import os
import random
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from eval.questions import find, load

TASKS = Path(__file__).parent / "tasks"
REQUEST_TIMEOUT_S = 1800
"""One long reasoning answer of a large model under load; lm-eval's own default of 300 s would fail the run."""


class ServerError(RuntimeError):
    """The server cannot be evaluated; the message names the fix."""


def served_model(base_url: str, timeout_s: float = 10.0) -> dict[str, Any]:
    """The first model that `base_url` lists. Raises ServerError when there is none."""
    url = f"{base_url}/models"
    headers = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"} if "OPENAI_API_KEY" in os.environ else {}
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310
            models = json.load(response)["data"]
    except urllib.error.HTTPError as error:
        hint = "; set OPENAI_API_KEY" if error.code in (401, 403) else "; is this an OpenAI-compatible server?"
        raise ServerError(f"{url} answered {error.code}{hint}") from error
    except (OSError, ValueError, KeyError) as error:
        raise ServerError(f"no server at {url} ({error}); start one with `make serve` or give --base-url") from error
    if not models:
        raise ServerError(f"{url} lists no model")
    first: dict[str, Any] = models[0]
    return first


def task_files() -> dict[str, str]:
    """Task name to the question file it reads."""
    import yaml

    files = {}
    for path in sorted(TASKS.glob("gazal_*.yaml")):
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        files[config["task"]] = config["dataset_kwargs"]["file"]
    return files


def subset(task: str, limit: int, seed: int) -> list[int]:
    """`limit` row numbers of a task, drawn with `seed`: lm-eval's own limit would take the first rows."""
    size = len(load(find(task_files()[task])))
    return sorted(random.Random(seed).sample(range(size), min(limit, size)))  # noqa: S311


def run(
    tasks: list[str],
    *,
    base_url: str,
    model: str,
    limit: int | None,
    seed: int,
    concurrency: int,
    max_tokens: int | None,
) -> dict[str, Any]:
    """Evaluate and return lm-eval's result dictionary, samples included."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    os.environ.setdefault("OPENAI_API_KEY", "none")  # lm-eval wants one even where the server does not
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    results = simple_evaluate(
        model="local-chat-completions",
        model_args={
            "base_url": f"{base_url}/chat/completions",
            "model": model,
            "num_concurrent": concurrency,
            "max_retries": 3,
            "tokenized_requests": False,
            "timeout": REQUEST_TIMEOUT_S,
        },
        tasks=list(tasks),
        samples=None if limit is None else {task: subset(task, limit, seed) for task in tasks},
        apply_chat_template=True,
        bootstrap_iters=0,
        gen_kwargs=None if max_tokens is None else {"max_gen_toks": max_tokens},
        task_manager=TaskManager(include_path=str(TASKS), include_defaults=False),
    )
    if results is None:
        raise RuntimeError("lm-eval returned no results")
    return dict(results)
