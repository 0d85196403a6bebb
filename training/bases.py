"""The base as it is trained: found or made, with tokens for reasoning and a chat template.

A base that knows `<think>` and `</think>` (every Qwen3) is used where it lies. Another is copied into the run with the
two tokens added; their embeddings begin as the mean of the pieces that spelled them and are trained with stage 1. Such
a base also gets the plain ChatML template: its own may add a system prompt that serving does not send.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gazal.artifact import Base
from gazal.models import resolve
from gazal.reasoning_tokens import REASONING_TOKENS, add_reasoning_tokens
from training.runs import RunError, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.recipe import Recipe
    from training.runs import RunDirectory


@dataclass(frozen=True)
class PreparedBase:
    """Where the base lies and which of its tokens are to be trained."""

    path: Path
    added_tokens: list[int]
    """Indices of the reasoning tokens that it did not know; empty for a base that did."""
    origin: Base
    """What it came from, for the manifest."""
    licence: str


def prepare(
    recipe: Recipe, run: RunDirectory, progress: Callable[[int, int, float], None] | None = None
) -> PreparedBase:
    """Find or make the base of a recipe. A second call finds what the first one made.

    `progress(step, steps, loss)` follows the pre-training of `tiny`. Raises ArtifactError or RunError.
    """
    noted = run.path / "base.json"
    if noted.is_file():
        known = json.loads(noted.read_text(encoding="utf-8"))
        path = Path(known["path"]) if known["path"] else run.base
        if not (path / "config.json").is_file():
            raise RunError(
                f"the base of this run is gone from {path}; bring it back, or delete {noted} to fetch it anew"
            )
        return PreparedBase(path, known["added_tokens"], Base(**known["origin"]), known["licence"])
    prepared = _tiny(recipe, run, progress) if recipe.base.reference == "tiny" else _found(recipe, run)
    inside = prepared.path == run.base
    write_json(
        noted,
        {
            "path": None if inside else str(prepared.path),
            "added_tokens": prepared.added_tokens,
            "origin": prepared.origin.model_dump(),
            "licence": prepared.licence,
        },
    )
    return prepared


def _tiny(recipe: Recipe, run: RunDirectory, progress: Callable[[int, int, float], None] | None) -> PreparedBase:
    from training.data.sources import clinic_examples
    from training.tiny import make

    settings, source = recipe.base.pretraining, recipe.data.clinic
    if settings is None or source is None:
        raise RunError("the base 'tiny' is made from the clinic; give the recipe a source of kind 'clinic'")
    scratch = run.path / "base-without-tokens"
    if not scratch.is_dir():
        # Disputed intervals come later: among them a million parameters do not find out what width is.
        clear = source.model_copy(update={"nearly_wide": "none"})
        examples = list(clinic_examples(clear, "train", settings.documents, settings.seed))
        make(scratch, examples, recipe.base.shape, settings, progress)
    origin = Base(reference="tiny: made and pre-trained by this recipe")
    return PreparedBase(run.base, add_reasoning_tokens(scratch, run.base), origin, "Apache-2.0")


def _found(recipe: Recipe, run: RunDirectory) -> PreparedBase:
    from transformers import AutoTokenizer

    reference, revision = recipe.base.reference, recipe.base.revision
    model = resolve(f"{reference}@{revision}" if revision else reference)
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    if all(token in tokenizer.get_vocab() for token in REASONING_TOKENS):
        return PreparedBase(model.path, [], model.manifest.base, model.manifest.licence)
    added = add_reasoning_tokens(model.path, run.base)
    return PreparedBase(run.base, added, model.manifest.base, model.manifest.licence)
