"""DoRA at nearly the price of LoRA: the norm by the low-rank identity, once an optimiser step.

PEFT 0.21 builds the whole matrix W + s B A in every forward only to take its row norms. They follow from small
products, because for each row ||w + s b A||^2 = ||w||^2 + 2 s b.(A w) + s^2 b (A A^T) b^T, and they change only when
the optimiser moves A or B, not between micro-batches or under gradient checkpointing. DoRA treats the norm as a
constant in the backward pass (arXiv 2402.09353, section 4.3), so keeping it changes neither values nor gradients.

    clock = cache_norms(model)                     # a PEFT model with DoRA adapters
    trainer.add_callback(NormCallback(clock))      # FSDP2 hides in-place updates; the trainer tells instead

PEFT's own `DoraCaching` covers evaluation only, and is used there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.lora.layer import Linear
from peft.tuners.lora.variants import DoraLinearVariant
from torch import Tensor, nn
from transformers import TrainerCallback

if TYPE_CHECKING:
    from collections.abc import Iterator


class DoraError(RuntimeError):
    """The adapter is not trained as DoRA needs it; the message names the fix."""


@dataclass
class NormClock:
    """Counts optimiser steps; a norm computed at an earlier count is computed again."""

    step: int = 0

    def tick(self) -> None:
        """The adapters changed."""
        self.step += 1


class NormCallback(TrainerCallback):
    """Moves the clock when the trainer has moved or loaded the adapters."""

    def __init__(self, clock: NormClock) -> None:
        self._clock = clock

    def on_train_begin(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """A checkpoint may have been loaded."""
        self._clock.tick()

    def on_step_end(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """The optimiser has stepped."""
        self._clock.tick()


def row_norms(weight_square: Tensor, weight: Tensor, lora_a: Tensor, lora_b: Tensor, scale: float) -> Tensor:
    """Row norms of W + s B A in float32, shape (out,), without building it.

    `weight_square` holds the squared row norms of W (out, in); A is (r, in), B (out, r). The large product is made in
    the precision of W: a copy of W in float32 would cost more than the product, and forward rounds A as well.
    """
    a, b = lora_a.float(), lora_b.float()
    cross = ((weight @ a.T.to(weight.dtype)).float() * b).sum(dim=1)
    low_rank = ((b @ (a @ a.T)) * b).sum(dim=1)
    return (weight_square + 2 * scale * cross + scale * scale * low_rank).clamp_min(0).sqrt()


class CachedDora(DoraLinearVariant):
    """PEFT's DoRA of one linear module, with its norm kept and the rescaling done in one pass.

    The output is m/n (W x + s B A x), written u + u (m/n - 1): in bfloat16 a factor near 1 would lose the small changes
    of the magnitude that are being learned.
    """

    def __init__(self, clock: NormClock) -> None:
        self._clock = clock
        self._weight_square: Tensor | None = None
        self._norm: Tensor | None = None
        self._norm_of: tuple[int, int, int] | None = None

    def norm(self, lora_a: Tensor, lora_b: Tensor, scale: float, weight: Tensor) -> Tensor:
        """The row norms of the adapted weight, from the cache when the adapters have not moved."""
        of = (self._clock.step, lora_a._version, lora_b._version)
        if self._norm is None or self._norm_of != of or self._norm.device != weight.device:
            with torch.no_grad(), torch.autocast(weight.device.type, enabled=False):
                if self._weight_square is None or self._weight_square.device != weight.device:
                    self._weight_square = weight.float().square().sum(dim=1)
                self._norm, self._norm_of = row_norms(self._weight_square, weight, lora_a, lora_b, scale), of
        return self._norm

    def forward(self, module: Linear, active_adapter: str, x: Tensor, result: Tensor, **_: Any) -> Tensor:  # noqa: ANN401
        """The adapted output from `result`, the base layer's. Shapes: x (..., in), result (..., out).

        PEFT would cast x to the adapter's float32 before autocast casts it back; under autocast it is taken as it is.
        """
        lora_a, lora_b = module.lora_A[active_adapter], module.lora_B[active_adapter]
        scale, base = module.scaling[active_adapter], module.get_base_layer()
        norm = self.norm(lora_a.weight, lora_b.weight, scale, base.weight)
        excess = module.lora_magnitude_vector[active_adapter].weight / norm - 1
        if base.bias is not None:
            result = result - base.bias
        if not torch.is_autocast_enabled(x.device.type):
            x = x.to(lora_a.weight.dtype)
        low_rank = lora_a(x).to(result.dtype).flatten(0, -2)
        adapted = torch.addmm(result.flatten(0, -2), low_rank, (scale * lora_b.weight).to(result.dtype).T)
        rescaled: Tensor = _Rescale.apply(adapted, excess.to(result.dtype)).view_as(result)
        return rescaled if base.bias is None else rescaled + base.bias


class _Rescale(torch.autograd.Function):
    """u + u e for u of shape (tokens, out) and e of shape (out,), written over u.

    What is kept for the gradient is the result, which the next layer keeps anyway; u is its quotient by 1 + e, the
    ratio of a magnitude to a norm. So no activations are kept beyond what LoRA needs, and backward makes one tensor.
    Where the ratio has become 0 in this precision u is lost, and the magnitude's gradient is 0.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, excess: Tensor) -> Tensor:  # noqa: ANN401
        rescaled = u.addcmul_(u, excess)
        ctx.mark_dirty(u)
        ctx.save_for_backward(rescaled, excess)
        return rescaled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        rescaled, excess = ctx.saved_tensors
        buffer = gradient * rescaled
        ratio = 1 + excess.float()
        of_excess = buffer.sum(dim=0, dtype=torch.float32) / ratio
        of_excess[ratio == 0] = 0
        return torch.addcmul(gradient, gradient, excess, out=buffer), of_excess.to(excess.dtype)


def cache_norms(model: nn.Module) -> NormClock:
    """Let every DoRA layer of a PEFT model keep its norm. Names and values of all parameters stay the same."""
    clock = NormClock()
    for module in model.modules():
        if isinstance(module, Linear):
            for adapter, variant in module.lora_variant.items():
                if type(variant) is DoraLinearVariant:
                    module.lora_variant[adapter] = CachedDora(clock)
                    module.cast_input_dtype_enabled = False
    return clock


def magnitudes(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The trainable magnitude vectors by name."""
    for name, parameter in model.named_parameters():
        if "lora_magnitude_vector" in name and parameter.requires_grad:
            yield name, parameter


def check_magnitudes(model: nn.Module) -> None:
    """Refuse magnitudes that are not float32: in bfloat16 their updates round to nothing (TRL issue 7268)."""
    for name, parameter in magnitudes(model):
        if parameter.dtype != torch.float32:
            raise DoraError(
                f"{name} is {parameter.dtype}; its updates would round to zero. Keep adapters in float32 "
                "(autocast_adapter_dtype=True), and do not use DeepSpeed ZeRO-3 with DoRA"
            )


def magnitude_change(model: nn.Module, start: dict[str, Tensor]) -> float:
    """Norm of the change of all magnitudes since `start`, relative to their norm: 0 means that DoRA is frozen.

    Collective when they are sharded: the sums stay with their shards until the end.
    """
    moved = [(parameter.detach(), start[name]) for name, parameter in magnitudes(model) if name in start]
    if not moved:
        return 0.0
    change = sum((after - before).square().sum() for after, before in moved)
    norm = sum(before.square().sum() for _, before in moved)
    return float((whole(change).item() / whole(norm).item()) ** 0.5)


def whole(tensor: Tensor) -> Tensor:
    """The full tensor of a sharded one, on its device; collective. Others as they are."""
    gather = getattr(tensor, "full_tensor", None)
    full: Tensor = gather() if gather is not None else tensor
    return full
