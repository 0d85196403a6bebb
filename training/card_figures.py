"""What was measured, as a card shows it: benchmarks, the same questions asked of other models, citations, reliance.

Read from what `python -m eval` leaves in a run's directory: results.json, and beside it grounding.json and
reliance.json where those were measured. Read leniently: a figure that is not there is left blank, never guessed. A file
of another artifact than the card's is refused, for a figure without its weights is worth nothing.

    evaluation(json.loads(text_of_results), manifest)["rows"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training.held_out import mcnemar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gazal.artifact import Manifest


class CardError(RuntimeError):
    """A file that the card should use cannot be used; the message names it."""


def evaluation(results: dict[str, Any], manifest: Manifest) -> dict[str, Any]:
    """One evaluation: accuracy of each benchmark, and how it was asked.

    Raises CardError when the results measure nothing or another artifact.
    """
    rows = [_row(name, task) for name, task in _tasks(results) if (task.get("strict") or {}).get("value") is not None]
    if not rows:
        raise CardError("the results file holds no measured accuracy; give results.json of a finished evaluation")
    artifact = results.get("artifact")
    known = {manifest.digest, manifest.parent.digest if manifest.parent else None, None}
    if artifact not in known:
        raise CardError(f"the results are of artifact {str(artifact)[:16]}, not of this one ({manifest.digest[:16]})")
    return {
        "rows": rows,
        "subject": {manifest.digest: "this artifact", None: "an artifact that the results do not name"}.get(
            artifact, "the parent, not on this compressed variant"
        ),
        "asked": _asked(results),
        "complete": results.get("complete"),
    }


def beside(own: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Other models on benchmarks of the card, each with its own figures and what this artifact gained and lost to it.

    Gained, lost and p are of the questions that both answered once; where one was asked several times, they are blank.
    Raises CardError for results without a benchmark of the card.
    """
    rows = []
    ours = {name: task for results in own for name, task in _tasks(results)}
    for other in others:
        shared = [(name, task) for name, task in _tasks(other) if name in ours and name in (other.get("tasks") or {})]
        if not shared:
            raise CardError(
                f"the results of {_model(other)} share no benchmark with those of this artifact; run the same tasks"
            )
        rows += [
            _row(name, task) | {"model": _model(other), "asked": _asked(other)} | _paired(ours[name], task)
            for name, task in shared
        ]
    return sorted(rows, key=lambda row: list(ours).index(row["name"]))


def citations(found: dict[str, Any], manifest: Manifest, titles: dict[str, str]) -> list[dict[str, Any]]:
    """Rows of grounding.json: answers that cite findings which are not in the case. Raises CardError."""
    _same_artifact("grounding.json", found, manifest)
    return [
        {
            "title": titles.get(task["task"], task["task"]),
            "answers": task["answers"],
            "share": f"{task['share']:.1%}" if task["share"] is not None else "",
            "interval": _bounds(task["interval"]),
            "citations": task["citations"],
            "fabricated": task["fabricated"],
            "silent": task["without_citations"],
        }
        for task in found["tasks"]
    ]


def reliance(found: dict[str, Any], manifest: Manifest) -> dict[str, Any]:
    """Rows of reliance.json: accuracy after the own thinking, part of it, none, another case's. Raises CardError."""
    _same_artifact("reliance.json", found, manifest)
    rows = []
    for each in found["conditions"]:
        change = each["difference"]
        rows.append(
            {
                "thinking": each["thinking"].replace("_", " "),
                "questions": each["questions"],
                "accuracy": f"{each['accuracy']:.1%}",
                "interval": _bounds(each["interval"]),
                "difference": f"{100 * change['difference']:+.1f} points" if change else "",
                "difference_interval": ""
                if not change
                else " to ".join(f"{100 * change['interval'][end]:+.1f}" for end in ("low", "high")),
            }
        )
    followed = found.get("followed")
    return {"rows": rows, "followed": followed, "followed_of": found.get("followed_of")}


def _tasks(results: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from (results.get("tasks") or {}).items()
    yield from (results.get("pooled") or {}).items()


def _row(name: str, task: dict[str, Any]) -> dict[str, Any]:
    asked, expected, replies = task.get("questions"), task.get("expected_questions"), task.get("replies")
    partly = expected not in (None, asked)
    unreadable = f"{sum(task['failures'].values()) / replies:.1%}" if replies and "failures" in task else ""
    return {
        "name": name,
        "title": task.get("title") or name,
        "questions": "" if asked is None else f"{asked} of {expected}" if partly else asked,
        "accuracy": f"{task['strict']['value']:.1%}",
        "interval": _bounds(task["strict"].get("interval")),
        "unreadable": unreadable,
    }


def _bounds(interval: dict[str, Any] | None) -> str:
    bounds = ((interval or {}).get("low"), (interval or {}).get("high"))
    return "" if None in bounds else f"{bounds[0]:.1%} to {bounds[1]:.1%}"


def _asked(results: dict[str, Any]) -> str:
    """How it was sampled, as far as that is recorded."""
    generation = (results.get("plan") or {}).get("generation") or {}
    parts = []
    if "temperature" in generation:
        parts.append(f"temperature {generation['temperature']:g}")
    if "max_gen_toks" in generation:
        parts.append(f"at most {generation['max_gen_toks']} tokens a reply")
    if generation.get("constrained_to"):
        parts.append("every reply forced to be one of the final answers")
    return ", ".join(parts)


def _model(results: dict[str, Any]) -> str:
    return f"{results.get('model', 'another model')} ({str(results.get('artifact'))[:8]})"


def _paired(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Questions that only one of the two has right, and the exact McNemar test, over those that both were asked."""
    mine, other = (task.get("items") or {} for task in (ours, theirs))
    shared = [row for row in mine if row in other]
    pairs = [(mine[row]["scores"], other[row]["scores"]) for row in shared]
    if not pairs or any(len(a) != 1 or len(b) != 1 for a, b in pairs):
        return {"gained": "", "lost": "", "p": ""}
    gained = sum(a[0] > b[0] for a, b in pairs)
    lost = sum(a[0] < b[0] for a, b in pairs)
    return {"gained": gained, "lost": lost, "p": f"{mcnemar(gained, lost):.2g}"}


def _same_artifact(file: str, found: dict[str, Any], manifest: Manifest) -> None:
    if found.get("artifact") != manifest.digest:
        raise CardError(
            f"{file} is of artifact {str(found.get('artifact'))[:16]}, not of this one ({manifest.digest[:16]})"
        )
