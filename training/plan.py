"""Will it fit? Memory of both stages from the recipe's numbers alone, and what would fit if it does not.

The arithmetic, in bytes: base weights 2 a parameter (bfloat16) or 5 (float32 and integers, `sft.int8_base`); adapter
16 a parameter (float32 weight, gradient and two optimiser moments); one hidden state a layer and token under gradient
checkpointing, plus the widest block being recomputed; without it, what each layer keeps for its gradient; logits in
chunks; DoRA's transients, which PEFT makes by sending an identity matrix of the layer's inputs
through A and B. GRPO with vLLM in the same process adds a second copy of the weights and a cache. FSDP2 divides weights
and adapter by the number of devices. These are estimates: nothing here was measured on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.recipe import AdapterSettings, Recipe, Shape

GB = 1e9
_CUDA_CONTEXT_GB = 2.0
_USABLE_SHARE = 0.94
_LOGIT_CHUNK_TOKENS = 1024
_ROLLOUT_SEQUENCES = 16
_BYTES_WEIGHT = 2
_BYTES_WEIGHT_AND_INTEGERS = 5
_BYTES_FLOAT32 = 4
_BYTES_ADAPTER = 16

DEVICES_GB = {
    "cpu": 24.0,
    "rtx4090": 24.0,
    "a100-80": 80.0,
    "h100": 80.0,
    "h100-nvl": 94.0,
    "h200": 141.0,
    "b200": 180.0,
}
"""Memory of a device; for `cpu`, what the small recipes assume."""


class PlanError(ValueError):
    """The plan cannot fit; the message says what would."""


@dataclass(frozen=True)
class Stage:
    """Memory of one stage on one device, by what it is for, in GB."""

    name: str
    parts_gb: dict[str, float]

    @property
    def total_gb(self) -> float:
        """The sum of the parts."""
        return sum(self.parts_gb.values())


def adapter_parameters(shape: Shape, adapter: AdapterSettings) -> int:
    """Trainable parameters of an adapter on all linear layers, DoRA magnitudes included."""
    low_rank = sum(adapter.rank * (inputs + outputs) for inputs, outputs in shape.linear_layers().values())
    magnitudes = sum(outputs for _, outputs in shape.linear_layers().values()) if adapter.dora else 0
    return shape.layers * (low_rank + magnitudes)


def cache_bytes_per_token(shape: Shape) -> int:
    """Keys and values of one token over all layers, in bfloat16."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * _BYTES_WEIGHT


def stages(recipe: Recipe, count: int) -> list[Stage]:
    """Memory of both stages on each of `count` devices."""
    sft_tokens = recipe.sft.optimisation.micro_batch * (
        recipe.sft.pack_to_tokens or recipe.data.max_prompt_tokens + recipe.data.max_completion_tokens
    )
    sequence = recipe.data.max_prompt_tokens + recipe.data.max_completion_tokens
    grpo_tokens = recipe.grpo.optimisation.micro_batch * sequence
    shard = count if recipe.distribution == "fsdp2" else 1
    integers = recipe.sft.int8_base
    sft = _training(
        recipe.base.shape,
        recipe.sft.adapter,
        sft_tokens,
        shard,
        bytes_weight=_BYTES_WEIGHT_AND_INTEGERS if integers else _BYTES_WEIGHT,
        bytes_activation=_BYTES_FLOAT32 if integers else _BYTES_WEIGHT,
        kept_for=0 if recipe.sft.optimisation.gradient_checkpointing else sequence,
    )
    grpo = _training(
        recipe.base.shape,
        recipe.grpo.adapter,
        grpo_tokens,
        shard,
        kept_for=0 if recipe.grpo.optimisation.gradient_checkpointing else sequence,
    )
    if recipe.grpo.rollouts == "vllm-colocate":
        grpo["rollout weights"] = recipe.base.shape.parameters * _BYTES_WEIGHT / count / GB
    if recipe.grpo.rollouts != "vllm-server":
        sequences = _ROLLOUT_SEQUENCES if recipe.grpo.rollouts == "vllm-colocate" else recipe.grpo.group_size
        grpo["rollout cache"] = sequences * sequence * cache_bytes_per_token(recipe.base.shape) / count / GB
    return [Stage("sft", sft), Stage("grpo", grpo)]


def check(recipe: Recipe, device: str, count: int) -> list[Stage]:
    """The memory of both stages. Raises PlanError, naming what would fit, when one exceeds the device."""
    if device not in DEVICES_GB:
        raise PlanError(f"unknown device {device!r}; use one of: {', '.join(DEVICES_GB)}")
    planned = stages(recipe, count)
    if all(_fits(stage, device) for stage in planned):
        return planned
    worst = max(planned, key=lambda stage: stage.total_gb)
    raise PlanError(
        f"{recipe.name} needs {worst.total_gb:.0f} GB a device for {worst.name} and {count} x {device} offers "
        f"{DEVICES_GB[device] * _USABLE_SHARE:.0f}; {_what_would_fit(recipe)}"
    )


def _fits(stage: Stage, device: str) -> bool:
    return stage.total_gb <= DEVICES_GB[device] * _USABLE_SHARE


def _what_would_fit(recipe: Recipe) -> str:
    counts = (1, 2, 4, 8) if recipe.distribution == "fsdp2" else (1,)
    fitting = [
        f"{count} x {device}"
        for count, device in product(counts, ("h100", "h200"))
        if all(_fits(stage, device) for stage in stages(recipe, count))
    ]
    return f"what fits: {', '.join(fitting[:3])}" if fitting else "lower rank, micro_batch or the token limits"


def _training(
    shape: Shape,
    adapter: AdapterSettings,
    tokens: int,
    shard: int,
    *,
    bytes_weight: int = _BYTES_WEIGHT,
    bytes_activation: int = _BYTES_WEIGHT,
    kept_for: int = 0,
) -> dict[str, float]:
    """Memory by what it is for. `kept_for` is the length of a sequence whose activations are kept, or 0."""
    widest = max(inputs for inputs, _ in shape.linear_layers().values())
    largest = max(inputs * outputs for inputs, outputs in shape.linear_layers().values())
    if kept_for:
        each = 12 * shape.hidden + 7 * shape.intermediate + 2 * shape.heads * kept_for
        activations = shape.layers * tokens * each * bytes_activation
    else:
        block = tokens * (8 * shape.hidden + 3 * shape.intermediate) * bytes_activation
        activations = shape.layers * tokens * shape.hidden * bytes_activation + block
    dora = widest * widest * 6 + largest * 8 if adapter.dora else 0
    return {
        "base weights": shape.parameters * bytes_weight / shard / GB,
        "adapter and optimiser": adapter_parameters(shape, adapter) * _BYTES_ADAPTER / shard / GB,
        "activations": activations / GB,
        "logits": min(tokens, _LOGIT_CHUNK_TOKENS) * shape.vocabulary * 8 / GB,
        "DoRA transients": dora / GB,
        "framework": _CUDA_CONTEXT_GB,
    }
