"""The model card of an artifact: what it is, how it was made, what was measured, and what it must not be used for.

Everything comes from the manifest, and where they are at hand from the run's recipe.json and comparison.json and from
the results.json of an evaluation. What nobody measured is not printed, and no published figure is.

    write_card(Path("artifacts/nano"), results=Path("reports/nano/results.json"))     ->  text of MODEL_CARD.md
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazal.artifact import Manifest, artifact_files, load_manifest
from training.runs import START_KEY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

CARD_NAME = "MODEL_CARD.md"
TEMPLATE = Path(__file__).with_name("card.md.jinja")
_STAGES = {"sft": "supervised fine-tuning", "grpo": "GRPO", "quantize": "compression"}
_LICENCES = {"apache-2.0": "apache-2.0", "mit": "mit", "cc-by-4.0": "cc-by-4.0", "cc-by-nc-4.0": "cc-by-nc-4.0"}
_HUB_REPOSITORY = re.compile(r"[\w][\w.-]*/[\w.-]+")


class CardError(RuntimeError):
    """A file that the card should use cannot be used; the message names it."""


@dataclass(frozen=True)
class Sources:
    """What a card is written from, beside the manifest."""

    recipe: dict[str, Any] | None = None
    """`recipe.json` of the run: `recipe` and `origins`."""
    comparison: dict[str, Any] | None = None
    """`comparison.json` of the run."""
    results: dict[str, Any] | None = None
    """`results.json` of an evaluation."""
    compression: dict[str, Any] = field(default_factory=dict)
    """`compression.json` of a compressed artifact."""
    size_bytes: int = 0
    repository: str | None = None
    """Where it will be published."""


def write_card(
    artifact: Path, *, results: Path | None = None, recipe: Path | None = None, repository: str | None = None
) -> str:
    """The card of an artifact directory. `recipe` is a run's recipe.json; by default the one of the run it lies in.

    Raises CardError when a file that was named cannot be used, ArtifactError when there is no manifest.
    """
    manifest = load_manifest(artifact)
    run = next((each for each in artifact.resolve().parents[:2] if (each / "recipe.json").is_file()), None)
    found = recipe or (run / "recipe.json" if run else None)
    recorded = _read(found) if found else None
    if recorded is not None and not _belongs(recorded, manifest):
        if recipe:
            raise CardError(
                f"{recipe} is not the recipe of any stage of {manifest.name}; give the run's own recipe.json"
            )
        recorded = run = None
    comparison = run / "comparison.json" if run and _last_training(manifest) == "grpo" else None
    if results is not None and results.is_dir():
        results = results / "results.json"
    settings = artifact / "compression.json"
    return render(
        manifest,
        Sources(
            recipe=recorded,
            comparison=_read(comparison) if comparison and comparison.is_file() else None,
            results=_read(results) if results else None,
            compression=_read(settings) if settings.is_file() else {},
            size_bytes=sum(path.stat().st_size for path in artifact_files(artifact)),
            repository=repository,
        ),
    )


def render(manifest: Manifest, sources: Sources) -> str:
    """The card's Markdown, with the metadata header that the hub reads."""
    import jinja2

    # The card is Markdown, not HTML; what comes from files is made safe for a table cell by the filter `cell`.
    environment = jinja2.Environment(autoescape=False, undefined=jinja2.StrictUndefined)  # noqa: S701
    environment.filters |= {
        "cell": _cell,
        "figure": _figure,
        "share": lambda value: f"{float(value):.1%}",
        "gigabytes": lambda size: f"{size / 1e9:.2f} GB",
        "stage_title": lambda kind: _STAGES[kind],
    }
    recipe = sources.recipe["recipe"] if sources.recipe else None
    ran = {stage.kind for stage in manifest.stages}
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        header=_header(manifest, sources),
        manifest=manifest,
        base=_base(manifest),
        trained=manifest.knows_grammar,
        knows_grammar=manifest.knows_grammar,
        size_bytes=sources.size_bytes,
        compression=sources.compression,
        parameters=list(_parameters(sources.recipe, ran)) if sources.recipe else [],
        sources=_data_sources(recipe, ran) if recipe else [],
        evaluation=_evaluation(sources.results, manifest) if sources.results else None,
        comparison=sources.comparison,
        start_key=START_KEY,
        repository=sources.repository,
        gguf=next((name for name in manifest.files if name.endswith(".gguf")), None),
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _header(manifest: Manifest, sources: Sources) -> str:
    """YAML that the hub reads: licence, base model, tags."""
    import yaml

    licence = _LICENCES.get(manifest.licence.lower())
    header: dict[str, Any] = {"license": licence or "other"}
    if not licence:
        header["license_name"] = re.sub(r"[^a-z0-9.]+", "-", manifest.licence.lower()).strip("-")[:60]
    header |= {"language": ["en"], "pipeline_tag": "text-generation"}
    header["library_name"] = "gguf" if any(name.endswith(".gguf") for name in manifest.files) else "transformers"
    if _HUB_REPOSITORY.fullmatch(manifest.base.reference):
        header["base_model"] = manifest.base.reference
        header["base_model_relation"] = "quantized" if manifest.parent else "finetune"
    header["tags"] = [
        "medical",
        "reasoning",
        "gazal-r1",
        *([sources.compression["format"]] if sources.compression else []),
    ]
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n"


def _base(manifest: Manifest) -> str:
    revision = f" at revision `{manifest.base.revision}`" if manifest.base.revision else ""
    return f"`{manifest.base.reference}`{revision}"


def _parameters(recorded: dict[str, Any], ran: Collection[str]) -> Iterator[tuple[str, object, str]]:
    """Name, value and origin of each value of the method; data sources have a table of their own.

    The recipe may hold a stage that was not run (`ran` are those that were); nothing is told of it.
    """
    origins: dict[str, str] = recorded.get("origins", {})

    def leaves(tree: object, place: str) -> Iterator[tuple[str, object]]:
        if isinstance(tree, dict):
            for key, value in tree.items():
                yield from leaves(value, f"{place}.{key}")
        else:
            yield place, tree

    for section in ("base", "data", *(stage for stage in ("sft", "grpo") if stage in ran)):
        for place, value in leaves(recorded["recipe"].get(section) or {}, section):
            if value is not None and place != "data.sources" and place in origins:
                yield place, value, origins[place]


def _data_sources(recipe: dict[str, Any], ran: Collection[str]) -> list[dict[str, str]]:
    """One row a source that a stage which ran has learned from, by what the recipe says of it."""
    rows = []
    for source in (recipe.get("data") or {}).get("sources", []):
        kind = source.get("kind", "")
        stages = [stage for stage in source.get("stages", []) if stage in ran]
        if not stages:
            continue
        ours = {
            "clinic": "cases generated by our clinic",
            "sheets": "sheets of short questions about our clinic",
            "vignettes": "cases told by hand",
            "examples": "cases answered by hand",
        }
        what = ours.get(kind) or source.get("reference") or kind
        rows.append(
            {
                "what": str(what),
                "revision": str(source.get("revision") or ""),
                "rows": str(source.get("count") or "all"),
                "stages": ", ".join(stages),
                "licence": str(source.get("licence") or ("Apache-2.0" if kind in ours else "see the source")),
            }
        )
    return rows


def _evaluation(results: dict[str, Any], manifest: Manifest) -> dict[str, Any]:
    """What an evaluation measured. Read leniently: a figure that is not there is left blank, never guessed."""
    rows = []
    for name, task in {**results.get("tasks", {}), **results.get("pooled", {})}.items():
        strict = task.get("strict") or {}
        if strict.get("value") is None:
            continue
        interval = strict.get("interval") or {}
        bounds = (interval.get("low"), interval.get("high"))
        asked, expected = task.get("questions"), task.get("expected_questions")
        replies = task.get("replies")
        rows.append(
            {
                "title": task.get("title") or name,
                "questions": ""
                if asked is None
                else f"{asked} of {expected}"
                if expected not in (None, asked)
                else asked,
                "accuracy": f"{strict['value']:.1%}",
                "interval": "" if None in bounds else f"{bounds[0]:.1%} to {bounds[1]:.1%}",
                "unreadable": f"{sum(task['failures'].values()) / replies:.1%}"
                if replies and "failures" in task
                else "",
            }
        )
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
        "complete": results.get("complete"),
    }


def _belongs(recorded: dict[str, Any], manifest: Manifest) -> bool:
    identity = hashlib.sha256(json.dumps(recorded.get("recipe"), sort_keys=True).encode()).hexdigest()
    return any(stage.recipe_sha256 == identity for stage in manifest.stages)


def _last_training(manifest: Manifest) -> str | None:
    return next((stage.kind for stage in reversed(manifest.stages) if stage.kind != "quantize"), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CardError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise CardError(f"{path} must hold a JSON object")
    return found


def _cell(value: object) -> str:
    """Text that cannot break out of a Markdown table cell."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list, bool)) else str(value)
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _figure(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
