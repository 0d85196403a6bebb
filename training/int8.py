"""Products with frozen weights in 8-bit integers, for stage 1 on a CPU.

A CPU without matrix units, but with AVX-512 VNNI, multiplies 8-bit integers four times as fast as float32 and seven
times as fast as bfloat16, and most of the work of training an adapter is products with the frozen base. Both of a
weight are made so: the output, and the gradient of the input (SwitchBack, Wortsman et al. 2023,
arXiv 2304.13013, which keeps the gradient of the weight exact; a frozen weight has none). Each token and each output
channel has a scale of its own, and the weight's is folded into the gradient before that is rounded, so one copy of the
weight serves both. The adapter itself, its gradients and all else stay in float32.

A few input columns are tens of times larger than the rest, the same ones for every text (Dettmers et al. 2022,
arXiv 2208.07339), and with them in a row its other numbers round to little. `EXACT_COLUMNS` of each layer, found by
one forward over `tokens`, are therefore multiplied exactly: in SmolLM2-135M that takes the error of the inputs of q, k
and v from 4 % to 0.5 %. What stays exact is the head, whose gradient is one large number in a row of small ones.

    quicken(model, tokens)                         # a PEFT model, with its base in float32
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn

EXACT_COLUMNS = 16
_LARGEST = 127


def quicken(model: nn.Module, tokens: Tensor) -> None:
    """Let the frozen linear layers under an adapter multiply in integers; their parameters keep names and values.

    `tokens` are ids of any ordinary text, shape (batch, length): they show which columns are large.
    """
    largest: dict[nn.Module, Tensor] = {}

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        largest[module] = inputs[0].detach().abs().flatten(0, -2).amax(dim=0)

    layers = [module for module in model.modules() if isinstance(module, Linear)]
    hooks = [module.register_forward_pre_hook(look) for module in layers]
    with torch.no_grad():
        model(input_ids=tokens)
    for hook in hooks:
        hook.remove()
    for module, columns in largest.items():
        exact = columns.topk(min(EXACT_COLUMNS, len(columns))).indices.sort().values
        module.base_layer = Int8Linear(module.get_base_layer(), exact)


def rounded(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Each row in 8-bit integers, and its scale: shapes (rows, size) and (rows, 1). A row of zeros stays zero."""
    scale = rows.abs().amax(dim=1, keepdim=True).div_(_LARGEST).clamp_min_(torch.finfo(rows.dtype).tiny)
    return (rows / scale).round_().to(torch.int8), scale


class Int8Linear(nn.Module):
    """A frozen linear layer in float32 whose products are made in integers, but for those of `exact` input columns.

    `weight` stays as it was, for whoever reads it: DoRA's norm, and merging.
    """

    def __init__(self, linear: nn.Linear, exact: Tensor) -> None:
        super().__init__()
        if linear.weight.dtype != torch.float32 or linear.weight.requires_grad:
            raise ValueError("only frozen float32 weights can be multiplied in integers; load the base in float32")
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        integers, scale = rounded(linear.weight.detach())
        inner = torch.ones(self.in_features).index_fill_(0, exact, 0)
        kept = linear.weight.detach()[:, exact].T.contiguous()
        for name, value in {
            "integers": integers,
            "scale": scale[:, 0],
            "exact": exact,
            "kept": kept,
            "inner": inner,
        }.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: x (..., in), the result (..., out)."""
        rows = x.flatten(0, -2)
        product: Tensor = _Product.apply(rows, self.integers, self.scale, self.exact, self.kept, self.inner)
        return (product if self.bias is None else product + self.bias).unflatten(0, x.shape[:-1])


class _Product(torch.autograd.Function):
    """x W^T for x (rows, in), and W (out, in) as integers and a scale for each of its rows.

    `kept` (exact, out) are the columns of W that x's `exact` columns are multiplied with in float32; `inner` (in,) is 0
    for those and 1 for the rest.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        integers: Tensor,
        scale: Tensor,
        exact: Tensor,
        kept: Tensor,
        inner: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(integers, scale)
        rows, row_scale = rounded(x * inner)
        product = torch._int_mm(rows, integers.t()).to(x.dtype) * row_scale * scale
        return product.addmm_(x[:, exact], kept)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        integers, scale = ctx.saved_tensors
        rows, row_scale = rounded(gradient * scale)
        return torch._int_mm(rows, integers).to(gradient.dtype) * row_scale, None, None, None, None, None
