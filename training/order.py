"""The order of the examples of stage 1: like lengths together, and the same for any number of processes.

Transformers' own sampler sorts within groups whose size follows from the batch of one process, and shuffles with the
global random state; so two processes would learn from other batches than one. Here the order follows from the lengths,
the batch of all processes, the seed and the epoch alone, and a resumed run finds its place in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices
from trl import SFTTrainer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class ByLength(Sampler[int]):
    """Indices in an order in which every `batch` of them have like lengths; another order each epoch."""

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self._lengths = list(lengths)
        self._batch = batch
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The trainer tells which epoch begins."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        return iter(get_length_grouped_indices(self._lengths, self._batch, generator=generator))


class OrderedTrainer(SFTTrainer):
    """TRL's trainer with this order wherever it is asked to group by length."""

    def _get_train_sampler(self, train_dataset: object = None) -> Sampler[int] | None:
        if self.args.train_sampling_strategy != "group_by_length":
            theirs: Sampler[int] | None = super()._get_train_sampler(train_dataset)
            return theirs
        each = self.args.train_batch_size * self.args.gradient_accumulation_steps
        lengths = [len(ids) for ids in self.train_dataset["input_ids"]]
        return ByLength(lengths, each * self.args.world_size, self.args.data_seed)
