"""Products with frozen weights in integers: near the exact ones, in both directions, and nothing else changes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.layer import Linear
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from training.dora import cache_norms
from training.int8 import EXACT_COLUMNS, Int8Linear, quicken, rounded

NONE = torch.tensor([], dtype=torch.long)
TOKENS = torch.arange(60).reshape(4, 15) % 64


def frozen(rows: int, columns: int, *, bias: bool = False) -> nn.Linear:
    torch.manual_seed(2)
    return nn.Linear(columns, rows, bias=bias).requires_grad_(requires_grad=False)


def adapted() -> Any:
    """A small model with an adapter that has already learned something."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    settings = LoraConfig(r=4, lora_alpha=8, use_dora=True, use_rslora=True, target_modules="all-linear")
    model = get_peft_model(LlamaForCausalLM(config), settings)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def test_what_integers_can_hold_is_exact() -> None:
    linear = frozen(2, 3)
    linear.weight.data = torch.tensor([[127.0, -3.0, 0.0], [0.5, -63.5, 10.0]])
    x = torch.tensor([[1.0, 127.0, -5.0], [0.0, 0.0, 0.0]], requires_grad=True)
    y = Int8Linear(linear, NONE)(x)
    assert y.tolist() == [[127.0 - 381.0, 0.5 - 63.5 * 127.0 - 50.0], [0.0, 0.0]]
    y.backward(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    assert x.grad is not None
    assert x.grad.tolist() == [[127.0, -3.0, 0.0], [0.0, 0.0, 0.0]]


@given(st.integers(0, 10_000), st.floats(1e-6, 1e6))
def test_rounding_is_off_by_half_a_step_at_most_whatever_the_scale(seed: int, size: float) -> None:
    rows = size * torch.randn(3, 8, generator=torch.Generator().manual_seed(seed))
    integers, scale = rounded(rows)
    assert integers.abs().max() <= 127
    assert ((integers * scale - rows).abs() <= scale * 0.5001).all()


@pytest.mark.parametrize("bias", [False, True])
def test_output_and_gradient_are_within_two_per_cent(bias: bool) -> None:
    linear = frozen(96, 64, bias=bias)
    results = []
    for layer in (linear, Int8Linear(linear, torch.tensor([3, 40]))):
        x = torch.randn(2, 30, 64, generator=torch.Generator().manual_seed(5)).requires_grad_()
        y = layer(x)
        y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(6)))
        assert x.grad is not None
        results.append((y.detach(), x.grad))
    for exact, near in zip(*results, strict=True):
        assert near.shape == exact.shape
        assert (near - exact).norm() < 0.02 * exact.norm()


def test_the_adapter_keeps_its_names_and_learns_nearly_the_same() -> None:
    exact = adapted()
    near = copy.deepcopy(exact)
    quicken(near, TOKENS[:1])
    linear = [each for each in near.modules() if isinstance(each, Linear)]
    assert all(isinstance(each.get_base_layer(), Int8Linear) for each in linear)
    assert near.state_dict().keys() == exact.state_dict().keys()
    for model in (exact, near):
        cache_norms(model)
        model(input_ids=TOKENS, labels=TOKENS).loss.backward()
    wanted = {name: each.grad for name, each in exact.named_parameters() if each.grad is not None}
    found = {name: each.grad for name, each in near.named_parameters() if each.grad is not None}
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert (found[name] - gradient).norm() < 0.1 * gradient.norm(), name


def test_columns_that_are_tens_of_times_larger_do_not_drown_the_rest() -> None:
    linear, large = frozen(96, 64), torch.tensor([5, 17])
    x = torch.randn(30, 64, generator=torch.Generator().manual_seed(5))
    x[:, large] *= 40
    drowned, kept = ((Int8Linear(linear, exact)(x) - linear(x)).norm() / linear(x).norm() for exact in (NONE, large))
    assert kept < drowned / 10


def test_the_exact_columns_of_a_layer_are_those_that_are_largest_in_the_text() -> None:
    model = adapted()
    large = torch.arange(3, 3 + EXACT_COLUMNS)
    norm = model.get_base_model().model.layers[0].input_layernorm
    norm.weight.data[large] *= 1000
    quicken(model, TOKENS)
    for name in ("q_proj", "k_proj", "v_proj"):
        layer = getattr(model.get_base_model().model.layers[0].self_attn, name).get_base_layer()
        assert layer.exact.tolist() == large.tolist()


def test_other_weights_than_frozen_float32_are_refused() -> None:
    for linear in (nn.Linear(4, 4), frozen(4, 4).to(torch.bfloat16)):
        with pytest.raises(ValueError, match="load the base in float32"):
            Int8Linear(linear, NONE)
