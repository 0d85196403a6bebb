"""Cached DoRA norms: PEFT's values and gradients, at every step, in float32 and bfloat16."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from training.dora import DoraError, cache_norms, check_magnitudes, magnitude_change, magnitudes, row_norms

TOKENS = torch.arange(60).reshape(4, 15) % 64


def adapted(dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    """A small model with a DoRA adapter that has already learned something."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attention_bias=options.pop("bias", False),
    )
    model = LlamaForCausalLM(config).to(dtype)
    settings = {"r": 4, "lora_alpha": 8, "use_dora": True, "use_rslora": True, "target_modules": "all-linear"} | options
    peft_model = get_peft_model(model, LoraConfig(**settings))
    for name, parameter in peft_model.named_parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
        elif "bias" in name:
            parameter.data += torch.randn_like(parameter)
    return peft_model


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_row_norms_by_hand() -> None:
    weight = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    a, b = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0], [1.0]])
    # W + 2BA is [[3, 4], [0, 6]]
    assert row_norms(weight.square().sum(1), weight, a, b, 2.0).tolist() == [5.0, 6.0]


@pytest.mark.parametrize("bias", [False, True])
def test_values_and_gradients_are_pefts(bias: bool) -> None:
    theirs = adapted(bias=bias)
    ours = copy.deepcopy(theirs)
    cache_norms(ours)
    for model in (theirs, ours):
        model(input_ids=TOKENS, labels=TOKENS).loss.backward()
    expected, actual = gradients(theirs), gradients(ours)
    assert expected.keys() == actual.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, atol=1e-6, rtol=1e-4)


def test_under_autocast_they_are_pefts_as_far_as_bfloat16_goes() -> None:
    theirs = adapted(torch.bfloat16)
    for _, magnitude in magnitudes(theirs):
        magnitude.data = magnitude.data.abs() + 0.1
    ours = copy.deepcopy(theirs)
    cache_norms(ours)
    losses = []
    for model in (theirs, ours):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=TOKENS, labels=TOKENS).loss
        loss.backward()
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=5e-3)
    expected, actual = gradients(theirs), gradients(ours)
    for name, gradient in expected.items():
        assert actual[name].dtype == gradient.dtype == torch.float32
        difference = (actual[name] - gradient).norm() / gradient.norm()
        assert difference < 0.05, (name, difference)


def test_a_magnitude_of_zero_gives_no_gradient_that_is_not_finite() -> None:
    model = adapted(torch.bfloat16)
    cache_norms(model)
    for _, magnitude in magnitudes(model):
        magnitude.data[0] = 0
    with torch.autocast("cpu", torch.bfloat16):
        model(input_ids=TOKENS, labels=TOKENS).loss.backward()
    assert all(gradient.isfinite().all() for gradient in gradients(model).values())


def test_they_stay_pefts_over_optimiser_steps_and_micro_batches() -> None:
    theirs = adapted()
    ours = copy.deepcopy(theirs)
    clock = cache_norms(ours)
    losses: dict[int, list[float]] = {0: [], 1: []}
    for index, model in enumerate((theirs, ours)):
        optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
        for _ in range(4):
            for batch in TOKENS.split(2):
                loss = model(input_ids=batch, labels=batch).loss
                loss.backward()
                losses[index].append(loss.item())
            optimiser.step()
            optimiser.zero_grad()
            clock.tick()
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[0][-1] < losses[0][0]


def test_an_in_place_change_is_seen_without_the_clock() -> None:
    model = adapted()
    cache_norms(model)
    before = model(input_ids=TOKENS).logits
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.mul_(3.0)
    plain = adapted()
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            if "lora_B" in name:
                parameter.mul_(3.0)
    after = model(input_ids=TOKENS).logits
    assert not torch.allclose(before, after, atol=1e-3)
    torch.testing.assert_close(after, plain(input_ids=TOKENS).logits, atol=1e-5, rtol=1e-4)


def test_a_small_change_of_a_magnitude_is_not_lost_in_bfloat16() -> None:
    model = adapted(torch.bfloat16)
    cache_norms(model)
    with torch.autocast("cpu", torch.bfloat16):
        before = model(input_ids=TOKENS).logits.float()
        for _, magnitude in magnitudes(model):
            magnitude.data *= 1.002
        after = model(input_ids=TOKENS).logits.float()
    assert (before - after).abs().max() > 0


def test_names_in_the_saved_adapter_stay(tmp_path: Any) -> None:
    model = adapted()
    names = [name for name, _ in model.named_parameters()]
    cache_norms(model)
    assert [name for name, _ in model.named_parameters()] == names


def test_a_magnitude_in_bfloat16_is_refused() -> None:
    model = adapted()
    check_magnitudes(model)
    model.to(torch.bfloat16)
    with pytest.raises(DoraError, match="autocast_adapter_dtype"):
        check_magnitudes(model)


def test_the_change_of_the_magnitudes_is_relative() -> None:
    model = adapted()
    start = {name: parameter.detach().clone() for name, parameter in magnitudes(model)}
    assert magnitude_change(model, start) == 0
    for _, magnitude in magnitudes(model):
        magnitude.data *= 1.1
    assert magnitude_change(model, start) == pytest.approx(0.1, rel=1e-4)
