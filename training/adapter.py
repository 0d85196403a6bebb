"""The adapter of a stage: DoRA or LoRA with rsLoRA on every linear layer of every block, in float32.

Dropout is 0: with dropout DoRA computes the base layer's product a second time. `lm_head` stays out: the trainers
refuse it, and tied embeddings have no head of their own. Reasoning tokens that a base lacked are trained by their rows.
A finished adapter is kept in the precision of its base (`store`): what is merged, measured and shipped is that file.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gazal.artifact import file_sha256
from training.dora import NormClock, cache_norms, check_magnitudes
from training.runs import RunError, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from peft import PeftModel
    from transformers import PreTrainedModel

    from training.recipe import AdapterSettings

LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def adapt(
    model: PreTrainedModel, settings: AdapterSettings, token_indices: list[int] | None = None
) -> tuple[PeftModel, NormClock]:
    """Add a fresh adapter to `model`. `token_indices` are embedding rows to train beside it.

    Returns the adapted model and the clock that its trainer must move (see `training.dora`).
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        use_dora=settings.dora,
        use_rslora=settings.rank_stabilised,
        lora_dropout=0.0,
        target_modules=list(LINEAR_LAYERS),
        trainable_token_indices=token_indices or None,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    check_magnitudes(adapted)
    return adapted, cache_norms(adapted)


def begin_from(adapted: PeftModel, directory: Path) -> None:
    """Give an adapted model the values of an adapter of the same kind, in float32. Raises RunError: what differs."""
    from peft import PeftConfig, set_peft_model_state_dict
    from safetensors.torch import load_file

    try:
        earlier = PeftConfig.from_pretrained(directory)
        tensors = load_file(directory / "adapter_model.safetensors")
    except (OSError, ValueError) as error:
        raise RunError(f"sft.start_from: no adapter can be read from {directory} ({error})") from error
    fresh = adapted.peft_config["default"]
    for name in ("r", "lora_alpha", "use_dora", "use_rslora", "target_modules", "trainable_token_indices"):
        theirs, ours = getattr(earlier, name), getattr(fresh, name)
        if theirs != ours:
            raise RunError(
                f"sft.start_from: {name} of {directory} is {theirs} and of this recipe {ours}; make them equal"
            )
    wrong = set_peft_model_state_dict(adapted, {name: tensor.float() for name, tensor in tensors.items()})
    if wrong.unexpected_keys:
        raise RunError(f"sft.start_from: {directory} is of another base; it has {wrong.unexpected_keys[0]}")


def record_start(directory: Path, target: Path) -> None:
    """Write which adapter a stage begins from, with its sha256: the directory may hold another one later."""
    write_json(target, {"adapter": str(directory), "sha256": _sha256(directory)})


def check_start(directory: Path, recorded: Path) -> None:
    """Refuse to go on with another adapter than the one that a stage began from. Raises RunError."""
    began = json.loads(recorded.read_text(encoding="utf-8"))["sha256"]
    if _sha256(directory) != began:
        raise RunError(
            f"sft.start_from: {directory} no longer holds the adapter that this run began from (sha256 {began[:12]}), "
            "of which sft.start_share goes into the finished one; bring it back and run the same command again"
        )


def store(directory: Path, precision: str) -> None:
    """Round the low-rank matrices of a saved adapter to `precision`; magnitudes stay float32, see `training.dora`."""
    import torch
    from safetensors.torch import load_file, save_file

    file = directory / "adapter_model.safetensors"
    tensors = {
        name: tensor if "magnitude" in name else tensor.to(getattr(torch, precision))
        for name, tensor in load_file(file).items()
    }
    save_file(tensors, file, {"format": "pt"})


def _sha256(directory: Path) -> str | None:
    """The hash of an adapter's weights; None where there are none."""
    file = directory / "adapter_model.safetensors"
    return file_sha256(file) if file.is_file() else None
