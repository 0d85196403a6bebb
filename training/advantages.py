"""Group-relative advantages, written out so that what the trainer computes can be checked and shown.

GRPO (arXiv 2402.03300) compares the completions of one prompt with each other. The scales are TRL's: `group` divides by
the group's standard deviation, `batch` by that of all rewards, `none` (Dr. GRPO, arXiv 2503.20783) by nothing. GDPO
(arXiv 2601.05242) normalises every reward component in its group before summing, so that a cheap component cannot drown
the others in groups that are all right or all wrong, and normalises the sum over the batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Scale = Literal["group", "batch", "none"]
EPSILON = 1e-4
"""TRL's constant under the division."""


def grpo(rewards: NDArray[np.float64], group_size: int, scale: Scale = "group") -> NDArray[np.float64]:
    """Advantages of rewards of shape (groups * group_size,), in the same order. Standard deviations are unbiased."""
    groups = _grouped(rewards, group_size)
    centred = groups - groups.mean(axis=1, keepdims=True)
    if scale == "group":
        centred = centred / (groups.std(axis=1, ddof=1, keepdims=True) + EPSILON)
    elif scale == "batch":
        centred = centred / (rewards.std(ddof=1) + EPSILON)
    flat: NDArray[np.float64] = centred.reshape(-1)
    return flat


def gdpo(components: NDArray[np.float64], weights: Sequence[float], group_size: int) -> NDArray[np.float64]:
    """Advantages of reward components of shape (groups * group_size, components): normalise, weight, sum, normalise."""
    if components.shape[1] != len(weights):
        raise ValueError(f"{components.shape[1]} components but {len(weights)} weights")
    each = np.stack([grpo(column, group_size) for column in components.T], axis=1)
    summed = each @ np.asarray(weights, dtype=np.float64)
    result: NDArray[np.float64] = (summed - summed.mean()) / (summed.std(ddof=1) + EPSILON)
    return result


def zero_variance_share(rewards: NDArray[np.float64], group_size: int) -> float:
    """The share of groups whose rewards are all equal: they teach nothing, and their rollouts were wasted."""
    return float((_grouped(rewards, group_size).std(axis=1) == 0).mean())


def _grouped(rewards: NDArray[np.float64], group_size: int) -> NDArray[np.float64]:
    if group_size < 2 or len(rewards) % group_size:
        raise ValueError(f"{len(rewards)} rewards cannot be cut into groups of {group_size} (at least 2)")
    return rewards.reshape(-1, group_size)
