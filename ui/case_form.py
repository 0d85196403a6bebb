"""From the fields of the form to the body of a request, with the exact prompt and every problem found on the way.

The checks are those of `gazal.case` and `gazal.prompting`, which the server runs too; here they run before anything is
sent. What was typed into a number field arrives as text, so that a slip is named instead of dropped.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gazal.case import MAX_TEXT_CHARS, ClinicalCase
from gazal.prompting import OPTION_LABELS, Mode, Prompt, PromptError, render
from gazal.quantities import LABS, VITALS, Quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

MAX_OPTION_CHARS = 2_000
MAX_QUESTION_CHARS = 4_000


@dataclass(frozen=True)
class Form:
    """The form as it stands: texts as typed, measurements as rows of {key, name, value, unit}."""

    mode: Mode = "diagnosis"
    structured: bool = True
    age: str = ""
    age_unit: str = "years"
    sex: str = "unknown"
    pregnancy_weeks: str = ""
    complaint: str = ""
    history: str = ""
    medications: str = ""
    allergies: str = ""
    examination: str = ""
    vitals: list[dict[str, str]] = field(default_factory=list)
    labs: list[dict[str, str]] = field(default_factory=list)
    investigations: str = ""
    vignette: str = ""
    question: str = ""
    options: list[str] = field(default_factory=list)
    samples: int = 1
    temperature: float = 0.7
    seed: str = ""
    max_tokens: str = ""


@dataclass(frozen=True)
class Problem:
    """What is wrong with a field, in words that name the fix."""

    field: str
    message: str


@dataclass(frozen=True)
class Parsed:
    """A request and its prompt, or the problems that stand in the way."""

    problems: tuple[Problem, ...]
    request: dict[str, Any] | None = None
    prompt: Prompt | None = None

    @property
    def case_text(self) -> str:
        """What of the case would be sent: case, question and options as the model reads them."""
        return self.prompt.text if self.prompt else ""


def parse(form: Form) -> Parsed:
    """Read the whole form. Never raises for anything that a user can type."""
    problems: list[Problem] = []
    request: dict[str, Any] = {"mode": form.mode}
    source: ClinicalCase | str | None
    if form.structured and form.mode != "research":
        source = _case(form, problems)
        if isinstance(source, ClinicalCase):
            request["case"] = source.model_dump(exclude_defaults=True, mode="json")
    else:
        source = form.vignette.strip()
        _length(source, MAX_TEXT_CHARS, "vignette", problems)
        if not source:
            problems.append(Problem("vignette", "is empty; paste the case, or in research mode the abstract"))
        request["vignette"] = source
    question = form.question.strip()
    _length(question, MAX_QUESTION_CHARS, "question", problems)
    if question:
        request["question"] = question
    options = _options(form, problems)
    if options is not None:
        request["options"] = options
    _sampling(form, request, problems)
    if problems or source is None:
        return Parsed(tuple(problems))
    try:
        prompt = render(form.mode, source, question=question, options=options)
    except PromptError as error:
        return Parsed((Problem(error.field, str(error)),))
    return Parsed((), request, prompt)


def _case(form: Form, problems: list[Problem]) -> ClinicalCase | None:
    given: dict[str, Any] = {"sex": form.sex, "age_unit": form.age_unit}
    age = _number(form.age, "age", problems)
    weeks = _number(form.pregnancy_weeks, "pregnancy_weeks", problems)
    if age is not None:
        given["age"] = age
    if weeks is not None:
        given["pregnancy_weeks"] = int(weeks) if weeks == int(weeks) else weeks
    for name in ("complaint", "examination", "investigations"):
        given[name] = getattr(form, name).strip()
    for name in ("history", "medications", "allergies"):
        given[name] = items(getattr(form, name))
    given["vitals"] = _measurements(form.vitals, "vitals", VITALS, problems)
    given["labs"] = _measurements(form.labs, "labs", LABS, problems)
    if problems:
        return None
    try:
        return ClinicalCase.model_validate(given)
    except ValidationError as error:
        problems.extend(_problem(each) for each in error.errors())
        return None


def items(text: str) -> list[str]:
    """The items of a list field: one a line, or separated by semicolons."""
    return [item.strip() for item in re.split(r"[\n;]", text) if item.strip()]


def _measurements(
    rows: list[dict[str, str]], field_name: str, known: Mapping[str, Quantity], problems: list[Problem]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        name = str(row.get("key") or "").strip() or str(row.get("name") or "").strip()
        label = known[name].label if name in known else name or "a row"
        typed = str(row.get("value") or "").strip()
        if not typed:
            continue
        if not name:
            problems.append(Problem(field_name, "a value has no test; choose the test it belongs to"))
            continue
        if name in found:
            problems.append(Problem(field_name, f"{label} is given twice; keep one of them"))
            continue
        value = _number(typed, field_name, problems, label)
        unit = str(row.get("unit") or "").strip()
        if value is not None:
            found[name] = {"value": value, "unit": unit or None}
    return found


def _number(typed: str, field_name: str, problems: list[Problem], label: str = "") -> float | int | None:
    text = str(typed).strip()
    if not text:
        return None
    subject = f"{label} " if label else ""
    if "," in text:
        problems.append(Problem(field_name, f"{subject}holds a comma; write the decimal point as '.'"))
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        problems.append(Problem(field_name, f"{subject}is no number; write digits, and the unit beside it"))
        return None
    return int(value) if value == int(value) and abs(value) < 1e15 else value


def _options(form: Form, problems: list[Problem]) -> dict[str, str] | None:
    if form.mode != "mcq":
        return None
    given = [text.strip() for text in form.options if text.strip()]
    if not 2 <= len(given) <= len(OPTION_LABELS):
        problems.append(Problem("options", f"a multiple-choice question needs 2 to {len(OPTION_LABELS)} options"))
        return None
    for text in given:
        _length(text, MAX_OPTION_CHARS, "options", problems)
    return dict(zip(OPTION_LABELS, given, strict=False))


def _sampling(form: Form, request: dict[str, Any], problems: list[Problem]) -> None:
    request["samples"] = int(form.samples)
    request["temperature"] = float(form.temperature)
    if request["samples"] > 1 and request["temperature"] == 0:
        problems.append(
            Problem("temperature", "several answers at temperature 0 are all the same; raise it or ask for one")
        )
    seed = _number(form.seed, "seed", problems)
    if seed is not None:
        if isinstance(seed, float) or seed < 0:
            problems.append(Problem("seed", "must be a whole number of at least 0"))
        request["seed"] = seed
    tokens = _number(form.max_tokens, "max_tokens", problems)
    if tokens is not None:
        if isinstance(tokens, float) or tokens < 1:
            problems.append(Problem("max_tokens", "must be a whole number of at least 1"))
        request["max_tokens"] = tokens


def _length(text: str, limit: int, field_name: str, problems: list[Problem]) -> None:
    if len(text) > limit:
        problems.append(
            Problem(field_name, f"holds {len(text):,} characters; at most {limit:,} can be sent, so shorten it")
        )


def _problem(error: ErrorDetails) -> Problem:
    where = [str(part) for part in error["loc"]]
    message = error["msg"].removeprefix("Value error, ")
    inner = where[1] if len(where) > 1 else ""
    known = {**VITALS, **LABS}.get(inner)
    if known is not None and known.label.lower() not in message.lower():
        message = f"{known.label}: {message}"
    return Problem(where[0] if where else "case", message)


def editor_rows(quantities: Mapping[str, Quantity]) -> list[dict[str, Any]]:
    """What the measurement editor must know of each quantity: its units, each with the plausible range in that unit."""
    return [{"key": key, "label": each.label, "units": _ranges(each)} for key, each in quantities.items()]


def _ranges(quantity: Quantity) -> list[dict[str, Any]]:
    return [
        {
            "unit": name,
            "low": _rounded((quantity.low - unit.offset) / unit.scale),
            "high": _rounded((quantity.high - unit.offset) / unit.scale),
        }
        for name, unit in quantity.units.items()
    ]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
