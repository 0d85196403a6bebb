"""What was measured, as a card shows it: benchmarks, citations, reliance, and the same questions asked of other models.

Read from what `python -m eval` leaves in a run's directory: results.json, and beside it grounding.json and
reliance.json where those were measured. Read leniently: a figure that is not there is left blank, never guessed. A file
of other weights than the card's is refused, for a figure without its weights is worth nothing.

    evaluation(read(Path("reports/nano")), manifest)["rows"]
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.held_out import mcnemar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gazal.artifact import Manifest


class CardError(RuntimeError):
    """A file that the card should use cannot be used; the message names it."""


@dataclass(frozen=True)
class Measured:
    """One evaluation, and what else was measured on its answers."""

    results: dict[str, Any]
    """`results.json`."""
    grounding: dict[str, Any] | None = None
    """`grounding.json`."""
    reliance: dict[str, Any] | None = None
    """`reliance.json`."""


def read(path: Path) -> Measured:
    """The evaluation of a run's directory, or of its results.json. Raises CardError."""
    file = path / "results.json" if path.is_dir() else path
    extra = {name: file.with_name(f"{name}.json") for name in ("grounding", "reliance")}
    return Measured(read_json(file), **{name: read_json(each) for name, each in extra.items() if each.is_file()})


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises CardError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CardError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise CardError(f"{path} must hold a JSON object")
    return found


def evaluation(measured: Measured, manifest: Manifest) -> dict[str, Any]:
    """One evaluation: accuracy of each benchmark, how it was asked, citations and reliance.

    Raises CardError when the results measure nothing or other weights, or when what lies beside them does.
    """
    results = measured.results
    tasks = _tasks(results)
    if not tasks:
        raise CardError("the results file holds no measured accuracy; give results.json of a finished evaluation")
    artifact = results.get("artifact")
    known = {manifest.digest, manifest.parent.digest if manifest.parent else None, None}
    if artifact not in known:
        raise CardError(f"the results are of artifact {str(artifact)[:16]}, not of this one ({manifest.digest[:16]})")
    for name, found in (("grounding", measured.grounding), ("reliance", measured.reliance)):
        if found and found.get("artifact") != artifact:
            raise CardError(
                f"{name}.json is of artifact {str(found.get('artifact'))[:16]} and the results beside it of "
                f"{str(artifact)[:16]}; measure it again with `python -m eval {name}`"
            )
    try:
        citations = _citations(measured.grounding, tasks) if measured.grounding else []
        reliance = _reliance(measured.reliance) if measured.reliance else None
    except (KeyError, TypeError) as error:
        raise CardError(
            f"grounding.json or reliance.json lacks {error}; measure it again with `python -m eval`"
        ) from error
    return {
        "rows": [_row(name, task) for name, task in tasks.items()],
        "subject": {manifest.digest: "this artifact", None: "an artifact that the results do not name"}.get(
            artifact, "the parent, not on this compressed variant"
        ),
        "asked": _asked(results),
        "complete": results.get("complete"),
        "citations": citations,
        "reliance": reliance,
    }


def beside(own: Sequence[Measured], others: Sequence[Measured]) -> list[dict[str, Any]]:
    """Other models on benchmarks of the card, each with its own figures and what this artifact gained and lost to it.

    Compared is the evaluation that was sampled in the same way, else the first with that benchmark. Gained, lost and p
    are of the questions that both answered, once each; where one was asked several times, they are blank. Raises
    CardError for results without a benchmark or a question of the card.
    """
    order = [name for each in own for name in _tasks(each.results)]
    rows = []
    for other in (each.results for each in others):
        shared = {name: task for name, task in _tasks(other).items() if name in order and name in other["tasks"]}
        if not shared:
            raise CardError(
                f"the results of {_model(other)} share no benchmark with this artifact's; run the same tasks"
            )
        for name, task in shared.items():
            having = [each.results for each in own if name in _tasks(each.results)]
            alike = [each for each in having if _sampling(each) == _sampling(other)]
            pairs = _paired(_tasks((alike or having)[0])[name], task, f"{_model(other)} on {name}")
            rows.append(_row(name, task) | {"model": _model(other), "asked": _asked(other)} | pairs)
    return sorted(rows, key=lambda row: order.index(row["name"]))


def _citations(found: dict[str, Any], tasks: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of grounding.json: answers that cite findings which are not in the case."""
    return [
        {
            "title": tasks.get(task["task"], {}).get("title") or task["task"],
            "answers": task["answers"],
            "share": f"{task['share']:.1%}" if task["share"] is not None else "",
            "interval": _bounds(task["interval"]),
            "citations": task["citations"],
            "fabricated": task["fabricated"],
            "silent": task["without_citations"],
        }
        for task in found["tasks"]
    ]


def _reliance(found: dict[str, Any]) -> dict[str, Any]:
    """Rows of reliance.json: accuracy after the own thinking, part of it, none, another case's."""
    rows = []
    for each in found["conditions"]:
        change = each["difference"]
        rows.append(
            {
                "thinking": each["thinking"].replace("_", " "),
                "questions": each["questions"],
                "unreadable": each["unreadable"],
                "accuracy": f"{each['accuracy']:.1%}",
                "interval": _bounds(each["interval"]),
                "difference": f"{100 * change['difference']:+.1f} points" if change else "",
                "difference_interval": ""
                if not change
                else " to ".join(f"{100 * change['interval'][end]:+.1f}" for end in ("low", "high")),
            }
        )
    return {"rows": rows, "followed": found.get("followed"), "followed_of": found.get("followed_of")}


def _tasks(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The benchmarks, and pools of them, that have an accuracy."""
    found = {**(results.get("tasks") or {}), **(results.get("pooled") or {})}
    return {name: task for name, task in found.items() if (task.get("strict") or {}).get("value") is not None}


def _row(name: str, task: dict[str, Any]) -> dict[str, Any]:
    asked, expected, replies = task.get("questions"), task.get("expected_questions"), task.get("replies")
    partly = expected not in (None, asked)
    chance = task.get("chance")
    return {
        "name": name,
        "title": task.get("title") or name,
        "questions": "" if asked is None else f"{asked} of {expected}" if partly else asked,
        "accuracy": f"{task['strict']['value']:.1%}",
        "interval": _bounds(task["strict"].get("interval")),
        "chance": "" if chance is None else f"{chance:.1%}",
        "unreadable": f"{sum(task['failures'].values()) / replies:.1%}" if replies and "failures" in task else "",
    }


def _bounds(interval: dict[str, Any] | None) -> str:
    bounds = ((interval or {}).get("low"), (interval or {}).get("high"))
    return "" if None in bounds else f"{bounds[0]:.1%} to {bounds[1]:.1%}"


def _sampling(results: dict[str, Any]) -> dict[str, Any]:
    return (results.get("plan") or {}).get("generation") or {}


def _asked(results: dict[str, Any]) -> str:
    """How it was sampled, as far as that is recorded."""
    generation = _sampling(results)
    parts = []
    if "temperature" in generation:
        parts.append(f"temperature {generation['temperature']:g}")
    if "max_gen_toks" in generation:
        parts.append(f"at most {generation['max_gen_toks']} tokens a reply")
    if generation.get("constrained_to"):
        parts.append("every reply forced to be one of the final answers")
    return ", ".join(parts)


def _model(results: dict[str, Any]) -> str:
    artifact = str(results.get("artifact"))
    digest = "weights not verified" if artifact.startswith("unverified") else artifact[:8]
    return f"{results.get('model', 'another model')} ({digest})"


def _paired(ours: dict[str, Any], theirs: dict[str, Any], what: str) -> dict[str, Any]:
    """Questions that only one of the two has right, and the exact McNemar test, over those that both were asked."""
    mine, other = (task.get("items") or {} for task in (ours, theirs))
    pairs = [(mine[row]["scores"], other[row]["scores"]) for row in mine if row in other]
    if mine and other and not pairs:
        raise CardError(f"{what} was asked other questions than this artifact; run it with the same --limit and --seed")
    if not pairs or any(len(a) != 1 or len(b) != 1 for a, b in pairs):
        return {"both": len(pairs) or "", "gained": "", "lost": "", "p": ""}
    gained = sum(a[0] > b[0] for a, b in pairs)
    lost = sum(a[0] < b[0] for a, b in pairs)
    return {"both": len(pairs), "gained": gained, "lost": lost, "p": f"{mcnemar(gained, lost):.2g}"}
