"""Attention as matrix products gives what the fused one gives, with padding and with fewer key heads."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from training.attention import NAME, dense, implementation


def both(
    mask: torch.Tensor | None, dtype: torch.dtype, tokens: int = 17
) -> list[tuple[torch.Tensor, list[torch.Tensor]]]:
    """Output and gradients of ours and of PyTorch's, on the same numbers."""
    found = []
    for ours in (True, False):
        random = torch.Generator().manual_seed(3)
        query, key, value = (
            torch.randn(2, heads, tokens, 8, generator=random).to(dtype).requires_grad_() for heads in (6, 2, 2)
        )
        if ours:
            output = dense(None, query, key, value, mask, scaling=8**-0.5)[0].transpose(1, 2)
        else:
            output = scaled_dot_product_attention(
                query, key, value, attn_mask=mask, is_causal=mask is None, enable_gqa=True
            )
        output.float().square().sum().backward()
        found.append((output.detach(), [each.grad for each in (query, key, value) if each.grad is not None]))
    return found


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 4e-2)])
def test_values_and_gradients_are_those_of_the_fused_attention(
    padded: bool, dtype: torch.dtype, tolerance: float
) -> None:
    mask = torch.ones(17, 17, dtype=torch.bool).tril().expand(2, 1, 17, 17).clone() if padded else None
    if mask is not None:
        mask[1, :, 9:, 12:] = False
    (ours, our_gradients), (theirs, their_gradients) = both(mask, dtype)
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)
    for our, their in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(our, their, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("tokens", [127, 128, 129, 300])
@pytest.mark.parametrize("padded", [False, True])
def test_longer_than_a_block_of_queries_they_are_too(padded: bool, tokens: int) -> None:
    mask = torch.ones(tokens, tokens, dtype=torch.bool).tril().expand(2, 1, tokens, tokens).clone() if padded else None
    if mask is not None:
        mask[1, :, 60:, 100:] = False
    (ours, our_gradients), (theirs, their_gradients) = both(mask, torch.float32, tokens)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for our, their in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(our, their, atol=1e-4, rtol=1e-4)


def test_a_whole_model_gives_the_same_loss_with_it() -> None:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    losses = []
    for name in (implementation(dense_on_cpu=True), "sdpa"):
        torch.manual_seed(1)
        config = Qwen3Config(
            vocab_size=90, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=8, attn_implementation=name,
        )  # fmt: skip
        model = Qwen3ForCausalLM(config)
        ids = torch.randint(90, (2, 12), generator=torch.Generator().manual_seed(2))
        mask = torch.ones_like(ids)
        mask[0, 8:] = 0
        losses.append(model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss)
    torch.testing.assert_close(losses[0], losses[1])


def test_it_is_for_a_cpu_and_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert implementation(dense_on_cpu=True) == NAME
    assert implementation(dense_on_cpu=True, compiled=True) != NAME
    assert implementation(dense_on_cpu=False) == "sdpa"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert implementation(dense_on_cpu=True) == "sdpa"
