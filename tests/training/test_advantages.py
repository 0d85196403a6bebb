"""Advantages against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.advantages import gdpo, grpo, zero_variance_share

REWARDS = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0])
"""Two groups of four: means 1/2 and 3/4."""


def test_group_scale_divides_by_the_groups_own_spread() -> None:
    half, three_quarters = (1 / 3) ** 0.5 + 1e-4, 0.5 + 1e-4
    expected = (
        [0.5 / half, -0.5 / half, -0.5 / half, 0.5 / half] + [0.25 / three_quarters] * 3 + [-0.75 / three_quarters]
    )
    assert grpo(REWARDS, 4) == pytest.approx(expected)


def test_batch_scale_divides_by_the_spread_of_all() -> None:
    spread = np.std(REWARDS, ddof=1) + 1e-4
    expected = np.array([0.5, -0.5, -0.5, 0.5, 0.25, 0.25, 0.25, -0.75]) / spread
    assert grpo(REWARDS, 4, "batch") == pytest.approx(expected)


def test_no_scale_only_centres() -> None:
    assert grpo(REWARDS, 4, "none") == pytest.approx([0.5, -0.5, -0.5, 0.5, 0.25, 0.25, 0.25, -0.75])


def test_a_group_that_is_all_right_teaches_nothing() -> None:
    assert grpo(np.ones(4), 4) == pytest.approx(np.zeros(4))
    assert zero_variance_share(np.array([1.0, 1, 0, 1]), 2) == 0.5


def test_gdpo_lets_no_component_drown_another() -> None:
    accuracy = np.array([1.0, 0, 1, 0])
    style = np.array([0.02, 0.01, 0.01, 0.02])
    components = np.stack([accuracy, style], axis=1)
    summed = grpo(components @ np.array([1.0, 1.0]), 4)
    apart = gdpo(components, (1.0, 1.0), 4)
    assert summed[0] - summed[2] < 0.02
    assert apart[0] - apart[2] > 1
    assert apart.mean() == pytest.approx(0)
    assert np.std(apart, ddof=1) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("count", "size"), [(7, 4), (4, 1)])
def test_what_cannot_be_grouped_is_refused(count: int, size: int) -> None:
    with pytest.raises(ValueError, match="cannot be cut into groups"):
        grpo(np.zeros(count), size)


def test_weights_must_fit_the_components() -> None:
    with pytest.raises(ValueError, match="2 components but 1 weights"):
        gdpo(np.zeros((4, 2)), (1.0,), 4)
