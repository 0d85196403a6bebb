"""Compiled layers give what the layers as written give: at any length, after any step, with and without gradients."""

from __future__ import annotations

import copy
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from training.attention import implementation
from training.compiled import compile_layers
from training.dora import NormClock, cache_norms
from training.int8 import quicken
from training.runs import RunError

if TYPE_CHECKING:
    from collections.abc import Callable

needs_a_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler on this machine")


def adapted(*, compiled: bool) -> tuple[Any, NormClock]:
    """A small model with a DoRA adapter that has already learned something."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, attn_implementation=implementation(dense_on_cpu=True, compiled=compiled),
    )  # fmt: skip
    settings = LoraConfig(r=4, lora_alpha=8, use_dora=True, use_rslora=True, target_modules="all-linear")
    model = get_peft_model(LlamaForCausalLM(config), settings)
    move(model)
    return model, cache_norms(model)


def move(model: Any) -> None:
    """Change every trained number, the same way in every model."""
    random = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=random)


def learned(model: Any, tokens: int) -> dict[str, torch.Tensor]:
    """The loss and every gradient on two padded rows of that length."""
    ids = torch.randint(64, (2, tokens), generator=torch.Generator().manual_seed(tokens))
    mask = torch.ones_like(ids)
    mask[0, tokens // 2 :] = 0
    model.zero_grad()
    loss = model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss
    loss.backward()
    gradients = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    return {"loss": loss.detach()} | gradients


@needs_a_compiler
def test_loss_and_gradients_are_those_of_the_layers_as_written() -> None:
    (plain, plain_clock), (quick, quick_clock) = adapted(compiled=False), adapted(compiled=True)
    before = copy.deepcopy(plain.state_dict())
    compile_layers(quick, quick_clock)
    assert quick.state_dict().keys() == before.keys()
    for tokens in (20, 129, 300, 140):
        torch.testing.assert_close(learned(quick, tokens), learned(plain, tokens), atol=1e-5, rtol=1e-4)
    for model, clock in ((plain, plain_clock), (quick, quick_clock)):
        move(model)
        clock.tick()
    torch.testing.assert_close(learned(quick, 140), learned(plain, 140), atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        ids = torch.arange(60)[None]
        torch.testing.assert_close(quick.eval()(input_ids=ids).logits, plain.eval()(input_ids=ids).logits)


@needs_a_compiler
def test_with_the_base_in_integers_they_learn_nearly_the_same() -> None:
    exact, (quick, clock) = adapted(compiled=False)[0], adapted(compiled=True)
    quicken(quick, torch.arange(60)[None])
    compile_layers(quick, clock)
    wanted, found = learned(exact, 140), learned(quick, 140)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert (found[name] - value).norm() < 0.1 * value.norm(), name


def test_without_a_compiler_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere: Callable[[str], None] = lambda _: None  # noqa: E731
    monkeypatch.setattr("training.compiled.shutil.which", nowhere)
    with pytest.raises(RunError, match="install g"):
        compile_layers(*adapted(compiled=False))
