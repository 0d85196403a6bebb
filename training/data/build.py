"""`training data build`: from a recipe's sources to the four files that training reads, and a report.

    load -> check completions -> decontaminate -> remove repeats -> leave out long rows -> split by group -> write

The same recipe, files and tokenizer give the same bytes; a finished build is found again by its plan and not repeated.
The output directory appears whole or not at all, and an earlier one stays until then. Decontamination comes before the
removal of repeats, so that the share of a source that overlaps is the share of what its author published.

    report = build(recipe, Path("runs/nano/data"), lambda text: len(tokenizer(text).input_ids))
    report.files["sft-train.parquet"].sha256
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazal.artifact import file_sha256
from gazal.prompting import templates_sha256
from training.data.contamination import Benchmarks, benchmark_files, is_embedded, read_questions
from training.data.directory import locked, replacing, restore
from training.data.report import (
    STAGES,
    BenchmarkReport,
    BuildReport,
    FileReport,
    Removal,
    SourceReport,
    lengths,
    write_html,
)
from training.data.rows import write_parquet
from training.data.rules import (
    Candidate,
    Pool,
    Steps,
    Tokenizer,
    check_completions,
    decontaminate,
    leave_out_long,
    remove_repeats,
)
from training.data.sources import DataError, Loaded, fingerprint, load_source, source_names
from training.data.split import development_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from training.recipe import Recipe

REPORT_NAME = "report.json"
_PIPELINE_VERSION = 1
"""Raised when the rules change, so that a finished build of the old rules is built again."""
_SPARE_BYTES = 16 << 20


def build(recipe: Recipe, output: Path, tokenizer: Tokenizer, *, console: Console | None = None) -> BuildReport:
    """Build the data of a recipe into `output`, unless it is there already. Raises DataError; `output` then stays."""
    output = output.expanduser().resolve()
    try:
        with locked(output):
            restore(output)
            previous = _previous(output)
            plan = _plan_sha256(recipe, tokenizer)
            if previous is not None and previous.plan_sha256 == plan and _intact(output, previous):
                return previous
            with _progress(console) as steps, replacing(output) as partial:
                return _build(recipe, partial, tokenizer, plan, _noted_commits(previous), steps)
    except BlockingIOError as error:
        raise DataError(f"another run is building {output}; wait for it or give another --output") from error


def read_report(output: Path) -> BuildReport | None:
    """The report of a finished build, or None when there is none. Raises DataError when it is malformed."""
    path = output / REPORT_NAME
    if not path.is_file():
        return None
    try:
        return BuildReport.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is malformed; delete {output} and build again") from error


def _previous(output: Path) -> BuildReport | None:
    previous = read_report(output)
    if previous is None and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DataError(f"{output} holds something else than training data; give an empty or new directory")
    return previous


def _noted_commits(previous: BuildReport | None) -> dict[str, str]:
    sources = previous.sources if previous else []
    return {source.reference: source.commit for source in sources if source.reference and source.commit}


def _intact(output: Path, report: BuildReport) -> bool:
    return all(
        (output / name).is_file() and file_sha256(output / name) == file.sha256 for name, file in report.files.items()
    )


def _plan_sha256(recipe: Recipe, tokenizer: Tokenizer) -> str:
    """Everything the rows follow from, but for the contents of hub data sets, which their commits fix."""
    probe = "Step 1: A 45-year-old man has chest pain; troponin T 0.8 ng/mL.\n</think>\n\\boxed{B}"
    plan = {
        "pipeline": _PIPELINE_VERSION,
        "data": recipe.data.model_dump(mode="json"),
        "base": [recipe.base.reference, recipe.base.revision],
        "tokenizer": [tokenizer(probe), tokenizer(probe[::-1])],
        "templates": templates_sha256(),
        "sources": [fingerprint(source) for source in recipe.data.sources],
        "benchmarks": [file_sha256(path) for path in benchmark_files(recipe.data.benchmarks)],
    }
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def _build(
    recipe: Recipe, partial: Path, tokenizer: Tokenizer, plan: str, commits: dict[str, str], steps: Steps
) -> BuildReport:
    pool = Pool()
    benchmarks, compared = _benchmarks(recipe)
    loaded = _load(recipe, pool, commits, steps)
    check_completions(pool, loaded, steps)
    decontaminate(recipe.data, pool, loaded, benchmarks, steps)
    remove_repeats(recipe.data, pool, loaded, steps)
    leave_out_long(recipe.data, pool, tokenizer, steps)
    development = development_groups(
        [
            (each.row.group, [f"{stage} {each.row.mode} {each.row.source}" for stage in each.stages])
            for each in pool.candidates
        ],
        recipe.data.development_share,
    )
    files = _write(pool, development, partial)
    report = BuildReport(
        recipe=recipe.name,
        plan_sha256=plan,
        sources=[_source_report(each, pool) for each in loaded],
        benchmarks=compared,
        removed=pool.removed,
        files=files,
    )
    limits = {"prompt": recipe.data.max_prompt_tokens, "completion": recipe.data.max_completion_tokens}
    write_html(report, limits, partial / "report.html")
    (partial / REPORT_NAME).write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return report


def _benchmarks(recipe: Recipe) -> tuple[Benchmarks, list[BenchmarkReport]]:
    files = benchmark_files(recipe.data.benchmarks)
    if recipe.data.require_benchmarks and all(map(is_embedded, files)):
        raise DataError(
            "no benchmark to decontaminate against but the embedded set; set GAZAL_DATA_DIR to the directory of the "
            "question sets, list files under data.benchmarks, or set data.require_benchmarks to false"
        )
    questions = {path: read_questions(path) for path in files}
    reports = [
        BenchmarkReport(file=path.name, sha256=file_sha256(path), questions=len(found))
        for path, found in questions.items()
    ]
    return Benchmarks([question for found in questions.values() for question in found]), reports


def _load(recipe: Recipe, pool: Pool, commits: dict[str, str], steps: Steps) -> list[Loaded]:
    sources = recipe.data.sources
    advance = steps("load sources", len(sources))
    loaded = []
    for source, name in zip(sources, source_names(sources), strict=True):
        found = load_source(source, name, commits.get(source.reference or ""))
        loaded.append(found)
        pool.candidates += [Candidate(row, [stage for stage in STAGES if stage in source.stages]) for row in found.rows]
        pool.removed += [
            Removal(id=row_id, source=name, stages=list(source.stages), rule="unusable", detail=reason)
            for row_id, reason in found.unusable
        ]
        advance()
    return loaded


def _write(pool: Pool, development: frozenset[str], partial: Path) -> dict[str, FileReport]:
    _need_disk(pool, partial)
    files = {}
    for stage in STAGES:
        for part in ("train", "development"):
            chosen = [
                each
                for each in pool.candidates
                if stage in each.stages and (each.row.group in development) == (part == "development")
            ]
            if not chosen:  # `datasets` cannot read a file without rows
                continue
            name = f"{stage}-{part}.parquet"
            write_parquet((each.row for each in chosen), partial / name)
            files[name] = _file_report(
                chosen, ("prompt", "completion") if stage == "sft" else ("prompt",), partial / name
            )
    return files


def _need_disk(pool: Pool, partial: Path) -> None:
    texts = (text for each in pool.candidates for text in (each.row.prompt, each.row.completion or ""))
    needed = len(STAGES) * sum(map(len, texts)) + _SPARE_BYTES
    free = shutil.disk_usage(partial).free
    if free < needed:
        raise DataError(
            f"{partial.parent} has {free >> 20} MB free and up to {needed >> 20} MB are needed; free some or give "
            "--output on a larger disk"
        )


def _file_report(chosen: list[Candidate], kinds: tuple[str, ...], path: Path) -> FileReport:
    rows = [each.row for each in chosen]
    measured = {
        kind: lengths(values)
        for kind in kinds
        if (values := [each.tokens[kind] for each in chosen if kind in each.tokens])
    }
    return FileReport(
        rows=len(rows),
        bytes=path.stat().st_size,
        sha256=file_sha256(path),
        sources=_counts(row.source for row in rows),
        modes=_counts(row.mode for row in rows),
        answers=_counts(row.answer for row in rows if row.answer is not None),
        groups=len({row.group for row in rows}),
        lengths=measured,
    )


def _source_report(loaded: Loaded, pool: Pool) -> SourceReport:
    kept = Counter(stage for each in pool.candidates if each.row.source == loaded.name for stage in each.stages)
    source = loaded.source
    return SourceReport(
        name=loaded.name,
        kind=source.kind,
        reference=source.reference,
        commit=loaded.commit,
        licence=source.licence or loaded.rows[0].licence,
        attribution=source.attribution or loaded.rows[0].attribution,
        loaded=len(loaded.rows) + len(loaded.unusable),
        unusable=len(loaded.unusable),
        kept={stage: kept[stage] for stage in STAGES if stage in source.stages or kept[stage]},
    )


def _counts(values: Any) -> dict[str, int]:  # noqa: ANN401
    return dict(sorted(Counter(values).items()))


@contextmanager
def _progress(console: Console | None) -> Iterator[Steps]:
    """Steps shown as bars on `console`; silent without one."""
    if console is None:
        yield lambda _name, _total: lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:

        def start(name: str, total: int) -> Callable[[], None]:
            task = progress.add_task(name, total=total)
            return lambda: progress.advance(task)

        yield start
