"""The order of the examples of stage 1: like lengths in a micro-batch, all lengths in a step.

Padding wants rows of like length side by side. Transformers' own sampler gives that by sorting the rows of fifty steps,
longest first. But length tells the source: a step then learns from one kind of row alone, the kinds come in long
blocks, and the model forgets each during the others. Here only the rows that all processes take at once are of like
length, and the order of these is drawn. It follows from the lengths, the sizes, the seed and the epoch, not from the
global random state: two processes with half the micro-batch learn what one learns, and a resumed run finds its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.utils.data import Sampler
from trl import SFTTrainer

from training.checkpoints import EndsWithItsSteps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_POOL_STEPS = 50


class ByLength(Sampler[int]):
    """Indices in an order in which every `at_once` of them have like lengths; another order each epoch.

    `batch` rows make a step: like lengths are looked for among the rows of fifty steps.
    """

    def __init__(self, lengths: Sequence[int], at_once: int, batch: int, seed: int) -> None:
        self._lengths = list(lengths)
        self._at_once = at_once
        self._pool = _POOL_STEPS * batch
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The trainer tells which epoch begins."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        drawn = torch.randperm(len(self._lengths), generator=generator).tolist()
        groups: list[list[int]] = []
        for start in range(0, len(drawn), self._pool):
            pool = sorted(drawn[start : start + self._pool], key=self._lengths.__getitem__, reverse=True)
            cut = [pool[at : at + self._at_once] for at in range(0, len(pool), self._at_once)]
            whole = [each for each in cut if len(each) == self._at_once]
            groups += [whole[at] for at in torch.randperm(len(whole), generator=generator).tolist()]
            groups += [each for each in cut if len(each) < self._at_once]
        return iter(index for group in groups for index in group)


class OrderedTrainer(EndsWithItsSteps, SFTTrainer):
    """TRL's trainer with this order wherever it is asked to group by length."""

    def _get_train_sampler(self, train_dataset: object = None) -> Sampler[int] | None:
        if self.args.train_sampling_strategy != "group_by_length":
            theirs: Sampler[int] | None = super()._get_train_sampler(train_dataset)
            return theirs
        at_once = self.args.train_batch_size * self.args.world_size
        lengths = [len(ids) for ids in self.train_dataset["input_ids"]]
        return ByLength(lengths, at_once, at_once * self.args.gradient_accumulation_steps, self.args.data_seed)
