"""Load the sources that a recipe names: the clinic, its sheets and hand-written examples, JSONL files, hub data sets.

A row that cannot be used is left out with a reason and counted. A source that cannot be used (no file, no such column,
no hub) stops the build with a sentence that names the fix. Hub data sets are fetched by commit, so the commit is known
even where the recipe names none, and mirrors and HF_HUB_OFFLINE work as everywhere.

    loaded = load_source(source, "headqa", noted_commit=None)
    loaded.rows, loaded.unusable, loaded.commit
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import casimedicos, composing, exam_talk, option_numbers, pubmedqa, sentences
from training.data.records import RecordError, find_columns, row_from_record
from training.data.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from training.clinic.generate import Example, Split
    from training.recipe import Source

DATA_DIRECTORY = "$GAZAL_DATA_DIR/"
_REWRITERS = {"casimedicos": casimedicos.rewrite, "pubmedqa": pubmedqa.rewrite}
_REWRITING = (casimedicos, composing, exam_talk, option_numbers, pubmedqa, sentences)


class DataError(ValueError):
    """Training data cannot be built; the message names the source or file and the fix."""


@dataclass
class Loaded:
    """The rows of one source."""

    name: str
    source: Source
    commit: str | None = None
    """Of a hub data set."""
    rows: list[Row] = field(default_factory=list)
    unusable: list[tuple[str, str]] = field(default_factory=list)
    """Id and reason of each row that was left out."""


def source_names(sources: Sequence[Source]) -> list[str]:
    """A name for each source, told apart by a number where two would be the same."""
    names: list[str] = []
    for source in sources:
        stem = (source.reference or source.kind).rstrip("/").rpartition("/")[2]
        name = source.name or stem.removesuffix(".gz").removesuffix(".jsonl").removesuffix(".json")
        number, candidate = 1, name
        while candidate in names:
            number += 1
            candidate = f"{name}-{number}"
        names.append(candidate)
    return names


def load_source(source: Source, name: str, noted_commit: str | None = None) -> Loaded:
    """All rows of a source. `noted_commit` is the hub commit an earlier build used. Raises DataError."""
    loaded = Loaded(name, source)
    if source.kind == "clinic":
        _generate(source, loaded)
    elif source.kind == "sheets":
        _write_sheets(source, loaded)
    elif source.kind == "vignettes":
        _ask_about_vignettes(source, loaded)
    elif source.kind == "examples":
        _read_examples(source, loaded)
    elif source.kind == "jsonl":
        _convert(_json_records(local_file(source.reference or "")), source, loaded)
    else:
        directory, loaded.commit = _hub_snapshot(source, noted_commit)
        _convert(_hub_records(source, directory), source, loaded)
    if not loaded.rows:
        reason = f", the first because: {loaded.unusable[0][1]}" if loaded.unusable else ""
        raise DataError(f"source {name}: none of its {len(loaded.unusable)} rows can be used{reason}")
    return loaded


def local_file(reference: str) -> Path:
    """The file a reference names, `$GAZAL_DATA_DIR/` resolved. Raises DataError."""
    path = Path(reference).expanduser()
    if reference.startswith(DATA_DIRECTORY):
        directory = os.environ.get("GAZAL_DATA_DIR")
        if not directory:
            raise DataError(f"{reference}: set GAZAL_DATA_DIR to the directory that holds the question sets")
        path = Path(directory) / reference.removeprefix(DATA_DIRECTORY)
    if not path.is_file():
        raise DataError(f"{path} does not exist; correct the reference in the recipe or fetch the file")
    return path


def fingerprint(source: Source) -> str:
    """Changes with a local file, the clinic's knowledge or generator, or the rewriting of explanations.

    Empty for a plain source on the hub, which has commits.
    """
    files = [Path(str(module.__file__)) for module in _REWRITING] if source.rewrite else []
    if source.kind == "jsonl":
        files.append(local_file(source.reference or ""))
    elif source.kind != "hub":
        clinic = Path(__file__).parents[1] / "clinic"
        files = sorted(path for path in clinic.rglob("*") if path.suffix in (".py", ".yaml"))
    if not files:
        return ""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of each line of a `.jsonl` or `.jsonl.gz` file. Raises DataError."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    record = json.loads(line)
                    if not isinstance(record, dict):
                        raise DataError(f"{path}, line {number}: must be a JSON object")
                    yield number, record
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {number}: not JSON ({error.msg}); correct or remove the line") from error
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); copy it anew") from error


def clinic_examples(source: Source, split: Split, count: int, seed: int) -> Iterator[Example]:
    """Examples of one split of the part of the clinic that `source` draws from. Raises ValueError when too few."""
    from training.clinic.generate import Scope, generate
    from training.clinic.knowledge import load
    from training.clinic.questions import TOPICS

    clinic = load().only(source.presentations) if source.presentations else load()
    scope = Scope(source.topics or TOPICS, bool(source.topics), source.length, source.nearly_wide)
    scope = replace(scope, emphasis=source.emphasis)
    if source.undecided_share is not None:
        scope = replace(scope, undecided_share=source.undecided_share)
    return generate(clinic, split, count, seed, scope)


def _generate(source: Source, loaded: Loaded) -> None:
    try:
        for example in clinic_examples(source, "train", source.count or 0, source.seed):
            loaded.rows.append(_clinic_row(example, source, loaded.name))
    except ValueError as error:
        raise DataError(f"source {loaded.name}: {error}") from error


def _ask_about_vignettes(source: Source, loaded: Loaded) -> None:
    from training.clinic import vignettes
    from training.clinic.knowledge import load

    clinic = load().only(source.presentations) if source.presentations else load()
    told = vignettes.examples(vignettes.load(clinic), clinic, source.seed, source.length)
    loaded.rows += [_clinic_row(example, source, loaded.name) for example in islice(told, source.count)]


def _clinic_row(example: Example, source: Source, name: str) -> Row:
    return Row(
        id=example.id,
        source=name,
        mode=example.mode,
        prompt=example.prompt,
        options=example.options,
        answer=example.answer,
        completion=example.completion,
        group=example.combination,
        licence=source.licence or "Apache-2.0",
        attribution=source.attribution or "generated by the clinic of gazal-r1",
    )


def _write_sheets(source: Source, loaded: Loaded) -> None:
    from training.clinic import vignettes
    from training.clinic.knowledge import load
    from training.clinic.sheets import FACTS_SHARE, sheets

    clinic = load()
    by_hand = vignettes.load(clinic)
    share = FACTS_SHARE if source.facts_share is None else source.facts_share
    try:
        made = list(
            sheets(clinic, source.count or 0, source.seed, by_hand, emphasis=source.emphasis, facts_share=share)
        )
    except ValueError as error:
        raise DataError(f"source {loaded.name}: {error}") from error
    loaded.rows += [
        Row(
            id=each.id,
            source=loaded.name,
            mode="diagnosis",
            prompt=each.prompt,
            completion=each.completion,
            group=each.id,
            licence=source.licence or "Apache-2.0",
            attribution=source.attribution or "generated by the clinic of gazal-r1",
        )
        for each in made
    ]


def _read_examples(source: Source, loaded: Loaded) -> None:
    from training.clinic.examples import leaks
    from training.clinic.examples import load as load_examples
    from training.clinic.generate import held_out_conditions
    from training.clinic.knowledge import load

    examples, clinic = load_examples(), load()
    leaking = leaks(examples, clinic, held_out_conditions(clinic))
    if leaking:
        raise DataError(f"source {loaded.name}: {leaking[0]}")
    loaded.rows += [each.to_row(loaded.name) for each in examples[: source.count]]


def _json_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, record in read_json_lines(path):
        yield f"line {number}", record


def _convert(records: Iterable[tuple[str, dict[str, Any]]], source: Source, loaded: Loaded) -> None:
    placed = _rewritten(records, source, loaded) if source.rewrite else list(records)
    try:
        columns = find_columns([record for _, record in placed], source.columns)
    except KeyError as error:
        raise DataError(f"source {loaded.name}: {error.args[0]}") from error
    seen: set[str] = set()
    for place, record in placed:
        if len(loaded.rows) == source.count:
            return
        try:
            row = row_from_record(record, place, columns, source, loaded.name)
        except RecordError as error:
            loaded.unusable.append((error.row_id, str(error)))
            continue
        if row.id in seen:
            loaded.unusable.append((row.id, "its id occurs twice"))
            continue
        seen.add(row.id)
        loaded.rows.append(row)


def _rewritten(
    records: Iterable[tuple[str, dict[str, Any]]], source: Source, loaded: Loaded
) -> list[tuple[str, dict[str, Any]]]:
    """The records that got a completion; the others are noted as unusable."""
    kept = []
    for place, record in records:
        try:
            kept.append((place, _REWRITERS[str(source.rewrite)](record)))
        except composing.NotRewritten as error:
            loaded.unusable.append((str(record.get("id") or place), f"not rewritten: {error}"))
    if loaded.unusable and not kept:
        reason = loaded.unusable[0][1]
        raise DataError(
            f"source {loaded.name}: none of its {len(loaded.unusable)} rows has a completion, the first {reason}"
        )
    return kept


def _hub_snapshot(source: Source, noted_commit: str | None) -> tuple[Path, str]:
    """Directory and commit of a hub data set, from the cache where it is there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    reference, revision = str(source.reference), source.revision or noted_commit
    try:
        directory = Path(snapshot_download(reference, repo_type="dataset", revision=revision))
    except HFValidationError as error:
        raise DataError(f"{reference!r} cannot be a data set on the hub; write org/name") from error
    except GatedRepoError as error:
        raise DataError(f"{reference} asks for its licence to be accepted on the hub, then for HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise DataError(f"{reference} has no revision {revision!r}; name a commit of it in the recipe") from error
    except RepositoryNotFoundError as error:
        raise DataError(f"{reference} is not on the hub (or is private: set HF_TOKEN); check the spelling") from error
    except (HfHubHTTPError, OSError) as error:
        raise DataError(
            f"{reference} is not in the local cache and the Hugging Face hub cannot be reached; check the network, "
            "HF_HUB_OFFLINE and HF_ENDPOINT (a mirror), or save the data set as JSONL and name it as a 'jsonl' source"
        ) from error
    return directory, directory.name


def _hub_records(source: Source, directory: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import datasets

    try:
        loaded = datasets.load_dataset(str(directory), name=source.config, split=source.split)
    except (ValueError, datasets.exceptions.DatasetsError, FileNotFoundError) as error:
        first = str(error).strip().splitlines()[0]
        raise DataError(f"{source.reference}: {first}; correct split or config in the recipe") from error
    for index, record in enumerate(loaded):
        yield f"row {index}", record
