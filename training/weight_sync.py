"""The merged weights of a model in training, one tensor at a time, without touching the model.

TRL's own synchronisation merges the adapters into the live base weights, copies them out and subtracts them again. In
bfloat16 each such cycle rounds: measured with PEFT 0.21.2, a hundred of them moved the frozen base by a quarter of what
was learned (TRL issue 6688 has the same for LoRA). Here every merged tensor is computed aside, in float32, and the base
stays bit-identical however often it is read.

    for name, tensor in merged_parameters(peft_model): engine.load_weights([(name, tensor)])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from peft.tuners.lora.layer import Linear

from gazal.merge import ModuleAdapter, merged_weight
from training.dora import whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peft import PeftModel
    from torch import Tensor

_PREFIX = "base_model.model."
_BASE_LAYER = ".base_layer"
_ADAPTER = "default"


@torch.no_grad()
def merged_parameters(model: PeftModel) -> Iterator[tuple[str, Tensor]]:
    """Every parameter of the base model under its own name, adapters merged; sharded ones are gathered one by one.

    Gathering is collective: under FSDP2 every process must iterate to the end. Names of FSDP's and checkpointing's
    wrappers are removed.
    """
    modules = dict(model.named_modules())
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            continue
        if "trainable_tokens" in name or "modules_to_save" in name:
            raise ValueError(f"{name}: only low-rank adapters can be synchronised; merge the other stage first")
        module = modules.get(name.removesuffix(f"{_BASE_LAYER}.weight"))
        plain = name.removeprefix(_PREFIX).replace(_BASE_LAYER, "").replace("_checkpoint_wrapped_module.", "")
        if name.endswith(f"{_BASE_LAYER}.weight") and isinstance(module, Linear):
            weight = whole(parameter)
            yield plain, merged_weight(weight, _adapter_of(module), [], torch.float32).to(weight.dtype)
        else:
            yield plain, whole(parameter)


def _adapter_of(module: Linear) -> ModuleAdapter:
    magnitudes = module.lora_magnitude_vector
    return ModuleAdapter(
        lora_a=whole(module.lora_A[_ADAPTER].weight),
        lora_b=whole(module.lora_B[_ADAPTER].weight),
        magnitude=whole(magnitudes[_ADAPTER].weight) if _ADAPTER in magnitudes else None,
        scale=module.scaling[_ADAPTER],
    )
