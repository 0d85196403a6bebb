"""Products with frozen weights in 8-bit integers, for stage 1 on a CPU.

A CPU without matrix units, but with AVX-512 VNNI, multiplies 8-bit integers four times as fast as float32 and seven
times as fast as bfloat16, and most of the work of training an adapter is products with the frozen base. Both of a
weight are made so: the output, and the gradient of the input (SwitchBack, Wortsman et al. 2023,
arXiv 2304.13013, which keeps the gradient of the weight exact; a frozen weight has none). Each token and each output
channel has a scale of its own, and the weight's is folded into the gradient before that is rounded, so one copy of the
weight serves both. The adapter itself, its gradients and all else stay in float32.

The inputs of q, k and v have outliers: their products in integers raise the loss of SmolLM2-135M by more than those of
all other layers together, and are a seventh of the work. They stay exact.

    quicken(model)                                 # a PEFT model, with its base in float32
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Collection

LAYERS = ("o_proj", "gate_proj", "up_proj", "down_proj")
_LARGEST = 127


def quicken(model: nn.Module, layers: Collection[str] = LAYERS) -> None:
    """Let the frozen linear layers with these names multiply in integers; their parameters keep names and values."""
    for name, module in model.named_modules():
        if isinstance(module, Linear) and name.rpartition(".")[2] in layers:
            module.base_layer = Int8Linear(module.get_base_layer())


def rounded(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Each row in 8-bit integers, and its scale: shapes (rows, size) and (rows, 1). A row of zeros stays zero."""
    scale = rows.abs().amax(dim=1, keepdim=True).div_(_LARGEST).clamp_min_(torch.finfo(rows.dtype).tiny)
    return (rows / scale).round_().to(torch.int8), scale


class Int8Linear(nn.Module):
    """A frozen linear layer in float32 whose products are made in integers.

    `weight` stays as it was, for whoever reads it: DoRA's norm, and merging.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        if linear.weight.dtype != torch.float32 or linear.weight.requires_grad:
            raise ValueError("only frozen float32 weights can be multiplied in integers; load the base in float32")
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        integers, scale = rounded(linear.weight.detach())
        self.register_buffer("integers", integers, persistent=False)
        self.register_buffer("scale", scale.squeeze(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: x (..., in), the result (..., out)."""
        product: Tensor = _Product.apply(x, self.integers, self.scale)
        return product if self.bias is None else product + self.bias


class _Product(torch.autograd.Function):
    """x W^T for x (..., in), and W (out, in) as integers and a scale for each of its rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, integers: Tensor, scale: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(integers, scale)
        rows, row_scale = rounded(x.flatten(0, -2))
        product = torch._int_mm(rows, integers.t()).to(x.dtype)
        return product.mul_(row_scale).mul_(scale).unflatten(0, x.shape[:-1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        integers, scale = ctx.saved_tensors
        rows, row_scale = rounded(gradient.flatten(0, -2) * scale)
        product = torch._int_mm(rows, integers).to(gradient.dtype)
        return product.mul_(row_scale).unflatten(0, gradient.shape[:-1]), None, None
