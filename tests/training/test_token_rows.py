"""Trained rows over a frozen vocabulary: PEFT's values and gradients, and no copy of the matrix."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from training.token_rows import spare_vocabulary

ROWS = [61, 63]
TOKENS = torch.arange(60).reshape(4, 15) % 61
TOKENS[:, 2], TOKENS[1:, 9] = 63, 61


def trained(*, tied: bool) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=tied,
    )  # fmt: skip
    model = get_peft_model(
        LlamaForCausalLM(config), LoraConfig(r=2, target_modules=["q_proj"], trainable_token_indices=ROWS)
    )
    for name, parameter in model.named_parameters():
        if "trainable_tokens_delta" in name:
            parameter.data += torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("tied", [True, False])
def test_values_and_gradients_are_pefts(tied: bool) -> None:
    theirs = trained(tied=tied)
    ours = copy.deepcopy(theirs)
    spare_vocabulary(ours)
    results = []
    for model in (theirs, copy.deepcopy(ours)):
        output = model(input_ids=TOKENS, labels=TOKENS)
        output.loss.backward()
        results.append((output.logits, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}))
    (logits, gradients), (our_logits, our_gradients) = results
    torch.testing.assert_close(our_logits, logits)
    assert our_gradients.keys() == gradients.keys()
    assert any("trainable_tokens_delta" in name for name in gradients)
    torch.testing.assert_close(our_gradients, gradients)


def test_under_autocast_they_are_pefts_as_far_as_bfloat16_goes() -> None:
    theirs = trained(tied=True).to(torch.bfloat16)
    ours = copy.deepcopy(theirs)
    spare_vocabulary(ours)
    losses, rows = [], []
    for model in (theirs, ours):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=TOKENS, labels=TOKENS).loss
        loss.backward()
        losses.append(loss.item())
        rows += [p.grad.float() for n, p in model.named_parameters() if "trainable_tokens_delta" in n]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
    assert (rows[1] - rows[0]).norm() < 0.05 * rows[0].norm()


def test_without_its_adapter_the_model_is_the_base() -> None:
    ours = trained(tied=True)
    with ours.disable_adapter():
        plain = ours(input_ids=TOKENS).logits
    spare_vocabulary(ours)
    with ours.disable_adapter():
        torch.testing.assert_close(ours(input_ids=TOKENS).logits, plain)
    assert not torch.allclose(ours(input_ids=TOKENS).logits, plain)


def test_backward_makes_no_gradient_of_the_size_of_the_vocabulary() -> None:
    ours = trained(tied=True)
    spare_vocabulary(ours)
    made: list[torch.Size] = []
    for module in ours.modules():
        if type(module).__name__ == "TrainableTokensLayer":
            module.get_merged_weights = lambda *_: made.append(torch.Size([64, 32]))
    ours(input_ids=TOKENS, labels=TOKENS).loss.backward()
    assert not made
