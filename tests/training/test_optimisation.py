"""Optimiser and schedule against values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from transformers import get_scheduler

from training.optimisation import optimizer_class_and_arguments, schedule_arguments
from training.recipe import Optimisation

pytestmark = pytest.mark.slow


def settings(**changes: Any) -> Optimisation:
    values: dict[str, Any] = {
        "optimizer": "exadam",
        "learning_rate": 0.01,
        "weight_decay": 0.1,
        "schedule": "warmup_stable_decay",
        "warmup_ratio": 0.1,
        "decay_ratio": 0.2,
        "steps": 100,
        "micro_batch": 1,
        "accumulation": 1,
        "max_gradient_norm": 1.0,
        "seed": 0,
    }
    return Optimisation(**values | changes)


def exadam_by_hand(weight: float, gradients: list[float], lr: float, decay: float) -> float:
    """The published rule, second version: no logarithmic factor on the rate."""
    beta1, beta2, epsilon = 0.9, 0.999, 1e-8
    m = v = 0.0
    for step, gradient in enumerate(gradients, 1):
        weight -= lr * decay * weight
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        d1 = 1 + v / (v + epsilon) * beta2**step
        d2 = 1 + m**2 / (m**2 + epsilon) * beta1**step
        m_hat = m / (1 - beta1**step) * d1
        v_hat = v / (1 - beta2**step) * d2
        g_hat = gradient / (1 - beta1**step) * d1
        weight -= lr * (m_hat + g_hat) / (math.sqrt(v_hat) + epsilon)
    return weight


@pytest.mark.parametrize("gradients", [[0.5], [0.5, -0.2, 0.1], [1e-5, 2e-5, -1e-5], [3.0] * 20])
def test_exadam_follows_its_published_rule(gradients: list[float]) -> None:
    parameter = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer_class, arguments = optimizer_class_and_arguments(settings())
    optimizer = optimizer_class([parameter], **arguments)
    for gradient in gradients:
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    assert parameter.item() == pytest.approx(exadam_by_hand(2.0, gradients, 0.01, 0.1), rel=1e-9)


def test_adamw_is_torchs() -> None:
    optimizer_class, arguments = optimizer_class_and_arguments(settings(optimizer="adamw"))
    assert optimizer_class is torch.optim.AdamW
    assert arguments == {"lr": 0.01, "weight_decay": 0.1}


def rates(**changes: Any) -> list[float]:
    chosen = settings(**changes)
    arguments = schedule_arguments(chosen)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_scheduler(
        arguments["lr_scheduler_type"],
        optimizer,
        num_warmup_steps=arguments["warmup_steps"],
        num_training_steps=chosen.steps,
        scheduler_specific_kwargs=arguments.get("lr_scheduler_kwargs"),
    )
    seen = []
    for _ in range(chosen.steps + 1):
        seen.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return seen


def test_warm_up_stable_decay_at_its_corners() -> None:
    rate = rates()
    assert rate[0] == 0
    assert rate[5] == pytest.approx(0.5)
    assert rate[10] == rate[50] == rate[80] == 1
    assert rate[90] == pytest.approx(0.5)
    assert rate[100] == pytest.approx(0)


def test_the_decay_is_a_share_of_the_run_whatever_its_length() -> None:
    assert schedule_arguments(settings(steps=1000))["lr_scheduler_kwargs"]["num_decay_steps"] == 200
    assert schedule_arguments(settings(steps=10, decay_ratio=0.01))["lr_scheduler_kwargs"]["num_decay_steps"] == 1


def test_constant_and_cosine() -> None:
    assert rates(schedule="constant")[10:] == [1.0] * 91
    cosine = rates(schedule="cosine")
    assert cosine[10] == 1
    assert cosine[55] == pytest.approx(0.5)
    assert cosine[100] == pytest.approx(0)
