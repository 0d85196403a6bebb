"""Merge a LoRA or DoRA adapter into its base: in float64, one tensor at a time, into a new directory.

The base files are only read, so they stay bit-identical, and memory holds one shard. Every result is checked to be
finite before it is cast back to the base's type and written; a merge that fails leaves no directory behind. In float64
what processors and libraries round differently is far below the last bit that is kept, so the same adapter gives the
same file, and the same digest, everywhere.

DoRA (arXiv 2402.09353): W' = m * (W + s B A) / ||W + s B A||, the norm taken over each output row, with
s = alpha / sqrt(r) under rank stabilisation (rsLoRA, arXiv 2312.03732) and alpha / r without. Trained token embeddings
replace their rows. What an adapter may hold beyond this is refused by name rather than left out of the merge.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazal.artifact import MANIFEST_NAME
from gazal.models import check_loadable

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

_PREFIX = "base_model.model."
_PARTS = re.compile(
    rf"{re.escape(_PREFIX)}(?P<module>.+?)\.(?P<part>lora_A\.weight|lora_B\.weight|lora_magnitude_vector(?:\.weight)?"
    r"|token_adapter\.trainable_tokens_delta|trainable_tokens_delta)"
)
_UNSUPPORTED = (
    "fan_in_fan_out",
    "modules_to_save",
    "lora_bias",
    "layer_replication",
    "use_qalora",
    "alora_invocation_tokens",
)


class MergeError(RuntimeError):
    """The adapter cannot be merged into this base; the message names the tensor or setting and the fix."""


@dataclass
class ModuleAdapter:
    """The trained tensors of one module."""

    lora_a: Tensor | None = None
    lora_b: Tensor | None = None
    magnitude: Tensor | None = None
    """DoRA's norm of each output row; None for plain LoRA."""
    token_rows: Tensor | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class MergeReport:
    """What a merge changed."""

    merged_modules: int
    largest_change: float
    """Largest absolute change of any weight."""
    relative_change: float
    """Norm of all changes divided by the norm of the merged modules' weights."""


@dataclass
class Adapter:
    """An adapter as PEFT saves it: its configuration and tensors by base module."""

    config: dict[str, Any]
    modules: dict[str, ModuleAdapter] = field(default_factory=dict)


def read_adapter(directory: Path) -> Adapter:
    """Read and check an adapter directory. Raises MergeError for anything this merge would get wrong."""
    from safetensors.torch import load_file

    try:
        config = json.loads((directory / "adapter_config.json").read_text(encoding="utf-8"))
        tensors = load_file(directory / "adapter_model.safetensors")
    except FileNotFoundError as error:
        raise MergeError(f"{error.filename} is missing; give the directory that PEFT saved") from error
    for setting in _UNSUPPORTED:
        if config.get(setting):
            raise MergeError(f"the adapter uses {setting}, which this merge does not know; train without it")
    if config.get("bias", "none") != "none":
        raise MergeError("the adapter trained biases, which this merge does not know; train with bias='none'")
    adapter = Adapter(config)
    for key, tensor in tensors.items():
        match = _PARTS.fullmatch(key)
        if match is None:
            raise MergeError(f"the adapter holds {key!r}, which this merge does not know")
        module = adapter.modules.setdefault(match["module"], ModuleAdapter(scale=_scale(config, match["module"])))
        part = match["part"].partition(".")[0]
        attribute = {"lora_A": "lora_a", "lora_B": "lora_b", "lora_magnitude_vector": "magnitude"}.get(
            part, "token_rows"
        )
        setattr(module, attribute, tensor)
    for name, module in adapter.modules.items():
        if module.token_rows is None and (module.lora_a is None or module.lora_b is None):
            raise MergeError(f"the adapter of {name} is incomplete; its file is damaged")
        if config.get("use_dora") and module.lora_a is not None and module.magnitude is None:
            raise MergeError(f"the adapter of {name} has no DoRA magnitude; its file is damaged")
    return adapter


def merged_weight(
    weight: Tensor, module: ModuleAdapter, token_indices: list[int], dtype: torch.dtype | None = None
) -> Tensor:
    """The merged weight in `dtype` (float64), out of place.

    Shapes: weight (out, in), A (r, in), B (out, r), magnitude (out,).
    """
    import torch

    precise = dtype or torch.float64
    result = weight.to(precise, copy=True)
    if module.lora_a is not None and module.lora_b is not None:
        result += module.scale * (module.lora_b.to(precise) @ module.lora_a.to(precise))
        if module.magnitude is not None:
            norm = torch.linalg.vector_norm(result, dim=1, keepdim=True)
            result *= module.magnitude.to(precise).reshape(-1, 1) / norm
    if module.token_rows is not None:
        result[token_indices] = module.token_rows.to(precise)
    return result


def merge(
    base: Path, adapter_directory: Path, target: Path, progress: Callable[[int, int], None] | None = None
) -> MergeReport:
    """Write the merged model to `target`, which must not exist, with tokenizer and configuration of the base.

    The adapter's own tokenizer and chat template win where it has them. `progress(done, all)` counts tensors. Raises
    MergeError and leaves nothing behind when shapes do not fit, a module is not found or a result is not finite.
    """
    check_loadable(base)
    if target.exists():
        raise MergeError(f"{target} exists; give a new directory, a merge never overwrites one")
    adapter = read_adapter(adapter_directory)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        partial = Path(scratch) / "model"
        partial.mkdir()
        report = _merge_shards(base, adapter, partial, progress)
        _copy_companions(base, adapter_directory, partial)
        partial.rename(target)
    return report


def _merge_shards(
    base: Path, adapter: Adapter, partial: Path, progress: Callable[[int, int], None] | None
) -> MergeReport:
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    indices: list[int] = adapter.config.get("trainable_token_indices") or []
    waiting = set(adapter.modules)
    largest, change, norm, done = 0.0, 0.0, 0.0, 0
    shards = sorted(base.glob("*.safetensors"))
    total = sum(len(_keys(shard)) for shard in shards)
    for shard in shards:
        merged = {}
        with safe_open(shard, "pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118
                weight = tensors.get_tensor(key)
                name = key.removesuffix(".weight")
                if name in waiting:
                    new = _checked(key, weight, adapter.modules[name], indices)
                    waiting.discard(name)
                    difference = new - weight.double()
                    largest = max(largest, difference.abs().max().item())
                    change += difference.pow(2).sum().item()
                    norm += weight.double().pow(2).sum().item()
                    weight = new.to(weight.dtype)
                    if not torch.isfinite(weight).all():
                        raise MergeError(
                            f"{key}: the merged weight does not fit {weight.dtype}; lower the learning rate"
                        )
                merged[key] = weight.contiguous()
                done += 1
                if progress:
                    progress(done, total)
            metadata = tensors.metadata()
        save_file(merged, partial / shard.name, metadata or {"format": "pt"})
    if waiting:
        raise MergeError(f"the base has no module {sorted(waiting)[0]!r}; the adapter belongs to another model")
    return MergeReport(len(adapter.modules), largest, math.sqrt(change / norm) if norm else 0.0)


def _keys(shard: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(shard, "pt") as tensors:
        return list(tensors.keys())


def _checked(key: str, weight: Tensor, module: ModuleAdapter, indices: list[int]) -> Tensor:
    import torch

    try:
        new = merged_weight(weight, module, indices)
    except (RuntimeError, IndexError) as error:
        raise MergeError(
            f"{key}: shapes of base and adapter do not fit ({error}); is it the base it was trained on?"
        ) from error
    if not torch.isfinite(new).all():
        raise MergeError(f"{key}: the merged weight is not finite; the run diverged, take an earlier checkpoint")
    return new


def _copy_companions(base: Path, adapter: Path, partial: Path) -> None:
    """Everything but weights and manifest; of the adapter only the tokenizer and the chat template."""
    for path in base.iterdir():
        if path.is_file() and path.suffix not in (".safetensors", ".bin", ".md") and path.name != MANIFEST_NAME:
            shutil.copy2(path, partial / path.name)
    for pattern in ("tokenizer*", "special_tokens_map.json", "chat_template*"):
        for path in adapter.glob(pattern):
            shutil.copy2(path, partial / path.name)


def _scale(config: dict[str, Any], module: str) -> float:
    rank = _by_pattern(config.get("rank_pattern"), module, config["r"])
    alpha = _by_pattern(config.get("alpha_pattern"), module, config["lora_alpha"])
    return float(alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank)


def _by_pattern(patterns: dict[str, int] | None, module: str, default: int) -> int:
    """PEFT's rule: the first pattern that matches the end of the module's name, after a dot or from its start."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
