"""From a prompt and a completion to token ids, in one place for both stages and for rollouts.

Prompt and completion are tokenised apart and joined, because that is what happens when the model writes: the prompt's
tokens are given, and the first token of the answer is a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Encoded:
    """One example as token ids; the loss is taken on the completion alone."""

    prompt_ids: list[int]
    completion_ids: list[int]
    """With the end-of-turn token."""

    @property
    def length(self) -> int:
        """All tokens."""
        return len(self.prompt_ids) + len(self.completion_ids)

    def to_row(self) -> dict[str, list[int]]:
        """The columns that TRL takes as an already tokenised example."""
        return {
            "input_ids": self.prompt_ids + self.completion_ids,
            "completion_mask": [0] * len(self.prompt_ids) + [1] * len(self.completion_ids),
        }


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[int]:
    """The tokens of one user turn, up to where the assistant begins to write."""
    ids: list[int] = tokenizer(_rendered(tokenizer, prompt), add_special_tokens=False)["input_ids"]
    return ids


def encode(tokenizer: PreTrainedTokenizerBase, prompt: str, completion: str) -> Encoded:
    """The tokens of a prompt and its answer."""
    prompt_ids = encode_prompt(tokenizer, prompt)
    if opens_reasoning(tokenizer):
        completion = completion.removeprefix("<think>").lstrip("\n")
    ids: list[int] = tokenizer(completion, add_special_tokens=False)["input_ids"]
    return Encoded(prompt_ids, [*ids, tokenizer.eos_token_id])


def opens_reasoning(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the chat template itself writes `<think>` where the assistant begins."""
    return _rendered(tokenizer, "x").rstrip().endswith("<think>")


def completion_text(tokenizer: PreTrainedTokenizerBase, completion_ids: list[int]) -> str:
    """What a server would return for these tokens: special tokens such as the end of the turn left out."""
    return str(tokenizer.decode(completion_ids, skip_special_tokens=True))


def _rendered(tokenizer: PreTrainedTokenizerBase, prompt: str) -> str:
    messages = [{"role": "user", "content": prompt}]
    return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))
