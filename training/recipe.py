"""Recipes: one YAML file describes a whole run, and each value says where it comes from.

Every value of `base`, `data`, `sft` and `grpo` carries a tag: `!paper` (read in the paper), `!card` (read in the model
card) or `!ours`; only the base's sizes are plain facts of its configuration. The paper's hyper-parameters are mostly
not public (nobody here has read its sections 3 to 7), so a value without a tag is refused: it could be taken for the
paper's. Unknown keys are refused too.

    recipe = load("training/recipes/gazal-r1-32b.yaml")
    recipe.sft.adapter.rank, recipe.origins["sft.adapter.rank"]      ->  256, "ours"
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.rewards import RewardPolicy

Origin = Literal["paper", "card", "ours"]
ORIGINS: tuple[Origin, ...] = ("paper", "card", "ours")
_TAGGED_SECTIONS = ("base", "data", "sft", "grpo")
_FACTS = "base.shape."

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]


class RecipeError(ValueError):
    """A recipe is malformed; the message names file, field and fix."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Expected(_Section):
    """What a run needs and gives, for the person who decides whether to start it."""

    device: str
    """A device of `training.plan`."""
    count: Positive
    memory_gb: Annotated[float, Field(gt=0)]
    """On each device, for the hungrier stage."""
    hours: str
    metric: str
    measured: bool
    """Whether memory, hours and metric were measured by running this recipe, or are estimates."""


class Shape(_Section):
    """Sizes of a decoder, from which memory is computed without loading it."""

    parameters: Positive
    layers: Positive
    hidden: Positive
    intermediate: Positive
    heads: Positive
    kv_heads: Positive
    head_dim: Positive
    vocabulary: Positive

    def linear_layers(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of the seven linear layers of one block."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }


class BaseModelSource(_Section):
    """The model that training begins from."""

    reference: str
    """`nano`, `tiny` (made and pre-trained by us), a directory, or `org/repo` on the hub."""
    revision: str | None = None
    """Commit of the hub repository; required there."""
    shape: Shape

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if "/" in self.reference and not self.reference.startswith((".", "/", "~")) and not self.revision:
            raise ValueError(f"{self.reference} needs a revision (a commit), so that the run can be repeated")
        return self


class Source(_Section):
    """One source of examples."""

    kind: Literal["clinic", "hub", "jsonl"]
    reference: str | None = None
    """Hub data set, or JSONL file."""
    revision: str | None = None
    """Commit of the hub data set; left out, the first build notes the one it got, and a resumed run insists on it."""
    count: Positive | None = None
    """Examples to take; all when left out. Required for `clinic`, which is generated."""
    stages: list[Literal["sft", "grpo"]]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "clinic" and (self.count is None or self.reference):
            raise ValueError("a 'clinic' source takes a count and no reference")
        if self.kind != "clinic" and not self.reference:
            raise ValueError(f"a {self.kind!r} source needs a reference")
        return self


class Data(_Section):
    """What is learned from, and what is done to it first."""

    sources: Annotated[list[Source], Field(min_length=1)]
    development_share: Share
    """Held back by group for choosing checkpoints; the benchmarks are never used for that."""
    max_prompt_tokens: Positive
    max_completion_tokens: Positive
    """Longer examples are left out, never cut: a cut one would lose its answer."""


class AdapterSettings(_Section):
    """The low-rank adapter; dropout is always 0, DoRA would otherwise compute the base twice."""

    rank: Positive
    alpha: Positive
    dora: bool
    rank_stabilised: bool
    """rsLoRA: scale alpha / sqrt(rank)."""


class Optimisation(_Section):
    """Optimiser, schedule and batch."""

    optimizer: Literal["exadam", "adamw"]
    learning_rate: Rate
    weight_decay: Share
    schedule: Literal["warmup_stable_decay", "cosine", "constant"]
    warmup_ratio: Share
    decay_ratio: Share
    """Share of all steps over which the rate falls at the end; for warmup_stable_decay."""
    steps: Positive
    micro_batch: Positive
    accumulation: Positive
    max_gradient_norm: Annotated[float, Field(gt=0)]
    seed: int

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if self.warmup_ratio + self.decay_ratio > 1:
            raise ValueError("warmup_ratio and decay_ratio together exceed 1")
        return self


class Sft(_Section):
    """Stage 1: supervised fine-tuning on reasoned answers."""

    adapter: AdapterSettings
    optimisation: Optimisation
    pack_to_tokens: Positive | None = None
    """Pack several examples into sequences of this length; needs attention that keeps them apart."""


class Grpo(_Section):
    """Stage 2: group-relative policy optimisation with verifiable rewards."""

    adapter: AdapterSettings
    optimisation: Optimisation
    group_size: Annotated[int, Field(ge=2)]
    prompts_per_step: Positive
    temperature: Annotated[float, Field(gt=0, le=2)]
    clip_low: Rate
    clip_high: Rate
    kl_weight: Annotated[float, Field(ge=0)]
    """beta; 0 needs no reference model."""
    loss: Literal["dapo", "dr_grpo", "grpo", "bnpo"]
    advantage_scale: Literal["group", "batch", "none"]
    aggregation: Literal["sum_then_normalize", "normalize_then_sum"]
    mask_truncated: bool
    shuffle_options: bool
    rewards: RewardPolicy
    rollouts: Literal["transformers", "vllm-colocate", "vllm-server"]


class Recipe(_Section):
    """A whole run: base, data, two stages."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")]
    expected: Expected
    base: BaseModelSource
    data: Data
    sft: Sft
    grpo: Grpo
    precision: Literal["bfloat16", "float32"]
    distribution: Literal["single", "ddp", "fsdp2"]


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe and the origin of each of its values."""

    recipe: Recipe
    origins: dict[str, Origin]


def load(path: Path) -> LoadedRecipe:
    """Read and check a recipe file. Raises RecipeError."""
    origins: dict[str, Origin] = {}
    try:
        tree = _plain(yaml.load(path.read_text(encoding="utf-8"), Loader=_TaggedLoader), "", origins)  # noqa: S506
    except FileNotFoundError as error:
        raise RecipeError(f"{path} does not exist") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path.name}: {error}") from error
    except ValueError as error:
        raise RecipeError(f"{path.name}, {error}") from error
    try:
        return LoadedRecipe(Recipe.model_validate(tree), origins)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        reason = "unknown key; remove it" if first["type"] == "extra_forbidden" else first["msg"]
        raise RecipeError(f"{path.name}, {place}: {reason.removeprefix('Value error, ')}") from error


@dataclass(frozen=True)
class _Tagged:
    origin: Origin
    value: Any


class _TaggedLoader(yaml.SafeLoader):
    """A safe loader that knows our three tags and nothing else beyond plain YAML."""


def _construct(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> _Tagged:
    if suffix not in ORIGINS:
        raise yaml.constructor.ConstructorError(None, None, f"unknown tag !{suffix}; use !paper, !card or !ours")
    if isinstance(node, yaml.ScalarNode):
        tag = loader.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
        return _Tagged(suffix, loader.construct_object(yaml.ScalarNode(tag, node.value)))
    raise yaml.constructor.ConstructorError(None, None, f"!{suffix} belongs before a single value")


_TaggedLoader.add_multi_constructor("!", _construct)


def _plain(node: Any, place: str, origins: dict[str, Origin]) -> Any:  # noqa: ANN401
    """The tree without tags; records each origin and refuses an untagged value in the tagged sections."""
    if isinstance(node, _Tagged):
        origins[place] = node.origin
        return node.value
    if isinstance(node, dict):
        return {key: _plain(value, f"{place}.{key}" if place else str(key), origins) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value, f"{place}.{index}", origins) for index, value in enumerate(node)]
    if place.partition(".")[0] in _TAGGED_SECTIONS and not place.startswith(_FACTS):
        raise ValueError(f"{place}: say where this value comes from, with !paper, !card or !ours before it")
    return node
