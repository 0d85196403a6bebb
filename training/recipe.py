"""Recipes: one YAML file describes a whole run, and each value says where it comes from.

Every value of `base`, `data`, `synthesize`, `sft` and `grpo` carries a tag: `!paper` (read in the paper), `!card` (read
in the model card) or `!ours`; only the base's sizes are plain facts of its configuration. The paper's hyper-parameters
are mostly not public (nobody here has read its sections 3 to 7), so a value without a tag is refused: it could be taken
for the paper's. Unknown keys are refused too.

    recipe = load("training/recipes/gazal-r1-32b.yaml")
    recipe.sft.adapter.rank, recipe.origins["sft.adapter.rank"]      ->  256, "ours"
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gazal.prompting import Mode
from training.clinic.questions import Topic
from training.clinic.studies import NearlyWide
from training.rewards import RewardPolicy

Origin = Literal["paper", "card", "ours"]
ORIGINS: tuple[Origin, ...] = ("paper", "card", "ours")
_TAGGED_SECTIONS = ("base", "data", "synthesize", "sft", "grpo")
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


class Pretraining(_Section):
    """How the `tiny` base is made from scratch, on the plain language of the recipe's clinic (see `training.tiny`)."""

    documents: Positive
    """Cases with their explanations in running prose."""
    steps: Positive
    tokens_per_step: Positive
    learning_rate: Rate
    seed: int


class BaseModelSource(_Section):
    """The model that training begins from."""

    reference: str
    """`nano-base`, `tiny` (made and pre-trained by us), a directory, or `org/repo` on the hub."""
    revision: str | None = None
    """Commit of the hub repository; required there."""
    pretraining: Pretraining | None = None
    """For `tiny`, and only there."""
    shape: Shape

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if "/" in self.reference and not self.reference.startswith((".", "/", "~")) and not self.revision:
            raise ValueError(f"{self.reference} needs a revision (a commit), so that the run can be repeated")
        if (self.reference == "tiny") != (self.pretraining is not None):
            raise ValueError("pretraining belongs to the base 'tiny', which needs it")
        return self


class Columns(_Section):
    """Which column of a data set holds what; a dot reaches into a struct (`meta.dup_group`).

    What is left out is looked for under its own name, and is not there when no such column exists.
    """

    id: str | None = None
    mode: str | None = None
    """One of the six task modes; without it, `Source.mode` or the options decide."""
    case: str | None = None
    question: str | None = None
    options: str | None = None
    """Label to text, a list of texts, or a list of structs; else lines "A. ..." at the end of the question count."""
    answer: str | None = None
    """The key: a label, or the text of an option."""
    context: str | None = None
    """The abstract of a research question, as text or a list of sections."""
    reasoning: str | None = None
    response: str | None = None
    """The answer text after `reasoning`."""
    completion: str | None = None
    """Reasoning and answer in one text, with their tags; in place of `reasoning` and `response`."""
    group: str | None = None
    """Equal values stay on one side of every cut; `meta.dup_group` where that exists."""


class Source(_Section):
    """One source of examples."""

    kind: Literal["clinic", "sheets", "vignettes", "examples", "hub", "jsonl"]
    name: Annotated[str, Field(pattern=r"^[\w.-]+$")] | None = None
    """In reports and row groups; otherwise made from the reference."""
    reference: str | None = None
    """Hub data set, or JSONL file; `$GAZAL_DATA_DIR/` at its start is the directory of the question sets."""
    revision: str | None = None
    """Commit of the hub data set; left out, the first build notes the one it got, and a resumed run insists on it."""
    config: str | None = None
    """Configuration of a hub data set that has several."""
    split: str = "train"
    """Split of the hub data set."""
    count: Positive | None = None
    """Examples to take; all when left out. Required for `clinic` and `sheets`, which are generated."""
    seed: int = 1
    """Of the generated cases."""
    presentations: list[str] = Field(default_factory=list)
    """Ids of the clinic's presentations to draw from; all when empty."""
    topics: list[Topic] = Field(default_factory=list)
    """What the clinic's cases ask, in multiple-choice questions alone; everything it can ask when empty."""
    mode: Mode | None = None
    """Task mode of all its rows, where neither a column nor the options tell."""
    length: Literal["full", "compact", "brief"] = "full"
    """How much reasoning the answers of `clinic` and `vignettes` hold: `compact` for small models, `brief` for tiny."""
    nearly_wide: NearlyWide = "none"
    """Of the clinic's brief trials: intervals that are narrow but nearly wide. `disputed`: readers who differ on them,
    something to imitate in stage 1; `keyed`: answers by the key, by which stage 2 settles it."""
    undecided_share: Annotated[float, Field(ge=0, le=1)] | None = None
    """Of the clinic's draws about diagnosis and treatment: those for which it tries to show only what two conditions
    explain alike, so that the answer is that the case is open; the clinic's own share (0.4) when left out."""
    facts_share: Annotated[float, Field(ge=0, le=1)] | None = None
    """Of the sheets: those that ask for nothing but facts; three in ten when left out. A model that has learned the
    facts and still misses names needs fewer."""
    emphasis: list[str] = Field(default_factory=list)
    """Ids of conditions that come three times as often in the clinic's cases and sheets: those that an earlier part of
    the run names badly (`training clinic misnamed`)."""
    rewrite: Literal["casimedicos", "pubmedqa"] | None = None
    """Make completions for SFT out of the explanations of this data set, in our own row schema; rows without a sound
    one are left out."""
    columns: Columns = Columns()
    licence: str = ""
    attribution: str = ""
    stages: list[Literal["sft", "grpo"]] = Field(default_factory=list)
    """What its rows are for; needed in `data`, without meaning in `synthesize`."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind in ("clinic", "sheets") and (self.count is None or self.reference):
            raise ValueError(f"a {self.kind!r} source takes a count and no reference")
        if self.rewrite and self.kind not in ("hub", "jsonl"):
            raise ValueError(f"a {self.kind!r} source has its own completions; take `rewrite` out")
        if self.kind in ("vignettes", "examples") and self.reference:
            raise ValueError(f"a {self.kind!r} source takes no reference")
        if self.kind in ("sheets", "examples") and "grpo" in self.stages:
            raise ValueError(f"a {self.kind!r} source is for stages [sft], for want of keys")
        if self.kind in ("hub", "jsonl") and not self.reference:
            raise ValueError(f"a {self.kind!r} source needs a reference")
        if self.nearly_wide != "none" and (self.kind != "clinic" or self.length != "brief"):
            raise ValueError("`nearly_wide` is for a clinic source of length brief")
        if self.undecided_share is not None and (self.kind != "clinic" or self.length == "brief"):
            raise ValueError("`undecided_share` is for a clinic source; brief cases are never open")
        if self.facts_share is not None and self.kind != "sheets":
            raise ValueError("`facts_share` is for sheets")
        if self.emphasis and self.kind not in ("clinic", "sheets"):
            raise ValueError("`emphasis` is for clinic and sheets, which are generated")
        if self.nearly_wide == "disputed" and self.stages != ["sft"]:
            raise ValueError("disputed answers are to imitate: `nearly_wide: disputed` is for stages [sft]")
        return self


class Data(_Section):
    """What is learned from, and what is done to it first."""

    sources: Annotated[list[Source], Field(min_length=1)]
    development_share: Share
    """Held back by group for choosing checkpoints; the benchmarks are never used for that."""
    max_prompt_tokens: Positive
    max_completion_tokens: Positive
    """Longer examples are left out, never cut: a cut one would lose its answer."""
    near_duplicate_similarity: Share = 0.6
    """Rows whose 3-word runs overlap by this Jaccard similarity are near-duplicates; 1 removes exact repeats alone."""
    benchmarks: list[str] = Field(default_factory=list)
    """Question files to decontaminate against, besides the embedded set and those in GAZAL_DATA_DIR."""
    require_benchmarks: bool = True
    """Refuse to build when no benchmark but the embedded set is found; false for data that cannot overlap one."""
    max_overlap: Share = 0.2
    """A source of which more than this share overlaps with benchmarks is refused as a whole."""

    @property
    def clinic(self) -> Source | None:
        """The first source that is the clinic: the tiny base is made from it."""
        return next((source for source in self.sources if source.kind == "clinic"), None)

    @property
    def held_out_clinic(self) -> Source | None:
        """The clinic that the held-out questions are made from: the first that stage 2 learns from, or the first."""
        clinics = [source for source in self.sources if source.kind == "clinic"]
        return next((source for source in clinics if "grpo" in source.stages), self.clinic)

    @model_validator(mode="after")
    def _used(self) -> Self:
        if not all(source.stages for source in self.sources):
            raise ValueError("each source needs stages: [sft], [grpo] or [sft, grpo]")
        return self


class Synthesis(_Section):
    """A teacher model that writes reasoned answers to the questions of some sources."""

    endpoint: Annotated[str, Field(pattern=r"^https?://")]
    """Of an OpenAI-compatible server, with its `/v1`."""
    model: str
    key_variable: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = None
    """Environment variable that holds the API key; the key itself is stored nowhere."""
    sources: Annotated[list[Source], Field(min_length=1)]
    modes: Annotated[list[Mode], Field(min_length=1)]
    """Tasks to set. Open ones are asked of every case, `mcq` and `research` where there is a key to check."""
    attempts: Positive = 3
    """How often a question is asked whose answer is rejected."""
    concurrency: Positive = 16
    max_tokens: Positive = 4096
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    timeout_s: Annotated[float, Field(gt=0)] = 300
    min_steps: Positive = 3
    max_steps: Positive = 12
    usd_per_million_prompt_tokens: Annotated[float, Field(ge=0)] = 0
    usd_per_million_completion_tokens: Annotated[float, Field(ge=0)] = 0
    budget_tokens: Positive | None = None
    """No question is asked once this many tokens are spent, over all runs; those under way are finished."""
    budget_usd: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if self.budget_usd and not (self.usd_per_million_prompt_tokens or self.usd_per_million_completion_tokens):
            raise ValueError("budget_usd needs usd_per_million_prompt_tokens and usd_per_million_completion_tokens")
        return self


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
    checkpoint_every: Positive = 50
    """Steps between checkpoints; a run that was killed goes on from the last one."""
    gradient_checkpointing: bool = True
    """Recompute activations instead of keeping them; small models on a CPU are faster without."""

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
    start_from: str | None = None
    """Directory of an adapter to go on from in place of a fresh one, of the same kind; the optimiser starts anew."""
    start_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of `start_from` in the finished adapter, the rest is what was trained: 0.5 is their mean (WiSE-FT)."""
    int8_base: bool = False
    """Multiply with the frozen base in 8-bit integers and compute all else in float32; for a CPU (`training.int8`)."""
    compiled: bool = False
    """Compile the decoder layers (torch.compile), for a CPU with a C++ compiler; it takes two minutes at the start."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.start_share and self.start_from is None:
            raise ValueError("start_share is the share of start_from; name that adapter too")
        if self.compiled and not (self.int8_base and self.adapter.dora):
            raise ValueError("compiled needs int8_base and adapter.dora: what is compiled is DoRA in float32")
        return self


class Difficulty(_Section):
    """Leave out prompts that teach nothing: those that the stage-1 model nearly always or never gets right."""

    samples: Annotated[int, Field(ge=2)]
    """Completions a prompt, by which its pass rate is measured."""
    lowest: Share
    """Prompts with a pass rate below this are left out."""
    highest: Share
    """Prompts with a pass rate above this are left out."""
    prompts: Positive
    """How many prompts to try."""


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
    """Another order of the options in every epoch, so that a letter means nothing."""
    difficulty: Difficulty | None = None
    rewards: RewardPolicy
    rollouts: Literal["transformers", "vllm-colocate", "vllm-server"]
    rollout_batch: Positive = 32
    """Completions sampled together, with transformers."""


class HeldOut(_Section):
    """Questions of the clinic's held-out combinations that every merged model of a run answers.

    They show what a stage gained, by a paired test. Figures for a report come from the live server, by `eval`.
    """

    questions: Positive
    batch: Positive = 32
    sampled_at: Annotated[float, Field(gt=0, le=2)] | None = None
    """Also answer once at this temperature. Stage 2 improves what the policy samples, and a model that answers at
    temperature 0 shows of that only what changes its likeliest token."""


class Recipe(_Section):
    """A whole run: base, data, two stages."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")]
    expected: Expected
    base: BaseModelSource
    data: Data
    synthesize: Synthesis | None = None
    sft: Sft
    grpo: Grpo
    held_out: HeldOut | None = None
    precision: Literal["bfloat16", "float32"]
    distribution: Literal["single", "ddp", "fsdp2"]

    @model_validator(mode="after")
    def _whole_generations(self) -> Self:
        """One generation batch is one optimiser step, so that a resumed run regenerates exactly what is missing."""
        processes = self.expected.count if self.distribution != "single" else 1
        settings, wanted = self.grpo.optimisation, self.grpo.group_size * self.grpo.prompts_per_step
        if settings.micro_batch * settings.accumulation * processes != wanted:
            raise ValueError(
                f"grpo: micro_batch x accumulation x {processes} processes must be group_size x prompts_per_step, "
                f"which is {wanted}"
            )
        return self


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe and the origin of each of its values."""

    recipe: Recipe
    origins: dict[str, Origin]


def load(path: Path) -> LoadedRecipe:
    """Read and check a recipe file, or the `recipe.json` that a run recorded. Raises RecipeError."""
    origins: dict[str, Origin] = {}
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_TaggedLoader)  # noqa: S506
        if isinstance(tree, dict) and tree.keys() == {"recipe", "origins"}:
            tree, origins = tree["recipe"], tree["origins"]
        else:
            tree = _plain(tree, "", origins)
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
