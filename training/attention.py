"""Attention as plain matrix products, for training on a CPU.

PyTorch's fused attention is written for long sequences. At the few hundred tokens of a case, on a CPU without matrix
units, matrix products take less time: a step of SmolLM2-135M with DoRA gave 411 tokens a second against 310 (one core,
bfloat16, 900 tokens a step). The heads that share keys are one product, and queries go in blocks, so that most of what
the mask would hide is never computed: at 580 tokens a forward and backward take 29 ms, the fused one 40. Values and
gradients are those of the fused one, up to rounding.

    AutoModelForCausalLM.from_pretrained(base, attn_implementation=implementation(dense_on_cpu=True))
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "gazal_dense"
_BLOCK = 128
"""Queries in a product; nothing is computed for the keys after the last of them."""


def implementation(*, dense_on_cpu: bool, compiled: bool = False) -> str:
    """The attention to train with on this machine, by the name that transformers knows it by.

    `compiled` is for layers that torch.compile compiles: it sees one block, not the loop over them, whose length it
    would compile anew for each number of blocks.
    """
    if not dense_on_cpu or torch.cuda.is_available():
        return "sdpa"
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    name = f"{NAME}_compiled" if compiled else NAME
    in_blocks = partial(dense, block=torch.compile(attend, dynamic=True)) if compiled else dense
    AttentionInterface.register(name, torch.compiler.disable(in_blocks) if compiled else in_blocks)
    AttentionMaskInterface.register(name, sdpa_mask)
    return name


def attend(query: Tensor, transposed_key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """What a block of scaled queries reads. Shapes: (batch, groups, heads of a group, queries, size) in and out;
    transposed keys (batch, groups, size, keys), values (batch, groups, keys, size), mask (batch, 1, queries, keys).
    """
    queries = query.shape[3]
    scores = (query.flatten(2, 3) @ transposed_key).unflatten(2, (-1, queries))
    hidden = torch.zeros_like(mask, dtype=scores.dtype).masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores + hidden.unsqueeze(1), dim=-1)
    return (weights.flatten(2, 3) @ value).unflatten(2, (-1, queries))


def dense(
    _module: Any,  # noqa: ANN401
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    *,
    block: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = attend,
    **_: Any,  # noqa: ANN401
) -> tuple[Tensor, None]:
    """Causal attention. Shapes: (batch, heads, tokens, size), fewer heads in keys; out (batch, tokens, ...).

    `attention_mask` is boolean, true where a token may look; without one, every token looks at those before it.
    """
    batch, heads, tokens, size = query.shape
    shared = key.shape[1]
    earlier = key.shape[2] - tokens
    if attention_mask is None:
        attention_mask = torch.ones(1, 1, tokens, key.shape[2], dtype=torch.bool, device=query.device).tril(earlier)
    grouped = (query * scaling).unflatten(1, (shared, heads // shared))
    transposed, value = key.transpose(-1, -2).contiguous(), value.contiguous()
    blocks = []
    for start in range(0, tokens, _BLOCK):
        end = min(start + _BLOCK, tokens)
        seen = earlier + end
        mask = attention_mask[:, :, start:end, :seen]
        blocks.append(block(grouped[:, :, :, start:end], transposed[..., :seen], value[:, :, :seen], mask))
    return torch.cat(blocks, dim=3).reshape(batch, heads, tokens, size).transpose(1, 2).contiguous(), None
