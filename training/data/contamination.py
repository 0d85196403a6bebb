"""Keep benchmark questions out of training data, whatever their source.

Every row is compared with every question of every benchmark: the embedded set, the test files in GAZAL_DATA_DIR, and
files that the recipe names. Three rules, the first that fires is reported with the benchmark question it fired for:

| rule | a row goes when |
| --- | --- |
| 8-gram | it shares a quarter of its 8-word runs, or of the question's, and at least five of them |
| question | both are twenty words or longer and 85 % alike; or they are the same, and have six words or more |
| question and options | the wording is 60 % alike and nine options of ten are, or 85 % and half of the options |

One shared 8-gram, as elsewhere, is no sign here: it would remove 993 of the 1,271 cases of MedQA's development split,
since exam writers have stock phrases. So runs that occur in more than five benchmark questions do not count, nor does
a question ("Which statement is correct?") that more than three have. Short questions are otherwise judged with their
options, because many differ in one word; without options they must be 95 % alike. A stem that was reworded is still
caught by the options it kept. A full paraphrase or a translation is not caught.
"""

from __future__ import annotations

import heapq
import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from training.data.sources import DataError, local_file, read_json_lines
from training.data.words import word_runs, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from training.data.rows import Row

_RUN_WORDS = 8
_MIN_SHARED_RUNS = 5
_MIN_SHARED_SHARE = 0.25
_STOCK_PHRASE_QUESTIONS = 5
_LONG_QUESTION_WORDS = 20
_SAME_QUESTION_WORDS = 6
_STOCK_QUESTION_QUESTIONS = 3
_ALIKE = 85
_LOOSELY_ALIKE = 60
_SAME = 95
_OPTION_ALIKE = 90
_MOST_OPTIONS, _HALF_OF_OPTIONS = 0.9, 0.5
_CANDIDATE_RUN_WORDS = 3
_COMMON_RUN_QUESTIONS = 40
_CANDIDATES = 5

_EMBEDDED = Path(__file__).parents[2] / "eval" / "data"
_KEPT_APART = frozenset({"combinations.jsonl", "conditions.jsonl"})
_BENCHMARK_NAME = re.compile(r"_(?:test|validation)\b.*\.jsonl(?:\.gz)?$")

Rule = Literal["8-gram", "question", "question and options"]


@dataclass(frozen=True)
class Question:
    """One benchmark question as far as it is compared."""

    id: str
    """File name and id."""
    words: tuple[str, ...]
    """Of case, abstract and question."""
    options: tuple[str, ...]
    """Each normalised; empty for yes/no/maybe."""


@dataclass(frozen=True)
class Overlap:
    """Why a row must go."""

    rule: Rule
    against: str
    similarity: float
    """Shared share of runs for `8-gram`, else likeness of the wording; 0 to 1."""


def benchmark_files(stated: Iterable[str] = ()) -> list[Path]:
    """The embedded sets, all test and validation files of GAZAL_DATA_DIR, and the stated ones. Raises DataError.

    The clinic's own held-out cases are left out: they share phrases with its training cases by design, and differ from
    each of them in the condition or in the findings shown.
    """
    directory = os.environ.get("GAZAL_DATA_DIR")
    if directory and not Path(directory).is_dir():
        raise DataError(f"GAZAL_DATA_DIR is {directory}, which is no directory; correct it")
    found = sorted(path for path in Path(directory).iterdir() if _is_benchmark(path)) if directory else []
    embedded = sorted(path for path in _EMBEDDED.glob("*.jsonl") if path.name not in _KEPT_APART)
    return [*embedded, *found, *(local_file(reference) for reference in stated)]


def is_embedded(path: Path) -> bool:
    """Whether a benchmark file is our own question set, which every installation has."""
    return path.parent == _EMBEDDED


def _is_benchmark(path: Path) -> bool:
    return "train" not in path.name and _BENCHMARK_NAME.search(path.name) is not None


def read_questions(path: Path) -> list[Question]:
    """The questions of a benchmark file. Raises DataError."""
    questions = []
    for number, record in read_json_lines(path):
        try:
            case = [record["case"]] if record.get("case") else []  # behaviour items ask about a case apart
            stem = "\n".join([*(record.get("context") or ()), *case, record["question"]])
            options: dict[str, str] = record["options"]
            questions.append(_question(f"{_bare(path)}/{record['id']}", stem, options))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}, line {number}: needs id, question and options ({error})") from error
    return questions


def _bare(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


def _question(identity: str, stem: str, options: dict[str, str]) -> Question:
    texts = () if set(options) <= {"yes", "no", "maybe"} else tuple(options.values())
    return Question(identity, tuple(words(stem)), tuple(" ".join(words(text)) for text in texts))


class Benchmarks:
    """All benchmark questions, indexed for comparison with many rows."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self._questions = questions
        self._long_runs: list[frozenset[str]] = [_long_runs(question) for question in questions]
        self._by_long_run = _posting(self._long_runs, _STOCK_PHRASE_QUESTIONS)
        self._by_wording = defaultdict[tuple[str, ...], list[int]](list)
        for index, question in enumerate(questions):
            self._by_wording[question.words].append(index)
        self._by_short_run = _posting(map(_short_runs, questions), _COMMON_RUN_QUESTIONS)
        self._long_runs = [frozenset(run for run in runs if run in self._by_long_run) for runs in self._long_runs]

    def overlap(self, row: Row) -> Overlap | None:
        """How `row` overlaps with a benchmark, or None."""
        question = _question(row.id, row.stem, row.options)
        return self._shared_runs(question) or self._same_wording(question) or self._alike(question)

    def _same_wording(self, question: Question) -> Overlap | None:
        same = self._by_wording.get(question.words, [])
        if len(question.words) >= _SAME_QUESTION_WORDS and 1 <= len(same) <= _STOCK_QUESTION_QUESTIONS:
            return Overlap("question", self._questions[same[0]].id, 1.0)
        return None

    def _shared_runs(self, question: Question) -> Overlap | None:
        runs = _long_runs(question)
        shared = Counter(index for run in runs for index in self._by_long_run.get(run, ()))
        for index, count in _most_shared(shared):
            share = count / min(len(runs), len(self._long_runs[index]))
            if count >= _MIN_SHARED_RUNS and share >= _MIN_SHARED_SHARE:
                return Overlap("8-gram", self._questions[index].id, min(1.0, share))
        return None

    def _alike(self, question: Question) -> Overlap | None:
        from rapidfuzz import fuzz

        shared = Counter(index for run in _short_runs(question) for index in self._by_short_run.get(run, ()))
        wording = " ".join(question.words)
        for index, _ in _most_shared(shared):
            other = self._questions[index]
            likeness = fuzz.ratio(wording, " ".join(other.words), score_cutoff=_LOOSELY_ALIKE)
            both_long = min(len(question.words), len(other.words)) >= _LONG_QUESTION_WORDS
            if likeness >= (_ALIKE if both_long else _SAME if not (question.options and other.options) else 101):
                return Overlap("question", other.id, likeness / 100)
            needed = _MOST_OPTIONS if likeness < _ALIKE else _HALF_OF_OPTIONS
            if likeness and options_alike(question.options, other.options) >= needed:
                return Overlap("question and options", other.id, likeness / 100)
        return None


def _most_shared(shared: Counter[int]) -> list[tuple[int, int]]:
    """The questions that share most runs, with how many; the order of equals does not depend on hash seeds."""
    return heapq.nsmallest(_CANDIDATES, shared.items(), key=lambda item: (-item[1], item[0]))


def options_alike(options: Sequence[str], others: Sequence[str]) -> float:
    """The share of the smaller set of options that has a partner in the other; 0 when one is empty."""
    from rapidfuzz import fuzz

    few, many = sorted((options, others), key=len)
    if not few:
        return 0.0
    return sum(any(fuzz.ratio(one, other) >= _OPTION_ALIKE for other in many) for one in few) / len(few)


def _long_runs(question: Question) -> frozenset[str]:
    parts = (list(question.words), *(option.split() for option in question.options))
    return frozenset(run for part in parts if len(part) >= _RUN_WORDS for run in word_runs(part, _RUN_WORDS))


def _short_runs(question: Question) -> set[str]:
    return word_runs([*question.words, *(word for option in question.options for word in option.split())], 3)


def _posting(runs_of_each: Iterable[Iterable[str]], most: int) -> dict[str, list[int]]:
    """Run to the questions that hold it, without runs of more than `most` questions."""
    posting = defaultdict[str, list[int]](list)
    for index, runs in enumerate(runs_of_each):
        for run in sorted(runs):
            posting[run].append(index)
    return {run: indexes for run, indexes in posting.items() if len(indexes) <= most}
