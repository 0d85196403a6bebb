"""Will it fit, and how fast can it be at best: arithmetic from data sheets, nothing measured.

Memory: weights, plus keys and values of every token that all users may have at once, plus a reserve, within the share
of the memory that vLLM may take. Speed: a decoding step reads all weights once and the cache of every sequence, so a
GPU cannot give more tokens a second than its bandwidth divided by those bytes (the memory roofline). Real engines reach
60 to 80 % of it. Prefill, which is bound by computing, and the links between GPUs are left out.

    result = size(GPUS["h100"], count=1, context=8192, users=32)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from server.profiles import load, names

if TYPE_CHECKING:
    from server.profiles import Profile, Weights

GB = 1e9
USABLE_SHARE = 0.90
"""vLLM's --gpu-memory-utilization in our profiles."""
RESERVE_GB = 4.0
"""Activations, CUDA graphs and the CUDA context of one GPU: an assumption."""
_BYTES_BF16 = 2
_WEIGHT_BYTES: dict[Weights, float] = {"bf16": 2.0, "fp8": 1.0, "int4": 0.5 + 2 / 128}
"""Of one parameter in the linear layers; INT4 has a 16-bit scale for each 128. Embeddings and the head stay BF16."""


@dataclass(frozen=True)
class Gpu:
    """One kind of accelerator as its vendor describes it."""

    name: str
    memory_gb: float
    bandwidth_gb_s: float
    fp8: bool
    """Whether it computes in FP8 (compute capability 8.9 and later)."""
    source: str


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("l4", 24, 300, True, "NVIDIA L4 datasheet, 2023"),
        Gpu("rtx4090", 24, 1008, True, "NVIDIA Ada GPU architecture whitepaper, 2022"),
        Gpu("l40s", 48, 864, True, "NVIDIA L40S datasheet, 2023"),
        Gpu("a100-80", 80, 2039, False, "NVIDIA A100 80GB SXM datasheet, 2021"),
        Gpu("h100", 80, 3350, True, "NVIDIA H100 SXM datasheet, 2023"),
        Gpu("h100-nvl", 94, 3900, True, "NVIDIA H100 NVL datasheet, 2023"),
        Gpu("h200", 141, 4800, True, "NVIDIA H200 SXM datasheet, 2024"),
        Gpu("b200", 180, 8000, True, "NVIDIA DGX B200 datasheet, 2024 (an eighth of the system)"),
    )
}


@dataclass(frozen=True)
class Shape:
    """The sizes of a dense Qwen3 that memory and speed depend on; its embeddings are not tied."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int

    @property
    def linear_parameters(self) -> int:
        """Parameters that are quantized and read in every step."""
        attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def table_parameters(self) -> int:
        """Of the embedding table; the head has as many."""
        return self.vocabulary * self.hidden

    def weights_gb(self, weights: Weights) -> float:
        """Memory of the weights."""
        return (self.linear_parameters * _WEIGHT_BYTES[weights] + 2 * self.table_parameters * _BYTES_BF16) / GB

    def read_gb(self, weights: Weights) -> float:
        """What one decoding step reads of the weights: everything but the embedding table."""
        return self.weights_gb(weights) - self.table_parameters * _BYTES_BF16 / GB

    @property
    def cache_bytes_per_token(self) -> int:
        """Keys and values of one token over all layers, in BF16."""
        return 2 * self.layers * self.kv_heads * self.head_dim * _BYTES_BF16


QWEN3_32B = Shape(64, 5120, 25600, 64, 8, 128, 151936)
"""Qwen/Qwen3-32B, config.json of the model card's repository, 2025."""


@dataclass(frozen=True)
class Fit:
    """One way to store the weights on the asked hardware."""

    weights: Weights
    weights_gb: float
    """On all GPUs together."""
    cache_tokens: int
    """Tokens that the cache holds; 0 where not even the weights fit."""
    users_at_once: int
    """Users with a full context at once; more wait in the queue."""
    fits: bool
    reason: str
    tokens_per_second_one: float
    """One user alone, short context, at the roofline."""
    tokens_per_second_all: float
    """All users that fit, together, each with half its context filled, at the roofline."""


@dataclass(frozen=True)
class Sizing:
    """What `size` found."""

    gpu: str
    count: int
    context: int
    users: int
    fits: bool
    profile: str | None
    """The profile to take, with these flags in place of its own where they differ."""
    overrides: dict[str, int]
    """Flags of the profile that must be other for this hardware."""
    advice: str
    ways: list[Fit]
    note: str = "arithmetic from data sheets at the memory roofline; not measured. Expect 60 to 80 % of these speeds."

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def size(gpu: Gpu, count: int, context: int, users: int, shape: Shape = QWEN3_32B) -> Sizing:
    """What `users` with `context` tokens each need on `count` GPUs. Raises ValueError for a count that cannot be."""
    if shape.kv_heads % count:
        raise ValueError(f"--count must divide the model's {shape.kv_heads} key-value heads: 1, 2, 4 or 8")
    stored: list[Weights] = ["bf16", "fp8"] if gpu.fp8 else ["bf16"]
    ways = [fit(gpu, count, context, users, weights, shape) for weights in stored]
    best = next((way for way in ways if way.fits), None) or max(ways, key=lambda way: way.users_at_once)
    if not best.users_at_once:
        advice = f"not one user fits; {_what_would_fit(context, users, shape)}"
        return Sizing(gpu.name, count, context, users, False, None, {}, advice, ways)
    profile = profile_for(best.weights, gpu, count)
    wanted = {"tensor-parallel-size": count, "max-model-len": context}
    overrides = {flag: value for flag, value in wanted.items() if profile.flags.get(flag, 1) != value}
    serving = min(users, best.users_at_once)
    if serving > profile.flags["max-num-seqs"]:
        overrides["max-num-seqs"] = serving
    advice = f"take --profile {profile.name}"
    if overrides:
        words = ", ".join(f'"--{flag}", "{value}"' for flag, value in overrides.items())
        advice += f" with GAZAL_ENGINE_ARGS='[{words}]'"
    if not best.fits:
        advice += f"; {users - best.users_at_once} of {users} users with a full context would wait: "
        advice += _what_would_fit(context, users, shape)
    return Sizing(gpu.name, count, context, users, best.fits, profile.name, overrides, advice, ways)


def fit(
    gpu: Gpu,
    count: int,
    context: int,
    users: int,
    weights: Weights,
    shape: Shape = QWEN3_32B,
    draft_gb: float = 0.0,
) -> Fit:
    """The arithmetic for one way to store the weights, beside a draft model of `draft_gb`."""
    room_gb = count * (gpu.memory_gb * USABLE_SHARE - RESERVE_GB) - draft_gb
    stored_gb = shape.weights_gb(weights)
    cache_tokens = max(0, int((room_gb - stored_gb) * GB / shape.cache_bytes_per_token))
    at_once = cache_tokens // context
    if stored_gb >= room_gb:
        reason = f"the weights need {stored_gb:.1f} GB and {room_gb:.1f} GB are usable"
    elif at_once < users:
        reason = (
            f"the cache holds {cache_tokens:,} tokens and {users} x {context:,} = {users * context:,} are asked for"
        )
    else:
        reason = f"the cache holds {cache_tokens:,} tokens, {users * context:,} are asked for"
    bandwidth = gpu.bandwidth_gb_s * count
    serving = min(users, at_once)
    cache_gb = serving * context / 2 * shape.cache_bytes_per_token / GB
    return Fit(
        weights=weights,
        weights_gb=round(stored_gb, 1),
        cache_tokens=cache_tokens,
        users_at_once=at_once,
        fits=at_once >= users,
        reason=reason,
        tokens_per_second_one=round(bandwidth / shape.read_gb(weights), 1) if at_once else 0.0,
        tokens_per_second_all=round(serving * bandwidth / (shape.read_gb(weights) + cache_gb)) if serving else 0.0,
    )


def profile_for(weights: Weights, gpu: Gpu, count: int) -> Profile:
    """The everyday profile that stores the weights so, the one for this hardware if there is one."""
    everyday = [profile for profile in map(load, names()) if profile.gpu in GPUS and not profile.draft_gb]
    fitting = [profile for profile in everyday if profile.weights == weights]
    return min(fitting, key=lambda profile: (profile.gpu != gpu.name, profile.count != count, profile.name))


def _what_would_fit(context: int, users: int, shape: Shape) -> str:
    for count in (1, 2, 4, 8):
        for name in ("h100", "h200"):
            for weights in ("fp8", "bf16"):
                if fit(GPUS[name], count, context, users, weights, shape).fits:
                    return f"{count} x {name} with {weights} weights would serve {users}"
    return "take several replicas (docs/scaling.md), fewer users or a shorter context"
