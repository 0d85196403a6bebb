"""The model card of an artifact: what it is, how it was made, what was measured, and what it must not be used for.

Everything comes from the manifest, and where they are at hand from the run's recipe.json and comparison.json and from
evaluations (`training.card_figures`). What nobody measured is not printed, and no published figure is.

    write_card(Path("artifacts/nano"), results=[Path("reports/nano")])     ->  text of MODEL_CARD.md
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazal.artifact import Manifest, artifact_files, load_manifest
from gazal.nano import RECIPE_NAME, STAGES
from training.card_figures import CardError, Measured, beside, evaluation, read, read_json
from training.runs import START_KEY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

CARD_NAME = "MODEL_CARD.md"
TEMPLATE = Path(__file__).with_name("card.md.jinja")
_STAGES = {"sft": "supervised fine-tuning", "grpo": "GRPO", "quantize": "compression"}
_LICENCES = {"apache-2.0": "apache-2.0", "mit": "mit", "cc-by-4.0": "cc-by-4.0", "cc-by-nc-4.0": "cc-by-nc-4.0"}
_OWN_COLUMNS = {"kind", "reference", "revision", "count", "licence", "attribution", "stages"}
_HUB_REPOSITORY = re.compile(r"[\w][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Sources:
    """What a card is written from, beside the manifest."""

    recipe: dict[str, Any] | None = None
    """`recipe.json` of the run: `recipe` and `origins`."""
    comparison: dict[str, Any] | None = None
    """`comparison.json` of the run."""
    results: list[Measured] = field(default_factory=list)
    """Its evaluations."""
    others: list[Measured] = field(default_factory=list)
    """Evaluations of other models on the same questions."""
    compression: dict[str, Any] = field(default_factory=dict)
    """`compression.json` of a compressed artifact."""
    size_bytes: int = 0
    shipped: bool = False
    """The directory holds adapters to merge, as `training.ship` leaves them."""
    repository: str | None = None
    """Where it will be published."""


def write_card(
    artifact: Path,
    *,
    results: Sequence[Path] = (),
    others: Sequence[Path] = (),
    recipe: Path | None = None,
    repository: str | None = None,
) -> str:
    """The card of an artifact directory. `recipe` is a run's recipe.json; by default that of the run it lies in or the
    one that was shipped with it.

    `results` are evaluations of the artifact, `others` those of models to show beside it: files or run directories.
    Raises CardError when a file that was named cannot be used, ArtifactError when there is no manifest.
    """
    manifest = load_manifest(artifact)
    run = next((each for each in artifact.resolve().parents[:2] if (each / "recipe.json").is_file()), None)
    shipped = artifact / RECIPE_NAME
    found = recipe or (run / "recipe.json" if run else shipped if shipped.is_file() else None)
    recorded = read_json(found) if found else None
    if recorded is not None and not _belongs(recorded, manifest):
        if recipe:
            raise CardError(
                f"{recipe} is not the recipe of any stage of {manifest.name}; give the run's own recipe.json"
            )
        recorded = run = None
    comparison = run / "comparison.json" if run and _last_training(manifest) == "grpo" else None
    settings = artifact / "compression.json"
    return render(
        manifest,
        Sources(
            recipe=recorded,
            comparison=read_json(comparison) if comparison and comparison.is_file() else None,
            results=[read(path) for path in results],
            others=[read(path) for path in others],
            compression=read_json(settings) if settings.is_file() else {},
            size_bytes=sum(path.stat().st_size for path in artifact_files(artifact)),
            shipped=(artifact / STAGES[0]).is_dir(),
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
    ran = {stage.kind for stage in manifest.stages}
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        header=_header(manifest, sources),
        manifest=manifest,
        base=_base(manifest),
        trained=manifest.knows_grammar,
        knows_grammar=manifest.knows_grammar,
        ran=ran,
        size_bytes=sources.size_bytes,
        shipped=sources.shipped,
        compression=sources.compression,
        parameters=list(_parameters(sources.recipe, ran)) if sources.recipe else [],
        sources=_data_sources(sources.recipe, ran) if sources.recipe else [],
        evaluations=[evaluation(each, manifest) for each in sources.results],
        others=beside(sources.results, sources.others),
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


def _data_sources(recorded: dict[str, Any], ran: Collection[str]) -> list[dict[str, str]]:
    """One row a source that a stage which ran has learned from, by what the recipe says of it."""
    rows = []
    stated: dict[str, str] = recorded.get("origins", {})
    for index, source in enumerate((recorded["recipe"].get("data") or {}).get("sources", [])):
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
                "settings": _settings(source, [name for name in stated if name.startswith(f"data.sources.{index}.")]),
                "licence": str(source.get("licence") or ("Apache-2.0" if kind in ours else "see the source")),
            }
        )
    return rows


def _settings(source: dict[str, Any], stated: Collection[str]) -> str:
    """What the recipe says of how a source is drawn, beside what has a column of its own."""
    names = dict.fromkeys(place.split(".")[3] for place in stated)
    parts = []
    for name in names:
        if name in _OWN_COLUMNS:
            continue
        value = source.get(name)
        if isinstance(value, list):
            value = ", ".join(map(str, value))
        elif isinstance(value, dict):
            value = ", ".join(f"{key} {each}" for key, each in value.items() if each is not None)
        parts.append(f"{name} {value}")
    return "; ".join(parts)


def _belongs(recorded: dict[str, Any], manifest: Manifest) -> bool:
    identity = hashlib.sha256(json.dumps(recorded.get("recipe"), sort_keys=True).encode()).hexdigest()
    return any(stage.recipe_sha256 == identity for stage in manifest.stages)


def _last_training(manifest: Manifest) -> str | None:
    return next((stage.kind for stage in reversed(manifest.stages) if stage.kind != "quantize"), None)


def _cell(value: object) -> str:
    """Text that cannot break out of a Markdown table cell."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list, bool)) else str(value)
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _figure(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
