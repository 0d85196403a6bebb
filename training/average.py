"""The mean of adapters: about what the decay of the learning rate would give, before there is one.

At a constant rate the weights circle round what they have learned, the wider the fewer rows a step has; a mean over
checkpoints takes the circling away (Izmailov et al., 2018, arXiv 1803.05407; Kaddour, 2022, arXiv 2209.14981). It shows
whether a run that seems to stand still has learned something, and it is a calm place to go on from (`sft.start_from`).
Between the adapter that a run began from and the one it ends with, a mean keeps what both know, and half of what the
second part moved at random (WiSE-FT, Wortsman et al., 2022, arXiv 2109.01903): `sft.start_share`.
Each low-rank matrix is averaged by itself, which holds for adapters near each other: checkpoints of one run, or of one
that went on from another.

    average([run / "checkpoint-400", run / "checkpoint-500"], Path("runs/mean"))
    blend(run / "adapter", Path("earlier/adapter"), 0.5)
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from training.runs import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

_TENSORS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"
_ALIKE = ("peft_type", "r", "lora_alpha", "use_dora", "use_rslora", "trainable_token_indices")


def average(adapters: Sequence[Path], output: Path) -> None:
    """Write the mean of PEFT adapters, in float32, to the new directory `output`. Raises RunError: what differs."""
    from safetensors.torch import save_file

    if len(adapters) < 2:
        raise RunError("name two adapters or more, such as the checkpoints of a run")
    if output.exists():
        raise RunError(f"{output} exists; name a new directory")
    mean = _weighted(adapters, [1 / len(adapters)] * len(adapters))
    output.mkdir(parents=True)
    save_file(mean, output / _TENSORS, {"format": "pt"})
    shutil.copyfile(adapters[0] / _CONFIG, output / _CONFIG)


def blend(adapter: Path, start: Path, share: float) -> None:
    """Replace `adapter` by (1 - share) of itself and `share` of `start`, in float32. Raises RunError: what differs."""
    from safetensors.torch import save_file

    save_file(_weighted([adapter, start], [1 - share, share]), adapter / _TENSORS, {"format": "pt"})


def _weighted(adapters: Sequence[Path], weights: Sequence[float]) -> dict[str, Tensor]:
    """The weighted sum of the tensors of adapters of one kind, in float32."""
    import torch
    from safetensors.torch import load_file

    first = _config(adapters[0])
    total = {
        name: torch.zeros_like(each, dtype=torch.float32) for name, each in load_file(adapters[0] / _TENSORS).items()
    }
    for adapter, weight in zip(adapters, weights, strict=True):
        config, tensors = _config(adapter), load_file(adapter / _TENSORS)
        for name in _ALIKE:
            if config.get(name) != first.get(name):
                raise RunError(f"{name} of {adapter} is {config.get(name)}, of {adapters[0]} {first.get(name)}")
        if _shapes(tensors) != _shapes(total):
            raise RunError(f"{adapter} and {adapters[0]} have different tensors; name checkpoints of one run")
        for name, tensor in tensors.items():
            total[name].add_(tensor.float(), alpha=weight)
    return total


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _config(adapter: Path) -> dict[str, object]:
    if not (adapter / _TENSORS).is_file():
        raise RunError(f"{adapter} has no {_TENSORS}; name directories as PEFT saves them, such as checkpoint-400")
    config: dict[str, object] = json.loads((adapter / _CONFIG).read_text())
    return config
