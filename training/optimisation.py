"""A recipe's optimiser and schedule as the libraries want them.

EXAdam (Adly, arXiv 2412.20302, second version) comes from pytorch-optimizer; Hugging Face does not know its name, so
the trainers take class and arguments. transformers counts the decay of warm-up-stable-decay in steps, a recipe gives a
share of the run, and the two meet here, once the number of steps is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from training.recipe import Optimisation


def optimizer_class_and_arguments(settings: Optimisation) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """The optimiser's class and keyword arguments, as `SFTTrainer(optimizer_cls_and_kwargs=...)` takes them."""
    arguments: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.optimizer == "exadam":
        from pytorch_optimizer import EXAdam

        return EXAdam, arguments
    import torch

    return torch.optim.AdamW, arguments


def schedule_arguments(settings: Optimisation) -> dict[str, Any]:
    """The trainer's arguments for warm-up and schedule of a run of `settings.steps` steps."""
    arguments: dict[str, Any] = {"warmup_steps": round(settings.warmup_ratio * settings.steps)}
    names = {"warmup_stable_decay": "warmup_stable_decay", "cosine": "cosine", "constant": "constant_with_warmup"}
    arguments["lr_scheduler_type"] = names[settings.schedule]
    if settings.schedule == "warmup_stable_decay":
        decay_steps = max(1, round(settings.decay_ratio * settings.steps))
        arguments["lr_scheduler_kwargs"] = {"num_decay_steps": decay_steps, "decay_type": "linear"}
    return arguments
