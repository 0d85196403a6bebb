"""Attention as plain matrix products, for training on a CPU.

PyTorch's fused attention is written for long sequences. At the few hundred tokens of a case, on a CPU without matrix
units, matrix products take less time: a step of SmolLM2-135M with DoRA gave 411 tokens a second against 310 (one core,
bfloat16, 900 tokens a step). The heads that share keys are one product, and queries go in blocks, so that most of what
the mask would hide is never computed: at 580 tokens a forward and backward take 29 ms, the fused one 40. Values and
gradients are those of the fused one, up to rounding.

    AutoModelForCausalLM.from_pretrained(base, attn_implementation=implementation(dense_on_cpu=True))
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

NAME = "gazal_dense"
_BLOCK = 128
"""Queries in a product; nothing is computed for the keys after the last of them."""


def implementation(*, dense_on_cpu: bool) -> str:
    """The attention to train with on this machine, by the name that transformers knows it by."""
    if not dense_on_cpu or torch.cuda.is_available():
        return "sdpa"
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, dense)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME


def dense(
    _module: Any,  # noqa: ANN401
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
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
    hidden = torch.zeros_like(attention_mask, dtype=query.dtype).masked_fill_(
        ~attention_mask, torch.finfo(query.dtype).min
    )
    grouped = (query * scaling).unflatten(1, (shared, heads // shared))
    transposed, value = key.transpose(-1, -2).contiguous(), value.contiguous()
    blocks = []
    for start in range(0, tokens, _BLOCK):
        end = min(start + _BLOCK, tokens)
        seen = earlier + end
        scores = grouped[:, :, :, start:end].flatten(2, 3) @ transposed[..., :seen]
        scores = scores.unflatten(2, (-1, end - start)).add_(hidden[:, :, None, start:end, :seen])
        weights = torch.softmax(scores, dim=-1).flatten(2, 3)
        blocks.append((weights @ value[:, :, :seen]).unflatten(2, (-1, end - start)))
    return torch.cat(blocks, dim=3).reshape(batch, heads, tokens, size).transpose(1, 2).contiguous(), None
