"""Compiled decoder layers, for stage 1 on a CPU.

Between its products a layer does many small operations, each a pass over memory: half of a step, once the base
multiplies in integers. torch.compile fuses them. What it cannot follow is taken out of its sight: DoRA's norms are
refreshed before the forward that needs them, and the loop over blocks in `training.attention` runs as it is, over one
compiled block. So one compilation serves all layers and all lengths; it takes two minutes, once, and is kept on disk.

    compile_layers(adapted, clock)                 # after `training.int8.quicken`
"""

from __future__ import annotations

import shutil
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn

from training.runs import RunError

if TYPE_CHECKING:
    from peft import PeftModel

    from training.dora import NormClock

_VARIANTS = 32
"""Of one function: with and without gradients, and where a size is 1 or two sizes are the same."""


def compile_layers(adapted: PeftModel, clock: NormClock) -> None:
    """Compile every decoder layer of a model adapted by `training.adapter`; parameters keep names and values.

    Raises RunError: no C++ compiler.
    """
    if not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        raise RunError("sft.compiled needs a C++ compiler: install g++, or remove it from the recipe")
    linear = [module for module in adapted.modules() if isinstance(module, Linear)]
    for module in linear:
        module.register_buffer("kept_norm", torch.empty(module.out_features), persistent=False)
        module.forward = MethodType(_adapted, module)
    adapted.register_forward_pre_hook(_Refresh(linear, clock))
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _VARIANTS)
    for layer in adapted.get_base_model().model.layers:
        layer.forward = torch.compile(layer.forward, dynamic=True)


class _Refresh:
    """Before a forward: the norms that DoRA divides by, where the adapters have moved since."""

    def __init__(self, linear: list[Linear], clock: NormClock) -> None:
        self._linear, self._clock = linear, clock
        self._at: int | None = None

    def __call__(self, *_: Any) -> None:  # noqa: ANN401
        if self._at == self._clock.step:
            return
        for module in self._linear:
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            weight = module.get_base_layer().weight
            norm = module.lora_variant["default"].norm(a, b, module.scaling["default"], weight)
            module.kept_norm.copy_(norm)
        self._at = self._clock.step


def _adapted(module: Linear, x: Tensor) -> Tensor:
    """The output of a linear layer with DoRA, as in `training.dora`. Shapes: x (..., in), the result (..., out)."""
    rows = x.flatten(0, -2)
    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
    ratio = module.lora_magnitude_vector["default"].weight / module.kept_norm
    base: nn.Module = module.get_base_layer()
    whole: Tensor = base(rows) + (rows @ a.T) @ (module.scaling["default"] * b).T
    return (whole * ratio).unflatten(0, x.shape[:-1])
