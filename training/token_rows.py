"""Trained rows of a frozen vocabulary, without a copy of the vocabulary.

For a base that lacks `<think>`, PEFT trains the two new rows by writing them into a copy of the whole matrix in every
forward, for the embedding and for the tied head, and backward makes a gradient of that size of which two rows are used.
With 49,154 tokens on a CPU that is a tenth of a step. The same values and gradients follow from the frozen matrix, with
the rows put over what it gives.

    spare_vocabulary(model)                        # a PEFT model with trainable_token_indices
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.trainable_tokens.layer import TrainableTokensLayer
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence


def spare_vocabulary(model: nn.Module) -> None:
    """Let every layer with trained rows leave its matrix where it is. Parameters keep names and values."""
    for module in model.modules():
        if isinstance(module, TrainableTokensLayer) and type(module.get_base_layer()) in (nn.Embedding, nn.Linear):
            module.forward_adapters = partial(_forward, module, module.forward_adapters)


def _forward(module: TrainableTokensLayer, whole: Any, x: Tensor, active_adapters: Sequence[str]) -> Tensor:  # noqa: ANN401
    """What the layer gives; `whole` is PEFT's own way, for states in which no single adapter is at work."""
    if module.disable_adapters or module.merged or len(active_adapters) != 1:
        result: Tensor = whole(x, active_adapters)
        return result
    base, (adapter,) = module.get_base_layer(), active_adapters
    indices: list[int] = module.token_indices[adapter]
    rows = module.trainable_tokens_delta[adapter].to(base.weight.dtype)
    if isinstance(base, nn.Linear):
        logits: Tensor = _Head.apply(x, base.weight.detach(), rows, indices)
        return logits
    embedded = functional.embedding(x, base.weight.detach(), padding_idx=base.padding_idx)
    for row, index in zip(rows, indices, strict=True):
        embedded = torch.where((x == index).unsqueeze(-1), row, embedded)
    return embedded


class _Head(torch.autograd.Function):
    """Logits of a matrix (tokens, size) some of whose rows are `rows`; gradients for the input and for those rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, rows: Tensor, indices: list[int]) -> Tensor:  # noqa: ANN401
        x = x.to(weight.dtype)
        ctx.save_for_backward(x, weight, rows)
        ctx.indices = indices
        logits = x @ weight.T
        logits[..., indices] = x @ rows.T
        return logits

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor, None]:  # noqa: ANN401
        x, weight, rows = ctx.saved_tensors
        gradient = gradient.to(weight.dtype)
        own = gradient[..., ctx.indices]
        of_x = gradient @ weight + own @ (rows - weight[ctx.indices])
        return of_x, None, own.flatten(0, -2).T @ x.flatten(0, -2), None
