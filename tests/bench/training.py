"""`make bench-training`: what DoRA costs beside LoRA, what integers, compiling and a merged copy save.

All sides run in one process, interleaved, on the small base as a recipe trains it: in bfloat16, or in float32 with the
products of the frozen base in integers (`sft.int8_base`); four micro-batches an optimiser step. Medians are printed
with every round, and the ratio is the result.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.table import Table

from gazal.models import resolve
from training.adapter import LINEAR_LAYERS
from training.attention import implementation
from training.compiled import compile_layers
from training.dora import NormClock, cache_norms
from training.int8 import quicken
from training.rollouts import MergedCopy

if TYPE_CHECKING:
    from pathlib import Path

MICRO_BATCHES = 4
TOKENS = (2, 512)


class Side:
    """One way to train: plain LoRA, PEFT's DoRA, DoRA with cached norms, or that with the base in integers."""

    def __init__(self, base: Path, *, dora: bool, cached: bool, int8: bool = False, compiled: bool = False) -> None:
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(0)
        self._autocast = not int8
        model = AutoModelForCausalLM.from_pretrained(
            base,
            dtype=torch.float32 if int8 else torch.bfloat16,
            attn_implementation=implementation(dense_on_cpu=True, compiled=compiled),
        )
        config = LoraConfig(
            r=32, lora_alpha=32, use_dora=dora, use_rslora=True, target_modules=list(LINEAR_LAYERS), lora_dropout=0.0
        )
        self.model: Any = get_peft_model(model, config)
        self._clock = cache_norms(self.model) if cached else NormClock()
        if int8:
            quicken(self.model, torch.arange(1000, 1064)[None])
        if compiled:
            compile_layers(self.model, self._clock)
        self._optimiser = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=1e-4)
        self.seconds: list[float] = []

    def step(self, ids: torch.Tensor) -> None:
        """One optimiser step of four micro-batches, timed."""
        began_s = time.perf_counter()
        for _ in range(MICRO_BATCHES):
            with torch.autocast("cpu", torch.bfloat16, enabled=self._autocast):
                loss = self.model(input_ids=ids, labels=ids).loss
            loss.backward()
        self._optimiser.step()
        self._optimiser.zero_grad()
        self._clock.tick()
        self.seconds.append(time.perf_counter() - began_s)


def steps(base: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round by side."""
    sides = {
        "LoRA": Side(base, dora=False, cached=False),
        "DoRA, PEFT": Side(base, dora=True, cached=False),
        "DoRA, cached norms": Side(base, dora=True, cached=True),
        "the same, base in integers": Side(base, dora=True, cached=True, int8=True),
        "the same, compiled": Side(base, dora=True, cached=True, int8=True, compiled=True),
    }
    torch.manual_seed(1)
    ids = torch.randint(0, 40_000, TOKENS)
    for _ in range(rounds + 1):
        for side in sides.values():
            side.step(ids)
    return {name: side.seconds[1:] for name, side in sides.items()}


def rollouts(base: Path, rounds: int, new_tokens: int = 6, batch: int = 8) -> dict[str, list[float]]:
    """Seconds a token of `batch` completions, through live DoRA layers and from a merged copy; and of its refresh.

    Few tokens, for through PEFT's layers each takes seconds; the short prompts are a token's worth of work more.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    adapted = {cached: Side(base, dora=True, cached=cached).model.eval() for cached in (False, True)}
    copy = MergedCopy.load(base, torch.bfloat16)
    writers = {
        "live DoRA layers, PEFT": MergedCopy(adapted[False], tokenizer),
        "live DoRA layers, cached norms": MergedCopy(adapted[True], tokenizer),
        "merged copy": copy,
    }
    prompts = [[1000 + index] * 16 for index in range(batch)]
    seconds: dict[str, list[float]] = {name: [] for name in writers} | {"refresh of the copy, once a step": []}
    for _ in range(rounds + 1):
        began_s = time.perf_counter()
        copy.refresh(adapted[True])
        seconds["refresh of the copy, once a step"].append(time.perf_counter() - began_s)
        for name, model in writers.items():
            began_s = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16):
                written = model.sample(prompts, max_new_tokens=new_tokens, temperature=1.0, batch=batch)
            seconds[name].append((time.perf_counter() - began_s) / max(map(len, written)))
    return {name: rounds[1:] for name, rounds in seconds.items()}


def show(title: str, seconds: dict[str, list[float]], reference: str, console: Console) -> None:
    """Medians, ratios to `reference`, and the rounds behind them."""
    table = Table(title=title)
    for column in ("", "median s", f"to {reference}", "rounds"):
        table.add_column(column)
    unit = statistics.median(seconds[reference])
    for name, rounds in seconds.items():
        median = statistics.median(rounds)
        table.add_row(name, f"{median:.3f}", f"{median / unit:.3f}", " ".join(f"{each:.2f}" for each in rounds))
    console.print(table)


def main() -> None:
    """Run both comparisons and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    console = Console()
    base = resolve("nano-base").path
    tokens = TOKENS[0] * TOKENS[1]
    title = f"One step, {MICRO_BATCHES} x {tokens} tokens, rank 32, {torch.get_num_threads()} threads"
    show(title, steps(base, arguments.rounds), "LoRA", console)
    written = rollouts(base, min(arguments.rounds, 3))
    show("Seconds a token, of eight completions together", written, "merged copy", console)
    peft, copy = (statistics.median(written[name]) for name in ("live DoRA layers, PEFT", "merged copy"))
    console.print(
        f"Sampling from the merged copy is {peft / copy:.1f} times as fast as through PEFT's live DoRA layers."
    )


if __name__ == "__main__":
    main()
