"""The benchmarks from the Hugging Face hub, each at one pinned revision, written once as JSONL rows of our form.

The ids are those of the upstream rows, so that a run on a part of a set and a run on the whole can be compared. The row
count is checked against the published one. PubMedQA's 1,000 labelled rows are cut to the 500 of the official test list
(`test_ground_truth.json` of its repository), not to the last 500.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gazal.models import gazal_home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_MMLU_SUBJECTS = (
    "anatomy",
    "clinical_knowledge",
    "college_biology",
    "college_medicine",
    "medical_genetics",
    "professional_medicine",
)
_PUBMEDQA_TEST_IDS = (
    "https://raw.githubusercontent.com/pubmedqa/pubmedqa/1cbae8e92f72f20c8d3747cbb3bf5bc53554d997/"
    "data/test_ground_truth.json"
)


@dataclass(frozen=True)
class HubSet:
    """Where a set lies on the hub and how its rows become ours."""

    repo: str
    revision: str
    files: tuple[str, ...]
    rows: int
    """Published number of rows; another count is refused."""
    convert: Callable[[Iterable[dict[str, Any]]], Iterator[dict[str, Any]]]


def fetch(name: str, *, download: bool = True) -> Path:
    """Download and convert the set `name`, or find it where an earlier run left it. Raises QuestionSetError."""
    from eval.questions import QuestionSetError

    if name not in SETS:
        raise QuestionSetError(
            f"no question set {name!r} is embedded or on the hub; set GAZAL_DATA_DIR to a directory with {name}.jsonl, "
            f"or use one of: clinic, fresh, combinations, conditions, {', '.join(SETS)}"
        )
    wanted = SETS[name]
    target = gazal_home() / "data" / f"{name}.{wanted.revision[:12]}.jsonl"
    if target.is_file():
        return target
    if not download:
        raise QuestionSetError(f"not here; a run fetches {wanted.repo}@{wanted.revision[:12]}, or set GAZAL_DATA_DIR")
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        raw = list(_hub_rows(wanted))
        rows = list(wanted.convert(raw))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise QuestionSetError(
            f"{wanted.repo}@{wanted.revision[:12]} cannot be fetched from the hub ({type(error).__name__}); check the "
            f"connection, or set GAZAL_DATA_DIR to a directory that holds {name}.jsonl.gz"
        ) from error
    except (KeyError, IndexError, TypeError) as error:
        raise QuestionSetError(f"{wanted.repo}@{wanted.revision[:12]}: column or value {error} is missing") from error
    if len(rows) != wanted.rows:
        raise QuestionSetError(f"{wanted.repo} gave {len(rows)} rows, {wanted.rows} were published; report this")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    partial.replace(target)
    return target


def _hub_rows(wanted: HubSet) -> Iterator[dict[str, Any]]:
    from pathlib import Path

    from huggingface_hub import hf_hub_download

    for file in wanted.files:
        path = Path(hf_hub_download(wanted.repo, file, revision=wanted.revision, repo_type="dataset"))
        if path.suffix == ".parquet":
            import pyarrow.parquet as parquet

            yield from parquet.read_table(path).to_pylist()
        else:
            with path.open(encoding="utf-8") as lines:
                yield from map(json.loads, lines)


def medqa_rows(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """GBaker/MedQA-USMLE-4-options: `options` by letter, `answer_idx`, `meta_info` (exam step)."""
    for number, row in enumerate(rows):
        yield _row(
            f"medqa-test-{number:04d}",
            row["question"],
            row["options"],
            row["answer_idx"],
            meta={"exam": row["meta_info"]},
        )


def medmcqa_rows(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """openlifescienceai/medmcqa: `opa` to `opd`, `cop` counts from 0."""
    for row in rows:
        options = {letter: row[f"op{letter.lower()}"] for letter in "ABCD"}
        meta = {"subject": row["subject_name"], "choice_type": row["choice_type"]}
        yield _row(f"medmcqa-val-{row['id']}", row["question"], options, "ABCD"[row["cop"]], meta=meta)


def pubmedqa_rows(
    rows: Iterable[dict[str, Any]], test_ids: Callable[[], frozenset[str]] | None = None
) -> Iterator[dict[str, Any]]:
    """qiaojin/PubMedQA, `pqa_labeled`: the rows of the official test list."""
    wanted = (test_ids or _pubmedqa_test_ids)()
    labels = {label: label for label in ("yes", "no", "maybe")}
    for row in rows:
        if str(row["pubid"]) in wanted:
            context = list(row["context"]["contexts"])
            meta = {"context_labels": list(row["context"]["labels"]), "pmid": str(row["pubid"])}
            yield _row(f"pubmedqa-{row['pubid']}", row["question"], labels, row["final_decision"], context, meta)


def mmlu_pro_rows(category: str) -> Callable[[Iterable[dict[str, Any]]], Iterator[dict[str, Any]]]:
    """TIGER-Lab/MMLU-Pro: one category; up to ten options in a list."""

    def convert(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            if row["category"] == category:
                options = {"ABCDEFGHIJ"[number]: text for number, text in enumerate(row["options"])}
                meta = {"category": category, "src": row["src"]}
                yield _row(f"mmlupro-{row['question_id']}", row["question"], options, row["answer"], meta=meta)

    return convert


def mmlu_rows(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """cais/mmlu: `choices` in a list, `answer` counts from 0; numbered within each subject."""
    numbers = dict.fromkeys(_MMLU_SUBJECTS, 0)
    for row in rows:
        subject = row["subject"]
        options = {"ABCD"[number]: text for number, text in enumerate(row["choices"])}
        name = f"mmlu-{subject}-test-{numbers[subject]:03d}"
        numbers[subject] += 1
        yield _row(name, row["question"], options, "ABCD"[row["answer"]], meta={"subject": subject})


def _row(
    name: str,
    question: str,
    options: dict[str, str],
    answer: str,
    context: list[str] | None = None,
    meta: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "id": name,
        "question": question.strip(),
        "options": options,
        "answer": answer,
        "context": context,
        "meta": meta or {},
    }


def _pubmedqa_test_ids() -> frozenset[str]:
    import urllib.request

    with urllib.request.urlopen(_PUBMEDQA_TEST_IDS, timeout=30) as response:
        return frozenset(json.load(response))


_MMLU_PRO = ("TIGER-Lab/MMLU-Pro", "527feea0afed1de15a8c115abf7be4c912123315", ("data/test-00000-of-00001.parquet",))

SETS = {
    "medqa_usmle_test": HubSet(
        "GBaker/MedQA-USMLE-4-options",
        "0fb93dd23a7339b6dcd27e241cb9b5eca62d4d18",
        ("phrases_no_exclude_test.jsonl",),
        1273,
        medqa_rows,
    ),
    "medmcqa_validation": HubSet(
        "openlifescienceai/medmcqa",
        "91c6572c454088bf71b679ad90aa8dffcd0d5868",
        ("data/validation-00000-of-00001.parquet",),
        4183,
        medmcqa_rows,
    ),
    "pubmedqa_pqal_test": HubSet(
        "qiaojin/PubMedQA",
        "9001f2853fb87cab8d220904e0de81ac6973b318",
        ("pqa_labeled/train-00000-of-00001.parquet",),
        500,
        pubmedqa_rows,
    ),
    "mmlu_pro_health_test": HubSet(*_MMLU_PRO, 818, mmlu_pro_rows("health")),
    "mmlu_pro_biology_test": HubSet(*_MMLU_PRO, 717, mmlu_pro_rows("biology")),
    "mmlu_med_test": HubSet(
        "cais/mmlu",
        "c30699e8356da336a370243923dbaf21066bb9fe",
        tuple(f"{subject}/test-00000-of-00001.parquet" for subject in _MMLU_SUBJECTS),
        1089,
        mmlu_rows,
    ),
}
