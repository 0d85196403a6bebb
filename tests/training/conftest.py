"""A model of a few thousand parameters and rows of the clinic, for tests that really train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.bases import PreparedBase
    from training.data.rows import Row
    from training.recipe import Recipe


@dataclass(frozen=True)
class Small:
    """What a stage needs."""

    base: PreparedBase
    rows: list[Row]
    recipe: Callable[..., Recipe]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A base made of random weights, 40 rows, and the tiny recipe with `section__field=value` changed."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from gazal.artifact import Base
    from gazal.reasoning_tokens import add_reasoning_tokens
    from training.bases import PreparedBase
    from training.data.rows import Row
    from training.data.sources import clinic_examples
    from training.recipe import load
    from training.tiny import train_tokenizer

    tiny = load(Path("training/recipes/tiny.yaml")).recipe
    cases = tiny.data.sources[0].model_copy(update={"presentations": ["chest-pain"], "topics": ["diagnosis"]})
    examples = list(clinic_examples(cases, "train", 40, 1))
    rows = [
        Row(
            id=each.id,
            source="clinic",
            mode=each.mode,
            prompt=each.prompt,
            options=each.options,
            answer=each.answer,
            completion=each.completion,
            group=each.combination,
        )
        for each in examples
    ]
    directory = tmp_path_factory.mktemp("small")
    tokenizer = train_tokenizer([f"{row.prompt}\n{row.completion}" for row in rows], 800)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen3ForCausalLM(config).save_pretrained(directory / "plain")
    tokenizer.save_pretrained(directory / "plain")
    added = add_reasoning_tokens(directory / "plain", directory / "base")
    base = PreparedBase(directory / "base", added, Base(reference="a test"), "Apache-2.0")

    def recipe(**changes: Any) -> Recipe:
        tree = tiny.model_dump(mode="json")
        tree["sft"]["optimisation"] |= {"steps": 6, "micro_batch": 4, "checkpoint_every": 2}
        tree["grpo"]["optimisation"] |= {"steps": 4, "micro_batch": 4, "accumulation": 2, "checkpoint_every": 2}
        tree["grpo"] |= {"group_size": 4, "prompts_per_step": 2}
        tree["data"]["max_completion_tokens"] = 24
        for place, value in changes.items():
            node = tree
            *path, last = place.split("__")
            for name in path:
                node = node[name]
            node[last] = value
        return type(tiny).model_validate(tree)

    return Small(base, rows, recipe)
